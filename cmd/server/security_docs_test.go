package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/security.md names exists.
func TestSecurityPageNamesTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err = filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range declared.FindAllStringSubmatch(string(source), -1) {
			there[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var mutants string
	for _, file := range []string{"list.go", "security.go"} {
		source, err := os.ReadFile(filepath.Join("../../internal/chaos/mutants", file))
		if err != nil {
			t.Fatal(err)
		}
		mutants += string(source)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 40 {
		t.Errorf("the page names %d tests", len(named))
	}
	for _, name := range named {
		if !there[name[1]] {
			t.Errorf("docs/security.md names %s, which there is not", name[1])
		}
	}
	for _, row := range strings.Split(string(page), "\n") {
		cells := strings.Split(row, " |")
		if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| ---") || strings.HasPrefix(row, "| threat ") {
			continue
		}
		if len(cells) != 5 || !strings.Contains(row, "`Test") {
			t.Errorf("a threat without a test: %s", row)
			continue
		}
		for _, mutant := range strings.Split(strings.TrimSpace(cells[3]), ", ") {
			if mutant != "" && !strings.Contains(mutants, `name: "`+mutant+`"`) {
				t.Errorf("docs/security.md names the mutant %q, which does not exist", mutant)
			}
		}
	}
}
