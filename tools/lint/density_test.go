package main

import (
	"slices"
	"strings"
	"testing"
)

func TestDenseLines(t *testing.T) {
	t.Parallel()
	body := func(n int) string { return strings.Repeat("\tf()\n", n) }
	for name, c := range map[string]struct {
		function string
		want     []int
	}{
		"long":                       {"func f() {\n" + body(25) + "}\n", []int{28}},
		"as long as it may be":       {"func f() {\n" + body(23) + "}\n", nil},
		"divided by a blank line":    {"func f() {\n" + body(20) + "\n" + body(20) + "}\n", nil},
		"divided by a comment":       {"func f() {\n" + body(20) + "\t// Then the others.\n" + body(20) + "}\n", nil},
		"divided by a case":          {"func f() {\nswitch {\n" + body(20) + "case true:\n" + body(20) + "}}\n", nil},
		"two functions":              {"func f() {\n" + body(20) + "}\n\nfunc g() {\n" + body(20) + "}\n", nil},
		"reported once":              {"func f() {\n" + body(90) + "}\n", []int{28}},
		"a table":                    {"func f() {\n_ = []int{\n" + strings.Repeat("1,\n", 40) + "}\n}\n", nil},
		"SQL":                        {"func f() {\n_ = `" + strings.Repeat("a\n", 40) + "`\n}\n", nil},
		"a function inside a table":  {"func f() {\n_ = []any{func() {\n" + body(30) + "}}\n}\n", []int{28}},
		"lines outside of functions": {"var (\n" + strings.Repeat("_ = 1\n", 40) + ")\n", nil},
	} {
		if got := denseLines([]byte("package p\n\n" + c.function)); !slices.Equal(got, c.want) {
			t.Errorf("%s: lines %v are too dense, want %v", name, got, c.want)
		}
	}
}
