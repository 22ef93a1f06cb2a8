package simulator

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write answers.json from the document that SEAM_OPENAPI names")

// property is what the tests read of a schema in Seam's OpenAPI document.
type property struct {
	Type       string              `json:"type"`
	Format     string              `json:"format"`
	Nullable   bool                `json:"nullable"`
	MinLength  int                 `json:"minLength"`
	Properties map[string]property `json:"properties"`
	Required   []string            `json:"required"`
	Enum       []any               `json:"enum"`
	Items      *property           `json:"items"`
}

type openAPI struct {
	Paths map[string]struct {
		Post struct {
			RequestBody struct {
				Content map[string]struct {
					Schema property `json:"schema"`
				} `json:"content"`
			} `json:"requestBody"`
		} `json:"post"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]property `json:"schemas"`
	} `json:"components"`
}

// readOpenAPI reads Seam's OpenAPI document where SEAM_OPENAPI names it; the build's checks do.
func readOpenAPI(t *testing.T) (document openAPI, ok bool) {
	t.Helper()
	file := os.Getenv("SEAM_OPENAPI")
	if file == "" {
		t.Log("SEAM_OPENAPI is not set: nothing is compared")
		return document, false
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	return document, true
}

// TestSchemasFitSeamsOpenAPI compares the simulator's request schemas, field by field, with Seam's OpenAPI document.
func TestSchemasFitSeamsOpenAPI(t *testing.T) {
	t.Parallel()
	document, ok := readOpenAPI(t)
	if !ok {
		return
	}
	kinds := map[string][]string{
		"string": {"string"}, "strings": {"array"}, "boolean": {"boolean"}, "object": {"object"},
		"integer": {"integer", "number"},
		"number":  {"number"},
	}
	var compare func(path string, ours schema, theirs property)
	compare = func(path string, ours schema, theirs property) {
		for name, f := range ours {
			p, ok := theirs.Properties[name]
			if !ok {
				t.Errorf("%s.%s is not in Seam's OpenAPI", path, name)
				continue
			}
			if !slices.Contains(kinds[f.kind], p.Type) || f.nullable != p.Nullable ||
				f.required != slices.Contains(theirs.Required, name) || f.nonEmpty != (p.MinLength > 0) ||
				(f.format != p.Format && p.Format != "uuid" && p.Format != "float") {
				t.Errorf("%s.%s: ours %+v, Seam's %+v", path, name, f, p)
			}
			compare(path+"."+name, f.fields, p)
		}
		for _, name := range theirs.Required {
			if _, ok := ours[name]; !ok {
				t.Errorf("%s.%s is required by Seam and unknown here", path, name)
			}
		}
	}
	for path, s := range schemas {
		theirs, ok := document.Paths[path]
		if !ok {
			t.Errorf("%s is not in Seam's OpenAPI", path)
			continue
		}
		compare(path, s, theirs.Post.RequestBody.Content["application/json"].Schema)
	}
}

// shapeOf is what answers.json says of an object.
func shapeOf(p property) shape {
	var s shape
	for name, field := range p.Properties {
		if slices.Contains(p.Required, name) {
			s.Required = append(s.Required, name)
		} else {
			s.Optional = append(s.Optional, name)
		}
		if field.Nullable {
			s.Nullable = append(s.Nullable, name)
		}
		if field.Type == "string" && len(field.Enum) > 0 {
			s.Enums = append(s.Enums, name)
		}
	}
	codes := func(list, code string) []string {
		var values []string
		if items := p.Properties[list].Items; items != nil {
			for _, value := range items.Properties[code].Enum {
				values = append(values, value.(string))
			}
		}
		slices.Sort(values)
		return values
	}
	s.Errors, s.Warnings, s.Mutations = codes("errors", "error_code"), codes("warnings", "warning_code"),
		codes("pending_mutations", "mutation_code")
	for _, list := range [][]string{s.Required, s.Optional, s.Nullable, s.Enums} {
		slices.Sort(list)
	}
	return s
}

// TestAnswersFitSeamsOpenAPI compares answers.json with Seam's OpenAPI document, or writes it.
func TestAnswersFitSeamsOpenAPI(t *testing.T) {
	t.Parallel()
	document, ok := readOpenAPI(t)
	if !ok {
		return
	}
	shapes := map[string]shape{}
	for _, kind := range []string{
		"acs_access_group", "acs_credential", "acs_entrance", "acs_system", "acs_user", "client_session", "instant_key",
		"phone", "user_identity", "workspace",
	} {
		shapes[kind] = shapeOf(document.Components.Schemas[kind])
	}
	want, err := json.MarshalIndent(shapes, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("answers.json", want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, answersJSON) {
		t.Error(
			"answers.json is not up to date: SEAM_OPENAPI=... go test -run OpenAPI -update ./internal/seam/simulator")
	}
}

// TestAnswersHaveWhatIsRequired holds each kind of answer against the table: what Seam's OpenAPI requires is there, and
// nothing else than what it documents. The merged ids of a user identity are in a newer version of it.
func TestAnswersHaveWhatIsRequired(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	_, u := r.user(r.identity(), nil)
	r.call("/acs/credentials/create", map[string]any{
		"acs_user_id": u["acs_user_id"], "access_method": "mobile_key",
		"is_multi_phone_sync_credential": true,
	})
	r.call("/user_identities/generate_instant_key", map[string]any{"user_identity_id": u["user_identity_id"]})
	r.call("/phones/simulate/create_sandbox_phone", map[string]any{"user_identity_id": u["user_identity_id"]})
	r.AddEntrance("sys", "door", "Room 12", "g1")
	newer := []string{"merged_user_identity_ids", "merged_user_identity_keys"}
	for _, path := range []string{
		"/workspaces/get", "/user_identities/list", "/acs/users/list", "/acs/credentials/list",
		"/acs/access_groups/list", "/acs/systems/list",
		"/instant_keys/list", "/client_sessions/list", "/phones/list", "/acs/entrances/list",
	} {
		_, out := r.call(path, map[string]any{})
		seen := false
		alterEach(out, func(kind string, object map[string]any) {
			seen = true
			shape := answers[kind]
			for _, name := range shape.Required {
				if _, has := object[name]; !has {
					t.Errorf("%s: %s.%s is required by Seam's OpenAPI", path, kind, name)
				}
			}
			for name := range object {
				if !slices.Contains(slices.Concat(shape.Required, shape.Optional, newer), name) {
					t.Errorf("%s: %s.%s is not in Seam's OpenAPI", path, kind, name)
				}
			}
		})
		if !seen {
			t.Errorf("%s: no object in %v", path, out)
		}
	}
}
