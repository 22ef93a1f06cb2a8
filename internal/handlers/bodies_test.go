package handlers_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

func compressed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// withPreset adds a source of a built-in format, with a token in its URL.
func (a *app) withPreset(name string) {
	a.t.Helper()
	format, err := pms.LoadFormat(name)
	if err != nil {
		a.t.Fatal(err)
	}
	v, problems := pms.NewVerifier(pms.VerifySettings{Method: "url-token"}, []string{urlToken})
	if len(problems) > 0 {
		a.t.Fatal(problems)
	}
	policy := pms.DefaultPolicy()
	policy.TimeZone = "Europe/Berlin"
	a.sources[name] = pms.Source{
		Name: name, Format: format, Verifier: v, Statuses: pms.DefaultStatuses(),
		Policy: policy,
	}
}

// TestBodiesOfPMSs checks that nothing that a PMS's HTTP library does to a body on its own loses an event.
func TestBodiesOfPMSs(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("hostaway")
	a.withPreset("hostfully")
	const path = "/webhooks/hostaway/" + urlToken
	body := func(id int, comment string) string {
		return fmt.Sprintf(
			`{"object":"reservation","event":"reservation.updated","data":{"id":%d,"listingMapId":401,"status":"cancelled","comment":"%s"}}`, id, comment)
	}
	for i, c := range []struct {
		why, path, contentType, comment string
		change                          func(string) string
		headers                         []string
		status                          int
	}{
		{why: "an emoji cut in half", comment: `bye \ud83d`, status: 202},
		{why: "a byte order mark", change: func(s string) string { return "\xef\xbb\xbf" + s }, status: 202},
		{why: "another encoding of a text", comment: "Jos\xe9", status: 202},
		{why: "a charset of another name", contentType: "application/json; charset=utf8", status: 202},
		{why: "a charset without a value", contentType: "application/json; charset", status: 202},
		{why: "PHP's media type", contentType: "application/x-www-form-urlencoded", status: 202},
		{
			why: "PHP's media type, of a format that reads forms", path: "/webhooks/hostfully/" + urlToken,
			contentType: "application/x-www-form-urlencoded",
			change:      func(string) string { return `{"event_type":"BOOKING_CANCELLED","lead_uid":"lead-5"}` },
			status:      202,
		},
		{
			why: "JSON in a field of a form", contentType: "application/x-www-form-urlencoded",
			change: func(s string) string { return url.Values{"payload": {s}}.Encode() }, status: 202,
		},
		{
			why:         "JSON in a field of a form, next to others",
			contentType: "application/x-www-form-urlencoded; charset=UTF-8",
			change: func(s string) string {
				return url.Values{
					"event": {"reservation.updated"},
					"data":  {" " + s},
				}.Encode()
			}, status: 202,
		},
		{
			why: "JSON in a field of a form, of a format that reads forms", path: "/webhooks/hostfully/" + urlToken,
			contentType: "application/x-www-form-urlencoded",
			change: func(string) string {
				return "payload=" + url.QueryEscape(`{"event_type":"BOOKING_CANCELLED","lead_uid":"lead-6"}`)
			}, status: 202,
		},
		{
			why:         "PHP's media type, and a text that reads like a form",
			contentType: "application/x-www-form-urlencoded",
			comment:     `?a=1&filter={}`, status: 202,
		},
		{
			why:         "JSON in a field of a form, next to a text that begins like it",
			contentType: "application/x-www-form-urlencoded",
			change:      func(s string) string { return url.Values{"note": {"{see below}"}, "payload": {s}}.Encode() },
			status:      202,
		},
		{
			why: "a form with two fields of JSON", contentType: "application/x-www-form-urlencoded",
			change: func(s string) string { return url.Values{"a": {s}, "b": {s}}.Encode() }, status: 415,
		},
		{why: "no media type", contentType: "-", status: 202},
		{why: "a media type of bytes", contentType: "application/octet-stream", status: 202},
		{
			why: "gzip", change: func(s string) string { return compressed(t, s) },
			headers: []string{"Content-Encoding", "gzip"}, status: 202,
		},
		{why: "no encoding", headers: []string{"Content-Encoding", "identity"}, status: 202},
		{why: "another encoding", headers: []string{"Content-Encoding", "br"}, status: 415},
		{why: "two encodings", headers: []string{"Content-Encoding", "gzip, br"}, status: 415},
		{why: "what is no gzip", headers: []string{"Content-Encoding", "gzip"}, status: 400},
		{
			why: "gzip that is cut off", change: func(s string) string { return compressed(t, s)[:40] },
			headers: []string{"Content-Encoding", "gzip"}, status: 400,
		},
		{why: "gzip of more than a webhook may be", change: func(string) string {
			return compressed(t,
				`"`+strings.Repeat("x", 1<<20)+`"`)
		}, headers: []string{"Content-Encoding", "gzip"}, status: 413},
	} {
		t.Run(c.why, func(t *testing.T) {
			text, contentType, to := body(i, c.comment), "application/json", path
			if c.change != nil {
				text = c.change(text)
			}
			switch c.contentType {
			case "":
			case "-":
				contentType = ""
			default:
				contentType = c.contentType
			}
			if c.path != "" {
				to = c.path
			}
			r := a.send(http.MethodPost, to, contentType, text, c.headers...)
			if r.status != c.status {
				t.Fatalf("answered %d: %s", r.status, r.rawBody)
			}
			if c.status >= 400 {
				r.mustBeProblem(t, c.status)
				if got := r.header.Get("Accept-Encoding"); (c.status == 415 && len(c.headers) > 0) != (got == "gzip") {
					t.Errorf("Accept-Encoding %q", got)
				}
				return
			}
			a.apply()
			e := a.get("/v1/events/" + r.body["event_id"].(string)).body
			if e["status"] != "applied" {
				t.Errorf("%v", e)
			}
		})
	}
}

// A compressed event of the canonical format is signed as it is sent.
func TestASignatureIsOverTheBytesThatWereSent(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	encoded := func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }
	if r := a.post(hook{body: compressed(t, reservationBody), change: encoded}); r.status != 202 {
		t.Fatalf("answered %d: %s", r.status, r.rawBody)
	}
	if e := a.get("/v1/events").body["items"].([]any)[0].(map[string]any); e["reservation_id"] != "3333122-433" {
		t.Errorf("%v", e)
	}
}

// HEAD has no effect, even for webhooks that can be posted by GET.
func TestHEADChangesNothing(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("beds24")
	path := "/webhooks/beds24/" + urlToken + "?bookid=1&status=new"
	if r := a.send(http.MethodHead, path, "", ""); r.status != 200 {
		t.Errorf("answered %d", r.status)
	}
	if items := a.get("/v1/events").body["items"].([]any); len(items) != 0 {
		t.Errorf("%v", items)
	}
	if r := a.send(http.MethodPut, path, "", ""); r.status != 405 || r.header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("answered %d, Allow %q", r.status, r.header.Get("Allow"))
	}
	if r := a.send(http.MethodGet, path, "", ""); r.status != 202 {
		t.Errorf("answered %d: %s", r.status, r.rawBody)
	}
}

// Every route refuses a body that isn't declared as JSON.
func TestBodiesThatAreNotJSON(t *testing.T) {
	t.Parallel()
	a := two(t)
	for path, body := range map[string]string{
		"PUT /v1/listings/default/2222222-2222": `{"name": "x"}`, "PUT /v1/listings": `{"items": []}`,
		"POST /v1/sources/default/import": `{"events": []}`, "POST " + onePath + "/hold": `{"reason": "x"}`,
		"POST " + onePath + "/reconcile": `{}`,
	} {
		method, path, _ := strings.Cut(path, " ")
		for media, refused := range map[string]bool{
			"text/plain": true, "application/x-www-form-urlencoded": true, "application/json": false,
			"Application/JSON; charset=utf-16": false, "": false,
		} {
			req, err := http.NewRequest(method, a.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+adminToken)
			if media != "" {
				req.Header.Set("Content-Type", media)
			}
			if r := a.do(req); (r.status == http.StatusUnsupportedMediaType) != refused {
				t.Errorf("%s %s as %q: %d %s", method, path, media, r.status, r.rawBody)
			}
		}
	}
}
