//go:build browser

package main

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/staykey/staykey/internal/store/storetest"
)

// TestPageShowsWhatAFailedLoadMissed: a page that could not load what has changed tries again, without another change.
func TestPageShowsWhatAFailedLoadMissed(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.open("/reservations?when=all")
	b.untilText("[data-live-state]", "Live")
	// without the minute that brings relative times up to date
	b.do(chromedp.Evaluate[chromedp.Void](`for (let i = 1; i < 100; i++) clearInterval(i);
		window.loads = window.fetch; window.lost = 0;
		window.fetch = () => { window.lost++; return Promise.reject(new Error("lost")); }`))
	p.post("default", "listing.created", map[string]any{
		"listing_id": "room", "time_zone": "Europe/Madrid", "seam_access_group_ids": []string{"555555-5555"},
	})
	p.post("default", "reservation.created", map[string]any{
		"reservation_id": "late", "listing_id": "room", "guest_email": "late@example.com", "guest_name": "Guest Late",
		"check_in": "2031-01-01T15:00:00Z", "check_out": "2031-01-04T11:00:00Z",
	})
	p.until("late", "issued")
	waitUntil(t, "a load that fails", func() bool { return ask(b, chromedp.Evaluate[bool](`window.lost > 0`)) })
	b.do(chromedp.Evaluate[chromedp.Void](`window.fetch = window.loads`))
	b.untilText("#live-reservations", "Guest Late")
}

// TestPageLeavesWhatIsTyped: neither a change nor the end of the session takes the focus from a field, or what was
// typed into it.
func TestPageLeavesWhatIsTyped(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	p.post("default", "reservation.created", seedReservation())
	p.until("3333122-433", "waiting")
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.open("/reservations/default/3333122-433")
	b.untilText("[data-live-state]", "Live")
	const field = ".note-form [name=text]"
	b.do(chromedp.SendKeys(chromedp.CSS(field), "Calls"))
	p.post("default", "listing.created", map[string]any{
		"listing_id": "2222222-2222", "name": "Attic", "time_zone": "Europe/Madrid",
		"seam_access_group_ids": []string{"555555-5555"},
	})
	b.untilText(".verdict", "Ready")
	b.do(chromedp.KeyEvent(" at"), chromedp.Evaluate[chromedp.Void](`window.refused = 0;
		window.fetch = async () => { window.refused++; return new Response("", { status: 401 }); }`))
	p.post("default", "listing.updated", map[string]any{
		"listing_id": "2222222-2222", "name": "Loft", "time_zone": "Europe/Madrid",
		"seam_access_group_ids": []string{"555555-5555"},
	})
	waitUntil(t, "a load that is refused", func() bool { return ask(b, chromedp.Evaluate[bool](`window.refused > 0`)) })
	b.do(chromedp.KeyEvent(" 23:00"))
	b.until("what was typed", `document.activeElement.value === "Calls at 23:00"`)
}
