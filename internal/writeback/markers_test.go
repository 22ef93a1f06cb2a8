package writeback

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSplice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, field, text, want string }{
		{"an empty field", "", "a", "[staykey] a [/staykey]"},
		{"after what people wrote", "VIP\n", "a", "VIP\n[staykey] a [/staykey]"},
		{"where it was", "x\n[staykey] a [/staykey]\ny", "b", "x\n[staykey] b [/staykey]\ny"},
		{"taken out", "x\n[staykey] a [/staykey]\ny", "", "x\ny"},
		{"taken out at the beginning", "[staykey] a [/staykey]\ny", "", "y"},
		{"nothing to take out", "x", "", "x"},
		{"within a line", "x [staykey] a [/staykey] y", "b", "x [staykey] b [/staykey] y"},
		{"somebody deleted its end", "x\n[staykey] a\ny", "b", "x\n[staykey] b [/staykey]\ny"},
		{
			"two of them become one", "[staykey] a [/staykey]\nx\n[staykey] b [/staykey]", "c",
			"[staykey] c [/staykey]\nx",
		},
		{"several lines", "x", "a\nb", "x\n[staykey] a\nb [/staykey]"},
	} {
		if got := splice(c.field, c.text); got != c.want {
			t.Errorf("%s: %q, want %q", c.reason, got, c.want)
		}
	}
}

// What people wrote survives any number of changes, and writing twice is writing once.
func TestSpliceKeepsWhatPeopleWrote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.StringMatching(`[a-z \n]{0,20}`).Draw(t, "field")
		one, two := rapid.StringMatching(`[a-z:/]{1,9}`).Draw(t, "one"),
			rapid.StringMatching(`[a-z:/\n]{1,9}`).Draw(t, "two")
		written := splice(splice(field, one), two)
		if again := splice(written, two); again != written {
			t.Fatalf("%q becomes %q when it is written again", written, again)
		}
		if got := splice(written, ""); strings.TrimSpace(got) != strings.TrimSpace(field) {
			t.Fatalf("%q is left of %q", got, field)
		}
		if strings.Count(written, beginMark) != 1 {
			t.Fatalf("%q", written)
		}
	})
}
