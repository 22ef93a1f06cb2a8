package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Most of a mutant's time is its build. So mutants whose rigs are in one package are built together: each function that
// one of them edits gets a copy with the edit, and begins by calling that copy if the environment names the mutant.
//
//	func (u *User) Refused() {                        func (u *User) Refused() {
//		u.Row = *u.undo                      ──▶        if staykeyMutant == "m12" {
//	}                                                     u.Refused_m12()
//	                                                      return
//	                                                  }
//	                                                  u.Row = *u.undo
//	                                              }
//	                                              func (u *User) Refused_m12() { … }
//
// A mutant that edits anything else than functions is built alone, and so is one whose rig builds programs itself.

// switchedBy is the environment variable that names the mutant in a build of several.
const switchedBy = "STAYKEY_MUTANT"

// buildsPrograms are packages whose tests build the program.
var buildsPrograms = []string{"./cmd/server"}

// shorterPatience is how long these rigs wait for what doesn't come without a protection. With it, what they wait for
// comes within seconds even on a busy machine.
var shorterPatience = edit{
	"internal/until/until.go", "const Patience = 4 * time.Minute\n", "const Patience = 90 * time.Second\n",
}

// build is a test binary with several mutants.
type build struct {
	pkg     string
	members []mutant

	once   sync.Once
	binary string
	err    error
}

// builds returns the build of each package that has several mutants to build together.
func builds(chosen []mutant) map[string]*build {
	of := map[string]*build{}
	for _, m := range chosen {
		if slices.Contains(buildsPrograms, m.pkg) || !m.editsFunctions() {
			continue
		}
		if of[m.pkg] == nil {
			of[m.pkg] = &build{pkg: m.pkg}
		}
		of[m.pkg].members = append(of[m.pkg].members, m)
	}
	for pkg, b := range of {
		if len(b.members) < 2 {
			delete(of, pkg)
		}
	}
	return of
}

func (b *build) has(m mutant) bool {
	return b != nil && slices.ContainsFunc(b.members, func(o mutant) bool { return o.name == m.name })
}

// id is what names a mutant in its build.
func (b *build) id(m mutant) string {
	return fmt.Sprintf("m%d", slices.IndexFunc(b.members, func(o mutant) bool { return o.name == m.name }))
}

// make builds the test binary into dir, once.
func (b *build) make(ctx context.Context, dir string) (binary string, err error) {
	b.once.Do(func() {
		dir, b.err = os.MkdirTemp(dir, "")
		if b.err != nil {
			return
		}
		var files map[string][]byte
		if files, b.err = b.files(); b.err != nil {
			return
		}
		var overlay string
		if overlay, b.err = writeOverlay(dir, files); b.err != nil {
			return
		}
		b.binary = filepath.Join(dir, "rig.test")
		out, err := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s", "-overlay", overlay, "-o",
			b.binary, b.pkg).CombinedOutput() // #nosec G204 -- of the list of mutants
		if err != nil {
			b.err = fmt.Errorf("build the mutants of %s: %w: %s", b.pkg, err, out)
		}
	})
	return b.binary, b.err
}

// files are the changed and added files, by their path.
func (b *build) files() (map[string][]byte, error) {
	edits := map[string]map[string][]edit{} // of each file, by mutant
	for _, m := range b.members {
		for _, e := range m.edits {
			if edits[e.file] == nil {
				edits[e.file] = map[string][]edit{}
			}
			edits[e.file][b.id(m)] = append(edits[e.file][b.id(m)], e)
		}
	}

	files, err := edited([]edit{shorterPatience})
	if err != nil {
		return nil, err
	}
	for name, of := range edits {
		content, err := os.ReadFile(name) // #nosec G304 -- of the list of mutants
		if err != nil {
			return nil, fmt.Errorf("read the file to change: %w", err)
		}
		changed, pkg, err := switched(content, of)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = changed
		files[filepath.Join(filepath.Dir(name), "zz_mutant.go")] = fmt.Appendf(nil,
			"package %s\n\nimport \"os\"\n\nvar staykeyMutant = os.Getenv(%q)\n", pkg, switchedBy)
	}
	return files, nil
}

// editsFunctions reports whether every edit of a mutant is inside a function that can be called from a copy.
func (m mutant) editsFunctions() bool {
	for _, e := range m.edits {
		content, err := os.ReadFile(e.file) // #nosec G304 -- of the list of mutants
		if err != nil || filepath.Ext(e.file) != ".go" {
			return false
		}
		file, err := parser.ParseFile(token.NewFileSet(), "", content, parser.SkipObjectResolution)
		if err != nil {
			return false
		}
		if f := enclosing(file, content, e); f == nil || !isCallable(f) {
			return false
		}
	}
	return true
}

// enclosing is the function that contains what an edit replaces; nil for none.
func enclosing(file *ast.File, content []byte, e edit) *ast.FuncDecl {
	from := bytes.Index(content, []byte(e.old))
	if from < 0 || bytes.Count(content, []byte(e.old)) != 1 {
		return nil
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			if start, end := extent(f, content); start <= from && from+len(e.old) <= end {
				return f
			}
		}
	}
	return nil
}

// extent is where a function is in its file, without its comment and with its last newline.
func extent(f *ast.FuncDecl, content []byte) (start, end int) {
	start, end = int(f.Pos())-1, int(f.End())-1
	if f.Doc != nil {
		start = int(f.Type.Func) - 1
	}
	if end < len(content) && content[end] == '\n' {
		end++
	}
	return start, end
}

// isCallable reports whether everything that a function is given has a name.
func isCallable(f *ast.FuncDecl) bool {
	if f.Name.Name == "init" || f.Type.TypeParams != nil {
		return false
	}
	given := f.Type.Params.List
	if f.Recv != nil {
		given = slices.Concat(f.Recv.List, given)
	}
	return !slices.ContainsFunc(given, func(p *ast.Field) bool {
		return len(p.Names) == 0 || slices.ContainsFunc(p.Names, func(n *ast.Ident) bool { return n.Name == "_" })
	})
}

// copied is a function with the edits of one mutant.
type copied struct {
	f    *ast.FuncDecl
	id   string // of the mutant
	text string
}

// switched is a file in which each edited function has a copy for each mutant that edits it.
func switched(content []byte, edits map[string][]edit) (changed []byte, pkg string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", content, parser.SkipObjectResolution)
	if err != nil {
		return nil, "", fmt.Errorf("parse: %w", err)
	}
	copies, err := copiesOf(file, content, edits)
	if err != nil {
		return nil, "", err
	}

	// From the end of the file to its beginning, so that positions stay true.
	slices.SortFunc(copies, func(a, b copied) int {
		return cmp.Or(cmp.Compare(b.f.Pos(), a.f.Pos()), strings.Compare(a.id, b.id))
	})
	changed = slices.Clone(content)
	for _, c := range copies {
		name := c.f.Name.Name
		named := regexp.MustCompile(`^func (\([^)]*\) )?` + name + `\(`)
		text := named.ReplaceAllString(c.text, "func ${1}"+name+"_"+c.id+"(")
		changed = append(changed, "\n"+text...)
		at := int(c.f.Body.Lbrace) // after the brace
		changed = slices.Insert(changed, at, []byte("if staykeyMutant == \""+c.id+"\" {"+callOf(c.f, c.id)+"};")...)
	}
	return changed, file.Name.Name, nil
}

func copiesOf(file *ast.File, content []byte, edits map[string][]edit) (copies []copied, err error) {
	for id, list := range edits {
		for _, e := range list {
			f := enclosing(file, content, e)
			if f == nil {
				return nil, fmt.Errorf("no function contains this once (the list of mutants is out of date): %s", e.old)
			}
			i := slices.IndexFunc(copies, func(c copied) bool { return c.f == f && c.id == id })
			if i < 0 {
				start, end := extent(f, content)
				i, copies = len(copies), append(copies, copied{f, id, string(content[start:end])})
			}
			copies[i].text = strings.Replace(copies[i].text, e.old, e.new, 1)
		}
	}
	return copies, nil
}

// callOf is the call of a function's copy, with what the function itself was given.
func callOf(f *ast.FuncDecl, id string) string {
	var given []string
	for _, p := range f.Type.Params.List {
		for _, n := range p.Names {
			if _, variadic := p.Type.(*ast.Ellipsis); variadic {
				given = append(given, n.Name+"...")
			} else {
				given = append(given, n.Name)
			}
		}
	}
	call := f.Name.Name + "_" + id + "(" + strings.Join(given, ", ") + ")"
	if f.Recv != nil {
		call = f.Recv.List[0].Names[0].Name + "." + call
	}
	if f.Type.Results == nil {
		return call + "; return"
	}
	return "return " + call
}
