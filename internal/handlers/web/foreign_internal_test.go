package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/lang"
)

// writers are functions of other packages whose texts the page shows, and which of their arguments are texts.
var writers = map[string]map[string][]int{
	"../../provisioner": {
		"note": {0}, "because": {1}, "discreetly": {1}, "look": {2}, "list": {1}, "recordCall": {2}, "setTrouble": {0},
	},
	"../../provisioner/plan": {"add": {3}},
	"../../app":              {"found": {3, 4}, "foundListing": {3, 4}},
}

// What the provisioner writes into a stay's history, and what the diagnosis finds, is shown in the person's language.
func TestHistoryAndHealthAreTranslated(t *testing.T) {
	t.Parallel()
	german := languages[languageIndex("de")].catalog().Locale("", lang.RegionsClock)
	verb := regexp.MustCompile(`%(\[\d\])?[a-z]`)
	for folder, functions := range writers {
		seen := 0
		for text, where := range writtenBy(t, folder, functions) {
			if strings.Trim(verb.ReplaceAllString(text, ""), " :,") == "" { // only what Seam or a provider wrote
				continue
			}
			seen++
			written := verb.ReplaceAllStringFunc(text, func(v string) string {
				switch v[len(v)-1] {
				case 'd':
					return "7"
				case 'q':
					return `"detail"`
				}
				return "detail"
			})
			if german.Foreign(written) == written {
				t.Errorf("%s writes %q, which foreign.go doesn't have", where, text)
			}
		}
		if seen < 8 {
			t.Errorf("only %d texts of %s", seen, folder)
		}
	}
	const changed = "changed at Seam, not by us: the mobile key was deleted; there is a second mobile key (repaired)"
	if got := german.Foreign(changed); got !=
		"bei Seam geändert, nicht von staykey: der mobile Schlüssel wurde gelöscht; es gibt einen zweiten mobilen Schlüssel (repariert)" {
		t.Errorf("a change at Seam is %q", got)
	}
}

// writtenBy are the literal texts that a package gives to functions, with where. What isn't literal in a text is one
// verb, and texts of a variable called do count for all that are assigned to it.
func writtenBy(t *testing.T, folder string, functions map[string][]int) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(folder + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		add := func(e ast.Expr) {
			if text, is := literal(e); is && text != "" {
				texts[text] = fset.Position(e.Pos()).String()
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				name := ""
				if selector, is := n.Fun.(*ast.SelectorExpr); is {
					name = selector.Sel.Name
				}
				for _, i := range functions[name] {
					if i < len(n.Args) {
						add(n.Args[i])
					}
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					name, is := to.(*ast.Ident)
					if is && (name.Name == "do" || name.Name == "reason") && i < len(n.Rhs) {
						add(n.Rhs[i])
					}
				}
			}
			return true
		})
	}
	return texts
}

// literal is the text of a literal, also one that is joined with other values, each of which is a verb.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, isLeft := literal(e.X)
		right, isRight := literal(e.Y)
		if !isLeft && !isRight {
			return "", false
		}
		if !isLeft {
			left = "%s"
		}
		if !isRight {
			right = "%s"
		}
		return left + right, true
	}
	return "", false
}
