package admin

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"

	"github.com/staykey/staykey/internal/stay"
)

// suggestGroup finds the access group whose name is most like a listing's: "Room 101" and "Garden Room 0101" have
// the same number. Numbers must be the same; words decide between groups of the same number. It suggests nothing
// where two groups are equally alike.
func suggestGroup(listing string, groups []stay.AccessGroup) (stay.AccessGroup, bool) {
	numbers, words := nameParts(listing)
	best, bestLike, tie := stay.AccessGroup{}, 0.0, false
	for _, g := range groups {
		groupNumbers, groupWords := nameParts(g.Name)
		if !slices.Equal(numbers, groupNumbers) {
			continue
		}
		like := alike(words, groupWords)
		if len(numbers) > 0 {
			like++ // the number alone is enough
		} else if like < 0.5 {
			continue
		}
		switch {
		case like > bestLike:
			best, bestLike, tie = g, like, false
		case like == bestLike:
			tie = true
		}
	}
	return best, bestLike > 0 && !tie
}

// nameParts are the numbers of a name, sorted and without leading zeros, and its words, in lower case and without
// accents.
func nameParts(name string) (numbers, words []string) {
	folded, _, err := transform.String(transform.Chain(norm.NFKD, runes.Remove(runes.In(unicode.Mn)), norm.NFC),
		strings.ToLower(name))
	if err != nil {
		folded = strings.ToLower(name)
	}
	part, digits := "", false
	end := func() {
		switch {
		case part == "":
		case digits:
			trimmed := strings.TrimLeft(part, "0")
			if trimmed == "" {
				trimmed = "0"
			}
			numbers = append(numbers, trimmed)
		default:
			words = append(words, part)
		}
		part = ""
	}
	for _, r := range folded {
		isDigit := unicode.IsDigit(r)
		if !isDigit && !unicode.IsLetter(r) {
			end()
			continue
		}
		if isDigit != digits {
			end()
		}
		digits = isDigit
		part += string(r)
	}
	end()
	slices.Sort(numbers)
	slices.Sort(words)
	return numbers, slices.Compact(words)
}

// alike is how many of the words of two names are in both, from 0 to 1.
func alike(a, b []string) float64 {
	both := 0
	for _, w := range a {
		if slices.Contains(b, w) {
			both++
		}
	}
	all := len(a) + len(b) - both
	if all == 0 {
		return 0
	}
	return float64(both) / float64(all)
}
