//go:build browser

package main

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// covered lists the controls of the main part that something else lies over while they have the focus, in the order of
// Tab and against it.
const covered = `(() => {
	const found = new Set();
	const controls = [...document.querySelectorAll("main a[href], main button, main input:not([type=hidden]), main select, main summary")]
		.filter((c) => !c.disabled && c.checkVisibility({ visibilityProperty: true }));
	for (const control of [...controls, ...controls.toReversed()]) {
		control.focus();
		const box = control.getClientRects()[0];
		if (!box || document.activeElement !== control) continue;
		for (const y of [box.top + 2, box.bottom - 2]) {
			const over = document.elementFromPoint(Math.max(1, Math.min(box.left + 3, innerWidth - 2)), y);
			if (!over || (!control.closest("thead") && over.closest("header, thead"))) found.add(control.outerHTML.slice(0, 120) + " at " + Math.round(y) + " of " + innerHeight);
		}
	}
	return controls.length === 0 ? "no controls" : [...found].slice(0, 5).join("\n");
})()`

// TestPageOnAPhone checks that no control hides under one of the two bars while it has the focus.
func TestPageOnAPhone(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	for _, width := range []int64{390, 1280} {
		b.do(chromedp.EmulateViewport(width, 700))
		for _, path := range []string{
			"/", "/calendar", "/reservations?when=all", "/reservations/default/HX-48210", "/listings",
			"/listings/default/101", "/doors", "/events",
			"/sources", "/sources/default", "/audit",
		} {
			b.open(path)
			if hidden := ask(b, chromedp.Evaluate[string](covered)); hidden != "" {
				t.Errorf("%s at %d: with the focus, these are covered:\n%s", path, width, hidden)
			}
		}
	}
}

// TestPageRowsOnAPhone checks that a stay of the list takes three lines in each language, and one more for what is
// wrong.
func TestPageRowsOnAPhone(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.do(chromedp.EmulateViewport(390, 844))
	for _, language := range []string{"en", "es", "de", "fr", "it"} {
		b.open("/language/" + language + "?next=/reservations")
		b.open("/reservations?when=all")
		if tall := ask(b, chromedp.Evaluate[string](`[...document.querySelectorAll("table.stays tbody tr")].filter((row) => {
			const line = row.querySelector(".who a").getBoundingClientRect().height;
			return row.clientHeight > line * (row.querySelector(".why") ? 7 : 5.5);
		}).map((row) => row.innerText).join("\n")`)); tall != "" {
			t.Errorf("in %s these stays take too many lines:\n%s", language, tall)
		}
	}
	b.inBothSchemes("/reservations?when=all")
}

// TestPageRowsAreOneLine checks that rows of lists take one line where there are columns, whatever is wrong with them,
// and that no word of a tile is broken.
func TestPageRowsAreOneLine(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	for _, width := range []int64{390, 1024, 1440} {
		b.do(chromedp.EmulateViewport(width, 900))
		for _, path := range []string{"/", "/?part=arrivals", "/reservations?when=all", "/listings", "/doors"} {
			b.open(path)
			if over := ask(b, chromedp.Evaluate[float64](wider)); over > 0 {
				t.Errorf("%s at %d pixels is %v pixels too wide", path, width, over)
			}
			if broken := ask(b, chromedp.Evaluate[string](`[...document.querySelectorAll(".tiles .whole")]
				.filter((word) => word.getClientRects().length > 1).map((word) => word.innerText).join(" ")`)); broken != "" {
				t.Errorf("%s at %d pixels breaks %s", path, width, broken)
			}
			if width == 390 {
				continue
			}
			if tall := ask(b, chromedp.Evaluate[string](`[...document.querySelectorAll(".line tbody tr")]
				.filter((row) => row.clientHeight > 3 * parseFloat(getComputedStyle(document.documentElement).fontSize))
				.map((row) => row.clientHeight + " " + row.innerText).join("\n")`)); tall != "" {
				t.Errorf("%s at %d pixels: these rows take more than a line:\n%s", path, width, tall)
			}
		}
	}
	b.open("/")
	if words := ask(b, chromedp.Evaluate[int](`document.querySelectorAll(".tiles .whole").length`)); words == 0 {
		t.Error("no tile has words to look at")
	}
}
