package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/logs/logtest"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
)

const guestLinksYAML = `sources:
  - name: default
    verify: {method: standard-webhooks, secrets: ["${STAYKEY_WEBHOOK_SECRET}"]}
    time_zone: Europe/Madrid
    guest_links: true
    guest_page: {name: Casa Azul, color: "#0a6e5c", contact: "+34 600 000 000", address: "Calle Mayor 1, Madrid"}
`

// withGuestLinks is the environment of a service whose source default has links.
func withGuestLinks(t *testing.T, env []string, more ...string) []string {
	t.Helper()
	file := configFile(t, guestLinksYAML+strings.Join(more, "\n"))
	return append(env, "STAYKEY_CONFIG="+file, "STAYKEY_PUBLIC_URL=https://keys.example.com")
}

// guestLink is the path of a reservation's link.
func (p *process) guestLink(id string) string {
	p.t.Helper()
	_, body := p.rest("GET", "/v1/reservations/default/"+id)
	link, _ := body["guest_link"].(map[string]any)
	url, _ := link["url"].(string)
	path, ok := strings.CutPrefix(url, "https://keys.example.com")
	if !ok {
		p.t.Fatalf("guest_link is %v", body["guest_link"])
	}
	return path
}

// rest asks REST as an admin.
func (p *process) rest(method, path string) (int, map[string]any) {
	p.t.Helper()
	status, _, raw := p.ask(method, path, map[string]string{"Authorization": "Bearer " + e2eToken})
	var body map[string]any
	_ = json.Unmarshal([]byte(raw), &body)
	return status, body
}

// ask makes a request; the status is 0 where there is no answer.
func (p *process) ask(method, path string, header map[string]string) (int, http.Header, string) {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, ""
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, ""
	}
	return resp.StatusCode, resp.Header, string(raw)
}

var asJSON = map[string]string{"Accept": "application/json"}

// TestGuestLink is a stay's link, from the webhook to the instant key and to its end, against the program that ships.
func TestGuestLink(t *testing.T) {
	t.Parallel()
	dsn, out := storetest.DSN(t), &logtest.Buffer{}
	// a subscriber, and who collects traces
	outside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(out, r.Body)
	}))
	t.Cleanup(outside.Close)
	sim, env := simulated(t, dsn)
	env = append(env, "STAYKEY_LOG_LEVEL=debug", "OTEL_EXPORTER_OTLP_ENDPOINT="+outside.URL,
		"OTEL_EXPORTER_OTLP_COMPRESSION=none")
	p := launch(t, withGuestLinks(t, env, "subscriptions: [{name: app, url: "+outside.URL+
		"/hook, insecure: true, secrets: ["+outSecret+"]}]"))
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	key := p.until("3333122-433", "issued")
	link := p.guestLink("3333122-433")
	if again := p.guestLink("3333122-433"); again != link || len(link) < len("/k/")+22 {
		t.Errorf("the link is %q, and then %q", link, again)
	}

	for range 3 { // a messenger's preview
		for _, method := range []string{"GET", "HEAD"} {
			status, header, page := p.ask(method, link, map[string]string{
				"Accept":          "text/html",
				"Accept-Language": "de",
			})
			if status != 200 || header.Get("Referrer-Policy") != "no-referrer" ||
				header.Get("Cache-Control") != "no-store" || !strings.Contains(header.Get("X-Robots-Tag"), "noindex") ||
				!strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") ||
				header.Get("Content-Language") != "de" {
				t.Errorf("%s: %d %v", method, status, header)
			}
			if method == "GET" && (!strings.Contains(page, "Ihr Schlüssel ist bereit") ||
				!strings.Contains(page, "Er ist bereit seit") || !strings.Contains(page, "Calle Mayor 1, Madrid") ||
				!strings.Contains(page, "Casa Azul")) {
				t.Errorf("the page is\n%s", page)
			}
			if strings.Contains(page, "jane@example.com") || strings.Contains(page, "<script") {
				t.Errorf("the page has the guest's address, or a script:\n%s", page)
			}
		}
	}
	if n := len(sim.State().InstantKeys); n != 0 {
		t.Fatalf("GET made %d instant keys", n)
	}

	status, _, raw := p.ask("POST", link, asJSON)
	var opened struct {
		URL     string    `json:"instant_key_url"`
		Expires time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(raw), &opened); err != nil || status != 200 || !opened.Expires.After(time.Now()) {
		t.Fatalf("POST: %d %s", status, raw)
	}
	if shown := sim.State().Shown(opened.URL, time.Now()); len(shown) != 1 || shown[0] != key["acs_credential_id"] {
		t.Errorf("the instant key shows %v, the stay has %v", shown, key["acs_credential_id"])
	}
	if status, _, page := p.ask("POST", link, nil); status != 200 || !strings.Contains(page, `href="`+opened.URL+`"`) {
		t.Errorf("the button: %d\n%s", status, page)
	}
	_, body := p.rest("GET", "/v1/reservations/default/3333122-433")
	if body["guest_link"].(map[string]any)["openings"] != 2.0 {
		t.Errorf("openings: %v", body["guest_link"])
	}
	status, session := p.rest("POST", "/v1/reservations/default/3333122-433/app-session")
	token, _ := session["client_session_token"].(string)
	if status != 200 || session["user_identity_id"] != key["user_identity_id"] ||
		len(sim.State().Shown(token, time.Now())) != 1 {
		t.Errorf("app session: %d %v", status, session)
	}

	status, renewed := p.rest("POST", "/v1/reservations/default/3333122-433/guest-link/renew")
	if status != 200 || strings.HasSuffix(renewed["guest_link"].(map[string]any)["url"].(string), link) {
		t.Errorf("renew: %d %v", status, renewed["guest_link"])
	}
	if status, _, _ := p.ask("GET", link, nil); status != http.StatusGone {
		t.Errorf("the old link: %d", status)
	}
	waitUntil(t, "the old link's instant key to go", func() bool {
		return sim.State().Shown(opened.URL,
			time.Now()) == nil
	})
	link = p.guestLink("3333122-433")
	p.ask("POST", link, asJSON)

	p.deliver("default", "reservation.cancelled", map[string]any{"reservation_id": "3333122-433"})
	p.until("3333122-433", "revoked")
	waitUntil(t, "what was handed out to go", func() bool {
		return handedOut(sim) == 0 &&
			sim.State().Shown(token, time.Now()) == nil
	})
	for _, method := range []string{"GET", "POST"} {
		if status, _, page := p.ask(method, link, nil); status != http.StatusGone ||
			!strings.Contains(page, "no longer valid") {
			t.Errorf("cancelled: %s %d\n%s", method, status, page)
		}
	}
	if status, _, raw := p.ask("POST", "/k/0123456789012345678901", asJSON); status != http.StatusNotFound ||
		!strings.Contains(raw, `"status":404`) {
		t.Errorf("unknown: %d %s", status, raw)
	}
	if status, body := p.rest("POST",
		"/v1/reservations/default/3333122-433/app-session"); status != http.StatusConflict {
		t.Errorf("app session of a cancelled reservation: %d %v", status, body)
	}
	waitUntil(t, "the end to be reported", func() bool { return strings.Contains(out.String(), "mobile_key.revoked") })
	secrets := map[string]string{
		"a link": strings.TrimPrefix(link, "/k/"), "an instant key": opened.URL,
		"a token": token,
	}
	resp, err := http.Get(p.ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics := answered(t, resp)
	for _, series := range []string{
		`staykey_guest_keys_total{kind="link",result="given"} 3`,
		`staykey_guest_keys_total{kind="app_session",result="gone"} 1`, "staykey_guest_keys_overdue 0",
	} {
		if !strings.Contains(metrics, series) {
			t.Errorf("the metrics lack %s", series)
		}
	}
	_, _, timeline := p.ask("GET", "/v1/reservations/default/3333122-433/timeline?limit=1000",
		map[string]string{"Authorization": "Bearer " + e2eToken})
	_, _, audit := p.ask("GET", "/v1/audit", map[string]string{"Authorization": "Bearer " + e2eToken})
	if !strings.Contains(timeline, "instant_key_id") || !strings.Contains(audit, "app_session") {
		t.Errorf("neither the timeline nor the audit log says what was handed out:\n%s\n%s", timeline, audit)
	}
	places := map[string]string{
		"metrics": metrics, "the timeline": timeline, "the audit log": audit,
		"the database": dumped(t, dsn),
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil { // what is left is written
		t.Fatal(err)
	}
	<-p.done
	places["the log"], places["events out and traces"] = p.log.String(), out.String()
	for place, text := range places {
		for what, secret := range secrets {
			if strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString([]byte(secret))) {
				t.Errorf("%s is in %s", what, place)
			}
		}
	}
}

func answered(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// dumped is every row of every table as text.
func dumped(t *testing.T, dsn string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, _ := conn.Query(ctx,
		`SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 20 {
		t.Fatalf("tables: %v %v", tables, err)
	}
	var all strings.Builder
	for _, table := range tables {
		rows, _ := conn.Query(ctx, `SELECT t::text FROM `+pgx.Identifier{table}.Sanitize()+` t`)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(table + "\n" + strings.Join(lines, "\n") + "\n")
	}
	return all.String()
}

// handedOut counts what opens anything at Seam.
func handedOut(sim *simulator.Simulator) int {
	state, n := sim.State(), len(sim.State().InstantKeys)
	for _, c := range state.Sessions {
		if !c.Revoked {
			n++
		}
	}
	return n
}

// TestGuestLinkThatIsNotReady answers why, in the guest's words and a program's.
func TestGuestLinkThatIsNotReady(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	p := launch(t, withGuestLinks(t, env))
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "waiting")
	link := p.guestLink("3333122-433")
	if status, _, raw := p.ask("POST", link, asJSON); status != http.StatusConflict ||
		!strings.Contains(raw, "the room is not assigned") {
		t.Errorf("POST: %d %s", status, raw)
	}
	if status, _, page := p.ask("POST", link,
		map[string]string{"Accept-Language": "fr"}); status != http.StatusConflict ||
		!strings.Contains(page, "Votre chambre n’a pas encore été attribuée") {
		t.Errorf("the button: %d\n%s", status, page)
	}
	if status, _, page := p.ask("GET", link, map[string]string{"Accept-Language": "es"}); status != http.StatusOK ||
		!strings.Contains(page, "todavía no está lista") || strings.Contains(page, "<form") {
		t.Errorf("GET: %d\n%s", status, page)
	}
	if status, body := p.rest("POST",
		"/v1/reservations/default/3333122-433/app-session"); status != http.StatusConflict ||
		!strings.Contains(body["detail"].(string), "listing_unknown") {
		t.Errorf("app session: %d %v", status, body)
	}
	if n := len(sim.State().InstantKeys); n != 0 {
		t.Errorf("%d instant keys", n)
	}
	p.deliver("default", "listing.created", seedListing())
	p.until("3333122-433", "issued")
	limit := 0
	for limit = 0; limit < 20; limit++ {
		if status, header, _ := p.ask("POST", link, asJSON); status == http.StatusTooManyRequests {
			if header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			break
		}
	}
	if limit != 10 {
		t.Errorf("the link was used %d times within an hour", limit)
	}
}

// TestGuestsLanguage is a link of a guest whose language the PMS says: the page is in it, whatever the browser asks
// for.
func TestGuestsLanguage(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	file := configFile(t, "sources: [{name: smoobu, format: smoobu, time_zone: Europe/Berlin, guest_links: true, verify: {secrets: [smoobu-url-token-0123456789]}}]\n")
	p := launch(t, append(env, "STAYKEY_CONFIG="+file, "STAYKEY_PUBLIC_URL=https://keys.example.com"))
	for id, c := range map[string]struct{ says, asks, want string }{
		"1": {`"language": "de_AT", `, "fr", "de"},
		"2": {`"language": "nl", `, "fr", "fr"}, // the page is not written in it
		"3": {`"language": "Klingon!", `, "it", "it"},
		"4": {``, "es", "es"},
	} {
		body := `{"action": "newReservation", "data": {"id": ` + id + `, "type": "reservation", ` + c.says +
			`"apartment": {"id": 7}, "arrival": "2031-08-01", "departure": "2031-08-05"}}`
		if got := p.send(http.MethodPost, "/webhooks/smoobu/smoobu-url-token-0123456789", []byte(body), nil); got !=
			http.StatusAccepted {
			t.Fatalf("%s: %d", id, got)
		}
		var link string
		waitUntil(t, "a link", func() bool {
			_, r := p.rest("GET", "/v1/reservations/smoobu/"+id)
			shown, _ := r["guest_link"].(map[string]any)
			link, _ = shown["url"].(string)
			return link != ""
		})
		_, header, page := p.ask("GET", strings.TrimPrefix(link, "https://keys.example.com"),
			map[string]string{"Accept-Language": c.asks})
		if got := header.Get("Content-Language"); got != c.want || !strings.Contains(page, `<html lang="`+c.want+`">`) {
			t.Errorf("a guest with %q who asks for %s: the page is in %q", c.says, c.asks, got)
		}
	}
}
