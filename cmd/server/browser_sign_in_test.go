//go:build browser

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestPageSignsInWithTheProvider takes the button to the provider and back, and is refused without a group.
func TestPageSignsInWithTheProvider(t *testing.T) {
	t.Parallel()
	p, public, provider, _ := withProvider(t)
	if got := p.post("default", "reservation.created", seedReservation()); got != 202 {
		t.Fatal(got)
	}
	p.until("3333122-433", "waiting")
	b := openBrowser(t, public)
	b.open("/reservations/default/3333122-433")
	b.inBothSchemesNow("sign-in with a provider")
	b.looks("sign-in-provider")
	button := chromedp.CSS(`a[href^="/sign-in/provider"]`)
	b.do(chromedp.Click(button), chromedp.WaitVisible(chromedp.CSS(".verdict")))
	b.untilText(".person", "Maria Ruiz")
	b.do(chromedp.SendKeys(chromedp.CSS(".note-form [name=text]"), "Called.\n"))
	b.untilText("#live-notes", "Maria Ruiz (maria@hotel.example)")
	b.do(chromedp.Click(chromedp.CSS(".person button")), chromedp.WaitVisible(button))
	provider.Claims["groups"] = []string{"everyone"}
	b.do(chromedp.Click(button))
	b.untilText(".problem", "none of its groups may use staykey")
	b.inBothSchemesNow("sign-in that is refused")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = slices.DeleteFunc(b.wrong, func(w string) bool {
		return strings.HasPrefix(w, "a request to another host: "+provider.URL+"/authorize?") ||
			strings.Contains(w, "403 (Forbidden)") // meant to be
	})
}
