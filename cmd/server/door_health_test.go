package main

import (
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

// A lock whose battery is low is at the stay, at its listing, on their pages and on Today, with the subscribers and in
// /metrics; the key works as before. When it is repaired, a reconcile ends all that.
func TestDoorAtRisk(t *testing.T) {
	t.Parallel()
	receiver := newListener(t)
	sim, env := simulated(t, storetest.DSN(t))
	sim.AddEntrance("11111111-1111-1111-1111-111111111111", "front-door", "Front door", "555555-5555", "666666-6666")
	sim.EditEntrance("front-door", func(e *simulator.Entrance) { e.BatteryLevel = "low" })
	p := launch(t, append(env, receiver.config(t, ""), "STAYKEY_PUBLIC_URL=https://keys.example.com", "STAYKEY_SWEEP_INTERVAL=1s"))
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", begunReservation())
	p.until("3333122-433", "active")
	receiver.mustHear(t, "mobile_key.at_risk", `"problem":"battery_low"`)
	const stay, listing = "/v1/reservations/default/3333122-433", "/v1/listings/default/2222222-2222"
	problem := func(path string) string {
		_, body := p.rest("GET", path)
		risk, _ := body["door_at_risk"].(map[string]any)
		doors, _ := risk["doors"].([]any)
		if len(doors) != 1 {
			return ""
		}
		door := doors[0].(map[string]any)
		if door["acs_entrance_id"] != "front-door" || door["name"] != "Front door" {
			t.Errorf("%s: %v", path, door)
		}
		return door["problem"].(string)
	}
	for _, path := range []string{stay, listing} {
		if got := problem(path); got != "battery_low" {
			t.Errorf("%s: the door's problem is %q", path, got)
		}
	}
	if status := p.key("3333122-433")["status"]; status != "active" {
		t.Errorf("the key is %v", status)
	}
	browser := p.signedIn()
	for path, part := range map[string]string{
		"/": `id="doors"`, "/reservations/default/3333122-433": `id="doors-at-risk"`,
		"/listings/default/2222222-2222": `id="doors-at-risk"`, "/listings": "may not open",
	} {
		page := strings.NewReplacer("<strong>", "", "</strong>", "").Replace(browser.page(path))
		if !strings.Contains(page, part) || !strings.Contains(page, "Front door: the lock&#39;s battery is low") {
			t.Errorf("%s doesn't show the door", path)
		}
	}
	until.True(t, "the stay to be counted", func() bool { return p.metrics()["staykey_stays_with_doors_at_risk"] == 1 })

	sim.EditEntrance("front-door", func(e *simulator.Entrance) { e.BatteryLevel = "fresh" })
	p.rest("POST", stay+"/reconcile")
	receiver.mustHear(t, "mobile_key.recovered", "")
	for _, path := range []string{stay, listing} {
		if got := problem(path); got != "" {
			t.Errorf("%s: after the repair the door's problem is %q", path, got)
		}
	}
	for _, m := range receiver.messages() {
		if strings.Contains(m.Body, "Front door") {
			t.Errorf("a message has the door's name: %s", m.Body)
		}
	}
}
