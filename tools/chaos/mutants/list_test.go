package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each mutant's tests exist: a pattern that matches nothing would be green forever.
func TestMutantsHaveTests(t *testing.T) {
	t.Parallel()
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, m := range mutants {
		var names []string
		files, err := filepath.Glob(filepath.Join("../../..", m.pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range declared.FindAllStringSubmatch(string(source), -1) {
				names = append(names, match[1])
			}
		}
		for _, pattern := range strings.Split(strings.Trim(m.tests, "^$()"), "|") {
			if !slices.Contains(names, pattern) {
				t.Errorf("%s: %s has no test %s", m.name, m.pkg, pattern)
			}
		}
	}
}

// Each mutant still finds the text that it replaces: once, and in its file.
func TestMutantsFitTheSource(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		for _, e := range m.edits {
			source, err := os.ReadFile(filepath.Join("../../..", e.file))
			if err != nil {
				t.Errorf("%s: %v", m.name, err)
				continue
			}
			if n := strings.Count(string(source), e.old); n != 1 {
				t.Errorf("%s: %s has %d times:\n%s", m.name, e.file, n, e.old)
			}
		}
	}
}
