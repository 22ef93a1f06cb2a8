package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// walk calls look for each file and folder of the repository, but not for what npm and git keep there.
func walk(t *testing.T, look func(file string) error) {
	t.Helper()
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git") {
			return fs.SkipDir
		}
		return look(file)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// declared are the names that the repository declares: files and folders, by any end of their path, and what Go files
// declare, with and without their package.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	walk(t, func(file string) error {
		name := strings.TrimPrefix(filepath.ToSlash(file), "../")
		for part, found := name, true; found; _, part, found = strings.Cut(part, "/") { // also the end of its path
			names[part] = true
		}

		if path.Ext(file) != ".go" || strings.Contains(name, "testdata") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range parsed.Decls {
			for _, declares := range declares(d) {
				names[declares], names[parsed.Name.Name+"."+declares] = true, true
			}
		}
		return nil
	})
	return names
}

// declares are the names that a declaration declares: Name, or Type.Method.
func declares(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return []string{d.Name.Name}
		}
		of := d.Recv.List[0].Type
		if pointer, is := of.(*ast.StarExpr); is {
			of = pointer.X
		}
		if of, is := of.(*ast.Ident); is {
			return []string{of.Name + "." + d.Name.Name}
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// Every name in the pages for contributors exists: a Go name, a file, or a table.
func TestNamesInDocsExist(t *testing.T) {
	t.Parallel()
	names := declared(t)
	quoted := regexp.MustCompile("`([^`\n]+)`")
	forms := regexp.MustCompile(`^(?:` + strings.Join([]string{
		`[a-z]\w*\.[A-Z]\w*`,            // package.Name
		`[A-Z]\w*[a-z]\w*\.[A-Z]\w*`,    // Type.Method
		`(?:Test|Fuzz)[A-Z]\w*`,         // a test
		`[\w./-]+\.(?:go|jq|md)`,        // a file
		`(?:internal|cmd|tools)/[\w/]+`, // a folder
	}, "|") + `)$`)

	for _, page := range []string{
		"CONTRIBUTING.md", "docs/architecture.md", "docs/development.md", "docs/glossary.md", "docs/reliability.md",
	} {
		text, err := os.ReadFile("../" + page) // #nosec G304 -- the repository's own files
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, found := range quoted.FindAllStringSubmatch(string(text), -1) {
			name := found[1]
			if !forms.MatchString(name) || strings.Contains(name, "NAME") || strings.HasPrefix(name, "pgx.") {
				continue
			}
			if checked++; !names[strings.TrimPrefix(name, "./")] {
				t.Errorf("%s names %s, which doesn't exist", page, name)
			}
		}
		if checked == 0 && page != "docs/glossary.md" {
			t.Errorf("%s names nothing that could be checked", page)
		}
	}
}

// Files that the documentation of a package names exist, there or at the path that is named, and so do the names of
// other packages.
func TestNamesInPackageDocsExist(t *testing.T) {
	t.Parallel()
	names := declared(t)
	file := regexp.MustCompile(`[\w/]+\.(?:go|jq|js)\b`)
	name := regexp.MustCompile(`\b(?:admin|intake|notify|pms|provisioner|record|seam|stay|store)\.[A-Z]\w*`)
	walk(t, func(at string) error {
		if path.Ext(at) != ".go" || strings.HasSuffix(at, "_test.go") || strings.Contains(at, "testdata") ||
			strings.Contains(at, "tools/build") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), at, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil || parsed.Doc == nil {
			return err
		}

		text, dir := parsed.Doc.Text(), strings.TrimPrefix(filepath.ToSlash(filepath.Dir(at)), "../")
		for _, f := range file.FindAllString(text, -1) {
			if !names[dir+"/"+f] && !names[f] || !strings.Contains(f, "/") && !names[dir+"/"+f] {
				t.Errorf("the documentation of %s names %s, which doesn't exist", dir, f)
			}
		}
		for _, n := range name.FindAllString(text, -1) {
			if !names[n] {
				t.Errorf("the documentation of %s names %s, which doesn't exist", dir, n)
			}
		}
		return nil
	})
}

// The pictures that the docs show exist, and no other pictures are kept.
func TestPicturesAreShown(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for _, page := range append(pages, "../README.md") {
		text, err := os.ReadFile(page) // #nosec G304 -- the repository's own files
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`images/([\w-]+\.png)`).FindAllStringSubmatch(string(text), -1) {
			shown[found[1]] = page
		}
	}
	kept, err := os.ReadDir("../docs/images")
	if err != nil {
		t.Fatal(err)
	}
	for _, picture := range kept {
		if shown[picture.Name()] == "" {
			t.Errorf("no page shows docs/images/%s", picture.Name())
		}
		delete(shown, picture.Name())
	}
	for picture, page := range shown {
		t.Errorf("%s shows %s, which doesn't exist", page, picture)
	}
}
