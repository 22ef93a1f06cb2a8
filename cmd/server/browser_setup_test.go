//go:build browser

package main

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/staykey/staykey/internal/store/storetest"
)

// TestPageSetsUp is the first hour of a hotel: from an empty page to the first key, by what the page itself says.
func TestPageSetsUp(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.untilText(".setup", "1 of 5 done")
	b.inBothSchemes("/")

	// A test event, and back.
	b.do(chromedp.Click(chromedp.CSS(`.setup form[action="/sources/default/test"] button`)))
	b.untilText(".good", "the test event was verified and stored")
	b.untilText("#live-source", "Waiting for the first event")
	b.inBothSchemes("/sources/default")

	// The first event of the PMS shows up while the page is open.
	b.do(chromedp.Evaluate[chromedp.Void](`window.untouched = true`))
	b.untilText("[data-live-state]", "Live")
	stay := seedReservation()
	if got := p.post("default", "reservation.created", stay); got != 202 {
		t.Fatalf("%d", got)
	}
	b.untilText("#live-source", "Events arrive.")
	b.untilText("#live-source", "reservation.created")
	if !ask(b, chromedp.Evaluate[bool](`window.untouched === true`)) {
		t.Error("the page was reloaded")
	}

	// Its listing needs doors; then there is a key, and nothing left to set up.
	b.open("/")
	b.untilText(".setup", "3 of 5 done")
	b.do(chromedp.Click(chromedp.CSS(`.setup a[href="/doors?missing=1"]`)),
		chromedp.WaitVisible(chromedp.CSS(".picker")))
	b.do(chromedp.Click(chromedp.CSS("[data-all]")), chromedp.Click(chromedp.CSS(`#doors input[value="555555-5555"]`)),
		chromedp.Click(chromedp.CSS(`button[value="replace"]`)))
	b.untilText(".good", "1 listing changed")
	p.until("3333122-433", "issued")
	b.open("/")
	if b.says("main", "Set up staykey") {
		t.Error("the checklist stays after the first key")
	}

	// For reading, it needs no scripts.
	b.scripts(false)
	b.open("/sources/default")
	b.untilText("main", "/webhooks/default")
}
