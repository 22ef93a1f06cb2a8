package internal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const recordOf = "internal/provisioner/record."

// rows are the types whose fields are the state of something at Seam, and the packages that may change them: only the
// record's transitions, the store, which loads them, and package rows, which converts between the two.
var (
	rows = []string{
		"internal/store.ACSUser", "internal/store.SurplusUser", "internal/store.BackupCode",
		"internal/store.UserIdentity", recordOf + "User", recordOf + "Row", recordOf + "Slot", recordOf + "Life",
		recordOf + "Schedule", recordOf + "Groups", recordOf + "Key", recordOf + "Report", recordOf + "Repairs",
		recordOf + "Requests", recordOf + "Leftovers", recordOf + "SurplusUser", recordOf + "Reading",
		recordOf + "Code", recordOf + "CodeRow", recordOf + "Identity",
	}
	writers = []string{"internal/store", "internal/provisioner/record", "internal/provisioner/rows"}
)

// Only transitions write the state of an ACS user, a mobile key, a backup code and an identity: an assignment anywhere
// else would be a transition without a name and without a contract.
func TestOnlyTransitionsWriteRows(t *testing.T) {
	t.Parallel()
	packages, exports := listed(t)
	files := token.NewFileSet()
	imports := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})

	checked := 0
	for _, p := range packages {
		uses := slices.ContainsFunc(p.Imports, func(i string) bool {
			return slices.Contains(writers, strings.TrimPrefix(i, module))
		})
		if !uses || slices.Contains(writers, strings.TrimPrefix(p.ImportPath, module)) {
			continue
		}
		checked++
		for _, found := range written(t, files, imports, p) {
			t.Errorf("%s: add a transition to internal/provisioner/record, with a comment that says what it records",
				found)
		}
	}
	if checked < 5 {
		t.Errorf("only %d packages that know rows: is this test looking at the right ones?", checked)
	}
}

// goPackage is what go list prints about a package.
type goPackage struct {
	ImportPath, Dir, Export string
	GoFiles, Imports        []string
}

// listed are the packages of the repository, and where the compiler has left what each of them and of their
// dependencies exports.
func listed(t *testing.T) (ours []goPackage, exports map[string]string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Imports",
		"../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	exports = map[string]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return ours, exports
		case err != nil:
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if strings.HasPrefix(p.ImportPath, module) {
			ours = append(ours, p)
		}
	}
}

// written are the places in a package that write a row's field, or take its address.
func written(t *testing.T, files *token.FileSet, imports types.Importer, p goPackage) []string {
	t.Helper()
	var parsed []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	if _, err := (&types.Config{Importer: imports}).Check(p.ImportPath, files, parsed, info); err != nil {
		t.Fatal(err)
	}

	var found []string
	report := func(e ast.Expr) {
		if what := rowWritten(info, e); what != "" {
			found = append(found, fmt.Sprintf("%s writes %s", files.Position(e.Pos()), what))
		}
	}
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, left := range n.Lhs {
						report(left)
					}
				}
			case *ast.IncDecStmt:
				report(n.X)
			case *ast.UnaryExpr:
				if _, isField := n.X.(*ast.SelectorExpr); isField && n.Op == token.AND && !isRow(info.TypeOf(n.X)) {
					report(n.X)
				}
			case *ast.CompositeLit:
				if len(n.Elts) > 0 && isRow(info.TypeOf(n)) {
					found = append(found, fmt.Sprintf("%s makes a row", files.Position(n.Pos())))
				}
			}
			return true
		})
	}
	return found
}

// rowWritten is what an assignment to an expression writes, if that is a row, a field of one, or an element of such a
// field.
func rowWritten(info *types.Info, e ast.Expr) string {
	switch e := ast.Unparen(e).(type) {
	case *ast.StarExpr:
		if isRow(info.TypeOf(e)) {
			return "a whole row"
		}
		return rowWritten(info, e.X)
	case *ast.IndexExpr:
		return rowWritten(info, e.X)
	case *ast.SelectorExpr:
		selected, isField := info.Selections[e]
		if isField && selected.Kind() == types.FieldVal && ownerIsRow(selected) {
			return e.Sel.Name
		}
		return rowWritten(info, e.X)
	}
	return ""
}

// ownerIsRow reports whether a selected field belongs to a row, also if the row is embedded in what it is selected
// from.
func ownerIsRow(s *types.Selection) bool {
	at := s.Recv()
	for _, i := range s.Index() {
		if isRow(at) {
			return true
		}
		if p, ok := at.Underlying().(*types.Pointer); ok {
			at = p.Elem()
		}
		if isRow(at) {
			return true
		}
		at = at.Underlying().(*types.Struct).Field(i).Type()
	}
	return false
}

func isRow(t types.Type) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Pkg() != nil &&
		slices.Contains(rows, strings.TrimPrefix(named.Obj().Pkg().Path(), module)+"."+named.Obj().Name())
}
