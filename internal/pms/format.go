package pms

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/itchyny/gojq"
)

// Format is how a PMS words its webhooks: a jq program that turns what was posted into changes.
type Format struct {
	Name string
	Manifest
	// LongestRun is the processor time that a run may use, times the patience of its mapping; 0 for two seconds.
	LongestRun time.Duration
	program    string
	code       *gojq.Code
	tolerant   *gojq.Code // of the program too, see tolerant.go
}

// Manifest is what a program declares about itself, in the constant object of its module directive.
type Manifest struct {
	// About says where the facts come from, for people.
	About string `json:"about"`
	// Accepts are the kinds of body: json, form, and query for a GET or POST that has none. Default json.
	Accepts []string `json:"accepts"`
	// ID is the path of the sender's event id, by which repeated events are recognized. Without one, none are.
	ID string `json:"id"`
	// Type is the path of an event's type, or several, joined by dots.
	Type []string `json:"type"`
	// Redact are paths that are redacted before anything is stored.
	Redact []string `json:"redact"`
	// Verify is how the PMS signs, for sources that configure only the secrets.
	Verify *VerifySettings `json:"verify"`
	// Fetch describes the documents that the PMS's webhooks only refer to.
	Fetch *FetchManifest `json:"fetch"`
}

// FetchManifest describes a PMS's documents and how to fetch them.
type FetchManifest struct {
	AccountManifest
	Documents map[string]Document `json:"documents"`
}

// Document is a kind of document of a PMS.
type Document struct {
	Method string `json:"method"` // GET or POST
	Path   string `json:"path"`   // {id} is replaced by the id, {ids} by all, comma-separated
	Body   any    `json:"body"`   // of a POST; "{ids}" is replaced by the list of ids
	// Modified is the path of the document's own modification time, which shows whether it is older than its webhook.
	// Only for PMSs that take both times from one clock.
	Modified string `json:"modified"`
	// OK is the path of a value that is true in every successful answer, for PMSs that refuse with status 200. An
	// answer in which it is false, null or absent is a refusal.
	OK string `json:"ok"`
	// Message is the path of the PMS's words in a refusal; "" looks in the usual places.
	Message string `json:"message"`
	// Require is the path of a value that every complete answer has. If it is absent, null or empty, the answer isn't
	// usable yet.
	Require string `json:"require"`
}

//go:embed formats/*.jq
var embedded embed.FS

// preludeFile has the functions that every program may use.
const preludeFile = "formats/prelude.jq"

var prelude = sync.OnceValues(func() (*gojq.Query, error) {
	text, err := embedded.ReadFile(preludeFile)
	if err != nil {
		return nil, err
	}
	return gojq.Parse(string(text))
})

// Presets are the names of the built-in formats, sorted. The canonical format is not a program and not listed.
func Presets() []string {
	files, _ := fs.Glob(embedded, "formats/*.jq") // the pattern is well-formed
	var names []string
	for _, f := range files {
		if f != preludeFile {
			names = append(names, strings.TrimSuffix(path.Base(f), ".jq"))
		}
	}
	return names
}

// LoadFormat compiles a built-in format by its name, or the one in a file, whose name ends in .jq.
func LoadFormat(name string) (*Format, error) {
	if strings.HasSuffix(name, ".jq") {
		text, err := os.ReadFile(name) // #nosec G304 -- the operator names it
		if err != nil {
			return nil, err
		}
		return ParseFormat(name, string(text))
	}
	text, err := embedded.ReadFile("formats/" + name + ".jq")
	if err != nil || name == "prelude" {
		return nil, fmt.Errorf("%q is not a format: it must be staykey, one of %s, or the path of a .jq file", name,
			strings.Join(Presets(), ", "))
	}
	return ParseFormat(name, string(text))
}

// ParseFormat compiles a program. The error names the place, if jq reports it.
func ParseFormat(name, program string) (*Format, error) {
	f := &Format{Name: name, program: program}
	var err error
	f.code, err = compile(name, program, f.readManifest)
	if err != nil {
		return nil, err
	}
	f.tolerant, err = tolerant(name, program)
	return f, err
}

// compile compiles a program with the prelude, and passes the constant object of its module directive, if any, to
// manifest.
func compile(name, program string, manifest func(meta any) error) (*gojq.Code, error) {
	query, err := gojq.Parse(program)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", locate(name, program, err), err)
	}
	if query.Meta != nil {
		if err := manifest(query.Meta.ToValue()); err != nil {
			return nil, fmt.Errorf("%s: module: %w", name, err)
		}
	}
	if len(query.Imports) > 0 {
		return nil, fmt.Errorf("%s: a program may not import or include another", name)
	}
	shared, err := prelude()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", preludeFile, err)
	}
	query.FuncDefs = slices.Concat(shared.FuncDefs, query.FuncDefs)
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", locate(name, program, err), err)
	}
	return code, nil
}

// decodeManifest reads a manifest strictly.
func decodeManifest(meta, into any) error {
	text, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func (f *Format) readManifest(meta any) error {
	if err := decodeManifest(meta, &f.Manifest); err != nil {
		return err
	}
	for _, kind := range f.Accepts {
		if !slices.Contains([]string{"json", "form", "query"}, kind) {
			return fmt.Errorf("accepts: %q must be json, form or query", kind)
		}
	}
	if f.Fetch != nil {
		return f.Fetch.check()
	}
	return nil
}

// TakesJSON reports whether a format accepts bodies of JSON, as one does that doesn't say what it accepts.
func (m Manifest) TakesJSON() bool { return len(m.Accepts) == 0 || slices.Contains(m.Accepts, "json") }

// TakesForms reports whether a format accepts forms.
func (m Manifest) TakesForms() bool { return slices.Contains(m.Accepts, "form") }

// TakesQueries reports whether a format accepts query parameters instead of a body.
func (m Manifest) TakesQueries() bool { return slices.Contains(m.Accepts, "query") }

var undefined = regexp.MustCompile(`(?:function|variable) not defined: \$?([A-Za-z_0-9:]+)`)

// locate returns the file, line and column of a jq error.
func locate(name, program string, err error) string {
	at := -1
	if parse := new(gojq.ParseError); errors.As(err, &parse) {
		at = parse.Offset - len(parse.Token)
	} else if word := undefined.FindStringSubmatch(err.Error()); word != nil {
		if found := regexp.MustCompile(`(?:\$|\b)` + regexp.QuoteMeta(word[1]) +
			`\b`).FindStringIndex(program); found != nil {
			at = found[0]
		}
	}
	if at < 0 || at > len(program) {
		return name
	}
	return fmt.Sprintf("%s:%s", name, lineAndColumn(program, at))
}

func lineAndColumn(text string, at int) string {
	before := text[:at]
	return fmt.Sprintf("%d:%d", strings.Count(before, "\n")+1,
		len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))+1)
}

// Where returns the place in the program ("line:column") that computes the field named in an error; "" if unknown.
func (f *Format) Where(field string) string {
	key := field[strings.LastIndexByte(field, '.')+1:]
	key, _, _ = strings.Cut(key, "[")
	if key == "" {
		return ""
	}
	found := regexp.MustCompile(`(?m)(?:^|[{,(\s])"?(` + regexp.QuoteMeta(key) +
		`)"?\s*:`).FindStringSubmatchIndex(f.program)
	if found == nil {
		return ""
	}
	return lineAndColumn(f.program, found[2])
}

// Request is what is stored of a request besides its body. It holds nothing that authenticates the request.
type Request struct {
	Kind string `json:"kind,omitempty"` // of the body: "" for JSON, form or query
	// "staykey" where the source's own doesn't count, as for imports
	Format  string            `json:"format,omitempty"`
	Headers map[string]string `json:"headers,omitempty"` // by names in lower case
	Query   map[string]string `json:"query,omitempty"`
	Path    string            `json:"path,omitempty"` // after the source's name
}

// Read returns the request with only the headers that the format's program names. Others, such as a gateway's keys, are
// of no use.
func (f *Format) Read(r Request) Request {
	program := strings.ToLower(f.program)
	for name := range r.Headers {
		if !strings.Contains(program, strconv.Quote(name)) && !strings.Contains(program, "."+name) {
			delete(r.Headers, name)
		}
	}
	if len(r.Headers) == 0 {
		r.Headers = nil
	}
	return r
}

// Mapping is what is mapped.
type Mapping struct {
	Body    []byte
	Request Request
	Fetched map[string]any // documents by kind, as far as they were fetched; nil at first
	Guests  bool           // every named guest gets a reservation

	// Statuses are those of the source: which ones take a key away. Nil means [DefaultStatuses].
	Statuses Statuses
	// ReceivedAt is when it was posted. In the canonical format, a stay that ends before it starts is valid only if it
	// has begun by then. The zero time is before every stay.
	ReceivedAt time.Time
	// Patience multiplies how long the program may run, after an earlier try ended with [ErrTooLong]; 0 means 1.
	Patience int
	// Within is the processor time that the program may use, times the patience; 0 for the format's.
	Within time.Duration
}

// Map runs the program. Outputs that can't be read are in Event.Rejected. The error is [ErrNotJSON], [ErrNotForm] or
// [ErrTooLong], or says that the program failed.
func (f *Format) Map(ctx context.Context, m Mapping) (Event, error) {
	body, err := m.body()
	if err != nil {
		return Event{}, err
	}
	e := Event{Type: f.typeOf(body, m.Request)}
	outputs, err := f.runItems(ctx, m, map[string]any{
		"body": body, "headers": texts(m.Request.Headers), "query": texts(m.Request.Query), "path": m.Request.Path,
		"fetched": orNil(m.Fetched),
	})
	if err != nil && !anyRead(outputs) {
		return e, err
	}
	read := reading{guests: m.Guests, statuses: m.Statuses, fetched: m.Fetched != nil}
	if read.statuses == nil {
		read.statuses = DefaultStatuses()
	}
	for i, output := range outputs {
		where := ""
		if len(outputs) > 1 {
			where = fmt.Sprintf("[%d].", i)
		}
		read.output(where, output)
	}
	read.into(&e)
	return e, nil
}

// body decodes what was posted. Numbers keep their spelling: ids may have more digits than a float64 can hold.
func (m Mapping) body() (any, error) {
	switch m.Request.Kind {
	case "query":
		return nil, nil
	case "form":
		values, err := url.ParseQuery(string(m.Body))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotForm, err)
		}
		return texts(First(values)), nil
	}
	// A text in another encoding, most often a guest's name, must not cost the event: invalid UTF-8 becomes U+FFFD.
	text := withoutMark(m.Body)
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	if err := CheckJSON(text); err != nil {
		return nil, err
	}
	return DecodeJSON(text)
}

// ErrNotForm says that a body is no URL-encoded form.
var ErrNotForm = errors.New("the body is not a URL-encoded form")

// DecodeJSON decodes a JSON value for programs, with exact numbers.
func DecodeJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotJSON, err)
	}
	return v, nil
}

// First keeps the first of each parameter's values.
func First(values url.Values) map[string]string {
	first := make(map[string]string, len(values))
	for name, list := range values {
		if len(list) > 0 {
			first[name] = list[0]
		}
	}
	return first
}

func texts(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for key, value := range m {
		out[key] = value
	}
	return out
}

func orNil(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}
