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
	"sync/atomic"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// pmsOf is a source whose PMS answers as fn does.
func pmsOf(t *testing.T, program, manifest string, change func(*pms.FetchSettings), fn http.HandlerFunc) (*Fetcher, pms.Source) {
	t.Helper()
	server := httptest.NewServer(fn)
	t.Cleanup(server.Close)
	format, err := pms.ParseFormat("own.jq", strings.ReplaceAll(`module {"fetch": {"url": "URL", `+manifest+`}}; `, "URL", server.URL)+program)
	if err != nil {
		t.Fatal(err)
	}
	settings := pms.FetchSettings{FetchManifest: *format.Fetch}
	settings.PerSecond = 1000
	if change != nil {
		change(&settings)
	}
	return &Fetcher{}, pms.Source{Name: "s", Format: format, Fetch: &settings, Statuses: pms.DefaultStatuses()}
}

func collect(t *testing.T, f *Fetcher, s pms.Source, body string, attempts int) (string, []store.Try, error) {
	t.Helper()
	var tries []store.Try
	documents, err := f.collect(context.Background(), s, store.EventFetch{Body: []byte(body), Request: []byte(`{}`), Attempts: attempts}, func(t store.Try) { tries = append(tries, t) })
	text, _ := json.Marshal(documents)
	return string(text), tries, err
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
		"bearer": {bearerDoc, func(s *pms.FetchSettings) { s.Token = "tok" }, func(r *http.Request, _ string) bool { return r.Header.Get("Authorization") == "Bearer tok" }},
		"header": {`"auth": "header", "header": "X-Key", "documents": {"doc": {"path": "/docs/{id}"}}`, func(s *pms.FetchSettings) { s.Token = "tok" }, func(r *http.Request, _ string) bool { return r.Header.Get("X-Key") == "tok" }},
		"basic":  {`"auth": "basic", "documents": {"doc": {"path": "/docs/{id}"}}`, func(s *pms.FetchSettings) { s.Username, s.Password = "u", "p" }, func(r *http.Request, _ string) bool { u, p, _ := r.BasicAuth(); return u == "u" && p == "p" }},
		"body": {
			`"auth": "body", "documents": {"doc": {"method": "POST", "path": "/docs/a%2Fb", "body": {"Ids": "{ids}"}}}`, func(s *pms.FetchSettings) { s.Body = map[string]string{"Token": "tok"} },
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
			if err != nil || got != `{"doc":[{"n":12345678901234567890}]}` || len(tries) != 1 || tries[0].Status != 200 || tries[0].Document != "doc a/b" {
				t.Errorf("%s %+v %v", got, tries, err)
			}
		})
	}
}

func TestTokensAreKept(t *testing.T) {
	t.Parallel()
	var tokens atomic.Int32
	f, s := pmsOf(t, wantsDoc, `"auth": "oauth2", "token_url": "URL/token", "documents": {"doc": {"path": "/docs/{id}"}}`,
		func(s *pms.FetchSettings) { s.ClientID, s.ClientSecret = "id", "the-client-secret" }, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path == "/token" {
				if tokens.Add(1) <= 2 { // it is asked for in both ways that servers want it
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w, `{"error": "the-client-secret is wrong"}`)
					return
				}
				_, _ = fmt.Fprintf(w, `{"access_token": "t%d", "expires_in": 3600}`, tokens.Load())
				return
			}
			if r.Header.Get("Authorization") != "Bearer t3" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			_, _ = io.WriteString(w, `{}`)
		})
	if _, _, err := collect(t, f, s, `{"id": 1}`, 0); err == nil || strings.Contains(err.Error(), "the-client-secret") || !strings.Contains(err.Error(), "no access token was given out: 400") {
		t.Errorf("got %v", err)
	}
	for range 5 {
		if _, _, err := collect(t, f, s, `{"id": 1}`, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := tokens.Load(); n != 3 {
		t.Errorf("%d tokens were asked for", n)
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
		"too large": {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`"` + strings.Repeat("a", maxDocument) + `"`)) }, "larger than 4 MiB", 0},
		"no JSON":   {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") }, "is no JSON", 0},
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
			api := new(Error)
			if !errors.As(err, &api) || !strings.Contains(err.Error(), c.want) || api.RetryAfter != c.retry || len(tries) != 1 || tries[0].Error == "" || strings.Contains(err.Error(), "jane") {
				t.Errorf("%v %+v", err, tries)
			}
		})
	}
}

// A document from before its webhook is asked for again, and taken as it is in the end.
func TestStaleDocuments(t *testing.T) {
	t.Parallel()
	f, s := pmsOf(t, wantsDoc, bearerDoc, nil, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"at": "2026-07-01T10:15:59Z"}`)
	})
	for attempts, want := range map[int]bool{0: true, stale - 1: true, stale: false} {
		if _, _, err := collect(t, f, s, `{"id": 1, "at": "2026-07-01T10:16:00Z"}`, attempts); errors.Is(err, errStale) != want {
			t.Errorf("after %d attempts: %v", attempts, err)
		}
	}
	if _, _, err := collect(t, f, s, `{"id": 1, "at": "2026-07-01T10:15:59.900Z"}`, 0); err != nil {
		t.Errorf("a document of the same second: %v", err)
	}
}

func TestProgramsThatWantTooMuch(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{
		`{fetch: {kind: "doc", id: 1}}`: `asks for "doc" again and again`,
		`{fetch: {kind: ((.fetched // {}) | keys | length | tostring | "doc" + .), id: 1}}`: "says nothing of where that is",
		`{fetch: {kind: "doc", id: ".."}}`:                                                  "no id that an address can have",
	} {
		f, s := pmsOf(t, program, bearerDoc, nil, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) })
		if _, _, err := collect(t, f, s, `{}`, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", program, err, want)
		}
	}
	// What one document leads to is fetched behind it, and several of one kind together.
	f, s := pmsOf(t, `if .fetched.b then {ignore: "done"} elif .fetched.a then {fetch: {kind: "b", id: .fetched.a[0].b}} else {fetch: {kind: "a", ids: [1, 2]}} end`,
		`"auth": "bearer", "documents": {"a": {"path": "/a/{id}"}, "b": {"path": "/b?ids={ids}"}}`, nil, func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, `{"b": %q}`, r.URL.String())
		})
	got, tries, err := collect(t, f, s, `{}`, 0)
	if want := `{"a":[{"b":"/a/1"},{"b":"/a/2"}],"b":[{"b":"/b?ids=%2Fa%2F1"}]}`; err != nil || got != want || len(tries) != 3 {
		t.Errorf("%s %v %+v", got, err, tries)
	}
}
