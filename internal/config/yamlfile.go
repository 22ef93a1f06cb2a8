package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// yamlFile is a configuration file while it is read. Everything that is wrong with it is found in one go, each with its
// line and column. Anchors, aliases and merge keys work, so that sources can share what they have in common.
type yamlFile struct {
	path      string
	getenv    func(string) string
	problems  *Problems
	anchors   anchors
	files     []string // of secrets that were read
	positions positions
}

// positions are where the file names its sources, subscriptions and tokens, for what only shows when all of it is read.
type positions map[string]string

// remember notes where an entry's name is.
func (m mapping) remember(kind, name string) { m.positions[kind+" "+name] = m.position(m.at("name")) }

// once reports an entry whose field has the value of an earlier one; seen are the positions of those before. Where the
// value is missing, that is the problem to report.
func (m mapping) once(seen map[string]string, field, value string) {
	if value == "" {
		return
	}
	first, twice := seen[value]
	if twice {
		m.wrong(field, "%q is defined twice, first at %s: remove one, or change its %s", value, first, field)
		return
	}
	seen[value] = m.position(m.at(field))
}

// of is the beginning of a problem with an entry; "" for one that isn't in the file.
func (p positions) of(kind, name string) string {
	if at := p[kind+" "+name]; at != "" {
		return at + ": "
	}
	return ""
}

// anchors are the values that the file gives a name (&name), which aliases (*name) stand for.
type anchors map[string]ast.Node

// Visit implements ast.Visitor.
func (a anchors) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		a[anchor.Name.GetToken().Value] = anchor.Value
	}
	return a
}

// syntaxPosition is how the parser gives the position of an error.
var syntaxPosition = regexp.MustCompile(`^: \[(\d+):(\d+)\] `)

// openYAML parses a file; ok is false if it is no YAML mapping.
func openYAML(path string, getenv func(string) string, problems *Problems) (m mapping, ok bool) {
	content, err := os.ReadFile(path) // #nosec G304 -- the operator names it
	if err != nil {
		problems.add("STAYKEY_CONFIG", "%v: it must name a readable YAML file", err)
		return mapping{}, false
	}
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		text := ": " + yaml.FormatError(err, false, false)
		if at := syntaxPosition.FindString(text); strings.Contains(text, "\t") {
			text = at + "a tab can't be used for indentation: use spaces"
		}
		text = strings.Join(strings.Fields(text), " ")
		problems.add("STAYKEY_CONFIG", "%s", path+syntaxPosition.ReplaceAllString(text, ":$1:$2: "))
		return mapping{}, false
	}
	y := &yamlFile{path: path, getenv: getenv, problems: problems, anchors: anchors{}, positions: positions{}}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		problems.add("STAYKEY_CONFIG", "%s:1:1: must be one YAML document that is not empty", path)
		return mapping{}, false
	}
	ast.Walk(y.anchors, file.Docs[0].Body)
	return y.mapping(file.Docs[0].Body, "")
}

// fail notes a problem at a node.
func (y *yamlFile) fail(at ast.Node, field, format string, args ...any) {
	where := y.position(at)
	if field != "" {
		where += ": " + field
	}
	y.problems.add("STAYKEY_CONFIG", "%s: %s", where, fmt.Sprintf(format, args...))
}

// position is where a node is, as FILE:LINE:COLUMN.
func (y *yamlFile) position(at ast.Node) string {
	if at == nil || at.GetToken() == nil {
		return y.path
	}
	return fmt.Sprintf("%s:%d:%d", y.path, at.GetToken().Position.Line, at.GetToken().Position.Column)
}

// mapping is one mapping of the file while its fields are read. What nobody has asked for is unknown.
type mapping struct {
	*yamlFile
	node   ast.Node
	field  string // its name from the top of the file, "" for the top
	values map[string]ast.Node
	keys   []ast.MapKeyNode
	asked  *[]string
}

// bare is the value itself: without its anchor or tag, and what an alias stands for.
func (y *yamlFile) bare(n ast.Node) ast.Node {
	for range 10 { // an anchor can stand for an alias, but not forever
		switch wrapped := n.(type) {
		case *ast.AnchorNode:
			n = wrapped.Value
		case *ast.TagNode:
			n = wrapped.Value
		case *ast.AliasNode:
			n = y.anchors[wrapped.Value.GetToken().Value]
		default:
			return n
		}
	}
	return nil
}

func (y *yamlFile) isNull(n ast.Node) bool {
	_, null := y.bare(n).(*ast.NullNode)
	return n == nil || null
}

// pairs are the keys and values of a mapping; ok is false for anything else.
func (y *yamlFile) pairs(n ast.Node) (pairs []*ast.MappingValueNode, ok bool) {
	switch n := y.bare(n).(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	default:
		return nil, false
	}
}

func (y *yamlFile) mapping(n ast.Node, field string) (mapping, bool) {
	m := mapping{yamlFile: y, node: n, field: field, values: map[string]ast.Node{}, asked: new([]string)}
	pairs, ok := y.pairs(n)
	if !ok {
		y.fail(n, field, `must be a mapping: fields with values, such as {name: value}`)
		return m, false
	}
	for _, p := range pairs {
		name := p.Key.GetToken().Value
		if p.Key.Type() == ast.MergeKeyType {
			continue
		}
		if _, twice := m.values[name]; twice {
			y.fail(p.Key, m.name(name), "is defined twice")
		}
		m.values[name] = p.Value
		m.keys = append(m.keys, p.Key)
	}
	for _, p := range pairs { // a merge key fills in what the mapping doesn't say itself
		if p.Key.Type() == ast.MergeKeyType {
			m.merge(p.Value)
		}
	}
	return m, true
}

// merge takes over the fields of another mapping that this one doesn't have.
func (m *mapping) merge(other ast.Node) {
	pairs, ok := m.pairs(other)
	if !ok {
		m.fail(other, m.name("<<"), "must be a mapping, or an alias of one")
		return
	}
	for _, p := range pairs {
		name := p.Key.GetToken().Value
		if m.values[name] == nil && p.Key.Type() != ast.MergeKeyType {
			m.values[name] = p.Value
			m.keys = append(m.keys, p.Key)
		}
	}
}

func (m mapping) name(field string) string {
	if m.field == "" {
		return field
	}
	return m.field + "." + field
}

// at is where a field is, or the mapping where it isn't.
func (m mapping) at(field string) ast.Node {
	if n := m.values[field]; n != nil {
		return n
	}
	return m.node
}

func (m mapping) wrong(field, format string, args ...any) {
	m.fail(m.at(field), m.name(field), format, args...)
}

func (m mapping) has(field string) bool {
	*m.asked = append(*m.asked, field)
	return !m.isNull(m.values[field])
}

// done notes the fields that nobody has asked for.
func (m mapping) done() {
	for _, key := range m.keys {
		if name := key.GetToken().Value; !slices.Contains(*m.asked, name) {
			known := slices.Clone(*m.asked)
			slices.Sort(known)
			m.fail(key, m.name(name), "is unknown; expected one of %s", strings.Join(slices.Compact(known), ", "))
		}
	}
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// variable returns the environment's value of a name, or what the file says that NAME_FILE names; "" for a problem,
// which has been reported.
func (y *yamlFile) variable(at ast.Node, field, name string) string {
	if value := y.getenv(name); value != "" {
		return value
	}
	file := y.getenv(name + "_FILE")
	if file == "" {
		y.fail(at, field, "the environment variable %s is not set", name)
		return ""
	}
	value, problem := fileValue(file, name)
	if problem != "" {
		y.fail(at, field, "%s_FILE: %s", name, problem)
		return ""
	}
	y.files = append(y.files, file)
	return value
}

// scalar is a value as text, each ${NAME} replaced by the value of the variable.
func (y *yamlFile) scalar(n ast.Node, field string) string {
	text := ""
	switch n := y.bare(n).(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		text = n.GetToken().Value
	default:
		y.fail(n, field, "must be a single value")
		return ""
	}
	return variable.ReplaceAllStringFunc(text, func(match string) string {
		return y.variable(n, field, variable.FindStringSubmatch(match)[1])
	})
}
