//go:build browser

package main

import (
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
