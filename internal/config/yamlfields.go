package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/staykey/staykey/internal/pms"
)

// How the values of a field are read: as texts, flags, lists, times and so on. Each reports what is wrong with its
// value, at its line and column, and returns the zero value then.

func (m mapping) text(field string) string {
	if !m.has(field) {
		return ""
	}
	return strings.TrimSpace(m.scalar(m.values[field], m.name(field)))
}

// ownName is the name that the file gives to an entry.
func (m mapping) ownName() string {
	name := m.text("name")
	switch {
	case !m.has("name"):
		m.wrong("name", "is required: letters, digits, dots, dashes and underscores, at most 100")
	case !SourceName.MatchString(name):
		m.wrong("name", "%q must be letters, digits, dots, dashes and underscores, at most 100", name)
	}
	return name
}

func (m mapping) flag(field string) bool {
	switch text := m.text(field); text {
	case "", "false":
		return false
	case "true":
		return true
	default:
		m.wrong(field, "%q must be true or false", text)
		return false
	}
}

// list is the texts of a sequence, with the node of each. A single value counts as a list of one.
func (m mapping) list(field string) (texts []string, nodes []ast.Node) {
	if !m.has(field) {
		return nil, nil
	}
	sequence, ok := m.bare(m.values[field]).(*ast.SequenceNode)
	if !ok {
		return []string{m.text(field)}, []ast.Node{m.values[field]}
	}
	for i, n := range sequence.Values {
		texts, nodes = append(texts, strings.TrimSpace(m.scalar(n, fmt.Sprintf("%s[%d]", m.name(field), i)))),
			append(nodes, n)
	}
	return texts, nodes
}

// mappings are the mappings of a sequence.
func (m mapping) mappings(field string) []mapping {
	if !m.has(field) {
		return nil
	}
	sequence, ok := m.bare(m.values[field]).(*ast.SequenceNode)
	if !ok {
		m.wrong(field, "must be a list")
		return nil
	}
	var all []mapping
	for i, n := range sequence.Values {
		if one, ok := m.mapping(n, fmt.Sprintf("%s[%d]", m.name(field), i)); ok {
			all = append(all, one)
		}
	}
	return all
}

// inner is a mapping inside; ok is false where there is none.
func (m mapping) inner(field string) (mapping, bool) {
	if !m.has(field) {
		return mapping{}, false
	}
	return m.yamlFile.mapping(m.values[field], m.name(field))
}

func (m mapping) zone(field string) string {
	text := m.text(field)
	if text != "" {
		if _, err := pms.ParseTimeZone(text); err != nil {
			m.wrong(field, "%q %v", text, err)
		}
	}
	return text
}

func (m mapping) clock(field, otherwise string) string {
	text := m.text(field)
	if text == "" {
		return otherwise
	}
	clock, err := pms.ParseClock(text)
	if err != nil {
		m.wrong(field, "%q %v", text, err)
	}
	return clock
}

var days = regexp.MustCompile(`^([0-9]{1,3})d$`)

// duration reads 30m, 24h or 14d.
func (m mapping) duration(field string, otherwise time.Duration) time.Duration {
	text := m.text(field)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if whole := days.FindStringSubmatch(text); whole != nil {
		n, _ := strconv.Atoi(whole[1])
		d, err = time.Duration(n)*24*time.Hour, nil
	}
	if err != nil || d < 0 || d > 400*24*time.Hour {
		m.wrong(field, "%q must be a duration such as 30m, 24h or 14d", text)
		return otherwise
	}
	return d
}

func (m mapping) number(field string, most float64, example string) float64 {
	text := m.text(field)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0 && n <= most) {
		m.wrong(field, "%q must be a number over 0, such as %s", text, example)
		return 0
	}
	return n
}
