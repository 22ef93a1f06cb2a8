//go:build browser

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
)

// busyHotel is a hotel of twenty rooms on a usual day: most guests have their keys, three rooms have no doors, and one
// isn't set up.
func busyHotel(t *testing.T) *process {
	t.Helper()
	sim, env := simulated(t, storetest.DSN(t))
	sim.Change(func(s *simulator.State) {
		for i := range 20 {
			id := fmt.Sprintf("00000101-%04d", 101+i)
			s.Groups[id] = simulator.AccessGroup{
				ID: id, SystemID: s.Groups["555555-5555"].SystemID,
				Name: fmt.Sprint("Garden Room ", 101+i),
			}
		}
	})
	p := launch(t, env)
	names := strings.Split(
		"Jane Doe,José Fernández,Mette Sørensen,Akira Tanaka,Lucía Ortega,Tom Becker,Chloé Martin,Giulia Rossi,Piotr Nowak,Sofia Almeida,Liam Walsh,Emma Fischer,Noah Smith,Olivia Brown,Hugo Petit,Ida Holm,Marta Vidal,Oskar Lind,Eva Novak,Yusuf Demir", ",")
	now := time.Now().UTC().Truncate(time.Hour)
	post := func(kind string, data map[string]any) {
		t.Helper()
		if got := p.post("default", kind, data); got != 202 {
			t.Fatalf("%s %v: %d", kind, data, got)
		}
	}
	for i, name := range names {
		listing := fmt.Sprint(101 + i)
		doors := []string{fmt.Sprintf("00000101-%04d", 101+i), "666666-6666"}
		if i%7 == 1 {
			doors = []string{}
		}
		if i != 4 {
			post("listing.created", map[string]any{
				"listing_id": listing, "name": "Room " + listing,
				"time_zone": "Europe/Madrid", "seam_access_group_ids": doors,
			})
		}
		in, out := now.Add(time.Duration(i%5-3)*time.Hour), now.Add(time.Duration(20+24*(i%3))*time.Hour)
		switch i % 5 {
		case 3:
			in = now.Add(-50 * time.Hour)
		case 4:
			in, out = now.Add(-50*time.Hour), now.Add(2*time.Hour)
		}
		stay := map[string]any{
			"reservation_id": fmt.Sprintf("HX-%d", 48210+i*17), "listing_id": listing,
			"guest_email": fmt.Sprintf("guest-%d@example.com", i), "guest_name": name,
			"check_in": in.Format(time.RFC3339), "check_out": out.Format(time.RFC3339),
		}
		if i%3 != 2 {
			stay["guest_phone"] = fmt.Sprintf("+34612340%03d", i)
		}
		post("reservation.created", stay)
	}
	for i := range names {
		switch {
		case i%7 == 1 || i == 4:
			p.until(fmt.Sprintf("HX-%d", 48210+i*17), "waiting")
		default:
			p.until(fmt.Sprintf("HX-%d", 48210+i*17), "active")
		}
	}
	return p
}

// scripts lets pages run their scripts, or not.
func (b *browser) scripts(run bool) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled,
			emulation.SetScriptExecutionDisabledParams{Value: !run})
		return err
	}))
}

// inBothSchemes has axe look at pages, light and dark.
func (b *browser) inBothSchemes(paths ...string) {
	b.t.Helper()
	for _, path := range paths {
		b.open(path)
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			b.mustBeAccessible(path + " " + scheme)
		}
	}
}

// TestPageOfAHotel is a morning at the front desk: some guests can't get in, because their rooms have no doors.
func TestPageOfAHotel(t *testing.T) {
	t.Parallel()
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	b.untilText("h1", "Today")
	b.untilText(".tiles .bad", "4 guests past check-in")
	b.untilText("#live-today", "3 guests: 3 listings without doors")

	// From "José Fernández can't get in" to fixed: three clicks.
	b.do(chromedp.Click(chromedp.CSS(`a.button[href="/listings/default/102"]`)),
		chromedp.Click(chromedp.CSS(`input[value="00000101-0102"]`)), chromedp.Submit(chromedp.CSS("#name")),
		chromedp.WaitVisible(chromedp.CSS(".good")))
	p.until(fmt.Sprint("HX-", 48210+17), "active")
	b.open("/")
	b.untilText("#live-today", "2 guests: 2 listings without doors")

	// The rest at once: by the suggestions.
	b.do(chromedp.Click(chromedp.CSS(`.cause a[href="/doors?missing=1"]`)),
		chromedp.WaitVisible(chromedp.CSS(".picker")))
	b.do(chromedp.Click(chromedp.CSS("[data-all]")), chromedp.Click(chromedp.CSS(`button[value="suggested"]`)))
	b.untilText(".good", "3 listings changed")
	b.mustBeAccessible("listings whose doors have changed")
	b.open("/doors")
	b.do(chromedp.SendKeys(chromedp.CSS("#find-door"), "garden 105"))
	b.until("one door that is called garden 105",
		`[...document.querySelectorAll("#doors label")].filter((l) => !l.hidden).length === 1`)
	b.inBothSchemes("/", "/?part=problems", "/?part=in_house", "/doors", "/reservations", "/search?q=jane", "/arrivals")

	// By the keyboard alone: find a guest, and open the second stay of a list.
	b.open("/reservations?when=all")
	b.do(chromedp.KeyEvent("j"), chromedp.KeyEvent("j"))
	b.until("j j to lead to the second stay",
		`document.activeElement === document.querySelectorAll(".stays tbody tr")[1].querySelector("a")`)
	b.do(chromedp.KeyEvent("k"), chromedp.KeyEvent("j"), chromedp.KeyEvent("\r"),
		chromedp.WaitVisible(chromedp.CSS(".verdict")))
	b.do(chromedp.KeyEvent("/"))
	b.until("/ to lead to the search", `document.activeElement.id === "find"`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.value = ""`)) // the driver types the slash, too
	b.do(chromedp.SendKeys(chromedp.CSS("#find"), "doe jane\n"), chromedp.WaitVisible(chromedp.CSS(".stays")))
	b.untilText(".stays", "Jane Doe")

	// For reading, pages need no scripts.
	b.scripts(false)
	for _, path := range []string{
		"/", "/?part=arrivals", "/calendar", "/doors", "/reservations?when=all",
		"/arrivals",
	} {
		b.open(path)
		if text := ask(b, chromedp.Text(chromedp.CSS("main"))); !strings.Contains(text, "Room 1") {
			t.Errorf("%s without scripts says\n%s", path, text)
		}
	}
}

// TestHotelScreenshots takes pictures of a hotel's pages at three widths, light and dark. SCREENSHOTS_AT has more
// pages, as name=path.
func TestHotelScreenshots(t *testing.T) {
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		t.Skip("make screenshots")
	}
	p := busyHotel(t)
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	at := "hotel-today=/ hotel-calendar=/calendar hotel-reservations=/reservations hotel-reservation=/reservations/default/HX-48210 " +
		"hotel-listings=/listings hotel-listing=/listings/default/101 hotel-doors=/doors hotel-events=/events hotel-sources=/sources " +
		"hotel-source=/sources/default hotel-subscriptions=/subscriptions hotel-health=/health hotel-audit=/audit hotel-arrivals=/arrivals " +
		"hotel-search=/search?q=jane"
	if more := os.Getenv("SCREENSHOTS_AT"); more != "" {
		at = more
	}
	for one := range strings.FieldsSeq(at) {
		name, path, _ := strings.Cut(one, "=")
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			for _, width := range []int64{390, 1024, 1440} {
				b.do(chromedp.EmulateViewport(width, 900))
				b.open(path)
				b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-live-state]").remove()`))
				b.picture(folder, fmt.Sprintf("%s-%d-%s", name, width, scheme), width)
				if ask(b, chromedp.Evaluate[bool](
					`document.documentElement.scrollWidth > document.documentElement.clientWidth`)) {
					t.Errorf("%s is wider than %d", path, width)
				}
			}
		}
	}
}
