//go:build browser

package main

import (
	"strings"
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
	p.deliver("default", "listing.created", map[string]any{
		"listing_id": "room", "time_zone": daytime(), "seam_access_group_ids": []string{"555555-5555"},
	})
	p.deliver("default", "reservation.created", map[string]any{
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
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "waiting")
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.open("/reservations/default/3333122-433")
	b.untilText("[data-live-state]", "Live")
	const field = ".note-form [name=text]"
	b.do(chromedp.SendKeys(chromedp.CSS(field), "Calls"))
	p.deliver("default", "listing.created", map[string]any{
		"listing_id": "2222222-2222", "name": "Attic", "time_zone": daytime(),
		"seam_access_group_ids": []string{"555555-5555"},
	})
	b.untilText(".verdict", "Ready")
	b.do(chromedp.KeyEvent(" at"), chromedp.Evaluate[chromedp.Void](`window.refused = 0;
		window.fetch = async () => { window.refused++; return new Response("", { status: 401 }); }`))
	p.deliver("default", "listing.updated", map[string]any{
		"listing_id": "2222222-2222", "name": "Loft", "time_zone": daytime(),
		"seam_access_group_ids": []string{"555555-5555"},
	})
	waitUntil(t, "a load that is refused", func() bool { return ask(b, chromedp.Evaluate[bool](`window.refused > 0`)) })
	b.do(chromedp.KeyEvent(" 23:00"))
	b.until("what was typed", `document.activeElement.value === "Calls at 23:00"`)
}

// TestPageKeepsTheFocus: a change takes the focus from nothing in the part that shows it, and leaves what is ticked and
// unfolded there; in the panel next to the calendar, it leaves a note that somebody has begun.
func TestPageKeepsTheFocus(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	for _, id := range []string{"one", "two"} {
		p.deliver("default", "listing.created", map[string]any{
			"listing_id": id, "name": "Room " + id, "time_zone": daytime(), "seam_access_group_ids": []string{},
		})
		stay := seedReservation()
		stay["reservation_id"], stay["listing_id"], stay["guest_name"] = "stay-"+id, id, "Guest "+id
		stay["guest_email"] = id + "@example.com"
		p.deliver("default", "reservation.created", stay)
		p.until("stay-"+id, "waiting")
	}
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	name := "Room one"
	change := func() { // of the name of a listing, which lists and stays show
		t.Helper()
		name += "!"
		p.deliver("default", "listing.updated", map[string]any{
			"listing_id": "one", "name": name, "time_zone": daytime(), "seam_access_group_ids": []string{},
		})
	}
	const note = `fetch(location.pathname + "/notes", { method: "POST", body: new URLSearchParams({
		csrf: document.querySelector("[name=csrf]").value, text: "Second note" }) }).then(() => {})`
	for _, tc := range []struct{ what, path, focus, part string }{
		{"a checkbox", "/reservations?when=all", `tr:has(a[href$="stay-two"]) [type=checkbox]`, "#live-reservations"},
		{"a link", "/reservations?when=all", `a[href$="stay-one"]`, "#live-reservations"},
		{"a summary", "/reservations/default/stay-one", "#live-history summary", "#live-reservation"},
	} {
		b.open(tc.path)
		b.untilText("[data-live-state]", "Live")
		b.do(chromedp.Evaluate[chromedp.Void](`window.kept = document.querySelector(` + "`" + tc.focus + "`" + `);
			kept.focus(); if (!kept.href) kept.click()`))
		change()
		b.untilText(tc.part, name)
		if !ask(b, chromedp.Evaluate[bool](`document.activeElement === kept`)) {
			t.Errorf("%s lost the focus to %s", tc.what, ask(b, chromedp.Evaluate[string](`document.activeElement.outerHTML`)))
		}
		if tc.what == "a checkbox" && !ask(b, chromedp.Evaluate[bool](`kept.checked && document.querySelectorAll("[name=stay]:checked").length === 1`)) {
			t.Error("other rows are ticked")
		}
		if tc.what == "a summary" && !ask(b, chromedp.Evaluate[bool](`kept.parentElement.open && document.querySelectorAll("details[open]").length === 1`)) {
			t.Error("other details are unfolded")
		}
	}

	b.do(chromedp.SendKeys(chromedp.CSS(".note-form [name=text]"), "First note\n"))
	b.untilText("#live-notes", "First note")
	b.untilText("[data-live-state]", "Live")
	b.do(chromedp.Evaluate[chromedp.Void](`window.kept = document.querySelector("#live-notes button"); kept.focus()`),
		chromedp.Evaluate[chromedp.Void](note, chromedp.EvalAwaitPromise))
	b.untilText("#live-notes", "Second note")
	if !ask(b, chromedp.Evaluate[bool](`document.activeElement === kept && kept.textContent.includes("First note")`)) {
		t.Error("a button lost the focus, or is another one's")
	}

	// the panel
	b.open("/calendar?from=" + seedReservation()["check_in"].(string)[:10])
	b.untilText("[data-live-state]", "Live")
	b.do(chromedp.Click(chromedp.CSS(`a.bar[href$="stay-one"]`)), chromedp.SendKeys(chromedp.CSS(".panel .note-form [name=text]"), "Half a no"),
		chromedp.Focus(chromedp.CSS(".panel [data-close]")))
	change()
	b.untilText(".panel-body", name)
	const begun = `document.querySelector(".panel .note-form [name=text]").value`
	if typed := ask(b, chromedp.Evaluate[string](begun)); typed != "Half a no" {
		t.Errorf("of the note that was begun in the panel, %q is left", typed)
	}
}

// TestPageFollowsASearch: what is next to a list is about what it shows, also after a search as one types, and the list
// is live while the search is in its field.
func TestPageFollowsASearch(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	listing := func(id, name string) {
		p.deliver("default", "listing.created", map[string]any{
			"listing_id": id, "name": name, "time_zone": daytime(), "seam_access_group_ids": []string{},
		})
	}
	listing("1", "Attic")
	listing("2", "Garden")
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "waiting")
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.open("/listings")
	b.untilText("[data-live-state]", "Live")
	b.untilText("#live-listings", "Garden")
	if b.says("#filters", "Clear filters") {
		t.Error("there is a filter to clear")
	}
	b.do(chromedp.SendKeys(chromedp.CSS("main [name=q]"), "att"))
	b.untilText("#filters", "Clear filters")
	listing("3", "Attic suite")
	b.untilText("#live-listings", "Attic suite")
	if b.says("#live-listings", "Garden") {
		t.Error("a change makes the list forget the search")
	}

	b.open("/reservations")
	b.do(chromedp.SendKeys(chromedp.CSS("#find"), "nobody"))
	b.untilText("#filters", "Clear filters")
	file := ask(b, chromedp.Evaluate[string](`document.querySelector("[download]").href`))
	if !strings.HasSuffix(file, "?q=nobody") {
		t.Errorf("the file of a list that is searched is %s", file)
	}
	b.do(chromedp.Click(chromedp.CSS("#live-clear a")), chromedp.WaitNotPresent(chromedp.CSS("#live-clear a")))
	b.untilText("#live-reservations", "3333122-433")

	// The end of the session shows, though there is a search in the field.
	b.open("/listings")
	b.untilText("[data-live-state]", "Live")
	b.do(chromedp.SendKeys(chromedp.CSS("main [name=q]"), "att"))
	b.untilText("#filters", "Clear filters")
	b.do(chromedp.Evaluate[chromedp.Void](`fetch("/sign-out", { method: "POST", body: new URLSearchParams({
		csrf: document.querySelector("[name=csrf]").value }) }).then(() => {})`, chromedp.EvalAwaitPromise),
		chromedp.SendKeys(chromedp.CSS("main [name=q]"), "i"), chromedp.WaitVisible(chromedp.CSS("#token")))
	b.mu.Lock()
	b.wrong = nil // the 401 is in the browser's log, and is meant to be
	b.mu.Unlock()
}
