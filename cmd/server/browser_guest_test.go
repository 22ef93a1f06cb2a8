//go:build browser

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/staykey/staykey/internal/store/storetest"
)

// guestLanguages are those of the page, with what the button says.
var guestLanguages = []struct{ tag, button string }{
	{"en", "Get my key"},
	{"es", "Obtener mi llave"},
	{"de", "Schlüssel abrufen"},
	{"fr", "Obtenir ma clé"},
	{"it", "Ottieni la chiave"},
	{"pt", "Obter a minha chave"},
}

// speaks has the browser ask for pages in a language.
func (b *browser) speaks(tag string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.SetExtraHTTPHeaders,
			network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": tag}})
		return err
	}))
}

// guestsOf launches a service with links, and a stay whose key is ready, one that waits for its room, and one that is
// cancelled.
func guestsOf(t *testing.T) (p *process, ready, waiting, gone string) {
	t.Helper()
	_, env := simulated(t, storetest.DSN(t))
	p = launch(t, withGuestLinks(t, env))
	listing := seedListing()
	listing["name"] = "Garden suite"
	p.deliver("default", "listing.created", listing)
	for id, room := range map[string]string{"ready": "2222222-2222", "waiting": "none yet", "gone": "2222222-2222"} {
		stay := seedReservation()
		stay["reservation_id"], stay["listing_id"], stay["guest_email"] = id, room, id+"@example.com"
		p.deliver("default", "reservation.created", stay)
	}
	p.until("ready", "issued")
	p.until("waiting", "waiting")
	p.until("gone", "issued")
	gone = p.guestLink("gone")
	p.deliver("default", "reservation.cancelled", map[string]any{"reservation_id": "gone"})
	p.until("gone", "revoked")
	return p, p.guestLink("ready"), p.guestLink("waiting"), gone
}

// TestPageOfGuests is a guest's way from the link to the key, in each language, light and dark, on a phone.
func TestPageOfGuests(t *testing.T) {
	t.Parallel()
	p, ready, waiting, gone := guestsOf(t)
	b := openBrowser(t, p.url)
	b.do(chromedp.EmulateViewport(390, 844))
	fits := func(what string) {
		t.Helper()
		if !ask(b, chromedp.Evaluate[bool](`document.documentElement.scrollWidth <= innerWidth`)) {
			t.Errorf("%s is wider than the screen", what)
		}
	}
	for _, l := range guestLanguages {
		b.speaks(l.tag)
		for _, width := range []int64{1280, 390} {
			b.do(chromedp.EmulateViewport(width, 844))
			for _, scheme := range []string{"light", "dark"} {
				b.scheme(scheme)
				for _, path := range []string{ready, waiting} {
					what := fmt.Sprintf("a guest's page in %s, %s, %d pixels wide", l.tag, scheme, width)
					b.open(path)
					b.mustBeAccessible(what)
					fits(what)
				}
			}
		}
		if lang := ask(b, chromedp.Evaluate[string](`document.documentElement.lang`)); lang != l.tag {
			t.Errorf("asked for %s, got %s", l.tag, lang)
		}
		b.open(ready)
		if label := ask(b, chromedp.Text(chromedp.CSS("button"))); label != l.button {
			t.Errorf("%s: the button says %q", l.tag, label)
		}
	}
	b.speaks("en")
	b.open(ready)
	b.do(chromedp.Click(chromedp.CSS("button")), chromedp.WaitVisible(chromedp.CSS("a.button")))
	for _, scheme := range []string{"dark", "light"} {
		b.scheme(scheme)
		b.mustBeAccessible("the page with the key, " + scheme)
		fits("the page with the key")
	}
	if key := ask(b, chromedp.Evaluate[string](`document.querySelector("a.button").href`)); !strings.HasPrefix(key,
		"https://ik.seam.co/") {
		t.Errorf("the button leads to %q", key)
	}
	// the style is applied, and the operator's
	if color := ask(b, chromedp.Evaluate[string](
		`getComputedStyle(document.querySelector("a.button")).backgroundColor`)); color != "rgb(10, 110, 92)" {
		t.Errorf("the button is %s", color)
	}
	b.mu.Lock()
	wrong := b.wrong
	b.mu.Unlock()
	b.open(gone)
	b.mustBeAccessible("a link that is gone")
	b.open("/k/0123456789012345678901")
	b.mustBeAccessible("an unknown link")
	b.mu.Lock()
	b.wrong = wrong // the 410 and the 404 are in the browser's log, as expected
	b.mu.Unlock()
}

// TestPageOfABackupCode shows a guest whose phone doesn't open the door the code, on a phone and on a screen, light and
// dark, in each language. SCREENSHOTS_CODE names a file for a picture.
func TestPageOfABackupCode(t *testing.T) {
	t.Parallel()
	_, p, _, code := launchWithCode(t)
	link, b := p.guestLink("3333122-433"), openBrowser(t, p.url)
	for i, l := range guestLanguages {
		b.speaks(l.tag)
		b.do(chromedp.EmulateViewport([]int64{390, 1280}[i%2], 844))
		b.open(link)
		b.do(chromedp.Click(chromedp.CSS("button.second")), chromedp.WaitVisible(chromedp.CSS("p.code")))
		for _, scheme := range []string{"dark", "light"} {
			b.scheme(scheme)
			b.mustBeAccessible("a backup code in " + l.tag + ", " + scheme)
		}
		if shown := ask(b, chromedp.Text(chromedp.CSS("p.code"))); strings.ReplaceAll(shown, " ", "") != code {
			t.Errorf("%s: the page shows %q, Seam has %q", l.tag, shown, code)
		}
		if !ask(b, chromedp.Evaluate[bool](`document.documentElement.scrollWidth <= innerWidth`)) {
			t.Errorf("%s: the page is wider than the screen", l.tag)
		}
		if file := os.Getenv("SCREENSHOTS_CODE"); i == 0 && file != "" {
			if err := os.WriteFile(file, ask(b, chromedp.FullScreenshot(100)), 0o600); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestPageOfAGuestsLink is an admin's side of a link: it is copied, and renewed after a question.
func TestPageOfAGuestsLink(t *testing.T) {
	t.Parallel()
	p, ready, _, _ := guestsOf(t)
	b := openBrowser(t, p.url)
	b.open("/reservations/default/ready")
	b.signIn(e2eToken, "Maria")
	b.open("/reservations/default/ready")
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.mustBeAccessible("a reservation with a guest's link, " + scheme)
	}
	// Whether a headless browser has a clipboard depends on its version.
	b.do(chromedp.Evaluate[chromedp.Void](`navigator.clipboard.writeText = async (text) => { window.copied = text; }`))
	b.do(chromedp.Click(chromedp.CSS("[data-copy]")))
	b.untilText("[data-copy]", "Copied")
	if copied := ask(b, chromedp.Evaluate[string](`window.copied`)); !strings.HasSuffix(copied, ready) {
		t.Errorf("the button copied %q, the link is %q", copied, ready)
	}
	b.do(chromedp.Click(chromedp.CSS(`a[href$="/renew-link"]`)), chromedp.WaitVisible(chromedp.CSS("#reason")))
	b.mustBeAccessible("the question before a link is renewed")
	b.do(chromedp.Submit(chromedp.CSS("#reason")), chromedp.WaitVisible(chromedp.CSS(".verdict")))
	b.untilText("#live-history", "Maria (admin) renewed the guest's link")
	if p.guestLink("ready") == ready {
		t.Error("the link is the old one")
	}
}

// TestGuestScreenshots takes pictures of the guest's page for the docs (SCREENSHOTS names the folder), and, with
// SCREENSHOTS_ALL, in every language, at both widths, light and dark.
func TestGuestScreenshots(t *testing.T) {
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		t.Skip("make screenshots")
	}
	p, ready, waiting, gone := guestsOf(t)
	b := openBrowser(t, p.url)
	take := func(name, lang string, width int64, scheme string, press bool, path string) {
		b.speaks(lang)
		b.scheme(scheme)
		b.do(chromedp.EmulateViewport(width, 844))
		b.open(path)
		if press {
			b.do(chromedp.Click(chromedp.CSS("button")), chromedp.WaitVisible(chromedp.CSS("a.button")))
		}
		b.picture(folder, name, width)
	}
	take("guest", "en", 390, "light", false, ready)
	take("guest-key", "en", 390, "dark", true, ready)
	if os.Getenv("SCREENSHOTS_ALL") == "" {
		return
	}
	for _, l := range guestLanguages {
		stay := seedReservation()
		stay["reservation_id"], stay["guest_email"] = l.tag, l.tag+"@example.com"
		p.deliver("default", "reservation.created", stay)
		p.until(l.tag, "issued")
		key := p.guestLink(l.tag) // a stay of its own: a link gives few keys an hour
		for _, width := range []int64{390, 1280} {
			for _, scheme := range []string{"light", "dark"} {
				shot := func(page string, press bool, path string) {
					take(fmt.Sprintf("guest-%s-%s-%d-%s", page, l.tag, width, scheme), l.tag, width, scheme,
						press, path)
				}
				shot("ready", false, ready)
				shot("waiting", false, waiting)
				shot("gone", false, gone)
				shot("unknown", false, "/k/0123456789012345678901")
				shot("key", true, key)
			}
		}
	}
	b.mu.Lock()
	b.wrong = nil // a link that is gone is in the browser's log
	b.mu.Unlock()
}
