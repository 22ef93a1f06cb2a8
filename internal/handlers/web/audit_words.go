package web

import (
	"fmt"
	"maps"
	"slices"

	"github.com/staykey/staykey/internal/lang"
)

// changeLines are the differences between before and after, one per line, for people.
func changeLines(in *lang.Locale, before, after map[string]any) []string {
	fields := map[string]bool{}
	for _, m := range []map[string]any{before, after} {
		for field := range m {
			fields[field] = true
		}
	}
	var lines []string
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		from, to := fmt.Sprint(before[field]), fmt.Sprint(after[field])
		name := codeWords(in, field)
		switch _, had := before[field]; {
		case before == nil:
			lines = append(lines, in.T("{field}: {to}", name, to))
		case from == to:
		case !had || before[field] == nil:
			lines = append(lines, in.T("{field}: nothing → {to}", name, to))
		case after[field] == nil:
			lines = append(lines, in.T("{field}: {from} → nothing", name, from))
		default:
			lines = append(lines, in.T("{field}: {from} → {to}", name, from, to))
		}
	}
	return lines
}
