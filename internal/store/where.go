package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// where collects conditions. Their texts are constants of this package; values only ever travel as arguments.
type where struct {
	conditions []string
	args       []any
}

// restart forgets the conditions, for another part of the same statement, and keeps the values.
func (w *where) restart() { w.conditions = nil }

// planned returns the values for a statement that is planned for them, every time: lists are narrowed in too many
// ways for one plan.
func (w *where) planned() []any {
	return append([]any{pgx.QueryExecModeDescribeExec}, w.args...)
}

// arg adds a value and returns its placeholder.
func (w *where) arg(value any) string {
	w.args = append(w.args, value)
	return fmt.Sprintf("$%d", len(w.args))
}

// add adds a condition whose %s become the placeholders of values.
func (w *where) add(condition string, values ...any) {
	placeholders := make([]any, len(values))
	for i, v := range values {
		placeholders[i] = w.arg(v)
	}
	w.conditions = append(w.conditions, fmt.Sprintf(condition, placeholders...))
}

// notUpTo leaves out rows with a value of a list's first column (same compares it with at), up to a name. Written as
// "after the value, or after the name", the planner could read all rows by an index on the names.
func (w *where) notUpTo(same string, at any, names, source, id string) {
	w.add("NOT ("+same+" AND ("+names+") <= (%s, %s))", at, source, id)
}

// equal adds column = value unless value is empty.
func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = %s", value)
	}
}

// among adds column = one of values unless they are nil, which is any.
func (w *where) among(column string, values []string) {
	if values != nil {
		w.add(column+" = ANY (%s)", values)
	}
}

// words adds that an expression has each word of a query, in any order and without regard to case and accents.
func (w *where) words(expression, query string) {
	for _, word := range wordsOf(query) {
		w.add(expression+" LIKE staykey_plain(%s)", containing(word))
	}
}

// wordsOf are the words of a query; one of spaces only is a word itself.
func wordsOf(query string) []string {
	words := strings.Fields(query)
	if len(words) == 0 && query != "" {
		words = []string{query}
	}
	return words
}

func (w *where) sql() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// containing is the pattern of LIKE for texts that contain part.
func containing(part string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(part) + "%"
}

// within are the values that are both asked for and visible; nil is any, for either.
func within(asked, visible []string) []string {
	switch {
	case asked == nil:
		return visible
	case visible == nil:
		return asked
	}
	return slices.DeleteFunc(slices.Clone(asked), func(v string) bool { return !slices.Contains(visible, v) })
}

// oneOf is a condition of [kinds]: any of the values; nil for anything.
func oneOf(values []string) any {
	switch {
	case values == nil:
		return nil
	case len(values) == 1:
		return values[0]
	}
	return values
}

// kinds are the combinations of values that occur in columns with few of them, which an index begins with. A list
// of some of them, in an order that the index continues, is merged from a probe for each: it costs the same
// wherever it starts and however rare what is asked for.
type kinds struct {
	table   string
	only    string // the condition of a partial index, without the table; "" for none
	columns []string
	values  []any // what each column must be, or a []string of what it may be; nil for anything
	months  *span // of the last column; nil for any
}

// span is a range of months, both included.
type span struct{ from, to int }

// narrow adds what is asked of the kinds to the conditions of a table.
func (k kinds) narrow(w *where, table string) {
	for i, value := range k.values {
		switch value := value.(type) {
		case nil:
		case []string:
			w.among(table+"."+k.columns[i], value)
		default:
			w.add(table+"."+k.columns[i]+" = %s", value)
		}
	}
	if k.months != nil {
		w.add(table+"."+k.columns[len(k.columns)-1]+" BETWEEN %s AND %s", k.months.from, k.months.to)
	}
}

// merge selects columns of the table t, narrowed by w's conditions, for all kinds that fit: of each what each
// orders and limits, "" for all of it, and all together by tail.
func (k kinds) merge(w *where, columns, each, tail string) string {
	only, walked := "true", k.columns
	if k.only != "" {
		only = k.only
	}
	if _, several := k.values[0].([]string); k.values[0] != nil && !several {
		// The walk stays within it, and compares what comes after: a comparison that began with a column that is
		// fixed would be made with each row, from the first one on.
		only += " AND t." + k.columns[0] + " = " + w.arg(k.values[0])
		walked = k.columns[1:]
	}
	list := strings.Join(k.columns, ", ")
	all, t, before := "t."+strings.Join(k.columns, ", t."), "t."+strings.Join(walked, ", t."), "k."+
		strings.Join(walked, ", k.")
	for _, c := range k.columns {
		w.add("t." + c + " = k." + c)
	}

	single := k
	single.values = slices.Clone(k.values)
	for i, value := range single.values {
		if _, several := value.([]string); several {
			single.values[i] = nil // read for several values, an index has no order
		}
	}

	// implied; it lets the planner see how little the index leaves, where it would prefer the primary key
	single.narrow(w, "t")
	narrowed := w.sql()
	w.restart()
	k.narrow(w, "k")
	return `(WITH RECURSIVE kinds AS (
			(SELECT ` + all + ` FROM ` + k.table + ` t WHERE ` + only + ` ORDER BY ` + all + ` LIMIT 1)
			UNION ALL
			SELECT n.* FROM kinds k CROSS JOIN LATERAL (
				SELECT ` + all + ` FROM ` + k.table + ` t WHERE ` + only + ` AND (` + t + `) > (` + before + `)
					ORDER BY ` + all + ` LIMIT 1) n)
		SELECT t.* FROM (SELECT ` + list + ` FROM kinds k` + w.sql() + `) k CROSS JOIN LATERAL (
			SELECT ` + columns + ` FROM ` + k.table + ` t` + narrowed + each + `) t` + tail + `)`
}
