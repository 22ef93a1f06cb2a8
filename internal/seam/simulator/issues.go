package simulator

import (
	"slices"
	"strings"
	"time"
)

// issue is an entry of an object's errors or warnings; kind is "error" or "warning".
func (s *workspace) issue(kind, code, message string, at time.Time) map[string]any {
	return map[string]any{kind + "_code": code, "message": s.text(message), "created_at": stamp(at)}
}

// reported are the errors or warnings that a test, or somebody over HTTP, has put on an object.
func (s *workspace) reported(kind string, codes ...string) []any {
	list := []any{}
	for _, code := range codes {
		if code != "" {
			list = append(list, s.issue(kind, code, "simulated", s.now()))
		}
	}
	if kind == "warning" && s.options.Unknown {
		list = append(list, s.issue(kind, "a_warning_that_no_document_has", "simulated", s.now()))
	}
	return list
}

// text is a message in the form that the switch for texts selects.
func (s *workspace) text(plain string) string {
	switch s.options.ErrorText {
	case Long:
		return plain + strings.Repeat(" and so on", 2000)
	case NonASCII:
		return plain + strings.Repeat("é日", 400)
	case NUL:
		return plain + "\x00" + strings.Repeat("\x00", 3)
	case HTML:
		return "<html><body><h1>" + plain + "</h1><script>alert('x')</script></body></html>"
	case Guest:
		return plain + " jane@example.com +34.600.111.222 " + strings.Repeat("x", 440) + " jane@example.com"
	default:
		return plain
	}
}

// dress gives a refusal the texts that the switch selects.
func (s *workspace) dress(a answer) answer {
	if e, ok := a.body["error"].(map[string]any); ok {
		message, _ := e["message"].(string)
		e["message"] = s.text(message)
	}
	return a
}

// Codes returns the documented codes of a kind of object, in its list of errors, warnings or pending mutations:
// Codes("acs_user", "errors").
func Codes(object, list string) []string {
	return slices.Clone(map[string][]string{
		"errors": answers[object].Errors, "warnings": answers[object].Warnings,
		"pending_mutations": answers[object].Mutations,
	}[list])
}
