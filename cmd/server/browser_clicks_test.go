//go:build browser

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
)

// hands counts what a person does.
type hands struct {
	*browser
	clicks, keys int
}

func (h *hands) click(selector string) {
	h.t.Helper()
	h.clicks++
	h.do(chromedp.Click(chromedp.CSS(selector)))
}

func (h *hands) types(selector, text string) {
	h.t.Helper()
	h.keys += len(text)
	h.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// seconds is how long a practiced person takes by the keystroke-level model of Card, Moran and Newell (The
// keystroke-level model for user performance time with interactive systems, Communications of the ACM 23(7), 1980): to
// point at something 1.1 s, to press and release the mouse's button 0.2 s, a key 0.28 s (an average typist), a hand
// between mouse and keyboard 0.4 s, and to think before each decision 1.35 s. The answers of the service are not in it.
func (h *hands) seconds(decisions, moves int) float64 {
	return 1.3*float64(h.clicks) + 0.28*float64(h.keys) + 1.35*float64(decisions) + 0.4*float64(moves)
}

// TestPageFixesInThreeClicks goes from Today to a key that works, for each cause that a front desk can fix, in at most
// three clicks.
func TestPageFixesInThreeClicks(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	now := time.Now().UTC()
	listing := func(id string, doors ...string) {
		p.post("default", "listing.created", map[string]any{
			"listing_id": id, "name": "Room " + id, "time_zone": "Europe/Madrid",
			"seam_access_group_ids": append([]string{}, doors...),
		})
	}
	book := func(id, listing string) {
		if got := p.post("default", "reservation.created", map[string]any{
			"reservation_id": id, "listing_id": listing,
			"guest_email": id + "@example.com", "guest_name": "Guest " + id,
			"check_in":  now.Add(-2 * time.Hour).Format(time.RFC3339),
			"check_out": now.Add(40 * time.Hour).Format(time.RFC3339),
		}); got != 202 {
			t.Fatal(got)
		}
	}
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	const pick = `input[value="555555-5555"]`
	const save = `form.stack button`
	for _, tc := range []struct {
		cause   string
		prepare func(id string)
		fix     func(h *hands, id string)
	}{
		{"no_access_groups", func(id string) { listing(id); book(id, id) }, func(h *hands, id string) {
			h.click(`a.button[href="/listings/default/` + id + `"]`)
			h.click(pick)
			h.click(save)
		}},
		{"listing_unknown", func(id string) { book(id, id) }, func(h *hands, id string) {
			h.click(`a.button[href="/listings/default/` + id + `"]`)
			h.click(pick)
			h.click(save)
		}},
		{
			"access_group_not_found", func(id string) { listing(id, "999999-9999"); book(id, id) },
			func(h *hands, id string) {
				h.click(`a.button[href="/listings/default/` + id + `?without_missing=1"]`)
				h.click(pick)
				h.click(save)
			},
		},
		{"held", func(id string) {
			listing(id)
			book(id, id)
			p.until(id, "waiting")
			p.admin("POST", "/v1/reservations/default/"+id+"/hold", []byte(`{"reason":"the owner asks"}`), nil)
			listing(id, "555555-5555")
		}, func(h *hands, id string) {
			h.click(`a.button[href="/reservations/default/` + id + `/release"]`)
			h.types("#reason", "settled")
			h.click(`form.stack button`)
		}},
		{"subscription_limit_exceeded", func(id string) {
			sim.Change(func(s *simulator.State) {
				system := s.Systems[s.Groups["555555-5555"].SystemID]
				system.SubscriptionLimit = 1
				s.Systems[system.ID] = system
			})
			listing(id, "555555-5555")
			book(id, id)
			p.until(id, "attention")
			sim.Change(func(s *simulator.State) { // somebody buys more
				system := s.Systems[s.Groups["555555-5555"].SystemID]
				system.SubscriptionLimit = 0
				s.Systems[system.ID] = system
			})
		}, func(h *hands, id string) {
			h.click(`form[action="/reservations/default/` + id + `/reconcile"] button`)
		}},
	} {
		id := strings.ReplaceAll(tc.cause, "_", "-")
		tc.prepare(id)
		for b.open("/"); !b.says("#live-today .cause", "Guest "+id); b.open("/") { // a hang ends the whole test
			p.key(id)
		}
		h := &hands{browser: b}
		tc.fix(h, id)
		p.until(id, "active")
		t.Logf("%s: %d clicks, %d keys", tc.cause, h.clicks, h.keys)
		if h.clicks > 3 {
			t.Errorf("%s takes %d clicks from Today", tc.cause, h.clicks)
		}
	}
}

// TestPageMapsEightyRooms chooses the doors of a house of eighty rooms in three ways: each room by hand, by what the
// page suggests, and from one file.
func TestPageMapsEightyRooms(t *testing.T) {
	t.Parallel()
	const rooms = 80
	sim, env := simulated(t, storetest.DSN(t))
	sim.Change(func(s *simulator.State) {
		for i := range rooms {
			id := fmt.Sprintf("00000000-%04d", 101+i)
			s.Groups[id] = simulator.AccessGroup{
				ID: id, SystemID: s.Groups["555555-5555"].SystemID,
				Name: fmt.Sprint("Room ", 101+i),
			}
		}
	})
	p := launch(t, env)
	empty := func(name string) {
		for i := range rooms {
			if got := p.post("default", "listing.created", map[string]any{
				"listing_id": fmt.Sprint(name, 101+i), "name": fmt.Sprint(name, " ",
					101+i), "seam_access_group_ids": []string{},
			}); got != 202 {
				t.Fatal(got)
			}
		}
	}
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	const missing = "/doors?missing=1"

	// Names that have nothing in common with the doors': one room after the other.
	empty("Suite")
	b.open(missing)
	b.untilText("main", "Suite 101")
	h := &hands{browser: b}
	began := time.Now()
	h.click(`[name=listing]`)
	h.click("#find-door")
	for i := range rooms {
		h.keys++
		h.types("#find-door", fmt.Sprintf("%d\r", 101+i))
		if i < rooms-1 {
			b.untilText(".good", "1 listing changed")
			b.untilText("table.rows tbody tr", fmt.Sprint("Suite ", 102+i))
			b.do(chromedp.WaitReady(chromedp.CSS("#find-door:focus"))) // where the next name is typed
		}
	}
	b.untilText("main", "Every listing has doors.")
	t.Logf("by hand: %d clicks, %d keys; %.0f s by the keystroke-level model, and %.0f s of answers here", h.clicks,
		h.keys,
		h.seconds(rooms, 1), time.Since(began).Seconds())
	if s := h.seconds(rooms, 1); s > 300 {
		t.Errorf("eighty rooms by hand take %.0f s by the keystroke-level model", s)
	}

	// Names that the doors have, too: by what the page suggests. A person looks at each suggestion.
	empty("Room")
	b.open(missing)
	b.untilText("main", "Room 101")
	h = &hands{browser: b}
	for b.open(missing); !b.says("main", "Every listing has doors."); b.open(missing) {
		h.click("[data-all]")
		h.click(`button[value="suggested"]`)
		b.untilText(".good", "changed")
	}
	t.Logf("by suggestions: %d clicks, %.0f s by the keystroke-level model, with a look at each", h.clicks,
		h.seconds(rooms, 0))
	if s := h.seconds(rooms, 0); s > 300 {
		t.Errorf("eighty rooms by suggestions take %.0f s by the keystroke-level model", s)
	}

	// One file.
	empty("Flat")
	table := strings.Builder{}
	table.WriteString("source,listing_id,name,doors\n")
	for i := range rooms {
		fmt.Fprintf(&table, "default,Flat%d,Flat %d,Room %d\n", 101+i, 101+i, 101+i)
	}
	file := filepath.Join(t.TempDir(), "doors.csv")
	if err := os.WriteFile(file, []byte(table.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	b.open(missing)
	b.untilText("main", "Flat 101")
	h = &hands{browser: b, clicks: 1} // to choose the file
	b.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{file}))
	h.click(`form[action="/doors/file"] button`)
	b.untilText("main", "80 listings will change.")
	h.click(`button[name="apply"]`)
	b.untilText(".good", "80 listings changed")
	t.Logf("by a file: %d clicks", h.clicks)
	if h.clicks > 3 {
		t.Errorf("a file takes %d clicks", h.clicks)
	}
}
