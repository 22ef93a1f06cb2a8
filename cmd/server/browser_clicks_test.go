//go:build browser

package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// press presses keys where the focus is.
func (h *hands) press(keys string) {
	h.t.Helper()
	for _, key := range keys {
		h.keys++
		h.do(chromedp.KeyEvent(string(key)))
	}
}

// seconds is how long an average person takes by the keystroke-level model of Card, Moran and Newell (The
// keystroke-level model for user performance time with interactive systems, Communications of the ACM 23(7), 1980): a
// key 0.28 s, to point at something 1.1 s, to press and release the mouse's button 0.2 s, a hand between mouse and
// keyboard 0.4 s, counted for each click, to think before each decision 1.35 s, and 2 s for each page that is loaded.
func (h *hands) seconds(decisions, loads int) float64 {
	return 0.28*float64(h.keys) + 1.7*float64(h.clicks) + 1.35*float64(decisions) + 2*float64(loads)
}

// TestPageFixesInThreeClicks goes from Today to a key that works, for each cause that a front desk can fix, in at most
// three clicks.
func TestPageFixesInThreeClicks(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	config := filepath.Join(t.TempDir(), "staykey.yaml")
	if err := os.WriteFile(config, []byte(`sources:
  - {name: default, verify: {method: standard-webhooks, secrets: ["${STAYKEY_WEBHOOK_SECRET}"]}}
  - {name: paying, verify: {method: none}, insecure: true, gates: [{name: paid, holds: key}]}
  - {name: watched, verify: {method: none}, insecure: true, drift: report}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, append(env, "STAYKEY_CONFIG="+config, "STAYKEY_SWEEP_INTERVAL=1s"))
	now := time.Now().UTC()
	listing := func(id string, doors ...string) {
		p.deliver("default", "listing.created", map[string]any{
			"listing_id": id, "name": "Room " + id, "time_zone": daytime(),
			"seam_access_group_ids": append([]string{}, doors...),
		})
	}
	bookAt := func(source, id, listing string) {
		if got := p.post(source, "reservation.created", map[string]any{
			"reservation_id": id, "listing_id": listing,
			"guest_email": id + "@example.com", "guest_name": "Guest " + id,
			"check_in":  now.Add(-2 * time.Hour).Format(time.RFC3339),
			"check_out": now.Add(40 * time.Hour).Format(time.RFC3339),
		}); got != 202 {
			t.Fatal(got)
		}
	}
	book := func(id, listing string) { bookAt("default", id, listing) }
	// withKey books a stay that gets its key, and returns its ACS user.
	withKey := func(id string) string {
		listing(id, "555555-5555")
		book(id, id)
		user, _ := p.until(id, "active")["acs_user_id"].(string)
		return user
	}
	system := func(change func(*simulator.System)) {
		sim.Change(func(s *simulator.State) {
			system := s.Systems[s.Groups["555555-5555"].SystemID]
			change(&system)
			s.Systems[system.ID] = system
		})
	}
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	const pick = `input[value="555555-5555"]`
	const save = `form.stack button`
	keyAt := func(source, id string) map[string]any {
		_, stay := p.rest("GET", "/v1/reservations/"+source+"/"+id)
		key, _ := stay["mobile_key"].(map[string]any)
		return key
	}
	statusAt := func(source, id string) any { return keyAt(source, id)["status"] }
	sources := map[string]string{"gate_closed": "paying", "drifted": "watched"} // the others are of default
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
			system(func(s *simulator.System) { s.SubscriptionLimit = 1 })
			listing(id, "555555-5555")
			book(id, id)
			p.until(id, "attention")
		}, func(h *hands, id string) {
			system(func(s *simulator.System) { s.SubscriptionLimit = 0 }) // somebody buys more
			h.click(`form[action="/reservations/default/` + id + `/reconcile"] button`)
		}},
		{"gate_closed", func(id string) {
			if got := p.post("paying", "listing.created", map[string]any{
				"listing_id": id, "name": "Room " + id, "seam_access_group_ids": []string{"777777-7777"},
			}); got != 202 {
				t.Fatal(got)
			}
			bookAt("paying", id, id)
		}, func(h *hands, id string) {
			h.click(`.cause a.button[href="/reservations/paying/` + id + `"]`)
			h.click(`form.gate button[value="open"]`)
		}},
		{"removed_at_seam", func(id string) {
			user := withKey(id)
			sim.Change(func(s *simulator.State) { delete(s.Users, user) })
			p.until(id, "attention")
		}, func(h *hands, id string) {
			h.click(`form[action="/reservations/default/` + id + `/reconcile"] button`)
		}},
		{"suspended_at_seam", func(id string) {
			user := withKey(id)
			sim.Change(func(s *simulator.State) {
				u := s.Users[user]
				u.Suspended = true
				s.Users[user] = u
			})
			p.until(id, "attention")
		}, func(h *hands, id string) {
			h.click(`form[action="/reservations/default/` + id + `/reconcile"] button`)
		}},
		{"revoked_by_admin", func(id string) {
			withKey(id)
			p.admin("POST", "/v1/reservations/default/"+id+"/revoke", []byte(`{"reason":"payment failed"}`), nil)
			p.until(id, "revoked")
		}, func(h *hands, id string) { // decided by a person, so it is not among the problems: the guest calls
			h.types("#find", id+"\n")
			h.click(`.stays a[href="/reservations/default/` + id + `"]`)
			h.click(`a[href="/reservations/default/` + id + `/reissue"]`)
			h.types("#reason", "paid")
			h.click(`form.stack button`)
		}},
		{"access_system_disconnected", func(id string) {
			system(func(s *simulator.System) { s.Disconnected = true })
			listing(id, "555555-5555")
			book(id, id)
			p.until(id, "attention")
		}, func(h *hands, id string) {
			system(func(s *simulator.System) { s.Disconnected = false }) // somebody reconnects it in the Seam console
			h.click(`form[action="/reservations/default/` + id + `/reconcile"] button`)
		}},
		{"drifted", func(id string) {
			if got := p.post("watched", "listing.created", map[string]any{
				"listing_id": id, "name": "Room " + id, "seam_access_group_ids": []string{"666666-6666"},
			}); got != 202 {
				t.Fatal(got)
			}
			bookAt("watched", id, id)
			waitUntil(t, "a key", func() bool { return statusAt("watched", id) == "active" })
			user := keyAt("watched", id)["acs_user_id"].(string)
			sim.Change(func(s *simulator.State) {
				u := s.Users[user]
				shorter := *u.Schedule
				shorter.EndsAt = shorter.EndsAt.Add(-20 * time.Hour)
				u.Schedule = &shorter
				s.Users[user] = u
			})
			waitUntil(t, "the change to be seen", func() bool { return statusAt("watched", id) == "attention" })
		}, func(h *hands, id string) {
			h.click(`form[action="/reservations/watched/` + id + `/reconcile"] button`)
		}},
		{"time_zone_unknown", func(id string) { // the PMS sends days at the property
			p.deliver("default", "listing.created", map[string]any{
				"listing_id": id, "name": "Room " + id, "seam_access_group_ids": []string{"555555-5555"},
			})
			p.deliver("default", "reservation.created", map[string]any{
				"reservation_id": id, "listing_id": id,
				"guest_email": id + "@example.com", "guest_name": "Guest " + id,
				"check_in":  now.Add(-2 * time.Hour).Format("2006-01-02T15:04"),
				"check_out": now.Add(40 * time.Hour).Format(time.DateOnly),
			})
			p.until(id, "waiting")
		}, func(h *hands, id string) {
			h.click(`a.button[href="/listings/default/` + id + `#time_zone"]`)
			h.types("#time_zone", "Europe/London")
			h.click(save)
		}},
		{"access_groups_of_several_systems", func(id string) {
			sim.Change(func(s *simulator.State) {
				annex := s.Systems[s.Groups["555555-5555"].SystemID]
				annex.ID, annex.Name = "annex", "Annex"
				s.Systems[annex.ID] = annex
				s.Groups["annex-door"] = simulator.AccessGroup{ID: "annex-door", SystemID: annex.ID, Name: "Annex door"}
			})
			listing(id, "555555-5555", "annex-door")
			book(id, id)
			p.until(id, "attention")
		}, func(h *hands, id string) {
			h.click(`a.button[href="/listings/default/` + id + `"]`)
			h.click(`input[value="annex-door"]`)
			h.click(save)
		}},
	} {
		id := strings.ReplaceAll(tc.cause, "_", "-")
		tc.prepare(id)
		revoked := tc.cause == "revoked_by_admin"
		for b.open("/"); !revoked && !b.says("#live-today", "Guest "+id); b.open("/") { // a hang ends the whole test
			continue
		}
		h := &hands{browser: b}
		tc.fix(h, id)
		source := cmp.Or(sources[tc.cause], "default")
		waitUntil(t, "the key", func() bool { return statusAt(source, id) == "active" })
		t.Logf("%s: %d clicks, %d keys", tc.cause, h.clicks, h.keys)
		if h.clicks > 3 {
			t.Errorf("%s takes %d clicks from Today", tc.cause, h.clicks)
		}
	}
}

// TestPageMapsEightyRooms chooses the doors of a house of eighty rooms in three ways: typed row by row without a mouse,
// with and without the page's script, and from one file.
func TestPageMapsEightyRooms(t *testing.T) {
	t.Parallel()
	const rooms, most = 80, 300
	sim, env := simulated(t, storetest.DSN(t))
	sim.Change(func(s *simulator.State) {
		for i := range rooms {
			id := fmt.Sprintf("00000000-%04d", 101+i)
			s.Groups[id] = simulator.AccessGroup{
				ID: id, SystemID: s.Groups["555555-5555"].SystemID, Name: fmt.Sprint("Door ", 101+i),
			}
		}
	})
	p := launch(t, env)
	empty := func(name string) {
		for i := range rooms {
			if got := p.post("default", "listing.created", map[string]any{
				"listing_id": fmt.Sprint(name, 101+i), "name": fmt.Sprint(name, " ", 101+i),
				"seam_access_group_ids": []string{},
			}); got != 202 {
				t.Fatal(got)
			}
		}
	}
	mustBeSet := func(name string) {
		t.Helper()
		for i := range rooms {
			var listing struct {
				Groups []string `json:"seam_access_group_ids"`
			}
			p.admin("GET", fmt.Sprint("/v1/listings/default/", name, 101+i), nil, &listing)
			if want := fmt.Sprintf("00000000-%04d", 101+i); len(listing.Groups) != 1 || listing.Groups[0] != want {
				t.Fatalf("%s %d has the doors %v, not %s", name, 101+i, listing.Groups, want)
			}
		}
	}
	b := openBrowser(t, p.url)
	b.signIn(e2eToken, "Maria")
	const missing = "/doors?missing=1"
	lacks := func(name string) {
		for b.open(missing); !b.says("main", "80 listings have no doors"); b.open(missing) {
			continue // a hang ends the whole test
		}
		b.untilText("main", name+" 101")
	}
	untilFocus := func(row int, name string) {
		label := fmt.Sprintf("Doors of %s %d", name, 101+row)
		b.until("the focus on "+label, `document.activeElement.getAttribute("aria-label") === "`+label+`"`)
	}
	// Without scripts, Enter saves what was typed into all rows so far.
	loadsAfter := map[bool][]int{true: {49}, false: {0, 1, 51, 79}}
	for _, scripts := range []bool{true, false} {
		name := map[bool]string{true: "Suite", false: "Villa"}[scripts]
		empty(name)
		b.scripts(scripts)
		lacks(name)
		if scripts {
			b.inBothSchemesNow("doors to type")
			b.looks("doors-typed")
		}
		h := &hands{browser: b}
		if scripts {
			h.press("j\t") // the first row's link, then its doors
		} else {
			h.click("input[name=typed]")
		}
		loads := 1
		for i := range rooms {
			untilFocus(i, name)
			h.press(fmt.Sprint(101 + i))
			saved := slices.Contains(loadsAfter[scripts], i) // the page that comes shows the rows that are left
			if !scripts && !saved {
				h.press("\t\t\t") // over the next row's checkbox and link
				continue
			}
			h.press("\r")
			if saved && i < rooms-1 {
				loads++
			}
		}
		b.untilText("main", "Every listing has doors.")
		mustBeSet(name)
		seconds := h.seconds(rooms, loads)
		t.Logf("scripts %v: %d keys, %d clicks, %d pages: %.0f s", scripts, h.keys, h.clicks, loads, seconds)
		if seconds > most {
			t.Errorf("scripts %v: eighty rooms take %.0f s", scripts, seconds)
		}
	}
	b.scripts(true)

	empty("Flat")
	table := strings.Builder{}
	table.WriteString("source,listing_id,name,doors\n")
	for i := range rooms {
		fmt.Fprintf(&table, "default,Flat%d,Flat %d,Door %d\n", 101+i, 101+i, 101+i)
	}
	file := filepath.Join(t.TempDir(), "doors.csv")
	if err := os.WriteFile(file, []byte(table.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	lacks("Flat")
	h := &hands{browser: b, clicks: 1} // to choose the file
	b.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{file}))
	h.click(`form[action="/doors/file"] button`)
	b.untilText("main", "80 listings will change.")
	h.click(`button[name="apply"]`)
	b.untilText(".good", "80 listings changed")
	mustBeSet("Flat")
	if h.clicks > 3 {
		t.Errorf("a file takes %d clicks", h.clicks)
	}
}
