//go:build browser

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestPageCountsItsLists opens each list of a day by its number, which is how many rows the list has, and goes a day
// back and forth. A guest without a key can be called.
func TestPageCountsItsLists(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	for _, part := range []string{"problems", "arrivals", "in_house", "departures"} {
		b.open("/")
		tile := `.tiles a[href*="part=` + part + `"]`
		count, err := strconv.Atoi(ask(b, chromedp.Text(chromedp.CSS(tile+" .count"))))
		if err != nil {
			t.Fatal(err)
		}
		b.do(chromedp.Click(chromedp.CSS(tile)))
		b.until(fmt.Sprintf("the %d stays that %s counts", count, part), fmt.Sprintf(`location.search.includes("part=%s") &&
			document.querySelectorAll("section[aria-labelledby=list] tbody tr").length === %d`, part, count))
	}
	b.open("/?part=problems")
	calls := `document.querySelectorAll("td.call a[href^='tel:+34612340']").length`
	if ask(b, chromedp.Evaluate[int](calls)) == 0 {
		t.Error("no guest without a key can be called")
	}
	today := ask(b, chromedp.Text(chromedp.CSS("h1 .soft")))
	day := func(link string) {
		t.Helper()
		b.do(chromedp.Click(chromedp.CSS(`nav.days a[aria-label="` + link + `"]`)))
	}
	b.open("/")
	day("Next day")
	b.untilText("nav.days", "Today")
	if b.says("h1", today) {
		t.Errorf("the next day is %s, too", today)
	}
	day("Previous day")
	b.untilText("h1", today)
}

// TestPagePrintsArrivals prints the sheet of a day's arrivals: all of them, and only the sheet.
func TestPagePrintsArrivals(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	arrivals := ask(b, chromedp.Text(chromedp.CSS(`.tiles a[href*="part=arrivals"] .count`)))
	b.do(chromedp.Click(chromedp.CSS(`nav.days a[href^="/arrivals"]`)),
		chromedp.WaitVisible(chromedp.CSS("[data-print]")))
	b.until(arrivals+" arrivals on the sheet",
		`document.querySelectorAll("table.sheet tbody tr").length === `+arrivals)
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
		return err
	}))
	b.until("only the sheet on paper", `document.querySelector("main h1").checkVisibility() &&
		["header", "footer", "[data-print]"].every((other) => !document.querySelector(other).checkVisibility())`)
}

// TestPageFindsGuests finds a guest by words in any order and without accents, and by a phone number as it is dialed in
// the country; Ctrl+K leads to the search from anywhere, and Esc out of it. The list is a file, too.
func TestPageFindsGuests(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	for query, want := range map[string]string{
		"fernandez jose": "José Fernández", "0612 340 001": "José Fernández", "sorensen": "Mette Sørensen",
	} {
		b.open("/calendar")
		b.do(chromedp.Evaluate[chromedp.Void](
			`document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "k", ctrlKey: true, bubbles: true }))`))
		b.until("Ctrl+K to lead to the search", `document.activeElement.id === "find"`)
		b.do(chromedp.SendKeys(chromedp.CSS("#find"), query+"\n"), chromedp.WaitVisible(chromedp.CSS(".stays")))
		b.untilText(".stays", want)
	}
	b.do(chromedp.Focus(chromedp.CSS("#find")), chromedp.KeyEvent("\x1b"))
	b.until("Esc to leave the search", `document.activeElement.id !== "find"`)

	// A listing's name leads to its stays.
	b.open("/reservations?q=room+103")
	b.do(chromedp.Click(chromedp.CSS(`#live-reservations a[href="/reservations?listing_id=103&source=default"]`)))
	b.untilText(".stays", "Mette Sørensen")

	b.open("/reservations?when=all")
	sheet := ask(b, chromedp.Evaluate[string](
		`fetch(document.querySelector("a[download]").href).then((r) => r.text())`, chromedp.EvalAwaitPromise))
	if rows := strings.Count(strings.TrimSpace(sheet), "\n"); rows != 20 || !strings.Contains(sheet, "José Fernández") {
		t.Errorf("the file has %d stays:\n%s", rows, fmt.Sprintf("%.300s", sheet))
	}
}
