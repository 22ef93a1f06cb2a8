package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/store"
)

// pmsOf is a source whose PMS answers as fn does.
func pmsOf(t *testing.T, program, manifest string, change func(*pms.FetchSettings), fn http.HandlerFunc) (*Fetcher,
	pms.Source,
) {
	t.Helper()
	server := httptest.NewServer(fn)
	t.Cleanup(server.Close)
	format, err := pms.ParseFormat("own.jq", strings.ReplaceAll(`module {"fetch": {"url": "URL", `+manifest+`}}; `,
		"URL", server.URL)+program)
	if err != nil {
		t.Fatal(err)
	}
	settings := pms.FetchSettings{FetchManifest: *format.Fetch}
	settings.PerSecond = 1000
	if change != nil {
		change(&settings)
	}
	return &Fetcher{first: time.Millisecond, accounts: new(pmsapi.Clients)},
		pms.Source{Name: "s", Format: format, Fetch: &settings, Statuses: pms.DefaultStatuses()}
}

func collect(t *testing.T, f *Fetcher, s pms.Source, body string, attempts int) (string, []store.Try, error) {
	t.Helper()
	e := store.EventFetch{Body: []byte(body), Request: []byte(`{}`), Attempts: attempts}
	documents, err := f.collect(context.Background(), s, &e)
	text, _ := json.Marshal(documents)
	return string(text), e.Tries, err
}

const (
	bearerDoc = `"auth": "bearer", "documents": {"doc": {"path": "/docs/{id}", "modified": "at"}}`
	wantsDoc  = `if .fetched then {ignore: "done"} else {fetch: {kind: "doc", id: .body.id, as_of: .body.at}} end`
)

func TestWhatIsSentAndTaken(t *testing.T) {
	t.Parallel()
	for auth, c := range map[string]struct {
		manifest string
		change   func(*pms.FetchSettings)
		right    func(*http.Request, string) bool
	}{
		"bearer": {
			bearerDoc, func(s *pms.FetchSettings) { s.Token = "tok" },
			func(r *http.Request, _ string) bool { return r.Header.Get("Authorization") == "Bearer tok" },
		},
		"header": {
			`"auth": "header", "header": "X-Key", "documents": {"doc": {"path": "/docs/{id}"}}`,
			func(s *pms.FetchSettings) { s.Token = "tok" }, func(r *http.Request,
				_ string,
			) bool {
				return r.Header.Get("X-Key") == "tok"
			},
		},
		"basic": {
			`"auth": "basic", "documents": {"doc": {"path": "/docs/{id}"}}`,
			func(s *pms.FetchSettings) { s.Username, s.Password = "u", "p" }, func(r *http.Request, _ string) bool {
				u,
					p, _ := r.BasicAuth()
				return u == "u" && p == "p"
			},
		},
		"body": {
			`"auth": "body", "documents": {"doc": {"method": "POST", "path": "/docs/a%2Fb", "body": {"Ids": "{ids}"}}}`,
			func(s *pms.FetchSettings) { s.Body = map[string]string{"Token": "tok"} },
			func(r *http.Request, body string) bool {
				return body == `{"Ids":["a/b"],"Token":"tok"}` && r.Method == http.MethodPost
			},
		},
	} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			f, s := pmsOf(t, wantsDoc, c.manifest, c.change, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if !c.right(r, string(body)) || r.URL.EscapedPath() != "/docs/a%2Fb" {
					t.Errorf("%s %s %s %v", r.Method, r.URL.EscapedPath(), body, r.Header)
				}
				_, _ = io.WriteString(w, `{"n": 12345678901234567890}`)
			})
			got, tries, err := collect(t, f, s, `{"id": "a/b"}`, 0)
			if err != nil || got != `{"doc":[{"n":12345678901234567890}]}` || len(tries) != 1 ||
				tries[0].Status != 200 || tries[0].Document != "doc a/b" {
				t.Errorf("%s %+v %v", got, tries, err)
			}
		})
	}
}

func TestAnswersThatAreNotTaken(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, with %v", r.Header)
	}))
	t.Cleanup(elsewhere.Close)
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
		retry  time.Duration
	}{
		"a redirect": {func(w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusFound)
		}, "redirected, which is not followed", 0},
		"too large": {func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`"` + strings.Repeat("a", pmsapi.MaxAnswer) +
				`"`))
		}, "larger than 4 MiB", 0},
		"no JSON": {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") }, "is not JSON", 0},
		"too many": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}, "answered 429", 7 * time.Second},
		"an error with PII": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "jane@example.com")
		}, "answered 500 Internal Server Error", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, s := pmsOf(t, wantsDoc, bearerDoc, nil, func(w http.ResponseWriter, _ *http.Request) { c.answer(w) })
			_, tries, err := collect(t, f, s, `{"id": 1}`, 0)
			api := new(pmsapi.Error)
			if !errors.As(err, &api) || !strings.Contains(err.Error(), c.want) || api.RetryAfter != c.retry ||
				len(tries) != 1 || tries[0].Error == "" || strings.Contains(err.Error(), "jane") {
				t.Errorf("%v %+v", err, tries)
			}
		})
	}
}

// A document from before its webhook is looked at a second time, and then taken as it is. The two times come from two
// places, so that half a minute says nothing.
func TestStaleDocuments(t *testing.T) {
	t.Parallel()
	f, s := pmsOf(t, wantsDoc, bearerDoc, nil, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"at": "2026-07-01T10:15:00Z"}`)
	})
	for name, c := range map[string]struct {
		webhook  string
		attempts int
		stale    bool
	}{
		"half a minute older":              {"2026-07-01T10:15:30Z", 0, false},
		"older than that":                  {"2026-07-01T10:15:31Z", 0, true},
		"older than that, the second time": {"2026-07-01T10:15:31Z", 1, false},
		"newer":                            {"2026-07-01T10:14:00Z", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := collect(t, f, s, `{"id": 1, "at": "`+c.webhook+`"}`, c.attempts)
			if api := new(pmsapi.Error); errors.As(err, &api) != c.stale || (c.stale && api.Cause != pmsapi.Early) {
				t.Errorf("%v, want stale: %v", err, c.stale)
			}
		})
	}
}

func TestProgramsThatWantTooMuch(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{
		`{fetch: {kind: "doc", id: 1}}`: `asks for "doc" repeatedly`,
		`{fetch: {kind: ((.fetched // {}) | keys | length | tostring | "doc" + .), id: 1}}`: "has no address for it",
		`{fetch: {kind: "doc", id: ".."}}`:                                                  "can't be a part of an address",
	} {
		f, s := pmsOf(t, program, bearerDoc, nil, func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = io.WriteString(w, `{}`)
		})
		if _, _, err := collect(t, f, s, `{}`, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", program, err, want)
		}
	}
	// What one document leads to is fetched after it, and several of one kind together.
	f, s := pmsOf(t,
		`if .fetched.b then {ignore: "done"} elif .fetched.a then {fetch: {kind: "b", id: .fetched.a[0].b}} else {fetch: {kind: "a", ids: [1, 2]}} end`,
		`"auth": "bearer", "documents": {"a": {"path": "/a/{id}"}, "b": {"path": "/b?ids={ids}"}}`, nil,
		func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, `{"b": %q}`, r.URL.String())
		})
	got, tries, err := collect(t, f, s, `{}`, 0)
	if want := `{"a":[{"b":"/a/1"},{"b":"/a/2"}],"b":[{"b":"/b?ids=%2Fa%2F1"}]}`; err != nil || got != want ||
		len(tries) != 3 {
		t.Errorf("%s %v %+v", got, err, tries)
	}
}
