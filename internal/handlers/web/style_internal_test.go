package web

import (
	"regexp"
	"strings"
	"testing"
)

// TestStyleKeepsItsScales checks that sizes of text and spaces come from the two scales at the top of the style sheet,
// so that pages look alike, and that every step of the scales is used.
func TestStyleKeepsItsScales(t *testing.T) {
	t.Parallel()
	text, err := files.ReadFile("static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	sheet := regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(text), "")
	sheet, _, _ = strings.Cut(sheet, "@media print") // paper has points
	steps := regexp.MustCompile(`(--(?:space|type)-[a-z0-9]+):`).FindAllStringSubmatch(sheet, -1)
	if len(steps) < 10 {
		t.Fatalf("the style sheet has %d steps of scales", len(steps))
	}
	for _, step := range steps {
		if !strings.Contains(sheet, "var("+step[1]+")") {
			t.Errorf("nothing uses %s", step[1])
		}
	}
	length := regexp.MustCompile(`(?:^|[ (-])(?:\d*\.)?\d+(?:rem|em|px|pt|vh|vw|%|ch)`)
	scaled := regexp.MustCompile(
		`(?:^|[;{\s])((?:padding|margin|gap|row-gap|column-gap|scroll-padding|scroll-margin|font-size|font)[a-z-]*)\s*:\s*([^;}]+)`)
	found := scaled.FindAllStringSubmatch(sheet, -1)
	if len(found) < 100 {
		t.Fatalf("the style sheet has %d sizes", len(found))
	}
	for _, f := range found {
		// in a chart a unit is one of the drawing's, not of the screen's
		if raw := length.FindString(f[2]); raw != "" && f[0] != " font-size: 11px" {
			t.Errorf("%s: %s has the size %s, which is not one of the scales", f[1], f[2], raw)
		}
	}
}
