package web

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// changeLines are the differences between before and after, one per line, for people.
func changeLines(before, after map[string]any) []string {
	fields := map[string]bool{}
	for _, m := range []map[string]any{before, after} {
		for field := range m {
			fields[field] = true
		}
	}
	var lines []string
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		from, to := fmt.Sprint(before[field]), fmt.Sprint(after[field])
		name := strings.ReplaceAll(field, "_", " ")
		switch _, had := before[field]; {
		case before == nil:
			lines = append(lines, name+": "+to)
		case from == to:
		case !had || before[field] == nil:
			lines = append(lines, name+": nothing → "+to)
		case after[field] == nil:
			lines = append(lines, name+": "+from+" → nothing")
		default:
			lines = append(lines, name+": "+from+" → "+to)
		}
	}
	return lines
}
