package handlers_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

// visitor is a browser without scripts.
type visitor struct {
	*app
	client *http.Client
	csrf   string
}

type shown struct {
	status int
	header http.Header
	path   string
	body   string
}

func (a *app) visitor() *visitor {
	a.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return &visitor{app: a, client: &http.Client{Jar: jar}}
}

func (v *visitor) request(method, path string, form url.Values, change func(*http.Request)) shown {
	v.t.Helper()
	req, err := http.NewRequest(method, v.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if change != nil {
		change(req)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	a := answeredOf(v.t, resp)
	return shown{resp.StatusCode, resp.Header, resp.Request.URL.Path, a}
}

var csrfField = regexp.MustCompile(`name="csrf" value="([0-9a-f]+)"`)

func (v *visitor) signIn(token string) shown {
	v.t.Helper()
	page := v.request("POST", "/sign-in", url.Values{"token": {token}, "person": {"Maria"}, "next": {"/events"}}, nil)
	if found := csrfField.FindStringSubmatch(page.body); found != nil {
		v.csrf = found[1]
	}
	return page
}

func (v *visitor) see(path string) shown {
	v.t.Helper()
	return v.request("GET", path, nil, nil)
}

func (v *visitor) post(path string, form url.Values) shown {
	v.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	form.Set("csrf", v.csrf)
	return v.request("POST", path, form, nil)
}

var pagePaths = []string{
	"/", "/?part=problems", "/?part=arrivals&date=2024-11-01", "/?part=in_house&date=2024-11-02", "/reservations",
	"/calendar", "/calendar?from=2024-11-01&span=month", "/reservations?when=all", "/search?q=3333122", "/arrivals",
	"/reservations?q=3333122", "/reservations/default/3333122-433", "/reservations/default/3333122-433/hold",
	"/reservations/default/3333122-433/window",
	"/listings", "/listings/default/2222222-2222", "/listings/default/not-there-yet", "/doors", "/doors?missing=1&q=2",
	"/events", "/events?status=rejected", "/events/replay?status=rejected", "/sources", "/sources/default", "/health",
	"/audit", "/audit?action=hold&from=2024-01-01",
	"/subscriptions",
}

func TestPagesNeedASession(t *testing.T) {
	t.Parallel()
	a := two(t)
	v := a.visitor()
	for _, path := range pagePaths {
		if page := v.see(path); page.path != "/sign-in" || strings.Contains(page.body, "jane@example.com") {
			t.Errorf("%s without a session leads to %s", path, page.path)
		}
	}
	if page := v.signIn("a-token-that-nobody-has"); page.status != 401 || page.path != "/sign-in" {
		t.Errorf("a wrong token: %d at %s", page.status, page.path)
	}
	if page := v.signIn(adminToken); page.status != 200 || page.path != "/events" {
		t.Fatalf("a right one: %d at %s", page.status, page.path)
	}
	base, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	cookies := v.client.Jar.Cookies(base)
	if len(cookies) != 1 || strings.Contains(cookies[0].Value, adminToken) {
		t.Fatalf("cookies: %v", cookies)
	}
	for _, path := range pagePaths {
		page := v.see(path)
		if page.status != 200 || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d", path, page.status)
		}
		csp := page.header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") ||
			strings.Contains(csp, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", path, csp)
		}
		for _, secret := range []string{adminToken, cookies[0].Value} {
			if strings.Contains(page.body, secret) {
				t.Errorf("%s shows a secret", path)
			}
		}
	}
	v.post("/sign-out", nil)
	if page := v.see("/events"); page.path != "/sign-in" {
		t.Errorf("signed out, and at %s", page.path)
	}
}

func TestCookieIsKeptFromScriptsAndOtherSites(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	v := a.visitor()
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for next, want := range map[string]string{
		"/events?status=rejected": "/events?status=rejected",
		"https://evil.example":    "/", "//evil.example/x": "/", "/\\evil.example": "/", "": "/",
	} {
		page := v.request("POST", "/sign-in", url.Values{"token": {adminToken}, "next": {next}}, nil)
		if page.status != 303 || page.header.Get("Location") != want {
			t.Errorf("next=%q: %d to %q", next, page.status, page.header.Get("Location"))
		}
		cookie := page.header.Get("Set-Cookie")
		for _, word := range []string{"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"} {
			if !strings.Contains(cookie, word) {
				t.Errorf("the cookie lacks %s: %s", word, cookie)
			}
		}
	}
}

// Reached by TLS, the session's cookie can only have been set by this host.
func TestCookieOfTLSIsOfThisHost(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.trusted = pms.Addresses{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	v := a.visitor()
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	tls := func(cookie string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("X-Forwarded-Proto", "https")
			if cookie != "" {
				r.Header.Set("Cookie", cookie)
			}
		}
	}
	set := v.request("POST", "/sign-in", url.Values{"token": {adminToken}}, tls("")).header.Get("Set-Cookie")
	name, rest, _ := strings.Cut(set, "=")
	value, attributes, _ := strings.Cut(rest, ";")
	if name != "__Host-staykey_session" || !strings.Contains(attributes, "Secure") ||
		!strings.Contains(attributes, "Path=/") || strings.Contains(attributes, "Domain") {
		t.Errorf("the cookie is %s", set)
	}
	v.client.Jar = nil // which would add the cookie on its own
	if page := v.request("GET", "/events", nil, tls(name+"="+value)); page.status != http.StatusOK {
		t.Errorf("with the cookie: %d", page.status)
	}
	other := a.visitor() // without the cookie, which a jar may send to loopback over HTTP too
	other.client.CheckRedirect = v.client.CheckRedirect
	if page := other.request("GET", "/events", nil, tls("staykey_session="+value)); page.status == http.StatusOK {
		t.Error("a cookie that another host of the domain may have set is taken")
	}
}

func TestFormsMustBeOurs(t *testing.T) {
	t.Parallel()
	a := two(t)
	v := a.visitor()
	v.signIn(adminToken)
	hold := "/reservations/default/3333122-433/hold"
	form := func(csrf string) url.Values { return url.Values{"csrf": {csrf}, "reason": {"because"}} }
	for what, page := range map[string]shown{
		"no token":      v.request("POST", hold, url.Values{"reason": {"because"}}, nil),
		"another token": v.request("POST", hold, form("00000000000000000000000000000000"), nil),
		"another site": v.request("POST", hold, form(v.csrf),
			func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }),
		"its origin": v.request("POST", hold, form(v.csrf),
			func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }),
	} {
		if page.status != 403 {
			t.Errorf("%s: %d", what, page.status)
		}
	}
	if hold := a.get(onePath + "/overrides").body["held"]; hold != nil {
		t.Fatalf("it is held: %v", hold)
	}
	other := a.visitor()
	other.signIn(adminToken)
	if page := v.request("POST", hold, form(other.csrf), nil); page.status != 403 {
		t.Errorf("another session's token: %d", page.status)
	}
	if page := v.post(hold, url.Values{"reason": {""}}); page.status != 422 {
		t.Errorf("no reason: %d", page.status)
	}
	if page := v.post(hold, url.Values{"reason": {"because"}}); page.status != 200 ||
		page.path != "/reservations/default/3333122-433" {
		t.Errorf("ours: %d at %s", page.status, page.path)
	}
	if hold, _ := a.get(onePath + "/overrides").body["held"].(map[string]any); hold["by"] != "Maria (admin)" {
		t.Errorf("held by %v", hold)
	}
}

func TestPagesOfScopedTokens(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.tokens = append(a.tokens, token("desk", "reads-one-source-only", false, "default"))
	v := a.visitor()
	v.signIn("reads-one-source-only")
	for _, path := range pagePaths[:20] {
		if page := v.see(path); strings.Contains(page.body, "a b/c") || strings.Contains(page.body, "a%20b") {
			t.Errorf("%s shows another source", path)
		}
	}
	for _, path := range []string{
		"/reservations/a%20b%2Fc/3333122-433", "/listings/a%20b%2Fc/2222222-2222",
		"/reservations/a%20b%2Fc/3333122-433/hold",
	} {
		if page := v.see(path); page.status != 404 {
			t.Errorf("%s: %d", path, page.status)
		}
	}
	if page := v.see("/health"); page.status != 403 || strings.Contains(page.body, `href="/health"`) {
		t.Errorf("the health of all: %d, and the menu leads there", page.status)
	}
	for _, path := range []string{
		"/reservations/default/3333122-433/hold", "/listings/default/2222222-2222",
		"/events/replay", "/sources/default/test",
	} {
		if page := v.post(path, url.Values{"reason": {"because"}, "query": {"status=rejected"}}); page.status != 403 {
			t.Errorf("a token that may read posts %s: %d", path, page.status)
		}
	}
	a.tokens = a.tokens[:2]
	if page := v.see("/reservations"); page.path != "/sign-in" {
		t.Error("the token has gone, and the session lasts")
	}
}

// After a wrong token the form keeps the entered name.
func TestWrongTokenKeepsTheName(t *testing.T) {
	t.Parallel()
	page := newApp(t).visitor().signIn("not-a-token")
	if !strings.Contains(page.body, `name="person" type="text" value="Maria"`) {
		t.Errorf("%d %s", page.status, page.body)
	}
}

// A stay on hold shows the admin's reason once, and offers no action that is refused until the hold is released.
func TestPagesOfAHeldStay(t *testing.T) {
	t.Parallel()
	a := two(t)
	const stay = "/reservations/default/3333122-433"
	if r := a.call("POST", "/v1"+stay+"/hold", `{"reason":"the police asked"}`); r.status != http.StatusAccepted {
		t.Fatalf("%d %s", r.status, r.rawBody)
	}
	a.sql(`UPDATE mobile_keys SET reason = 'held', message = 'On hold by an admin (the police asked): nothing is changed at Seam until the hold is released.'`)
	v := a.visitor()
	v.signIn(adminToken)
	a.sql(`INSERT INTO timeline (source, reservation_id, at, kind, summary, detail)
		VALUES ('default', '3333122-433', now(), 'status',
		'issued → issued', ('{"to": "issued", "reason": "held", "message": "On hold by an admin ' ||
			'(the police asked): nothing is changed at Seam until the hold is released."}')::jsonb)`)
	page := v.see(stay)
	if n := strings.Count(page.body, "the police asked"); page.status != http.StatusOK || n != 1 {
		t.Errorf("%d, the reason %d times\n%s", page.status, n, page.body)
	}
	if !strings.Contains(page.body, "put it on hold</span>") {
		t.Errorf("the history lacks the hold\n%s", page.body)
	}
	for _, action := range []string{"/revoke", "/window", "/reissue", "/hold"} {
		if page := v.see(stay + action); page.status != http.StatusConflict ||
			strings.Contains(page.body, `id="reason"`) || !strings.Contains(page.body, "Release it first") {
			t.Errorf("%s: %d %s", action, page.status, page.body)
		}
	}
	if page := v.see(stay + "/release"); page.status != http.StatusOK || !strings.Contains(page.body, `id="reason"`) {
		t.Errorf("release: %d %s", page.status, page.body)
	}

	// Once it is released, the history is where the reason can be read.
	v.post(stay+"/release", url.Values{"reason": {"they were wrong"}})
	if page := v.see(stay); strings.Count(page.body, "the police asked") != 1 ||
		!strings.Contains(page.body, "put it on hold (the police asked)") {
		t.Errorf("after the release\n%s", page.body)
	}
}

// A stay that left nothing at Seam has nothing to check, to repair or to hold.
func TestActionsOfAStayThatEnded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, change, reason string
		offered              bool
	}{
		{"cancelled", `UPDATE mobile_keys SET status = 'revoked'`, "nothing is left of it", false},
		{"over", `UPDATE mobile_keys SET status = 'expired'`, "nothing is left of it", false},
		{
			"not removed", `UPDATE mobile_keys SET status = 'attention', reason = 'not_removed'`,
			"its key may still open doors", true,
		},
		{"being removed", `SELECT 1`, "its key may still open doors", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := two(t)
			a.post(hook{id: "cancel", body: cancelStay})
			a.apply()
			a.sql(c.change)
			v := a.visitor()
			v.signIn(adminToken)
			page := v.see("/reservations/default/3333122-433")
			if got := strings.Contains(page.body, `/3333122-433/reconcile"`); got != c.offered {
				t.Errorf("Check and repair is offered: %v, want %v: %s\n%s", got, c.offered, c.reason, page.body)
			}
		})
	}
}

// Messages that are written for programs show the property's time on the page.
func TestMessagesInPropertyTime(t *testing.T) {
	t.Parallel()
	a := two(t)
	const stay = "/reservations/default/3333122-433"
	a.sql(`UPDATE listings SET time_zone = 'Europe/Madrid'`)
	a.sql(`UPDATE mobile_keys SET status = 'waiting', reason = 'before_horizon', message = 'The key is created at 2024-10-28T14:00:00.000Z, 3 days before check-in.'`)
	v := a.visitor()
	v.signIn(adminToken)
	page := v.see(stay)
	if !strings.Contains(page.body, "Mon 28 Oct, 15:00 CET, 3 days before check-in.") && !strings.Contains(page.body,
		"Mon 28 Oct 2024, 15:00 CET, 3 days before check-in.") {
		t.Errorf("%d %s", page.status, page.body)
	}
	page = v.post(stay+"/window", url.Values{"reason": {"late"}, "ends_at": {"2031-06-01T11:00"}})
	if !strings.Contains(page.body, "at most seven days; the stay is from Fri 1 Nov 2030, 16:00 CET to ") {
		t.Errorf("%d %s", page.status, page.body)
	}
}

func TestListingForm(t *testing.T) {
	t.Parallel()
	a := two(t)
	v := a.visitor()
	v.signIn(adminToken)
	groups := func() string { return strings.Join(a.groupsOf("/v1/listings/default/2222222-2222"), " ") }
	path := "/listings/default/2222222-2222"
	v.post(path, url.Values{
		"groups_by": {"admin"}, "group": {"777777-7777"},
		"more_groups": {"888888-8888, 777777-7777"}, "name": {"Garden suite"},
	})
	if got := groups(); got != "777777-7777 888888-8888" {
		t.Errorf("set here: %s", got)
	}
	if l := a.get("/v1/listings/default/2222222-2222").body; l["name"] != "Garden suite" ||
		l["seam_access_group_ids_set_by"] != "admin" {
		t.Errorf("the listing: %v", l)
	}
	if page := v.post(path, url.Values{
		"groups_by": {"admin"}, "group": {"777777-7777"},
		"time_zone": {"Mars/Olympus"},
	}); page.status != 422 || !strings.Contains(page.body, "time_zone") {
		t.Errorf("a wrong time zone: %d", page.status)
	}
	v.post(path, url.Values{"groups_by": {"pms"}, "name": {"Garden suite"}})
	if got := groups(); got != "555555-5555 666666-6666" {
		t.Errorf("as the PMS says: %s", got)
	}
	if page := v.post("/listings/default/new", url.Values{
		"groups_by": {"admin"},
		"group":     {"555555-5555"},
	}); page.status != 200 {
		t.Errorf("a new listing: %d", page.status)
	}
	if l := a.get("/v1/listings/default/new"); l.status != 200 {
		t.Errorf("the new listing: %d", l.status)
	}
}

func (a *app) groupsOf(path string) []string {
	var ids []string
	list, _ := a.get(path).body["seam_access_group_ids"].([]any)
	for _, id := range list {
		ids = append(ids, id.(string))
	}
	return ids
}

// A form with text that can't be stored is refused as invalid, not as a database failure, and the answer is a page.
func TestFormsWithBadText(t *testing.T) {
	t.Parallel()
	a := two(t)
	v := a.visitor()
	v.signIn(adminToken)
	for path, form := range map[string]url.Values{
		"/events/replay": {"query": {"source=%00"}}, "/reservations/default/3333122-433/hold": {"reason": {"\xff"}},
		"/listings/default/2222222-2222": {"name": {"\x00"}},
	} {
		if page := v.post(path, form); page.status != 422 {
			t.Errorf("%s: %d", path, page.status)
		}
	}
}

func TestPagesMeetNonsense(t *testing.T) {
	t.Parallel()
	a := two(t)
	v := a.visitor()
	v.signIn(adminToken)
	for _, path := range []string{
		"/reservations?cursor=x", "/reservations?check_in_from=tomorrow", "/reservations?q=%00", "/reservations?q=%ff",
		"/reservations?status=maybe", "/reservations?key_status=%27", "/reservations/default/none",
		"/reservations/default/%00", "/reservations/default/3333122-433/explode",
		"/reservations/default/3333122-433?cursor=x", "/listings?q=%25%5f", "/listings/nobody/x",
		"/listings/default/%00", "/events?type=%00", "/events/none",
		"/events/replay", "/events/replay?event_id=x", "/events?cursor=AAAA", "/assets/x/none.css", "/updates/x",
	} {
		if page := v.see(path); page.status >= 500 {
			t.Errorf("%s: %d %s", path, page.status, page.body)
		}
	}
	for _, path := range []string{
		"/reservations?status=maybe", "/reservations?key_status=lost", "/events?status=x", "/listings?deleted=maybe",
		"/listings?cursor=x",
		"/events?cursor=AAAA", "/reservations/default/3333122-433?cursor=x",
		"/reservations/default/3333122-433?cursor=AAAA", "/?date=2026-01-01&date=2026-01-02", "/calendar?q=a&q=b",
		"/reservations?key_status=attention&key_status=waiting", "/sign-in?next=/&next=/health",
		"/reservations.csv?q=a&q=b", "/updates?seen=a&seen=b",
	} {
		if page := v.see(path); page.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d, and REST refuses it", path, page.status)
		}
	}
	for path, shown := range map[string]bool{
		"/listings": true, "/listings?deleted=false": true,
		"/listings?deleted=true": false,
	} {
		if page := v.see(path); page.status != 200 || strings.Contains(page.body, "2222222-2222") != shown {
			t.Errorf("%s: %d, want the listing shown: %t", path, page.status, shown)
		}
	}
}

// What a PMS posts is text, wherever a page shows it.
func TestPagesEscape(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	const evil = `<script>alert(1)</script>`
	a.post(
		hook{
			body: `{"type":"listing.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"listing_id":"<b>L","name":"` + evil + `","seam_access_group_ids":["\"><img src=x onerror=alert(1)>"]}}`,
		})
	a.post(
		hook{
			body: `{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"<i>R","guest_name":"` + evil + `","guest_email":"jane@example.com","listing_id":"<b>L","check_in":"2030-11-01T15:00:00Z","check_out":"2030-11-04T11:00:00Z"}}`,
		})
	a.post(hook{body: `{"type":"` + evil + `"}`})
	a.apply()
	v := a.visitor()
	v.signIn(adminToken)
	for _, path := range []string{
		"/", "/reservations", "/reservations?q=" + url.QueryEscape(evil),
		"/reservations/default/%3Ci%3ER", "/reservations/default/%3Ci%3ER/hold", "/listings",
		"/listings/default/%3Cb%3EL", "/events", "/events?type=" + url.QueryEscape(evil),
		"/events/replay?type=" + url.QueryEscape(evil),
	} {
		page := v.see(path)
		if page.status != 200 {
			t.Errorf("%s: %d", path, page.status)
		}
		for _, raw := range []string{"<script>alert", "<i>R", "<b>L", "<img src=x"} {
			if strings.Contains(page.body, raw) {
				t.Errorf("%s shows %s as it came", path, raw)
			}
		}
	}
}

// The clock is a choice of the browser, and the choice leads back to the page.
func TestClockOfTheBrowser(t *testing.T) {
	t.Parallel()
	a := two(t)
	v := a.visitor()
	v.signIn(adminToken)
	const path = "/reservations/default/3333122-433"
	if page := v.see(path + "?plan=1"); !strings.Contains(page.body, " 2030, 15:00 UTC") ||
		!strings.Contains(page.body, `href="/clock/12?next=`) {
		t.Fatalf("by default:\n%s", page.body)
	}
	if page := v.see("/clock/12?next=" + url.QueryEscape(path)); page.path != path ||
		!strings.Contains(page.body, " 2030, 3:00 pm UTC") || strings.Contains(page.body, "15:00 UTC") {
		t.Errorf("with 12 hours, at %s:\n%s", page.path, page.body)
	}
	if page := v.see("/calendar?from=2030-11-01"); !strings.Contains(page.body, "3:00 pm – ") {
		t.Errorf("the calendar:\n%s", page.body)
	}
	if page := v.see("/clock/24?next=https://evil.example"); page.path != "/" {
		t.Errorf("with 24 hours again, at %s", page.path)
	}
	if page := v.see(path); !strings.Contains(page.body, "15:00 UTC") {
		t.Errorf("with 24 hours again:\n%s", page.body)
	}
	if page := v.see("/clock/13"); page.status != 404 || !strings.Contains(page.body, "<html") {
		t.Errorf("a clock with 13 hours: %d\n%s", page.status, page.body)
	}
}
