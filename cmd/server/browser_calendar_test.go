//go:build browser

package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestPageCalendar finds a guest on the calendar and looks at the stay without leaving it.
func TestPageCalendar(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.do(chromedp.Click(chromedp.CSS(`nav a[href="/calendar"]`)), chromedp.WaitVisible(chromedp.CSS("table.calendar")))
	b.inBothSchemes("/calendar", "/calendar?span=month")
	b.open("/calendar")
	b.untilText("[data-live-state]", "Live")
	const jane = `a.bar[href="/reservations/default/HX-48210"]`
	b.do(chromedp.Evaluate[chromedp.Void](`window.untouched = true`), chromedp.Click(chromedp.CSS(jane)))
	b.untilText(".panel", "Jane Doe")
	b.untilText(".panel .verdict", "In use")
	b.untilText(".panel", "History")
	b.mustBeAccessible("the calendar with a stay next to it")

	// The panel follows what changes, as the calendar does.
	if got := p.post("default", "reservation.cancelled", map[string]any{"reservation_id": "HX-48210"}); got != 202 {
		t.Fatal(got)
	}
	b.untilText(".panel .verdict", "Removed")
	b.do(chromedp.KeyEvent("\x1b"))
	b.until("Esc to close the panel of the same page", `!document.querySelector(".panel") && window.untouched === true`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("` + strings.ReplaceAll(jane, `"`, `'`) +
		`")?.remove()`))

	// By the keyboard: Enter on a bar opens it, Esc leads back to it.
	const other = "/reservations/default/HX-48295"
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("a.bar[href='`+other+`']").focus()`),
		chromedp.KeyEvent("\r"))
	b.untilText(".panel", "Tom Becker")
	b.do(chromedp.KeyEvent("\x1b"))
	b.until("Esc to lead back to the stay", `document.activeElement.getAttribute("href") === "`+other+`"`)

	// Without scripts a bar is a link.
	b.scripts(false)
	b.open("/calendar")
	b.do(chromedp.Click(chromedp.CSS(`a.bar[href="`+other+`"]`)), chromedp.WaitVisible(chromedp.CSS(".verdict")))
	b.untilText("h1", "Tom Becker")
}
