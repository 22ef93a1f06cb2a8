package main

import (
	"slices"
	"strings"
	"testing"
)

func TestWideLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 30)
	source := strings.Join([]string{
		"package p",
		"// " + long,
		"//go:embed " + long,
		"var short = 1",
		"var message = \"" + long + "\"",
		"var list = []string{" + strings.Repeat("\"a\", ", 40) + "}",
		"var sql = `",
		"\tSELECT " + long + "`",
		"var text = `",
		"\t" + long + "`",
		"\t\t\t\t\t\t\t\t\t\tvar tabs = 1 // " + strings.Repeat("x", 75),
	}, "\n")
	if got, want := wideLines([]byte(source)), []int{2, 6, 8, 11}; !slices.Equal(got, want) {
		t.Errorf("lines %v are too wide, want %v", got, want)
	}
}

func TestWideTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 30)
	source := strings.Join([]string{
		"package p",
		"var message = \"" + long + "\"", // 152 columns: a message that people search for
		"var paragraph = \"" + long + long + "\"",
		"var statement = `SELECT " + long + "`",
		"var payload = `" + long + long + "`",
		"var whole = `",
		"\tSELECT " + long + "`", // wideLines reports it
		"var short = `SELECT 1`",
	}, "\n")
	if got, want := wideTexts([]byte(source)), []int{3, 4}; !slices.Equal(got, want) {
		t.Errorf("lines %v have texts that are too wide, want %v", got, want)
	}
}
