package handlers_test

import (
	"cmp"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// englishPhrases are the parts of English texts of the page that have more than 12 characters and a space, by the
// text's translation into a language.
func englishPhrases(t *testing.T, tag string) map[string]string {
	t.Helper()
	file, err := os.ReadFile("web/words/" + tag + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]string{}
	if err := yaml.Unmarshal(file, &words); err != nil {
		t.Fatal(err)
	}
	phrases := map[string]string{}
	between := regexp.MustCompile(`\{[a-z]+\}|<[^>]*>|\||~\w+$`)
	for text, translation := range words {
		for _, phrase := range between.Split(text, -1) {
			phrase = strings.Trim(phrase, ` .,:;—()“”`)
			if len(phrase) > 12 && strings.Contains(phrase, " ") && !strings.Contains(translation, phrase) {
				phrases[phrase] = text
			}
		}
	}
	if len(phrases) < 300 {
		t.Fatalf("only %d phrases", len(phrases))
	}
	return phrases
}

var (
	inEnglish  = regexp.MustCompile(`(?s)<(div|span) lang="en">.*?</(div|span)>|<pre.*?</pre>|<script.*?</script>`)
	anyTag     = regexp.MustCompile(`<[^>]*>`)
	shownParts = regexp.MustCompile(`\s(?:placeholder|title|aria-label|data-[a-z-]+)="([^"]*)"`)
)

// textOf is what people see or hear of a page: text, and attributes with texts. What is marked as English is left out.
func textOf(page string) string {
	page = inEnglish.ReplaceAllString(page, " ")
	var b strings.Builder
	b.WriteString(anyTag.ReplaceAllString(page, " ¦ "))
	for _, attribute := range shownParts.FindAllStringSubmatch(page, -1) {
		b.WriteString("\n" + attribute[1])
	}
	return strings.Join(strings.Fields(html.UnescapeString(b.String())), " ")
}

// No page of another language shows an English text of the page, in any state.
func TestPagesAreTranslated(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"es", "de", "fr", "it"} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			phrases := englishPhrases(t, tag)
			seen := 0
			everyPage(t, tag, func(what string, page shown) {
				seen++
				is := page.header.Get("Content-Language")
				if !strings.Contains(page.body, `<html lang="`+tag+`">`) || is != tag {
					t.Errorf("%s (%d) isn't in the language: %q", what, page.status, is)
				}
				text := textOf(page.body)
				for phrase, of := range phrases {
					if strings.Contains(text, phrase) {
						t.Errorf("%s shows %q (of %q)", what, phrase, of)
					}
				}
			})
			if seen < 85 {
				t.Errorf("only %d pages", seen)
			}
		})
	}
}

// everyPage shows every page in a language, in typical states and in those with problems.
func everyPage(t *testing.T, tag string, look func(what string, page shown)) {
	t.Helper()
	none := newApp(t)
	visit := func(a *app, token string) *visitor {
		v := a.visitor()
		if page := v.see("/language/" + tag + "?next=/sign-in"); page.path != "/sign-in" {
			t.Fatalf("the language can't be chosen: %d at %s", page.status, page.path)
		}
		look("a wrong token", v.signIn("a-token-that-nobody-has"))
		if page := v.signIn(token); page.status != http.StatusOK {
			t.Fatalf("can't sign in: %d", page.status)
		}
		return v
	}
	empty := visit(none, adminToken)
	look("sign-in", none.speaking(tag).see("/sign-in"))
	for _, path := range pagePaths {
		look("without data, "+path, empty.see(path))
	}

	a := twoWithProblems(t)
	v := visit(a, adminToken)
	paths := append([]string{
		"/?part=departures", "/reservations?key_status=attention&when=all", "/reservations?when=all&status=confirmed",
		"/reservations/default/3333122-433?plan=1", "/reservations/default/3333122-433/reconcile",
		"/reservations/default/3333122-433/revoke", "/reservations/default/3333122-433/reissue",
		"/reservations/default/stuck-0", "/reservations/default/nobody", "/listings/default/stuck-listing-1",
		"/listings?q=nothing-has-this", "/events?type=nothing", "/search?q=nothing-has-this", "/search",
		"/sources/open", "/sources/a%20b%2Fc", "/sources/none", "/subscriptions/none", "/clock/13",
		"/reservations?check_in_from=nonsense", "/events/" + a.eventOf("status=rejected"),
		"/events/" + a.eventOf("status=applied"),
	}, pagePaths...)
	for i := range stay.Codes() {
		paths = append(paths, fmt.Sprint("/reservations/default/stuck-", i))
	}
	for _, path := range paths {
		look(path, v.see(path))
	}
	const one = "/reservations/default/3333122-433"
	look("a window that can't be read", v.post(one+"/window", url.Values{"reason": {"r"}, "starts_at": {"x"}}))
	look("no reason", v.post(one+"/hold", nil))
	look("nothing selected", v.post("/reservations/actions", url.Values{"action": {"hold"}, "reason": {"r"}}))
	bulk := url.Values{"action": {"hold"}, "reason": {"r"}, "stay": {"default/3333122-433", "default/nobody"}}
	look("several put on hold", v.post("/reservations/actions", bulk))
	look("on hold", v.see(one))
	look("an action while on hold", v.see(one+"/revoke"))
	look("released", v.post(one+"/release", url.Values{"reason": {"r"}}))
	look("a note", v.post(one+"/notes", url.Values{"text": {"Arrives late."}}))
	look("an empty note", v.post(one+"/notes", nil))
	look("the history", v.see(one))
	look("no listings selected", v.post("/doors", url.Values{"mode": {"add"}}))
	look("doors chosen", v.post("/doors", url.Values{
		"mode": {"replace"}, "group": {"555555-5555"}, "listing": {"default/2222222-2222", "default/nowhere"},
	}))
	look("a table of doors", v.upload(
		"source,listing_id,name,doors\ndefault,900,Room 900,Room 12\ndefault,901,,no such door\n"))
	look("a file that is no table", v.upload("\xff\xfe\x00"))
	look("a listing with a wrong zone", v.post("/listings/default/2222222-2222", url.Values{"time_zone": {"Nowhere"}}))
	look("a listing saved", v.post("/listings/default/2222222-2222", url.Values{"name": {"Sea view"}}))
	look("a source tested", v.post("/sources/default/test", nil))
	look("a source without a verifier", v.see("/sources/disabled"))
	look("replayed", v.post("/events/replay", url.Values{"query": {"status=rejected"}}))
	look("a form of another session", v.request("POST", "/views/events", url.Values{"csrf": {"x"}}, nil))

	look("doors typed", v.post("/doors/typed", url.Values{
		"row": {"default/2222222-2222", "default/nowhere"}, "typed": {"room 12", "no such door"}, "back": {"/doors"},
	}))
	look("nothing typed", v.post("/doors/typed", url.Values{"row": {"default/2222222-2222"}, "typed": {""}}))

	a.gate("default", pms.Gate{Name: "paid", Holds: stay.HoldsKey}, pms.Gate{Name: "signed", Holds: stay.HoldsLink})
	a.linked = true
	look("gates that nobody has set, and a guest's link", v.see(one))
	look("a gate closed", v.post(one+"/gates/paid", url.Values{"state": {"closed"}, "evidence": {"no payment"}}))
	look("a gate opened", v.post(one+"/gates/paid", url.Values{"state": {"open"}}))
	look("a gate that doesn't exist", v.post(one+"/gates/nothing", url.Values{"state": {"open"}}))
	look("the history of gates", v.see(one))
	look("a link to renew", v.see(one+"/renew-link"))
	look("a link renewed", v.post(one+"/renew-link", url.Values{"reason": {"r"}}))

	message := a.subscribed("app")
	const app = "/subscriptions/app"
	look("subscriptions", v.see("/subscriptions"))
	look("a subscription", v.see(app))
	look("a subscription without such messages", v.see(app+"?status=dropped"))
	look("a subscription tested", v.post(app+"/test", nil))
	look("a message sent again", v.post(app+"/deliveries/"+message+"/resend", nil))
	a.sql(`UPDATE deliveries SET status = 'dropped', reason = 'the stay is over', next_attempt_at = now()`)
	a.sql(`UPDATE subscriptions SET failures = 3, failing_since = now(), last_error = '503'`)
	look("a subscription that fails", v.see(app))
	look("a subscription disabled", v.post(app+"/disable", nil))
	look("a message of one that is disabled", v.post(app+"/deliveries/"+message+"/resend", nil))
	look("subscriptions, one disabled", v.see("/subscriptions"))
	look("an unknown action on a subscription", v.post(app+"/burn", nil))
	look("the audit log", v.see("/audit"))

	a.tokens = append(a.tokens, token("reader", "a-token-that-reads-only", false))
	reader := visit(a, "a-token-that-reads-only")
	for _, path := range []string{"/", one, "/reservations", "/listings/default/2222222-2222", one + "/hold"} {
		look("read only, "+path, reader.see(path))
	}
}

// twoWithProblems is [two], with a stay for each reason and trouble of the whole service.
func twoWithProblems(t *testing.T) *app {
	t.Helper()
	a := two(t)
	paused, old := "Seam does not accept SEAM_API_KEY: set a valid one", time.Now().Add(-time.Hour)
	a.provisioning = admin.Provisioning{
		Paused: &paused, Disconnected: []admin.Disconnected{{ACSSystemID: "s", Since: "2026-01-01"}},
		LastSweep: admin.ShowSweep(stay.Sweep{At: old, Compared: 3, Different: 1, HeldBack: 2}),
	}
	for i, code := range stay.Codes() {
		id := fmt.Sprint("stuck-", i)
		a.stuck(id, fmt.Sprint("stuck-listing-", i%3), code)
		reason, _ := stay.Find(code)
		verbs := strings.NewReplacer("%[1]q", `"x"`, "%[1]s", "x", "%[2]s", "y", "%[2]q", `"y"`, "%q", `"x"`, "%s", "x")
		a.sql(`UPDATE mobile_keys SET message = $2 WHERE reservation_id = $1`, id,
			cmp.Or(verbs.Replace(reason.Message), code))
	}
	return a
}

// speaking is a visitor whose browser asks for a language.
func (a *app) speaking(tag string) *visitor {
	v := a.visitor()
	v.client.Transport = speakingTransport{tag}
	return v
}

type speakingTransport struct{ header string }

func (s speakingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept-Language", s.header)
	return http.DefaultTransport.RoundTrip(r)
}

// The person's choice comes first, then what the browser asks for, then English; the clock follows the region.
func TestLanguageOfPages(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for header, want := range map[string]string{
		"":   "en",                       // no preference
		"ja": "en", "nonsense;;q=": "en", // none that the page has
		"it": "it", "fr-CH": "fr", // a language, and a region of one
		"de-AT,en;q=0.5": "de", "en-GB,de;q=0.9": "en", // the first of several
		"ca,es;q=0.8": "es", // the first that the page has
	} {
		v := a.speaking(header)
		page := v.see("/sign-in")
		if got := page.header.Get("Content-Language"); got != want {
			t.Errorf("%q: %s, not %s", header, got, want)
		}
		if vary := strings.Join(page.header.Values("Vary"), ", "); !strings.Contains(vary, "Accept-Language") ||
			!strings.Contains(vary, "Cookie") {
			t.Errorf("Vary is %q", vary)
		}
	}
	v := a.speaking("en-US")
	v.signIn(adminToken)
	if page := v.see("/"); !strings.Contains(page.body, "24-hour clock") {
		t.Error("an American browser isn't offered the 24-hour clock: it doesn't have the 12-hour one")
	}
	if page := v.see("/clock/24?next=/"); !strings.Contains(page.body, "12-hour clock") {
		t.Error("the person's choice of a clock doesn't win")
	}
	if page := v.see("/language/de?next=/events"); page.path != "/events" ||
		page.header.Get("Content-Language") != "de" {
		t.Errorf("the choice leads to %s, in %s", page.path, page.header.Get("Content-Language"))
	}
	if page := v.see("/"); page.header.Get("Content-Language") != "de" {
		t.Error("the choice isn't remembered")
	}
	if page := v.see("/language/xx"); page.status != http.StatusNotFound {
		t.Errorf("a language that the page isn't written in: %d", page.status)
	}
	if page := v.see("/language/es?next=https://evil.example"); page.path != "/" {
		t.Errorf("the choice leads to %s", page.path)
	}
}

// What a PMS sends is escaped in translated sentences as well.
func TestTranslatedPagesEscape(t *testing.T) {
	t.Parallel()
	a := two(t)
	v := a.speaking("fr")
	v.signIn(adminToken)
	const attack = `<script>alert(1)</script>`
	v.post("/reservations/default/3333122-433/hold", url.Values{"reason": {attack}})
	for _, path := range []string{
		"/reservations/default/3333122-433", "/reservations?q=" + url.QueryEscape(attack),
		"/search?q=" + url.QueryEscape(attack),
	} {
		page := v.see(path)
		if strings.Contains(page.body, attack) || !strings.Contains(page.body, "&lt;script&gt;") {
			t.Errorf("%s doesn't show it escaped", path)
		}
	}
}
