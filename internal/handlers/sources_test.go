package handlers_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

// A test event is handled like a webhook, whatever the source's verifier, and shows no secret.
func TestTestEvents(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	const secret = "a-secret-of-thirty-two-characters"
	for name, settings := range map[string]pms.VerifySettings{
		"hmac":   {Method: "hmac", Header: "X-Signature", Prefix: "sha256="},
		"hmac64": {Method: "hmac", Header: "X-Signature", Encoding: "base64", Algorithm: "sha512"},
		"bearer": {Method: "bearer"}, "header": {Method: "header", Header: "X-Key"}, "path": {Method: "url-token"},
		"query": {Method: "url-token", Parameter: "token"},
	} {
		verifier, problems := pms.NewVerifier(settings, []string{secret, "another-" + secret})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		a.sources[name] = pms.Source{
			Name: name, Verifier: verifier, Secrets: []string{secret, "another-" + secret},
			Policy: pms.DefaultPolicy(), Statuses: pms.DefaultStatuses(),
		}
	}
	basic, _ := pms.NewVerifier(pms.VerifySettings{Method: "basic"}, []string{"user:" + secret})
	a.sources["basic"] = pms.Source{
		Name: "basic", Verifier: basic, Secrets: []string{"user:" + secret},
		Policy: pms.DefaultPolicy(),
	}
	a.sources["guarded"] = pms.Source{
		Name: "guarded", Verifier: basic, Secrets: []string{"user:" + secret},
		From: pms.Addresses{netip.MustParsePrefix("192.0.2.0/24")}, Policy: pms.DefaultPolicy(),
	}
	for name := range a.sources {
		r := a.call("POST", "/v1/sources/"+url.PathEscape(name)+"/test", "")
		if name == "disabled" {
			r.mustBeProblem(t, 422)
			continue
		}
		if r.status != 200 || r.body["ok"] != true {
			t.Errorf("%s: %d %s", name, r.status, r.rawBody)
			continue
		}
		if strings.Contains(r.rawBody, secret) {
			t.Errorf("%s shows its secret: %s", name, r.rawBody)
		}
		e := a.get("/v1/events/" + r.body["event_id"].(string))
		if e.body["source"] != name || e.body["type"] != "staykey.test" || e.body["status"] != "ignored" ||
			strings.Contains(e.rawBody, secret) {
			t.Errorf("%s: the event is %s", name, e.rawBody)
		}
	}
	states := map[string]map[string]any{}
	for _, item := range a.get("/v1/sources").body["items"].([]any) {
		s := item.(map[string]any)
		states[s["name"].(string)] = s
	}
	hmac := states["hmac"]
	if hmac["verify"] != "hmac" || hmac["last_event_at"] != nil || len(hmac["last_day"].(map[string]any)) != 0 ||
		strings.Contains(a.get("/v1/sources").rawBody, secret) {
		t.Errorf("the source is shown as %v", hmac)
	}
	used := hmac["secrets"].([]any)
	if len(used) != 2 || used[0].(map[string]any)["last_matched_at"] != nil ||
		used[1].(map[string]any)["last_matched_at"] != nil {
		t.Errorf("its secrets: %v", used)
	}
}

// The log has one record a request, with its own route, also where a request makes another inside.
func TestRoutesOfRequestsWithin(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer // each record is written at once, after its request
	a := newAppLogging(t, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if r := a.call(http.MethodPost, "/v1/sources/default/test", ""); r.body["ok"] != true {
		t.Fatal(r.rawBody)
	}
	for _, route := range []string{"route=/webhooks/{source} ", "route=/v1/sources/{source}/test "} {
		if !strings.Contains(log.String(), route) {
			t.Errorf("no record has %s:\n%s", route, log.String())
		}
	}
}
