//go:build browser

package main

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/staykey/staykey/internal/store/storetest"
)

// TestPageTakesNotes writes a note on a stay, finds it on the list and on the arrivals sheet, and deletes it.
func TestPageTakesNotes(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	if got := p.post("default", "reservation.created", seedReservation()); got != 202 {
		t.Fatal(got)
	}
	p.until("3333122-433", "waiting")
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.open("/reservations/default/3333122-433")
	b.do(chromedp.SendKeys(chromedp.CSS(".note-form [name=text]"), "Called: arrives at 23:00.\n"))
	b.untilText("#live-notes", "Called: arrives at 23:00.")
	b.untilText("#live-notes", "Maria (admin)")
	b.inBothSchemesNow("a stay with a note")
	b.looks("note")
	b.open("/reservations?when=all")
	b.untilText(".note-mark", "1 note")
	b.inBothSchemesNow("a list with a note")
	b.looks("note-list")
	b.open("/reservations/default/3333122-433")
	b.do(chromedp.Click(chromedp.CSS("#live-notes button")), chromedp.WaitNotPresent(chromedp.CSS("#live-notes li")))
}
