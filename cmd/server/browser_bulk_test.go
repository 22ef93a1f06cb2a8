//go:build browser

package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
)

// looks writes pictures of a page in its present state, both schemes and two widths, to the folder in LOOKS; without
// one it does nothing.
func (b *browser) looks(name string) {
	b.t.Helper()
	folder := os.Getenv("LOOKS")
	if folder == "" {
		return
	}
	for _, scheme := range []string{"dark", "light"} {
		b.scheme(scheme)
		for _, width := range []int64{390, 1440} {
			b.picture(folder, fmt.Sprintf("%s-%d-%s", name, width, scheme), width)
		}
	}
	b.do(chromedp.EmulateViewport(1280, 900))
}

// TestPageActsOnSeveral selects guests, puts them on hold and takes that back; then revokes a key and takes that back,
// too: the guest has a key again. The filters become a view.
func TestPageActsOnSeveral(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.open("/reservations?key_status=active")
	if ask(b, chromedp.Evaluate[bool](`document.querySelector(".bulk").checkVisibility()`)) {
		t.Error("with nothing selected, the bar of actions is shown")
	}
	b.do(chromedp.Click(chromedp.CSS("[data-all]")), chromedp.WaitVisible(chromedp.CSS(".bulk")))
	b.untilText("#selected", "selected")
	b.do(
		chromedp.Click(chromedp.CSS("[data-all]")),
		chromedp.KeyEvent("j"),
		chromedp.KeyEvent("x"),
		chromedp.KeyEvent("j"),
		chromedp.KeyEvent("x"),
	)
	b.untilText("#selected", "2 selected")
	b.mustBeAccessible("a list with selected rows")
	b.looks("bulk")
	// what changes meanwhile leaves the selection alone
	b.do(
		chromedp.Evaluate[chromedp.Void](`document.querySelector("#live-reservations .total").textContent = "older"`),
	)
	another := map[string]any{
		"reservation_id": "later", "listing_id": "101",
		"check_in": "2040-01-01T15:00:00Z", "check_out": "2040-01-02T11:00:00Z",
	}
	if got := p.post("default", "reservation.updated", another); got != 202 {
		t.Fatal(got)
	}
	b.untilText("#live-reservations .total", "reservations")
	b.untilText("#selected", "2 selected")
	b.do(
		chromedp.SetValue(chromedp.CSS(".bulk select"), "hold"),
		chromedp.SendKeys(chromedp.CSS(".bulk [name=reason]"), "the owner asks"),
		chromedp.Submit(chromedp.CSS(".bulk [name=reason]")),
	)
	b.untilText(".done", "2 reservations put on hold.")
	b.inBothSchemesNow("what was done")
	b.looks("done")
	b.do(chromedp.Click(chromedp.CSS("[data-undo]")))
	b.untilText(".done", "Undone: 2 reservations.")

	// A form that was refused is corrected on the page that says so.
	b.open("/reservations?key_status=active")
	apply := chromedp.Evaluate[chromedp.Void](
		`document.querySelector(".bulk select").value = "hold";
		document.querySelector(".bulk [name=reason]").value = "the owner asks";
		document.querySelector("[data-count]").closest("form").requestSubmit()`)
	b.mu.Lock()
	wrong := b.wrong
	b.mu.Unlock()
	b.do(apply)
	b.untilText("main", "Select reservations first.")
	b.mu.Lock()
	b.wrong = wrong // the 422 is in the browser's log, as expected
	b.mu.Unlock()
	b.do(chromedp.Click(chromedp.CSS("input[name=stay]")), apply)
	b.untilText(".done", "1 reservation put on hold.")
	b.do(chromedp.Click(chromedp.CSS("[data-undo]")))
	b.untilText(".done", "Undone: 1 reservation.")

	// So is one that lacks the reason: what it had ticked and what is ticked now survive what changes meanwhile.
	b.open("/reservations?key_status=active")
	b.do(chromedp.Click(chromedp.CSS("input[name=stay]")), chromedp.Evaluate[chromedp.Void](
		`document.querySelector(".bulk select").value = "hold";
		document.querySelector("[data-count]").closest("form").requestSubmit()`))
	b.untilText("main", "Reason is required")
	b.mu.Lock()
	b.wrong = wrong // as above
	b.mu.Unlock()
	b.untilText("#selected", "1 selected")
	b.do(chromedp.Click(chromedp.CSS("input[name=stay]:not(:checked)")), chromedp.Evaluate[chromedp.Void](
		`document.querySelector("#live-reservations .total").textContent = "older"`))
	another["check_out"] = "2040-01-03T11:00:00Z"
	if got := p.post("default", "reservation.updated", another); got != 202 {
		t.Fatal(got)
	}
	b.untilText("#live-reservations .total", "reservations")
	b.untilText("#selected", "2 selected")

	b.open("/reservations/default/HX-48210/revoke")
	b.do(chromedp.SendKeys(chromedp.CSS("#reason"), "payment failed\n"))
	b.untilText(".done", "key revoked")
	p.until("HX-48210", "revoked")
	b.inBothSchemesNow("a revoked key")
	b.do(chromedp.Click(chromedp.CSS("[data-undo]")))
	p.until("HX-48210", "active")

	b.open("/reservations?key_status=waiting&when=all")
	b.do(
		chromedp.Click(chromedp.CSS(".save-view summary")),
		chromedp.SendKeys(chromedp.CSS(".save-view [name=name]"), "Without a key\n"),
	)
	b.untilText(".views", "Delete this view")
	b.inBothSchemesNow("a saved view")
	b.looks("view")
	b.open("/reservations")
	b.do(chromedp.Click(chromedp.CSS(`.views a`)))
	b.untilText(".views", "Delete this view")
	b.do(chromedp.Click(chromedp.CSS(".views button.plain")), chromedp.WaitNotPresent(chromedp.CSS(".views nav")))
}

// inBothSchemesNow has axe look at the page in its present state, light and dark.
func (b *browser) inBothSchemesNow(what string) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.mustBeAccessible(what + " " + scheme)
	}
}
