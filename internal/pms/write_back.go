package pms

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// WriteBack is a preset of write-back: how a field of a PMS's reservations is read, written and cleared. It is a jq
// program whose module directive declares the API, its limits, its fields and its calls. The program runs for each
// step ("do") and answers which call to make:
//
//	{"do": "read",  "id", "field", "custom", "with", "route"}             -> {call, body} or nothing: the field can't be read
//	{"do": "find",  ..., "call", "answer"}                                -> {text, ...}, {refused: true} or nothing: the answer doesn't show it
//	{"do": "write", ..., "found", "text"}                                 -> {call, key, body}
//	{"do": "clear", ..., "found"}                                         -> {call, key, body} or nothing: there is nothing to clear
//
// id is the PMS's id of the reservation, field the configured field and custom what follows the colon in it
// ("custom:123"), with the preset's own settings, route one of the declared routes, found what the last find
// answered (null: unknown), and text what the field should hold.
type WriteBack struct {
	Name string
	WriteBackManifest
	format *Format // runs the program
}

// WriteBackManifest is what a preset of write-back declares.
type WriteBackManifest struct {
	// About says where the facts come from, for people.
	About string `json:"about"`
	// Quality is how certain the facts are: documented, derived (from public code or mirrors of the documentation) or
	// unconfirmed (sources disagree).
	Quality string          `json:"quality"`
	Account AccountManifest `json:"account"`
	// Field is the default field; "": the configuration must name one.
	Field string `json:"field"`
	// Fields are those that can be written, by name. A name that ends in * matches every name that begins with the
	// rest.
	Fields map[string]FieldRules `json:"fields"`
	// With are settings that the configuration must give, such as the property's id.
	With []string `json:"with"`
	// Routes are tried in this order while the PMS answers 404; the one that works is remembered. None: one route
	// without a name.
	Routes []string `json:"routes"`
	// ReadFirst reads the field before it is written, because the write depends on what is there.
	ReadFirst bool `json:"read_first"`
	// ReadBack reads the field after a write whose answer doesn't show it, because a success proves nothing.
	ReadBack bool            `json:"read_back"`
	Calls    map[string]Call `json:"calls"`
}

// FieldRules describe a field's limits.
type FieldRules struct {
	// Shared fields hold people's words as well: staykey's text is between markers.
	Shared bool `json:"shared"`
	// Longest is the maximum length in characters; 0: unknown.
	Longest int `json:"longest"`
	// Number fields are named by a number, in place of the *.
	Number bool `json:"number"`
	// OneLine fields hold no line breaks.
	OneLine bool `json:"one_line"`
}

// Call is a request that a preset can make.
type Call struct {
	Method string `json:"method"` // default GET
	Path   string `json:"path"`   // {id}, {field}, {custom}, {key} and names of with are replaced
	Form   bool   `json:"form"`   // the body is a URL-encoded form instead of JSON
}

// WriteBackSettings are how a source writes back.
type WriteBackSettings struct {
	Preset  *WriteBack
	Account Account
	Field   string
	With    map[string]string
	Text    *TextProgram // nil: the guest's link
	Clear   bool         // clears what was written, and writes nothing
}

// Qualities of a preset's facts.
const (
	QualityDocumented  = "documented"
	QualityDerived     = "derived"
	QualityUnconfirmed = "unconfirmed"
)

//go:embed write_backs/*.jq
var embeddedWriteBacks embed.FS

// WriteBackPresets are the names of the built-in presets, sorted.
func WriteBackPresets() []string {
	files, _ := fs.Glob(embeddedWriteBacks, "write_backs/*.jq") // the pattern is well-formed
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(path.Base(f), ".jq")
	}
	return names
}

// LoadWriteBack compiles a built-in preset by its name, or the one in a file, whose name ends in .jq.
func LoadWriteBack(name string) (*WriteBack, error) {
	if strings.HasSuffix(name, ".jq") {
		text, err := os.ReadFile(name) // #nosec G304 -- the operator names it
		if err != nil {
			return nil, err
		}
		return ParseWriteBack(name, string(text))
	}
	text, err := embeddedWriteBacks.ReadFile("write_backs/" + name + ".jq")
	if err != nil {
		return nil, fmt.Errorf("%q is not a write-back preset: it must be one of %s, or the path of a .jq file", name,
			strings.Join(WriteBackPresets(), ", "))
	}
	return ParseWriteBack(name, string(text))
}

// ParseWriteBack compiles a preset.
func ParseWriteBack(name, program string) (*WriteBack, error) {
	w := &WriteBack{Name: name, format: &Format{Name: name, program: program}}
	var err error
	w.format.code, err = compile(name, program, func(meta any) error {
		if err := decodeManifest(meta, &w.WriteBackManifest); err != nil {
			return err
		}
		return w.check()
	})
	if err == nil && len(w.Calls) == 0 {
		err = fmt.Errorf("%s: module: calls: at least one is needed", name)
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (m WriteBackManifest) check() error {
	if err := m.Account.check("account."); err != nil {
		return err
	}
	if !slices.Contains([]string{QualityDocumented, QualityDerived, QualityUnconfirmed}, m.Quality) {
		return fmt.Errorf("quality: %q must be documented, derived or unconfirmed", m.Quality)
	}
	if len(m.Fields) == 0 {
		return errors.New(`fields: at least one is needed; "*" allows any`)
	}
	for name, call := range m.Calls {
		if !strings.HasPrefix(call.Path, "/") || strings.HasPrefix(call.Path, "//") ||
			strings.Contains(call.Path, "#") {
			return fmt.Errorf("calls.%s.path: must begin with a slash, after the URL of the API", name)
		}
		methods := []string{"", http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
		if !slices.Contains(methods, call.Method) {
			return fmt.Errorf("calls.%s.method: %q must be GET, POST, PUT, PATCH or DELETE", name, call.Method)
		}
	}
	return nil
}

// Rules are those of a field; ok is false for a field that the preset doesn't know.
func (m WriteBackManifest) Rules(field string) (rules FieldRules, ok bool) {
	if rules, ok = m.Fields[field]; ok {
		return rules, field != "" && !strings.HasSuffix(field, "*")
	}
	for name, rules := range m.Fields {
		begin, open := strings.CutSuffix(name, "*")
		rest, fits := strings.CutPrefix(field, begin)
		if open && fits && rest != "" && (!rules.Number || strings.Trim(rest, "0123456789") == "") {
			return rules, true
		}
	}
	return FieldRules{}, false
}

// FieldNames lists the fields for people.
func (m WriteBackManifest) FieldNames() string {
	return strings.Join(slices.Sorted(maps.Keys(m.Fields)), ", ")
}

// WriteBackStep is one step of a preset's program.
type WriteBackStep struct {
	ID    string // of the reservation at the PMS
	Route string
	Found map[string]any // what the last find answered; nil: unknown
	Text  string         // for write
	Call  string         // for find: which call was answered
	// Answer is the decoded answer, for find.
	Answer any
}

// PlannedCall is a request that a preset wants to make.
type PlannedCall struct {
	Name    string
	Method  string
	Address string
	JSON    any
	Form    url.Values
}

// Read plans the call that reads the field; nil if the preset can't read it.
func (s *WriteBackSettings) Read(ctx context.Context, step WriteBackStep) (*PlannedCall, error) {
	return s.plan(ctx, "read", step)
}

// Write plans the call that makes the field hold a text.
func (s *WriteBackSettings) Write(ctx context.Context, step WriteBackStep) (*PlannedCall, error) {
	planned, err := s.plan(ctx, "write", step)
	if err == nil && planned == nil {
		err = fmt.Errorf("preset %s returned no call for a write", s.Preset.Name)
	}
	return planned, err
}

// Erase plans the call that clears the field; nil if it holds nothing of staykey's.
func (s *WriteBackSettings) Erase(ctx context.Context, step WriteBackStep) (*PlannedCall, error) {
	return s.plan(ctx, "clear", step)
}

// Find reads an answer: found is what it shows of the field, nil if nothing; refused means that the PMS rejected the
// request.
func (s *WriteBackSettings) Find(ctx context.Context, step WriteBackStep) (found map[string]any,
	refused bool, err error,
) {
	out, err := s.run(ctx, "find", step)
	if err != nil || out == nil {
		return nil, false, err
	}
	if is, _ := out["refused"].(bool); is {
		return nil, true, nil
	}
	if _, isText := out["text"].(string); !isText {
		return nil, false, fmt.Errorf("the preset %s found a text that isn't a string", s.Preset.Name)
	}
	return out, false, nil
}

func (s *WriteBackSettings) plan(ctx context.Context, do string, step WriteBackStep) (*PlannedCall, error) {
	out, err := s.run(ctx, do, step)
	if err != nil || out == nil {
		return nil, err
	}

	name, _ := out["call"].(string)
	call, known := s.Preset.Calls[name]
	if !known {
		return nil, fmt.Errorf("preset %s requests the undeclared call %q", s.Preset.Name, name)
	}

	p := &PlannedCall{Name: name, Method: call.Method, JSON: out["body"]}
	if p.Method == "" {
		p.Method = http.MethodGet
	}

	if call.Form {
		p.JSON, p.Form = nil, url.Values{}
		fields, _ := out["body"].(map[string]any)
		for key, value := range fields {
			p.Form.Set(key, fmt.Sprint(value))
		}
	}

	p.Address, err = fillAddress(s.Account.URL, call.Path, func(placeholder string) (string, error) {
		value, ok := s.values(step)[placeholder]
		if placeholder == "key" {
			value, ok = textOf(out["key"])
		}
		if !ok || value == "" {
			return "", fmt.Errorf("the address of the call %s of the preset %s needs a value for %q, and there is none",
				name, s.Preset.Name, placeholder)
		}
		return value, nil
	})
	return p, err
}

// values are the values for the placeholders of an address, by name.
func (s *WriteBackSettings) values(step WriteBackStep) map[string]string {
	values := maps.Clone(s.With)
	if values == nil {
		values = map[string]string{}
	}
	values["id"], values["field"], values["custom"] = step.ID, s.Field, s.custom()
	return values
}

// custom is what follows the colon in a field's name.
func (s *WriteBackSettings) custom() string {
	_, after, _ := strings.Cut(s.Field, ":")
	return after
}

func textOf(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", false
	case string:
		return v, true
	default:
		return fmt.Sprint(v), true
	}
}

// run runs the program for one step. It answers one object or nothing.
func (s *WriteBackSettings) run(ctx context.Context, do string, step WriteBackStep) (map[string]any, error) {
	in := map[string]any{
		"do": do, "id": step.ID, "field": s.Field, "custom": s.custom(), "with": texts(s.With), "route": step.Route,
		"call":  step.Call,
		"found": nil, "text": step.Text, "answer": step.Answer,
	}
	if step.Found != nil {
		in["found"] = step.Found
	}
	outputs, err := s.Preset.format.run(ctx, Mapping{}, in)
	switch {
	case err != nil || len(outputs) == 0 || (len(outputs) == 1 && outputs[0] == nil):
		return nil, err
	case len(outputs) > 1:
		return nil, fmt.Errorf("preset %s returned %d values for %s; expected one", s.Preset.Name, len(outputs), do)
	}
	out, isObject := outputs[0].(map[string]any)
	if !isObject {
		return nil, fmt.Errorf("preset %s must return an object for %s", s.Preset.Name, do)
	}
	return out, nil
}

// TextProgram is a jq program over a reservation, as REST shows it, that computes the text to write.
type TextProgram struct {
	Program string
	format  *Format
}

// ParseText compiles a program.
func ParseText(program string) (*TextProgram, error) {
	const name = "text"
	t := &TextProgram{Program: program, format: &Format{Name: name, program: program}}
	var err error
	t.format.code, err = compile(name, program, func(any) error { return errors.New("a text has no module directive") })
	if err != nil {
		return nil, err
	}
	return t, nil
}

// maxWritten is the maximum length of a text, in bytes.
const maxWritten = 4000

// Of returns the text for a reservation; "" means nothing to write.
func (t *TextProgram) Of(ctx context.Context, reservation any) (string, error) {
	outputs, err := t.format.run(ctx, Mapping{}, reservation)
	if err != nil || len(outputs) == 0 || outputs[0] == nil {
		return "", err
	}
	text, isText := outputs[0].(string)
	switch {
	case len(outputs) > 1:
		return "", fmt.Errorf("the text program returned %d values; expected one", len(outputs))
	case !isText:
		return "", errors.New("the text program must return a string")
	case len(text) > maxWritten || !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return "", fmt.Errorf("the text program returned more than %d bytes, or a character that can't be sent",
			maxWritten)
	}
	return strings.TrimSpace(text), nil
}
