package provisioner_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every reason that a key can have is in the runbook.
func TestReasonsAreInTheRunbook(t *testing.T) {
	t.Parallel()
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`(?:reason[A-Z]\w*\s+= |set\(store\.Key\w+, |return )"([a-z_]+)"(?:$|, "|\n)`)
	var reasons []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(source)) {
			for _, found := range said.FindAllStringSubmatch(line, -1) {
				reasons = append(reasons, found[1])
			}
		}
	}
	slices.Sort(reasons)
	if reasons = slices.Compact(reasons); len(reasons) < 20 {
		t.Fatalf("only %d reasons were found in the source: %v", len(reasons), reasons)
	}
	for _, reason := range reasons {
		if !strings.Contains(string(runbook), "### `"+reason+"`\n") {
			t.Errorf("docs/runbook.md says nothing about %s", reason)
		}
	}
}
