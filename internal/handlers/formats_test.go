package handlers_test

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
)

const urlToken = "a-token-in-the-url-of-the-pms"

// withFormat adds a source with a format of its own, whose token is in the URL.
func (a *app) withFormat(name, program string, settings pms.VerifySettings) {
	a.t.Helper()
	format, err := pms.ParseFormat(name+".jq", program)
	if err != nil {
		a.t.Fatal(err)
	}
	v, problems := pms.NewVerifier(settings, []string{urlToken})
	if len(problems) > 0 {
		a.t.Fatal(problems)
	}
	a.sources[name] = pms.Source{
		Name: name, Format: format, Verifier: v, Statuses: pms.DefaultStatuses(),
		Policy: pms.DefaultPolicy(),
	}
}

func (a *app) send(method, path, contentType, body string, headers ...string) answered {
	a.t.Helper()
	req, err := http.NewRequest(method, a.url+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return a.do(req)
}

const ownFormat = `module {"accepts": ["json", "form", "query"], "id": "no", "type": ["kind", "query:kind"], "redact": ["login.token"]};
if .body.fail then error("it can't") else {reservation: {reservation_id: (.body.id // .query.id), status: "confirmed", listing_id: .headers["x-room"], check_in: "2034-11-01T15:00:00Z", check_out: "2034-11-02T15:00:00Z"}} end`

// TestForeignFormats checks the answers to webhooks in PMSs' own formats.
func TestForeignFormats(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withFormat("own", ownFormat, pms.VerifySettings{Method: "url-token"})
	a.withFormat("asked", ownFormat, pms.VerifySettings{Method: "url-token", Parameter: "key"})
	a.withFormat("strict", `{ignore: "x"}`, pms.VerifySettings{Method: "url-token"})
	const path = "/webhooks/own/" + urlToken
	event := func(r answered) map[string]any {
		t.Helper()
		a.apply()
		return a.get("/v1/events/" + r.body["event_id"].(string)).body
	}
	for name, c := range map[string]struct {
		method, path, contentType, body string
		status                          int
		want                            string // what happens to it
		id                              string
	}{
		"json": {
			http.MethodPost, path, "application/json", `{"id": 1, "kind": "made"}`, 202,
			"applied", "1",
		},
		"json by a vendor's name": {
			http.MethodPost, path, "application/vnd.pms+json", `{"id": 2}`, 202,
			"applied", "2",
		},
		"json without a media type": {http.MethodPost, path, "", `{"id": 3}`, 202, "applied", "3"},
		"a form": {
			http.MethodPost, path, "application/x-www-form-urlencoded", `id=4&kind=made`,
			202, "applied", "4",
		},
		"a query": {
			http.MethodGet, "/webhooks/asked?id=5&kind=made&key=" + urlToken, "", "", 202,
			"applied", "5",
		},
		"what can't be mapped": {
			http.MethodPost, path, "application/json", `{"fail": true}`, 202,
			"rejected", "",
		},
		"an output that is wrong": {
			http.MethodPost, path, "application/json", `{"kind": "no id"}`, 202,
			"rejected", "",
		},
		"no json": {http.MethodPost, path, "application/json", `{"id":`, 400, "", ""},
		"no form": {
			http.MethodPost, path, "application/x-www-form-urlencoded", `id=%zz`,
			400, "", "",
		},
		"another type": {http.MethodPost, path, "application/xml", `<id/>`, 415, "", ""},
		"a form where none is read": {
			http.MethodPost, "/webhooks/strict/" + urlToken,
			"application/x-www-form-urlencoded", `id=1`, 415, "", "",
		},
		"a wrong token":              {http.MethodPost, path + "x", "application/json", `{"id": 9}`, 401, "", ""},
		"no token":                   {http.MethodPost, "/webhooks/own", "application/json", `{"id": 9}`, 401, "", ""},
		"a query where none is read": {http.MethodGet, "/webhooks/strict/" + urlToken, "", "", 405, "", ""},
		"a query of our own format":  {http.MethodGet, "/webhooks/default", "", "", 405, "", ""},
		"a path of our own format": {
			http.MethodPost, "/webhooks/default/more", "application/json", "{}",
			404, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := a.send(c.method, c.path, c.contentType, c.body, "X-Room", "12")
			if r.status != c.status {
				t.Fatalf("answered %d: %s", r.status, r.rawBody)
			}
			if c.status >= 400 {
				r.mustBeProblem(t, c.status)
				return
			}
			e := event(r)
			if e["status"] != c.want || (c.id != "" && (e["reservation_id"] != c.id || e["listing_id"] != "12")) {
				t.Errorf("%v", e)
			}
		})
	}
	t.Run("an id tells a duplicate", func(t *testing.T) {
		first := a.send(http.MethodPost, path, "application/json", `{"no": "evt_1", "id": 7}`)
		again := a.send(http.MethodPost, path, "application/json", `{"no": "evt_1", "id": 7}`)
		other := a.send(http.MethodPost, path, "application/json", `{"no": "two words", "id": 7}`)
		if first.status != 202 || again.status != 200 || again.body["event_id"] != first.body["event_id"] ||
			other.status != 202 {
			t.Errorf("%d %d %d", first.status, again.status, other.status)
		}
	})
	t.Run("secrets are not kept", func(t *testing.T) {
		r := a.send(http.MethodPost, path+"/more", "application/json",
			`{"id": 8, "login": {"token": "the-pms-s-own-token"}}`, "Authorization", "the-pms-s-own-token",
			"X-Signature", "the-pms-s-own-token")
		if e := event(r); !strings.Contains(e["body"].(string), `"token":"[redacted]"`) {
			t.Errorf("%v", e["body"])
		}
		stored, err := a.store.Events.Get(context.Background(), uuid.MustParse(r.body["event_id"].(string)))
		if err != nil || bytes.Contains(stored.Request, []byte("token")) ||
			!bytes.Contains(stored.Request, []byte(`"path": "more"`)) {
			t.Errorf("%s %v", stored.Request, err)
		}
	})
	t.Run("what is kept tells the changes", func(t *testing.T) {
		r := a.send(http.MethodPost, path, "application/json", `{"id": 6}`, "X-Room", "14")
		changes := event(r)["changes"].([]any)
		if len(changes) != 1 || changes[0].(map[string]any)["reservation"].(map[string]any)["listing_id"] != "14" {
			t.Errorf("%v", changes)
		}
	})
}

// Addresses are checked in addition to the token, and X-Forwarded-For counts only from trusted proxies.
func TestSourceAddresses(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withFormat("own", `{ignore: "x"}`, pms.VerifySettings{Method: "url-token"})
	source := a.sources["own"]
	send := func(forwarded ...string) int {
		var headers []string
		for _, f := range forwarded {
			headers = append(headers, "X-Forwarded-For", f)
		}
		return a.send(http.MethodPost, "/webhooks/own/"+urlToken, "application/json", `{}`, headers...).status
	}
	office := pms.Addresses{netip.MustParsePrefix("192.0.2.0/24")}
	loopback := pms.Addresses{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		from, trusted pms.Addresses
		forwarded     []string
		want          int
	}{
		"anybody":                         {nil, nil, nil, 202},
		"from here":                       {loopback, nil, nil, 202},
		"not from here":                   {office, nil, nil, 401},
		"a claim that nobody vouches for": {office, nil, []string{"192.0.2.7"}, 401},
		"through a proxy":                 {office, loopback, []string{"192.0.2.7"}, 202},
		"through two":                     {office, loopback, []string{"192.0.2.7, 10.1.2.3"}, 202},
		"through two, in two lines":       {office, loopback, []string{"192.0.2.7", "10.1.2.3"}, 202},
		"a claim in front of what the proxy says": {office, loopback, []string{"192.0.2.7, 203.0.113.9"}, 401},
		"a proxy that says nonsense":              {office, loopback, []string{"unknown"}, 401},
	} {
		source.From = c.from
		a.sources["own"], a.trusted = source, c.trusted
		if got := send(c.forwarded...); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
