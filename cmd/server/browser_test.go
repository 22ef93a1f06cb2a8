//go:build browser

// Tests of the web page in a real browser, over the program that ships: make browser. They need Chromium
// (STAYKEY_CHROMIUM, or chromium in the PATH) and axe-core (npm ci --prefix tools/web), and fail without.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

// browser is a tab that notes what should never happen: errors on the console, and requests to other hosts.
type browser struct {
	t   *testing.T
	ctx context.Context
	url string

	mu     sync.Mutex
	wrong  []string
	loaded int
}

func chromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("STAYKEY_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("Chromium is needed: install it (apt-get install chromium), or name it in STAYKEY_CHROMIUM")
	return ""
}

func openBrowser(t *testing.T, url string) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.NoSandbox,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("accept-lang", "en-GB"))
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	tab, cancelTab := chromedp.NewContext(allocator)
	ctx, cancel := context.WithCancel(tab)
	b := &browser{t: t, ctx: ctx, url: url}
	t.Cleanup(func() {
		cancel()
		cancelTab()
		cancelAllocator()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, w := range b.wrong {
			t.Error(w)
		}
		if b.loaded == 0 {
			t.Error("the browser has loaded nothing")
		}
	})
	note := func(format string, args ...any) { b.wrong = append(b.wrong, fmt.Sprintf(format, args...)) }
	err := chromedp.Listen(tab, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			b.loaded++
			if !strings.HasPrefix(e.Request.URL, url+"/") && !strings.HasPrefix(e.Request.URL, "data:") {
				note("a request to another host: %s", e.Request.URL)
			}
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				note("the console says: %v", e.Args)
			}
		case *runtime.EventExceptionThrown:
			note("a script fails: %s", e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				note("the log says: %s %s", e.Entry.Text, e.Entry.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, t, log.Enable, cdp.Empty{})
		return err
	}), chromedp.EmulateViewport(1280, 900))
	return b
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, until.Patience)
	defer cancel()
	for _, action := range actions {
		err := chromedp.Do(ctx, action)
		for isReplaced(err) && ctx.Err() == nil {
			err = chromedp.Do(ctx, action)
		}
		if err != nil {
			at, _ := chromedp.Run(b.ctx, chromedp.Location())
			body, _ := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
			b.t.Fatalf("the browser, at %s: %v; the page says:\n%s", at, err, body)
		}
	}
}

// isReplaced reports whether a live update replaced an element between finding it and using it, so that nothing was
// clicked or typed yet.
func isReplaced(err error) bool {
	return err != nil && strings.Contains(err.Error(), "node with given id")
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url+path), chromedp.WaitReady(chromedp.CSS("main")))
}

func (b *browser) signIn(token, person string) {
	b.t.Helper()
	b.open("/")
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), token), chromedp.SendKeys(chromedp.CSS("#person"), person),
		chromedp.Submit(chromedp.CSS("#token")), chromedp.WaitVisible(chromedp.CSS("nav[aria-label=Pages]")))
}

// ask runs an action that has a result.
func ask[T any](b *browser, a chromedp.Action[T]) (result T) {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (_ chromedp.Void, err error) {
		result, err = a(ctx, t)
		return chromedp.Void{}, err
	})
	return result
}

// says reports whether a part of the page holds a text now.
func (b *browser) says(selector, want string) bool {
	text, err := json.Marshal(want)
	if err != nil {
		b.t.Fatal(err)
	}
	part, err := json.Marshal(selector)
	if err != nil {
		b.t.Fatal(err)
	}
	is, err := chromedp.Run(b.ctx,
		chromedp.Evaluate[bool](fmt.Sprintf(`(document.querySelector(%s)?.innerText ?? "").includes(%s)`, part, text)))
	return is && err == nil // between two pages there is none
}

// untilText waits for a text in a part of the page.
func (b *browser) untilText(selector, want string) {
	b.t.Helper()
	b.await(fmt.Sprintf("%s to say %q", selector, want), func() bool { return b.says(selector, want) })
}

// until waits until an expression of the page is true. A look right after a key or a click is too early: the driver
// returns when the browser has taken it, which may be before the page has seen it.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	b.await(what, func() bool {
		is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		return is && err == nil // between two pages there is none
	})
}

func (b *browser) await(what string, reached func() bool) {
	b.t.Helper()
	until.Reached(b.t, reached, func() {
		b.t.Helper()
		at, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](
			`location.href + ", with the focus on " + document.activeElement.outerHTML.slice(0, 300)`))
		body, _ := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
		b.t.Fatalf("waited for %s, at %s; the page says:\n%s", what, at, body)
	})
}

// mustBeAccessible has axe-core look at the page as it is.
func (b *browser) mustBeAccessible(what string) {
	b.t.Helper()
	axe, err := os.ReadFile("../../tools/web/node_modules/axe-core/axe.min.js")
	if err != nil {
		b.t.Fatal("axe-core is needed: npm ci --prefix tools/web")
	}
	b.do(chromedp.Evaluate[chromedp.Void](string(axe)))
	found := ask(b, chromedp.Evaluate[string](
		`axe.run().then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.target + " " + (n.any[0]?.message ?? "")).join("; "))))`, chromedp.EvalAwaitPromise))
	if found != "[]" {
		b.t.Errorf("%s is not accessible: %s", what, found)
	}
}

func (b *browser) scheme(name string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia,
			emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{
				Name:  "prefers-color-scheme",
				Value: name,
			}}})
		return err
	}))
}

// TestPage is an admin's way: a guest can't get in, why, and fixed.
func TestPage(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	receiver := newListener(t)
	p := launch(t, append(env, receiver.config(t, "")))
	p.deliver("default", "listing.created", map[string]any{
		"listing_id": "attic", "name": "Attic",
		"seam_access_group_ids": []string{},
	})
	stay := seedReservation()
	stay["listing_id"] = "attic"
	p.deliver("default", "reservation.created", stay)
	p.until("3333122-433", "waiting")

	b := openBrowser(t, p.url)
	b.open("/reservations/default/3333122-433")
	b.mustBeAccessible("sign-in")
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), "a-token-that-nobody-has-made"),
		chromedp.Submit(chromedp.CSS("#token")))
	b.untilText(".problem", "That token isn't valid")
	b.mu.Lock()
	b.wrong = nil // the 401 is in the browser's log, and is meant to be
	b.mu.Unlock()
	b.signIn(e2eToken, "Maria")

	// From an e-mail address to the reason: one interaction.
	b.do(chromedp.SendKeys(chromedp.CSS("#find"), "jane@example.com\n"))
	b.untilText(".stays", "This listing has no doors yet")
	b.do(chromedp.Click(chromedp.CSS(`.stays a[href="/reservations/default/3333122-433"]`)),
		chromedp.WaitVisible(chromedp.CSS(".verdict")))
	if verdict := ask(b, chromedp.Text(chromedp.CSS(".verdict"))); !strings.Contains(verdict, "Waiting") ||
		!strings.Contains(verdict, "no doors") {
		t.Errorf("the page says %q", verdict)
	}
	b.mustBeAccessible("a reservation that waits")

	// Fix it in another tab; this one follows without a reload.
	b.do(chromedp.Evaluate[chromedp.Void](`window.untouched = true`))
	tab, cancel := chromedp.NewContext(b.ctx)
	defer cancel()
	ctx, stop := context.WithTimeout(tab, until.Patience)
	defer stop()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(p.url+"/listings/default/attic"),
		chromedp.Click(chromedp.CSS(`input[value="555555-5555"]`)),
		chromedp.Submit(chromedp.CSS("#name")), chromedp.WaitVisible(chromedp.CSS(".good"))); err != nil {
		t.Fatal(err)
	}
	b.untilText(".verdict .badge", "Ready")
	b.untilText("#live-history", "created the mobile key")
	const untouched = `window.untouched === true`
	if !ask(b, chromedp.Evaluate[bool](untouched)) {
		t.Error("the page was reloaded")
	}
	b.mustBeAccessible("a reservation with its key")

	// An action, with its confirmation, and its place in the history.
	b.do(chromedp.Click(chromedp.CSS(`a[href$="/hold"]`)), chromedp.WaitVisible(chromedp.CSS("#reason")))
	b.mustBeAccessible("the confirmation of an action")
	b.do(chromedp.SendKeys(chromedp.CSS("#reason"), "the owner asks for no changes\n"),
		chromedp.WaitVisible(chromedp.CSS(".verdict")))
	b.untilText(".note", "Maria (admin): the owner asks for no changes")
	b.untilText("#live-history", "Maria (admin) put it on hold")
	b.do(chromedp.Click(chromedp.CSS(`a[href$="/release"]`)), chromedp.WaitVisible(chromedp.CSS("#reason")),
		chromedp.SendKeys(chromedp.CSS("#reason"), "settled\n"), chromedp.WaitVisible(chromedp.CSS(".verdict")))
	b.untilText("#live-history", "Maria (admin) released the hold")
	b.do(chromedp.Click(chromedp.CSS(`a[href$="/window"]`)), chromedp.WaitVisible(chromedp.CSS("#starts_at")))
	b.mustBeAccessible("the window")

	b.open("/reservations/default/3333122-433?plan=1")
	b.untilText("#planned", "No changes needed.")
	for _, path := range []string{
		"/", "/reservations", "/listings", "/listings/default/attic", "/events", "/sources",
		"/subscriptions", "/subscriptions/app", "/subscriptions/app?status=waiting", "/health",
		"/reservations?q=nobody", "/events/replay?type=reservation.created", "/docs",
	} {
		b.open(path)
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			b.mustBeAccessible(path + " " + scheme)
		}
	}
	<-receiver.arrived // the key is ready, and a message says so
	b.open("/subscriptions/app")
	b.untilText("main", "mobile_key.ready")
	b.do(chromedp.Click(chromedp.CSS(`form[action="/subscriptions/app/disable"] button`)))
	b.untilText("main", "Nothing is sent")
	b.mustBeAccessible("a subscription that is disabled")
	b.open("/events")
	b.do(chromedp.Click(chromedp.CSS("#live-events td a")), chromedp.WaitVisible(chromedp.CSS("#raw")))
	b.mustBeAccessible("an event")
	b.open("/sources")
	b.do(chromedp.Click(chromedp.CSS(`form[action="/sources/default/test"] button`)))
	b.untilText(".good", "the test event was verified and stored")

	// Search as one types.
	b.open("/reservations")
	b.do(chromedp.Evaluate[chromedp.Void](`window.untouched = true`), chromedp.SendKeys(chromedp.CSS("#find"),
		"nobody@exam"))
	b.untilText("#live-reservations", "No results")
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#find").select()`),
		chromedp.SendKeys(chromedp.CSS("#find"), "jane@exam"))
	b.untilText("#live-reservations", "3333122-433")
	if !ask(b, chromedp.Evaluate[bool](untouched)) {
		t.Error("searching reloaded the page")
	}

	b.do(chromedp.Click(chromedp.CSS(".person button")), chromedp.WaitVisible(chromedp.CSS("#token")))
	b.open("/events")
	b.do(chromedp.WaitVisible(chromedp.CSS("#token")))
	if log := p.log.String() + p.out.String(); strings.Contains(log, e2eToken) ||
		strings.Contains(log, "jane@example.com") {
		t.Error("the log shows a token or a guest")
	}
}

// TestScreenshots takes pictures of the pages: of a hotel with three reservations for the docs (SCREENSHOTS names the
// folder), and, with SCREENSHOTS_ALL, of none and of 100,000 too, at both widths, light and dark.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		t.Skip("make screenshots")
	}
	dsn := storetest.DSN(t)
	_, env := simulated(t, dsn)
	p := launch(t, append(env, "STAYKEY_PUBLIC_URL=https://keys.example.com"))
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	take := func(name, path string, width int64, scheme string) {
		b.scheme(scheme)
		b.do(chromedp.EmulateViewport(width, 900))
		b.open(path)
		if ask(b, chromedp.Evaluate[bool](`document.querySelector("[data-live]") !== null`)) {
			b.untilText("[data-live-state]", "Live")
		}
		b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-live-state]").hidden = true`))
		b.picture(folder, name, width)
	}
	all := os.Getenv("SCREENSHOTS_ALL") != ""
	everyWay := func(name, path string) {
		for _, width := range []int64{1280, 390} {
			for _, scheme := range []string{"light", "dark"} {
				take(fmt.Sprintf("%s-%d-%s", name, width, scheme), path, width, scheme)
			}
		}
	}
	if all {
		for name, path := range map[string]string{
			"none-today": "/", "none-reservations": "/reservations",
			"none-listings": "/listings", "none-events": "/events", "none-sources": "/sources",
		} {
			everyWay(name, path)
		}
	}
	hotel(t, p)
	pages := map[string]string{
		"today": "/", "reservations": "/reservations", "reservation": "/reservations/default/3333122-433",
		"waiting":  "/reservations/default/3333122-434",
		"listings": "/listings", "listing": "/listings/default/2222222-2222", "events": "/events",
		"sources": "/sources",
	}
	if !all { // TestHotelScreenshots takes those of the other pages
		for _, name := range []string{"reservation", "waiting"} {
			take(name, pages[name], 1280, "light")
		}
		take("reservation-phone", pages["reservation"], 390, "dark")
		return
	}
	take("three-health", "/health", 1280, "light")
	take("three-window", "/reservations/default/3333122-433/window", 390, "dark")
	take("three-replay", "/events/replay?type=reservation.created", 1280, "light")
	for name, path := range pages {
		everyWay("three-"+name, path)
	}
	many(t, dsn)
	for name, path := range map[string]string{
		"many-today": "/", "many-reservations": "/reservations",
		"many-search": "/reservations?q=guest777", "many-attention": "/reservations?key_status=attention",
	} {
		everyWay(name, path)
	}
}

// hotel books three stays: one has its key, one waits, one needs a person.
func hotel(t *testing.T, p *process) {
	t.Helper()
	in := time.Now().UTC().Add(6 * time.Hour).Truncate(time.Hour)
	stay := func(id, listing, email, name string) map[string]any {
		return map[string]any{
			"reservation_id": id, "listing_id": listing, "guest_email": email, "guest_name": name,
			"check_in": in.Format(time.RFC3339), "check_out": in.AddDate(0, 0, 3).Format(time.RFC3339),
		}
	}
	p.deliver("default", "listing.created", map[string]any{
		"listing_id": "2222222-2222", "name": "Garden suite",
		"time_zone": daytime(), "seam_access_group_ids": []string{"555555-5555", "666666-6666"},
	})
	p.deliver("default", "listing.created", map[string]any{
		"listing_id": "2222222-2223", "name": "Attic",
		"time_zone": daytime(), "seam_access_group_ids": []string{},
	})
	p.deliver("default", "listing.created", map[string]any{
		"listing_id": "2222222-2224", "name": "Tower room",
		"time_zone": daytime(), "seam_access_group_ids": []string{"666666-6666", "999999-9999"},
	})
	p.deliver("default", "reservation.created", stay("3333122-433", "2222222-2222", "jane@example.com", "Jane Doe"))
	p.deliver("default", "reservation.created", stay("3333122-434", "2222222-2223", "joe@example.com", "Joe Bloggs"))
	p.deliver("default", "reservation.created", stay("3333122-435", "2222222-2224", "maria@example.com", ""))
	p.deliver("default", "reservation.created", map[string]any{"reservation_id": ""})
	p.until("3333122-433", "issued")
	p.until("3333122-434", "waiting")
	p.until("3333122-435", "attention")
}

// many puts 100,000 reservations next to them, as if they had come.
func many(t *testing.T, dsn string) {
	t.Helper()
	out, err := exec.Command("psql", dsn, "-q", "-v", "ON_ERROR_STOP=1", "-c", `
		INSERT INTO reservations (source, reservation_id, status, listing_id, guest_email, check_in, check_out,
			version_at, version_seq, created_at, updated_at)
		SELECT 'default', 'M' || n, 'confirmed', '2222222-2222', 'guest' || n || '@example.com',
			now() + n * interval '2 minutes', now() + n * interval '2 minutes' + interval '3 days', now(), 1, now(),
			now()
		FROM generate_series(1, 100000) n;
		INSERT INTO mobile_keys (source, reservation_id, status, reason, message, check_in, observed_generation,
			changed_at)
		SELECT 'default', 'M' || n, CASE WHEN n % 997 = 0 THEN 'attention' ELSE 'issued' END,
			CASE WHEN n % 997 = 0 THEN 'not_subscribed' END,
			CASE WHEN n % 997 = 0 THEN 'the stay has begun and Salto KS has not subscribed the user: ' ||
				'check the site''s user subscriptions in Salto KS' END,
			now() + n * interval '2 minutes', 1, now() - n * interval '1 second' FROM generate_series(1, 100000) n;
		ANALYZE`).CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v %s", err, out)
	}
	if n := bytes.Count(out, []byte("ERROR")); n > 0 {
		t.Fatalf("%s", out)
	}
}

// The page without a browser's mercy: what a script of somebody else's could try.
func TestPageRefuses(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	resp, err := http.Post(p.url+"/sign-out", "application/x-www-form-urlencoded", strings.NewReader("csrf=x"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/sign-in" {
		t.Errorf("without a session: %d at %s", resp.StatusCode, resp.Request.URL.Path)
	}
}
