//go:build browser

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
)

// daytime is a time zone in which it is daytime now: what happened three hours ago, and what happens in two hours, is
// on the same day there, whenever the tests run.
var daytime = sync.OnceValue(func() string {
	now := time.Now()
	if madrid, err := time.LoadLocation("Europe/Madrid"); err == nil {
		if hour := now.In(madrid).Hour(); hour >= 5 && hour < 20 {
			return "Europe/Madrid"
		}
	}
	return fmt.Sprintf("Etc/GMT%+d", now.UTC().Hour()-14) // two in the afternoon; the signs of these names are reversed
})

// busyHotel is a hotel of twenty rooms on a usual day: most guests have their keys, three rooms have no doors, and one
// isn't set up.
func busyHotel(t *testing.T, settings ...string) *process {
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
	p := launch(t, append(env, settings...))
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
				"time_zone": daytime(), "seam_access_group_ids": doors,
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

// shot is a page to take pictures of.
type shot struct {
	name, path string
	show       func(b *browser) // what to do on the page first; nil for nothing
}

// shots are all pages of a hotel; event is the path of one.
func shots(t *testing.T, event string) []shot {
	t.Helper()
	doors := filepath.Join(t.TempDir(), "doors.csv")
	if err := os.WriteFile(doors, []byte("source,listing_id,name,doors\n"+
		"default,102,Room 102,Garden Room 102; Front door\ndefault,109,Room 109,Garden Room 900\n"+
		"default,121,Room 121,Garden Room 120\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pages := []shot{
		{"calendar-stay", "/calendar", func(b *browser) {
			b.do(chromedp.Click(chromedp.CSS(`a.bar[href$="HX-48210"]`)))
			b.untilText(".panel .verdict", "In use")
		}},
		{"reservations-selected", "/reservations", func(b *browser) {
			b.do(chromedp.Evaluate[chromedp.Void](
				`for (const box of [...document.querySelectorAll("[name=stay]")].slice(1, 3)) box.click()`))
			b.untilText("#selected", "2 selected")
		}},
		{"doors-file", "/doors", func(b *browser) {
			b.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{doors}),
				chromedp.Click(chromedp.CSS(`form[action="/doors/file"] button`)))
			b.untilText("main", "Doors from a file")
		}},
	}
	for page := range strings.FieldsSeq("today=/ calendar=/calendar reservations=/reservations " +
		"reservation=/reservations/default/HX-48210 action=/reservations/default/HX-48210/window " +
		"listings=/listings listing=/listings/default/101 doors=/doors events=/events event=" + event +
		" replay=/events/replay?type=reservation.created sources=/sources source=/sources/default " +
		"subscriptions=/subscriptions subscription=/subscriptions/app health=/health audit=/audit " +
		"arrivals=/arrivals search=/search?q=jane") {
		name, path, _ := strings.Cut(page, "=")
		pages = append(pages, shot{name, path, nil})
	}
	return pages
}

// TestHotelScreenshots takes pictures of a hotel's pages at three widths, light and dark.
func TestHotelScreenshots(t *testing.T) {
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		t.Skip("make screenshots")
	}
	receiver := newListener(t)
	p := busyHotel(t, receiver.config(t, ""))
	b := openBrowser(t, p.url)
	take := func(page shot) {
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			for _, width := range []int64{390, 1024, 1440} {
				b.do(chromedp.EmulateViewport(width, 900))
				b.open(page.path)
				if page.show != nil {
					page.show(b)
				}
				b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-live-state]").remove()`))
				b.picture(folder, fmt.Sprintf("hotel-%s-%d-%s", page.name, width, scheme), width)
				if over := ask(b, chromedp.Evaluate[float64](wider)); over > 0 {
					t.Errorf("%s at %d pixels is %v pixels too wide", page.path, width, over)
				}
			}
		}
	}
	take(shot{"sign-in", "/", nil})
	b.signIn(e2eToken, "Maria")

	// What a desk has done today is on the page Audit and in the stay's history; and one event is wrong.
	const stay = "/v1/reservations/default/HX-48210/"
	p.admin("POST", stay+"hold", []byte(`{"reason":"the room is changed", "author":"Maria"}`), nil)
	p.admin("POST", stay+"release", []byte(`{"reason":"the guest stays in it", "author":"Maria"}`), nil)
	p.until("HX-48210", "active")
	p.deliver("default", "reservation.created", map[string]any{"reservation_id": "HX-48567", "listing_id": "103"})
	var events struct {
		Items []struct {
			ID string `json:"event_id"`
		} `json:"items"`
	}
	p.admin("GET", "/v1/events?reservation_id=HX-48210", nil, &events)
	if len(events.Items) == 0 {
		t.Fatal("no event of the stay is listed")
	}
	<-receiver.arrived
	for _, page := range shots(t, "/events/"+events.Items[0].ID) {
		take(page)
	}
}
