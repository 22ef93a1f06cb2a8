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
	lists, err := filepath.Glob("../../tools/chaos/mutants/*.go")
	if err != nil || len(lists) < 5 {
		t.Fatalf("the lists of mutants: %v %v", lists, err)
	}
	for _, file := range lists {
		source, err := os.ReadFile(file)
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
			t.Errorf("docs/security.md names %s, which does not exist", name[1])
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
			if !strings.Contains(mutants, `name: "`+mutant+`"`) && !strings.Contains(mutants, `Tests("`+mutant+`"`) {
				t.Errorf("docs/security.md names the mutant %q, which does not exist", mutant)
			}
		}
	}
}

// The workflows' actions are pinned by commit, and each job has no more rights than it names; the checkout keeps no
// token where a job can write.
func TestWorkflowsArePinned(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) < 2 {
		t.Fatalf("workflows: %v %v", files, err)
	}
	pinned := regexp.MustCompile(`uses: [\w./-]+@[0-9a-f]{40}( |$)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i, line := range lines {
			if strings.Contains(line, "uses:") && !pinned.MatchString(line) {
				t.Errorf("%s:%d is not pinned by commit: %s", file, i+1, line)
			}
			if strings.Contains(line, "uses: actions/checkout@") && !strings.Contains(lines[min(i+1, len(lines)-1)],
				"persist-credentials: false") {
				t.Errorf("%s:%d leaves the token in .git/config", file, i+1)
			}
		}
		if !regexp.MustCompile(`(?m)^permissions: \{(contents: read)?\}$`).Match(text) {
			t.Errorf("%s gives its jobs more than reading unless they say otherwise", file)
		}
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil || strings.Contains(string(makefile), "@latest") {
		t.Errorf("the Makefile runs something at whatever version is the newest (%v)", err)
	}
}
