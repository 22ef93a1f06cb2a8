package main

import (
	"go/parser"
	"go/token"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A function that two mutants edit calls the copy of the one that the environment names.
func TestEditedFunctionsCallTheirCopies(t *testing.T) {
	t.Parallel()
	const source = `package p

// Sum adds.
func (t *T) Sum(a, b int, more ...int) (sum int) {
	return a + b
}

func Nothing() { run() }
`
	const want = `package p

// Sum adds.
func (t *T) Sum(a, b int, more ...int) (sum int) {if staykeyMutant == "m2" {return t.Sum_m2(a, b, more...)};if staykeyMutant == "m1" {return t.Sum_m1(a, b, more...)};
	return a + b
}

func Nothing() {if staykeyMutant == "m1" {Nothing_m1(); return}; run() }

func Nothing_m1() {  }

func (t *T) Sum_m1(a, b int, more ...int) (sum int) {
	return a - b
}

func (t *T) Sum_m2(a, b int, more ...int) (sum int) {
	return a
}
`
	got, pkg, err := switched([]byte(source), map[string][]edit{
		"m1": {{"", "a + b", "a - b"}, {"", "run()", ""}},
		"m2": {{"", " + b\n", "\n"}},
	})
	if err != nil || pkg != "p" {
		t.Fatalf("package %q: %v", pkg, err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("the file with both (-want +got):\n%s", diff)
	}
}

// The mutants of each package can be built together: the changed files are Go, and most mutants are among them.
func TestMutantsAreBuiltTogether(t *testing.T) {
	t.Chdir("../../..")
	together := 0
	for _, b := range builds(mutants) {
		together += len(b.members)
		files, err := b.files()
		if err != nil {
			t.Error(err)
		}
		for name, content := range files {
			if _, err := parser.ParseFile(token.NewFileSet(), name, content, 0); err != nil {
				t.Error(err)
			}
		}
	}
	t.Logf("%d of %d mutants are built together", together, len(mutants))
	if together < len(mutants)*2/3 {
		t.Errorf("only %d of %d mutants are built together", together, len(mutants))
	}
}
