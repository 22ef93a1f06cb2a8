package pms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/itchyny/gojq"
)

// An error ends a jq program: one bad item would cost all other items of a list, and a bad phone number the whole
// reservation. So a program that failed runs again in a tolerant form, which catches an error where it happens and
// leaves a mark ([failure]) in place of the value:
//
//   - A | B: B runs for each output of A on its own.
//   - A, B: each on its own.
//   - {name: A}: each value on its own, also inside {reservation: {name: A}}.
//   - The branches of an if, and the functions that the program or the prelude defines, likewise.
//
// Only what results in the program's output is changed: an error in a condition, or in what a later step reads, fails
// that step. What is read from the marks follows the rules for fields that can't be read (outputs.go).
//
// The tolerant form gives the same outputs where nothing fails, but costs more: it runs only after a failure.

// runItems runs the program. Where it fails, the outputs are those of its tolerant form, and the error is still that of
// the program.
func (f *Format) runItems(ctx context.Context, m Mapping, input any) ([]any, error) {
	outputs, err := f.run(ctx, m, input)
	if !errors.Is(err, errFailed) {
		return outputs, err
	}
	marked, wrong := f.runForm(ctx, f.tolerant, m, input)
	if wrong != nil && !errors.Is(wrong, errFailed) {
		return nil, wrong
	}
	return marked, err
}

// failedKey is the only field of the mark that replaces a value whose expression failed. No PMS sends such a name.
const failedKey = "\x00failed"

// catchQuery is the handler of the tolerant form: its input is the error's message, or the value given to error().
const catchQuery = `{"\u0000failed": .}`

// failure returns what went wrong where a value of a program's output was computed, without the values that jq quotes;
// ok is false if v is another value.
func failure(v any) (why string, ok bool) {
	mark, is := v.(map[string]any)
	if !is || len(mark) != 1 {
		return "", false
	}
	failure, is := mark[failedKey]
	if !is {
		return "", false
	}
	text, is := failure.(string)
	if !is {
		text = noText
	}
	return "the program failed here: " + printable(unquotedValues(text), maxText), true
}

// anyRead reports whether anything but failures is among a program's outputs.
func anyRead(outputs []any) bool {
	return slices.ContainsFunc(outputs, func(v any) bool { _, is := failure(v); return !is })
}

// failed is the mark of an error that was not caught in the program.
func failed(err error) any { return map[string]any{failedKey: withoutValues(err).Error()} }

// tolerant compiles the tolerant form of a program that has compiled.
func tolerant(name, program string) (*gojq.Code, error) {
	shared, err := prelude()
	if err != nil {
		return nil, err
	}
	query, err := gojq.Parse(program)
	if err != nil {
		return nil, err
	}
	handler, err := gojq.Parse(catchQuery)
	if err != nil {
		return nil, err
	}
	query.FuncDefs = slices.Concat(shared.FuncDefs, query.FuncDefs)
	t := tolerance{handler}
	if err := t.query(query, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return gojq.Compile(query)
}

// tolerance changes the syntax tree of a program, in place.
type tolerance struct{ handler *gojq.Query }

// twins are the functions in scope that have a tolerant form, by name and number of arguments.
type twins map[string]bool

func signature(name string, args int) string { return fmt.Sprintf("%s/%d", name, args) }

// twinOf is the name of the tolerant form of a function.
func twinOf(name string) string { return "_tolerant_" + name }

// query makes tolerant a query whose outputs are the program's outputs or values of their fields.
func (t tolerance) query(q *gojq.Query, known twins) error {
	known, err := t.define(q, known)
	if err != nil {
		return err
	}
	if q.Term != nil {
		return t.term(q.Term, known)
	}
	switch q.Op {
	case gojq.OpPipe: // associates to the right: the left side feeds all the rest
		if err := t.query(q.Right, known); err != nil {
			return err
		}
		q.Right = t.caught(q.Right)
		if q.Patterns == nil && makesObject(q.Left) { // the rest changes an object
			return t.query(q.Left, known)
		}
	case gojq.OpComma:
		return t.each([]**gojq.Query{&q.Left, &q.Right}, known)
	case gojq.OpAdd:
		if makesObject(q) {
			return errors.Join(t.query(q.Left, known), t.query(q.Right, known))
		}
	}
	return nil
}

// makesObject reports whether a query is an object construction, or adds one to another.
func makesObject(q *gojq.Query) bool {
	switch {
	case q.Term != nil && len(q.Term.SuffixList) > 0:
		return false
	case q.Term != nil && q.Term.Type == gojq.TermTypeQuery:
		return makesObject(q.Term.Query)
	case q.Term != nil:
		return q.Term.Type == gojq.TermTypeObject
	case q.Op == gojq.OpAdd:
		return makesObject(q.Left) || makesObject(q.Right)
	}
	return false
}

// define adds tolerant forms next to the functions that a query defines, and returns which are in scope.
func (t tolerance) define(q *gojq.Query, known twins) (twins, error) {
	if len(q.FuncDefs) == 0 {
		return known, nil
	}
	known = maps.Clone(known)
	if known == nil {
		known = twins{}
	}

	var all []*gojq.FuncDef
	for _, f := range q.FuncDefs {
		copied, err := gojq.Parse(f.String() + " .")
		if err != nil {
			return nil, err
		}
		known[signature(f.Name, len(f.Args))] = true

		twin := copied.FuncDefs[0]
		twin.Name = twinOf(f.Name)
		inside := maps.Clone(known)
		for _, arg := range f.Args { // a parameter hides a function of its name
			delete(inside, signature(arg, 0))
		}
		if err := t.query(twin.Body, inside); err != nil {
			return nil, err
		}
		all = append(all, f, twin)
	}

	q.FuncDefs = all
	return known, nil
}

func (t tolerance) term(term *gojq.Term, known twins) error {
	if len(term.SuffixList) > 0 { // a later step reads its parts
		return nil
	}
	switch term.Type {
	case gojq.TermTypeQuery:
		return t.query(term.Query, known)
	case gojq.TermTypeFunc:
		if known[signature(term.Func.Name, len(term.Func.Args))] {
			term.Func.Name = twinOf(term.Func.Name)
		}
	case gojq.TermTypeIf:
		branches := []**gojq.Query{&term.If.Then, &term.If.Else}
		for _, other := range term.If.Elif {
			branches = append(branches, &other.Then)
		}
		return t.each(branches, known)
	case gojq.TermTypeObject:
		var values []**gojq.Query
		for _, field := range term.Object.KeyVals {
			values = append(values, &field.Val)
		}
		return t.each(values, known)
	}
	return nil
}

// each makes queries tolerant, each on its own; nil ones are left out.
func (t tolerance) each(list []**gojq.Query, known twins) error {
	for _, q := range list {
		if *q == nil {
			continue
		}
		if err := t.query(*q, known); err != nil {
			return err
		}
		*q = t.caught(*q)
	}
	return nil
}

// caught wraps a query so that its first error becomes its last output, as a mark.
func (t tolerance) caught(q *gojq.Query) *gojq.Query {
	return &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeTry, Try: &gojq.Try{Body: q, Catch: t.handler}}}
}
