package migrations

import (
	"iter"
	"strings"
	"testing"
	"unicode"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	for given, want := range map[rune]rune{
		'é': 'e', 'É': 'e', 'ñ': 'n', 'Å': 'a', 'ü': 'u', 'Ø': 'o', 'ł': 'l', 'İ': 'i', 'ı': 'i', 'ß': 'ß',
		'Ж': 'ж', 'ё': 'е',
		'ά': 'α', '漢': '漢', '가': '가', 'ﬁ': 'ﬁ', '\u0301': 0, 'ａ': 'a', '\u00a0': '\u00a0', '€': '€', '\uff07': '\uff07',
		'\uff04': '\uff04', '\uff11': '1',
	} {
		if got := plain(given); got != want {
			t.Errorf("%q is %q, not %q", given, got, want)
		}
	}
}

// TestLetters looks for letters beyond those that the functions know.
func TestLetters(t *testing.T) {
	t.Parallel()
	next, stop := iter.Pull(letters())
	defer stop()
	letter, more := next()
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if more && r == letter {
			letter, more = next()
			continue
		}
		if fold(r) != r || plain(r) != r {
			t.Errorf("%U becomes %U and %U", r, fold(r), plain(r))
		}
	}
	if more {
		t.Errorf("%U comes after all of Unicode, or out of order", letter)
	}
}

// TestPlainFirst checks that the letters at the beginning of translate()'s lists have one form only.
func TestPlainFirst(t *testing.T) {
	t.Parallel()
	for _, r := range plainFirst {
		if plain(r) != r || fold(r) != r || r >= 0x80 || strings.ContainsRune(`'\\`, r) {
			t.Errorf("%q becomes another letter", r)
		}
	}
	for name, function := range map[string]string{"plain": plainFunction(), "fold": foldFunction()} {
		if strings.Count(function, "'"+plainFirst) != 2 {
			t.Errorf("%s does not begin its lists with them", name)
		}
	}
}
