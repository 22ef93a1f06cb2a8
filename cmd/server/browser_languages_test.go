//go:build browser

package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// wider is by how many pixels the page is wider than the window.
const wider = `document.documentElement.scrollWidth - document.documentElement.clientWidth`

// TestPageSpeaksGerman chooses German at the foot of a page, and finds it on Today, a list and a stay, also after a
// reload, in texts of the script, on a phone and without a script.
func TestPageSpeaksGerman(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.open("/")
	b.do(chromedp.Click(chromedp.CSS(".languages a[lang=de]")), chromedp.WaitReady(chromedp.CSS("html[lang=de] main")))
	b.untilText("h1", "Heute")
	b.do(chromedp.Reload(), chromedp.WaitReady(chromedp.CSS("html[lang=de] main")))
	b.untilText("h1", "Heute")
	b.untilText("[data-live-state]", "Live")
	for _, width := range []int64{1280, 390} {
		b.do(chromedp.EmulateViewport(width, 800))
		for path, want := range map[string]string{
			"/": "Ohne Schlüssel", "/reservations?when=all": "CSV herunterladen",
			"/reservations/default/HX-48210": "Soll und Ist",
			"/listings":                      "Unterkünfte", "/doors": "Türen festlegen",
			"/calendar": "Kalender", "/events": "Ereignisse",
			"/sources": "Quellen", "/audit": "Protokoll",
		} {
			b.open(path)
			b.untilText("main", want)
			b.inBothSchemesNow(fmt.Sprint(path, " in German at ", width))
			if over := ask(b, chromedp.Evaluate[float64](wider)); over > 0 {
				t.Errorf("%s in German at %d pixels is %v pixels too wide", path, width, over)
			}
		}
	}
	b.do(chromedp.EmulateViewport(1280, 800))
	b.open("/reservations?when=all")
	b.do(chromedp.Click(chromedp.CSS("td.pick input")))
	b.untilText("[data-count]", "1 ausgewählt")
	b.scripts(false)
	b.open("/events")
	b.untilText("main", "Ereignisse")
	b.do(chromedp.Click(chromedp.CSS(".languages a[lang=en]")), chromedp.WaitReady(chromedp.CSS("html[lang=en] main")))
	b.scripts(true)
}
