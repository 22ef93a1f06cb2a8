package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
