package web

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template/parse"
	"unicode"

	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/stay"
)

// usedTexts are all texts of the page, with where they are used: those that templates give to t and h, constants of
// the type lang.Text in Go, those that other packages write, and codes.
func usedTexts(t *testing.T) map[lang.Text]string {
	t.Helper()
	used := map[lang.Text]string{}
	add := func(text lang.Text, where string) {
		if _, known := used[text]; !known && text != "" {
			used[text] = where
		}
	}
	for name, tree := range templateTrees(t) {
		eachCall(tree.Root, func(command *parse.CommandNode) {
			if text, is := textOf(command); is {
				add(text, name)
			}
		})
	}
	for text, where := range goTexts(t) {
		add(text, where)
	}
	for _, text := range foreignTexts {
		add(text, "foreign.go")
	}
	for _, text := range codeTexts {
		add(text, "codes.go")
	}
	for _, w := range causes {
		for _, text := range []lang.Text{w.Listings, w.Problem, w.Do, w.Button} {
			add(text, "the reasons' table")
		}
	}
	return used
}

// templateTrees are the parsed templates, by name.
func templateTrees(t *testing.T) map[string]*parse.Tree {
	t.Helper()
	trees := map[string]*parse.Tree{}
	for view, set := range viewsIn(english) {
		for _, tmpl := range set.Templates() {
			if tmpl.Tree == nil {
				continue
			}
			name := tmpl.Name()
			if name == "content" {
				name = "the content of " + view
			}
			trees[name] = tmpl.Tree
		}
	}
	return trees
}

// eachCall calls f for each command of a template, also those in parentheses.
func eachCall(node parse.Node, f func(*parse.CommandNode)) {
	pipe := func(p *parse.PipeNode) {
		if p == nil {
			return
		}
		for _, command := range p.Cmds {
			eachCall(command, f)
		}
	}
	branch := func(b *parse.BranchNode) {
		pipe(b.Pipe)
		eachCall(b.List, f)
		if b.ElseList != nil {
			eachCall(b.ElseList, f)
		}
	}
	switch n := node.(type) {
	case *parse.ListNode:
		for _, child := range n.Nodes {
			eachCall(child, f)
		}
	case *parse.ActionNode:
		pipe(n.Pipe)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.TemplateNode:
		pipe(n.Pipe)
	case *parse.CommandNode:
		f(n)
		for _, arg := range n.Args {
			if inner, is := arg.(*parse.PipeNode); is {
				pipe(inner)
			}
		}
	}
}

// textOf is the literal text of a call of t or h.
func textOf(command *parse.CommandNode) (lang.Text, bool) {
	name, is := command.Args[0].(*parse.IdentifierNode)
	if !is || (name.Ident != "t" && name.Ident != "h") || len(command.Args) < 2 {
		return "", false
	}
	literal, is := command.Args[1].(*parse.StringNode)
	if !is {
		return "", false
	}
	return lang.Text(literal.Text), true
}

// goTexts are the constants of type lang.Text in the package.
func goTexts(t *testing.T) map[lang.Text]string {
	t.Helper()
	fset := token.NewFileSet()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", exportData(t))}
	if _, err := config.Check("web", fset, parsed, info); err != nil {
		t.Fatal(err)
	}
	texts := map[lang.Text]string{}
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			expr, is := n.(ast.Expr)
			if !is {
				return true
			}
			typed := info.Types[expr]
			if typed.Value == nil || types.TypeString(typed.Type, (*types.Package).Name) != "lang.Text" {
				return true
			}
			texts[lang.Text(constant.StringVal(typed.Value))] = fset.Position(expr.Pos()).String()
			return false
		})
	}
	return texts
}

// exportData finds the compiled packages that this one imports.
func exportData(t *testing.T) importer.Lookup {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".")
	list.Stderr = os.Stderr
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(output)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}

// Every language has every text, and none that is no longer used; with the same placeholders and tags as the English
// text, and one form for each plural category.
func TestCatalogsAreComplete(t *testing.T) {
	t.Parallel()
	used := usedTexts(t)
	for _, l := range languages[1:] {
		catalog := l.catalog()
		for text, where := range used {
			if catalog.Forms(text) == nil {
				t.Errorf("words/%s.yaml lacks %q, used in %s", l.Tag, text, where)
			}
		}
		for _, text := range catalog.Texts() {
			if used[text] == "" {
				t.Errorf("words/%s.yaml has %q, which nothing uses", l.Tag, text)
			}
			for _, wrong := range wrongEntry(catalog, text) {
				t.Errorf("words/%s.yaml: %q %s", l.Tag, text, wrong)
			}
		}
	}
}

var (
	placeholder = regexp.MustCompile(`\{[a-z]+\}`)
	markup      = regexp.MustCompile(`<[^>]*>`)
)

// wrongEntry says what is wrong with a translation.
func wrongEntry(catalog *lang.Catalog, text lang.Text) []string {
	var wrong []string
	forms, english := catalog.Forms(text), text.Forms()
	if len(english) > 1 && len(forms) != len(catalog.Categories()) {
		wrong = append(wrong, fmt.Sprintf("has %d forms, and the language %d: %v", len(forms),
			len(catalog.Categories()), catalog.Categories()))
	}
	original := english[len(english)-1]
	if plain := languages[0].catalog().Forms(text); plain != nil { // what the page says in English
		original = plain[0]
	}
	for i, form := range forms {
		got, want := sorted(placeholder, form), sorted(placeholder, original)
		if i < len(forms)-1 { // "The last attempt failed": a form for one number can do without it
			isNumber := func(name string) bool { return name == "{n}" }
			got, want = slices.DeleteFunc(got, isNumber), slices.DeleteFunc(want, isNumber)
		}
		if !slices.Equal(got, want) {
			wrong = append(wrong, fmt.Sprintf("has the placeholders %v, not %v, in %q", got, want, form))
		}
		if got, want := sorted(markup, form), sorted(markup, original); !slices.Equal(got, want) {
			wrong = append(wrong, fmt.Sprintf("has the tags %v, not %v, in %q", got, want, form))
		}
		if strings.TrimSpace(form) == "" {
			wrong = append(wrong, "is empty")
		}
	}
	return wrong
}

func sorted(of *regexp.Regexp, text string) []string {
	return slices.Sorted(slices.Values(of.FindAllString(text, -1)))
}

var inPlainEnglish = languages[0].catalog().Locale("", lang.RegionsClock)

// What is written for programs is in plain words on pages, in every language; and words/en.yaml has nothing that
// is no longer used.
func TestPagesSpeakPlainly(t *testing.T) {
	t.Parallel()
	forPrograms := regexp.MustCompile(
		`\bPUT\b|[a-z]+_[a-z]+|percent-encoded|without_email|\breconcile\b|access group|Zutrittsgruppe|grupos? de acceso|groupes? d’accès|gruppi di accesso`)
	own := regexp.MustCompile(`seam_webhook|sign_in|write_back`) // of what operators set
	used := usedTexts(t)
	for _, text := range languages[0].catalog().Texts() {
		if used[text] == "" {
			t.Errorf("words/en.yaml has %q, which nothing uses", text)
		}
	}
	for _, l := range languages {
		in := l.catalog().Locale("", lang.RegionsClock)
		for _, reason := range stay.Reasons() {
			message := placeholder.ReplaceAllString(reason.Message, "X")
			code := lang.Text(strings.ReplaceAll(reason.Code, "_", " "))
			for _, text := range []string{in.Foreign(message), in.T(code)} {
				if word := forPrograms.FindString(own.ReplaceAllString(text, "")); word != "" {
					t.Errorf("in %s, %s says %q, with %q", l.Tag, reason.Code, text, word)
				}
			}
		}
		for _, text := range languages[0].catalog().Texts() {
			for _, form := range append(l.catalog().Forms(text), in.T(text)) {
				if word := forPrograms.FindString(form); word != "" {
					t.Errorf("words/%s.yaml says %q, with %q", l.Tag, form, word)
				}
			}
		}
	}
}

// A translation that is the same as a whole English sentence has been forgotten.
func TestSentencesAreTranslated(t *testing.T) {
	t.Parallel()
	for _, l := range languages[1:] {
		catalog := l.catalog()
		for _, text := range catalog.Texts() {
			forms := catalog.Forms(text)
			same := forms[len(forms)-1] == text.Forms()[len(text.Forms())-1]
			words := strings.Fields(placeholder.ReplaceAllString(markup.ReplaceAllString(text.English(), ""), ""))
			if same && len(words) > 3 {
				t.Errorf("words/%s.yaml: %q is not translated", l.Tag, text)
			}
		}
	}
}

// attributeText is text that people see or hear, written into an attribute of a template.
var attributeText = regexp.MustCompile(`\s(placeholder|title|aria-label|data-label|alt)="([^"]*)`)

// Templates have no text of their own: all of it is given to t or h. What is not a word of a language is allowed.
func TestTemplatesHaveNoTextOfTheirOwn(t *testing.T) {
	t.Parallel()
	allowed := []string{"staykey", "POST", "ms", "webhook-id", "put_listing", "reservation.created", "15:00", "11:00"}
	letters := regexp.MustCompile(`\pL{2,}`)
	for name, tree := range templateTrees(t) {
		// Actions are left out, so that only the literal parts of the template remain.
		literal := templateText(tree.Root)
		for _, found := range attributeText.FindAllStringSubmatch(literal, -1) {
			if letters.MatchString(found[2]) && !slices.Contains(allowed, found[2]) {
				t.Errorf("%s has the %s %q: give it to t", name, found[1], found[2])
			}
		}
		for _, text := range strings.Split(markup.ReplaceAllString(literal, "\x00"), "\x00") {
			for _, word := range letters.FindAllString(text, -1) {
				if !slices.Contains(strings.FieldsFunc(strings.Join(allowed, " "), notLetter), word) {
					t.Errorf("%s has the text %q: give it to t", name, strings.TrimSpace(text))
					break
				}
			}
		}
	}
}

// Styles and the script choose elements by classes and ids, never by texts, which differ between languages.
func TestStylesDoNotChooseByText(t *testing.T) {
	t.Parallel()
	byText := regexp.MustCompile(`\[(aria-label|data-label|title|placeholder)[~|^$*]?=[^\]]*\]`)
	for name, content := range assets {
		if found := byText.FindString(string(content)); found != "" {
			t.Errorf("%s chooses by %s", name, found)
		}
	}
}

func notLetter(r rune) bool { return !unicode.IsLetter(r) }

// templateText is the literal text of a template; each action is one space.
func templateText(node parse.Node) string {
	switch n := node.(type) {
	case *parse.TextNode:
		return string(n.Text)
	case *parse.ListNode:
		var b strings.Builder
		for _, child := range n.Nodes {
			b.WriteString(templateText(child))
		}
		return b.String()
	case *parse.IfNode:
		return branchText(&n.BranchNode)
	case *parse.RangeNode:
		return branchText(&n.BranchNode)
	case *parse.WithNode:
		return branchText(&n.BranchNode)
	}
	return " "
}

func branchText(b *parse.BranchNode) string {
	text := templateText(b.List)
	if b.ElseList != nil {
		text += templateText(b.ElseList)
	}
	return text
}

// What other packages write is known by its shape, whatever fills it; and nothing in the list is a text that they no
// longer write.
func TestTextsOfOtherPackages(t *testing.T) {
	t.Parallel()
	german := languages[languageIndex("de")].catalog().Locale("", lang.RegionsClock)
	details := make([]any, 4)
	for i := range details {
		details[i] = fmt.Sprintf("detail %d", i)
	}
	for _, reason := range stay.Reasons() {
		n := len(placeholder.FindAllString(reason.Message, -1))
		written := stay.Message(reason.Code, details[:n]...)
		shown := german.Foreign(written)
		if shown == written {
			t.Errorf("the message of %s isn't known: %q", reason.Code, written)
		}
		for _, detail := range details[:n] {
			plain := inPlainEnglish.Foreign(written) // doesn't say where REST puts a listing
			if !strings.Contains(shown, detail.(string)) && strings.Contains(plain, detail.(string)) {
				t.Errorf("the message of %s loses %q: %q", reason.Code, detail, shown)
			}
		}
	}
	source := goSource(t, "../../admin", "../../app", "../../intake", "../../store", "../../stay", "../../provisioner",
		"../../provisioner/plan",
		"..", ".")
	for _, text := range foreignTexts[len(reasonMessages):] {
		for _, part := range placeholder.Split(text.English(), -1) {
			part = strings.Trim(strings.TrimSuffix(part, "closed and "), ` "(.`) // the states of gates are values
			if len(part) > 8 && !strings.Contains(source, part) {
				t.Errorf("no package writes %q of %q any more", part, text)
			}
		}
	}
	for _, unknown := range []string{
		"", "something that nobody has translated", "ends in 35 days", "and so it was applied",
	} {
		if got := german.Foreign(unknown); got != unknown {
			t.Errorf("%q became %q", unknown, got)
		}
	}
}

// goSource is the source of packages, tests and foreign.go aside, with string literals that go over two lines joined.
func goSource(t *testing.T, dirs ...string) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range dirs {
		paths, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") || path == "foreign.go" {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(content)
		}
	}
	joined := regexp.MustCompile(`"\s*\+\s*"`).ReplaceAllString(b.String(), "")
	return strings.ReplaceAll(joined, `\"`, `"`)
}

// Codes that pages show have words in every language.
func TestCodesHaveWords(t *testing.T) {
	t.Parallel()
	codes := slices.Concat(stay.Codes(), stay.GateStates(), stay.DeliveryStatuses(), eventStatuses)
	for _, choice := range allChoices {
		if choice.Kind != renewLink {
			codes = append(codes, string(choice.Kind))
		}
	}
	codes = append(codes, auditActions(t)...)
	for _, code := range codes {
		if !slices.Contains(codeTexts, lang.Text(strings.ReplaceAll(code, "_", " "))) &&
			languages[1].catalog().Forms(lang.Text(code)) == nil {
			t.Errorf("codes.go lacks %s", code)
		}
	}
}

// auditActions are the actions that package admin records by their names.
func auditActions(t *testing.T) []string {
	t.Helper()
	sources, err := filepath.Glob("../../admin/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, name := range sources {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`\.Audit\("([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
			actions = append(actions, found[1])
		}
	}
	if !slices.Contains(actions, "undo") {
		t.Errorf("package admin records %v only", actions)
	}
	return actions
}

// What fills a placeholder can't be markup, whatever the text around it.
func TestPlaceholdersAreEscaped(t *testing.T) {
	t.Parallel()
	const attack = `<script>alert("1")</script>`
	for _, l := range languages {
		in := l.catalog().Locale("", lang.RegionsClock)
		got := string(in.HTML("<strong>On hold</strong> by {person}: {reason}", attack, attack))
		if strings.Contains(got, "<script") || !strings.Contains(got, "&lt;script&gt;") {
			t.Errorf("%s: %s", l.Tag, got)
		}
	}
}
