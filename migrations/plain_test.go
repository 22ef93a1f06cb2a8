package migrations

import "testing"

func TestPlain(t *testing.T) {
	t.Parallel()
	for given, want := range map[rune]rune{
		'é': 'e', 'É': 'e', 'ñ': 'n', 'Å': 'a', 'ü': 'u', 'Ø': 'o', 'ł': 'l', 'İ': 'i', 'ı': 'i', 'ß': 'ß', 'Ж': 'ж', 'ё': 'е',
		'ά': 'α', '漢': '漢', '가': '가', 'ﬁ': 'ﬁ', '\u0301': 0, 'ａ': 'a', '\u00a0': '\u00a0', '€': '€', '\uff07': '\uff07', '\uff04': '\uff04', '\uff11': '1',
	} {
		if got := plain(given); got != want {
			t.Errorf("%q is %q, not %q", given, got, want)
		}
	}
}
