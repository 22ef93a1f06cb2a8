package simulator

import (
	_ "embed"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
)

// shape is Seam's OpenAPI schema of a kind of object in answers.
type shape struct {
	Required  []string `json:"required"`
	Optional  []string `json:"optional"`
	Nullable  []string `json:"nullable,omitempty"`
	Enums     []string `json:"enums,omitempty"` // fields with a closed list of values
	Errors    []string `json:"errors,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Mutations []string `json:"mutations,omitempty"`
}

// answers.json is generated from Seam's OpenAPI document: go test -run OpenAPI -update, with SEAM_OPENAPI naming it.
//
//go:embed answers.json
var answersJSON []byte

// answers are the objects that answers hold, by the name that Seam's OpenAPI gives them.
var answers = func() map[string]shape {
	var shapes map[string]shape
	if err := json.Unmarshal(answersJSON, &shapes); err != nil {
		panic("answers.json: " + err.Error())
	}
	return shapes
}()

// OptionalFields returns the fields that Seam's OpenAPI doesn't require of a kind of object, such as "acs_user".
func OptionalFields(object string) []string { return slices.Clone(answers[object].Optional) }

// NullableFields returns the fields that Seam's OpenAPI allows to be null in a kind of object.
func NullableFields(object string) []string { return slices.Clone(answers[object].Nullable) }

// alterEach calls change for each object of an answer, with the name of its kind.
func alterEach(body map[string]any, change func(kind string, object map[string]any)) {
	for key, value := range body {
		switch value := value.(type) {
		case map[string]any:
			if _, known := answers[key]; known {
				change(key, value)
			}
		case []any:
			kind := singular(key)
			for _, item := range value {
				if object, ok := item.(map[string]any); ok {
					change(kind, object)
				}
			}
		}
	}
}

// singular is the kind of object in a list: acs_users holds acs_user.
func singular(key string) string {
	if kind, ok := strings.CutSuffix(key, "ies"); ok {
		return kind + "y"
	}
	return strings.TrimSuffix(key, "s")
}

// ragged omits fields of an answer, or makes them null, as the options say.
func (s *workspace) ragged(body map[string]any) {
	o := &s.options
	if len(o.Omit) == 0 && len(o.Null) == 0 && !o.Unknown {
		return
	}
	struck := func() bool { return o.Ragged <= 0 || rand.IntN(100) < o.Ragged } // #nosec G404 -- a simulation
	alterEach(body, func(kind string, object map[string]any) {
		for _, name := range fieldsNamed(kind, o.Null) {
			if _, has := object[name]; has && struck() {
				object[name] = nil
			}
		}
		for _, name := range fieldsNamed(kind, o.Omit) {
			if struck() {
				delete(object, name)
			}
		}
		if o.Unknown {
			unfamiliar(kind, object)
		}
	})
}

// fieldsNamed picks the names that concern a kind of object.
func fieldsNamed(kind string, names []string) []string {
	var fields []string
	for _, name := range names {
		if name == "optional" {
			fields = append(fields, answers[kind].Optional...)
		} else if field, ok := strings.CutPrefix(name, kind+"."); ok {
			fields = append(fields, field)
		}
	}
	return fields
}

// unfamiliar adds undocumented fields and enum values. It keeps the value that a call depends on: a credential's access
// method.
func unfamiliar(kind string, object map[string]any) {
	object["a_field_that_no_document_has"] = map[string]any{"a": []any{1, nil, "x"}}
	for _, name := range answers[kind].Enums {
		if _, isText := object[name].(string); isText && name != "access_method" {
			object[name] = "a_value_that_no_document_has"
		}
	}
}
