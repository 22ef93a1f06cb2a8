package fetch

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
)

// A PMS that refuses with 200 is asked again, and its own words are the reason.
func TestRefusalsInsideA200(t *testing.T) {
	t.Parallel()
	const doc = `"auth": "bearer", "documents": {"doc": {"path": "/docs/{id}", "ok": "success", "require": "data"}}`
	for name, c := range map[string]struct{ answer, want string }{
		"false": {
			`{"success": false, "message": "Rate limit of jane@example.com reached"}`,
			`and success is not true: Rate limit of [redacted] reached`,
		},
		"absent":          {`{"data": [1]}`, "success is not true"},
		"an empty list":   {`{"success": true, "data": []}`, "has nothing in data"},
		"an empty object": {`{"success": true, "data": {}}`, "has nothing in data"},
		"null":            {`{"success": true, "data": null}`, "has nothing in data"},
		"a good one":      {`{"success": true, "data": [{}]}`, ""},
		"true as a text":  {`{"success": "true", "data": [{}]}`, ""},
		"secrets in words": {
			`{"success": false, "error": {"message": "token tok-secret is bad"}}`,
			"token [redacted] is bad",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, s := pmsOf(t, wantsDoc, doc, func(s *pms.FetchSettings) { s.Token = "tok-secret" },
				func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.answer) })
			_, _, err := collect(t, f, s, `{"id": 1}`, 0)
			api := new(pmsapi.Error)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.As(err, &api) || api.Cause != pmsapi.Failing ||
				!strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestOptionalDocuments(t *testing.T) {
	t.Parallel()
	const program = `if .fetched then {guest: {guest_id: "g", guest_name: (.fetched.doc | length | tostring)}} else {fetch: {kind: "doc", id: 1, optional: true}} end`
	for name, c := range map[string]struct {
		status   int
		attempts int
		want     string
	}{
		"the PMS doesn't have it":   {404, 0, `{"doc":[]}`},
		"it fails":                  {500, 0, "answered 500"},
		"it has failed for a while": {500, withoutTries - 1, `{"doc":[]}`},
		"it is there":               {200, 0, `{"doc":[{}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, s := pmsOf(t, program, bearerDoc, nil, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, `{}`)
			})
			got, _, err := collect(t, f, s, `{}`, c.attempts)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// A format that was given documents and finds nothing in them hasn't understood them, or the PMS hasn't answered what
// was asked.
func TestDocumentsThatSayNothing(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]pmsapi.Cause{
		`if .fetched then empty else {fetch: {kind: "doc", id: 1}} end`:              pmsapi.Failing,
		`if .fetched then {ignore: "a test"} else {fetch: {kind: "doc", id: 1}} end`: 0,
	} {
		f, s := pmsOf(t, program, bearerDoc, nil, func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = io.WriteString(w, `{}`)
		})
		_, _, err := collect(t, f, s, `{}`, 0)
		api := new(pmsapi.Error)
		if errors.As(err, &api); api.Cause != want {
			t.Errorf("%s: %v", program, err)
		}
	}
}

// A request that finds the gate shut isn't made, and is no try.
func TestAShutGate(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	f, s := pmsOf(t, wantsDoc, bearerDoc, nil, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"message": "slow down"}`)
	})
	if _, tries, err := collect(t, f, s, `{"id": 1}`, 0); err == nil || len(tries) != 1 ||
		!strings.Contains(err.Error(), "429 Too Many Requests: slow down") {
		t.Fatalf("%v %+v", err, tries)
	}
	for range 30 {
		_, tries, err := collect(t, f, s, `{"id": 2}`, 0)
		paused := new(pmsapi.PausedError)
		if !errors.As(err, &paused) || paused.Wait < 50*time.Minute || len(tries) != 0 ||
			!strings.Contains(paused.Why, "slow down") {
			t.Fatalf("%v %+v", err, tries)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}
