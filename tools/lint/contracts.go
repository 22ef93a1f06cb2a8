package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// contracts are the packages in which every exported name has a comment, because other packages rely on what its name
// can't say: units, errors, who writes a value, what nil means.
var contracts = []string{"internal/store", "internal/provisioner", "internal/intake"}

// checkContracts returns the exported names without a comment, as "file:line: name". It reads the packages and those
// below them, without tests and helpers for tests.
func checkContracts(root string) ([]string, error) {
	var missing []string
	for _, dir := range contracts {
		err := eachGoFile(filepath.Join(root, filepath.FromSlash(dir)), func(file string, source []byte) error {
			if isTest(file) || strings.HasSuffix(path.Dir(file), "test") {
				return nil
			}

			names, err := uncommented(source)
			for _, n := range names {
				missing = append(missing, file+":"+n)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// uncommented returns the exported types, functions, methods, constants, variables and fields of a file that have no
// comment, as "line: name". A comment above a group of constants or variables serves all of them; one above a struct
// doesn't serve its fields.
func uncommented(source []byte) ([]string, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var missing []string
	report := func(name *ast.Ident, of string) {
		if name.IsExported() {
			missing = append(missing, fmt.Sprintf("%d: %s%s", files.Position(name.Pos()).Line, of, name.Name))
		}
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && exportedReceiver(d) {
				report(d.Name, "")
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				uncommentedSpec(d, spec, report)
			}
		}
	}
	return missing, nil
}

// exportedReceiver reports whether a function has no receiver, or one of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if pointer, ok := t.(*ast.StarExpr); ok {
		t = pointer.X
	}
	name, ok := t.(*ast.Ident)
	return !ok || name.IsExported()
}

func uncommentedSpec(d *ast.GenDecl, spec ast.Spec, report func(*ast.Ident, string)) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		if d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
			for _, name := range spec.Names {
				report(name, "")
			}
		}
	case *ast.TypeSpec:
		if spec.Doc == nil && (d.Doc == nil || len(d.Specs) > 1) {
			report(spec.Name, "")
		}
		if spec.Name.IsExported() {
			uncommentedMembers(spec, report)
		}
	}
}

func uncommentedMembers(spec *ast.TypeSpec, report func(*ast.Ident, string)) {
	for _, field := range membersOf(spec.Type) {
		if field.Doc != nil || field.Comment != nil {
			continue
		}
		for _, name := range field.Names {
			report(name, spec.Name.Name+".")
		}
	}
}

// membersOf returns the fields of a struct or the methods of an interface, those of nested structs too.
func membersOf(t ast.Expr) []*ast.Field {
	switch t := t.(type) {
	case *ast.StructType:
		fields := slices.Clone(t.Fields.List)
		for _, f := range t.Fields.List {
			fields = append(fields, membersOf(f.Type)...)
		}
		return fields
	case *ast.InterfaceType:
		return t.Methods.List
	case *ast.ArrayType:
		return membersOf(t.Elt)
	case *ast.StarExpr:
		return membersOf(t.X)
	case *ast.MapType:
		return membersOf(t.Value)
	default:
		return nil
	}
}

// reportContracts prints the exported names without a comment, and returns an error if there are any.
func reportContracts(root string) error {
	missing, err := checkContracts(root)
	if err != nil {
		return err
	}
	for _, name := range missing {
		fmt.Println(name + " has no comment: say what its name can't (units, errors, who writes it, what nil means)")
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d exported names without a comment", len(missing))
	}
	return nil
}
