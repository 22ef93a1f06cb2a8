//go:build browser

package main

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/staykey/staykey/internal/store/storetest"
)

// TestPageKeepsWhatIsTyped: what somebody has typed into a form is there again after the session's end and a new
// sign-in, after a refusal, and without a connection.
func TestPageKeepsWhatIsTyped(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	for _, id := range []string{"101", "102", "103"} {
		p.deliver("default", "listing.created", map[string]any{
			"listing_id": id, "name": "Room " + id, "time_zone": daytime(), "seam_access_group_ids": []string{},
		})
	}
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "waiting")
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")

	endSession := func() {
		b.do(chromedp.Evaluate[chromedp.Void](`fetch("/sign-out", { method: "POST", body: new URLSearchParams({
			csrf: document.querySelector("[name=csrf]").value }) }).then(() => {})`, chromedp.EvalAwaitPromise))
	}
	signInAgain := func() {
		b.do(chromedp.WaitVisible(chromedp.CSS("#token")), chromedp.SendKeys(chromedp.CSS("#token"), e2eToken),
			chromedp.Submit(chromedp.CSS("#token")), chromedp.WaitVisible(chromedp.CSS("nav[aria-label=Pages]")))
	}
	const note = ".note-form [name=text]"
	const restored = "What you typed is here again. It has not been saved yet."

	// Doors that are typed into rows: each is saved while the next one is filled in, and the last with the page.
	for _, tc := range []struct{ row, last string }{{"101", "Front"}, {"103", "103"}} {
		b.open("/doors")
		b.do(chromedp.SendKeys(chromedp.CSS(`[aria-label="Doors of Room 102"]`), "Attic"))
		field := `[aria-label="Doors of Room ` + tc.row + `"]`
		b.do(chromedp.SendKeys(chromedp.CSS(field), tc.last))
		endSession()
		b.do(chromedp.Focus(chromedp.CSS(field)), chromedp.KeyEvent("\r"))
		signInAgain()
		b.untilText("main", restored)
		b.until("what was typed into both rows", `location.pathname === "/doors" &&
			document.querySelector('[aria-label="Doors of Room 102"]').value === "Attic" &&
			document.querySelector('`+field+`').value === "`+tc.last+`"`)
		b.mustBeAccessible("a form that is filled in again")
	}

	// A note, and the reason of an action.
	b.open("/reservations/default/3333122-433")
	b.do(chromedp.SendKeys(chromedp.CSS(note), "Calls at 23:00"))
	endSession()
	b.do(chromedp.Focus(chromedp.CSS(note)), chromedp.KeyEvent("\r"))
	signInAgain()
	b.untilText("main", restored)
	b.until("the note", `document.activeElement.value === "Calls at 23:00"`)
	b.do(chromedp.KeyEvent("\r"))
	b.untilText("#live-notes", "Calls at 23:00")
	b.do(chromedp.Reload(), chromedp.WaitReady(chromedp.CSS("main")))
	got := ask(b, chromedp.Evaluate[string](`document.querySelector("`+note+`").value`))
	if got != "" || b.says("main", restored) {
		t.Errorf("a note that was saved is offered again: %q", got)
	}
	b.open("/reservations/default/3333122-433/hold")
	b.do(chromedp.SendKeys(chromedp.CSS("#reason"), "the owner asks"), chromedp.Evaluate[chromedp.Void](
		`document.querySelector("main [name=csrf]").value = "of another session"`),
		chromedp.KeyEvent("\r"))
	b.untilText("main", "Back to what you typed")
	b.do(chromedp.Click(chromedp.CSS("[data-refused] a")), chromedp.WaitVisible(chromedp.CSS("#reason")))
	b.until("the reason", `document.querySelector("#reason").value === "the owner asks"`)

	// Without a connection nothing is sent, and nothing is lost.
	b.do(chromedp.Evaluate[chromedp.Void](`Object.defineProperty(navigator, "onLine", { get: () => false })`),
		chromedp.Focus(chromedp.CSS("#reason")), chromedp.KeyEvent("\r"))
	b.untilText("main", "there is no connection")
	b.until("the reason", `document.querySelector("#reason").value === "the owner asks"`)
	b.mustBeAccessible("a form without a connection")
	b.open("/doors")
	b.do(chromedp.SendKeys(chromedp.CSS(`[aria-label="Doors of Room 101"]`), "Front"),
		chromedp.Evaluate[chromedp.Void](`window.fetch = () => Promise.reject(new Error("lost"))`),
		chromedp.KeyEvent("\r"))
	b.untilText(`td:has([aria-label="Doors of Room 101"])`, "there is no connection")

	b.mu.Lock()
	b.wrong = nil // the 401 and the 403 are in the browser's log, and are meant to be
	b.mu.Unlock()
}
