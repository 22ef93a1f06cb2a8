package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

// begunReservation is the seed's reservation with a stay that has begun.
func begunReservation() map[string]any {
	r, in := seedReservation(), time.Now().UTC().AddDate(0, 0, -1)
	r["check_in"], r["check_out"] = in.Format(time.RFC3339), in.AddDate(0, 0, 4).Format(time.RFC3339)
	return r
}

// tryDoor has a stay's guest try a door, and Seam post what happened.
func tryDoor(t *testing.T, p *process, sim *simulator.Simulator, entrance string) {
	t.Helper()
	user, _ := p.key("3333122-433")["acs_user_id"].(string)
	event, err := json.Marshal(sim.TryDoor(user, entrance))
	if err != nil {
		t.Fatal(err)
	}
	postSeamEvent(p, string(event))
}

// A guest is refused at one door and opens another: both are in REST, on the reservation's page and with the
// subscribers.
func TestGuestsAtDoors(t *testing.T) {
	t.Parallel()
	receiver := newListener(t)
	sim, env := simulated(t, storetest.DSN(t))
	sim.AddEntrance("11111111-1111-1111-1111-111111111111", "front-door", "Front door", "555555-5555")
	sim.AddEntrance("11111111-1111-1111-1111-111111111111", "cellar", "Cellar", "staff")
	p := launch(t, append(env, receiver.config(t, ""), "STAYKEY_PUBLIC_URL=https://keys.example.com"))
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", begunReservation())
	p.until("3333122-433", "active")
	receiver.mustHear(t, "mobile_key.ready", "")

	tryDoor(t, p, sim, "cellar")
	receiver.mustHear(t, "mobile_key.denied", `"acs_entrance_id":"cellar"`)
	denied, _ := p.key("3333122-433")["denied"].(map[string]any)
	if denied["reason"] != "no_access" || denied["acs_entrance_id"] != "cellar" {
		t.Errorf("REST says of the refusal: %v", denied)
	}
	if used := p.key("3333122-433")["first_used_at"]; used != nil {
		t.Errorf("a refusal counts as an opening: %v", used)
	}

	tryDoor(t, p, sim, "front-door")
	receiver.mustHear(t, "mobile_key.first_used", `"acs_entrance_id":"front-door"`)
	if used := p.key("3333122-433")["first_used_at"]; used == nil {
		t.Error("REST does not say when a door was opened first")
	}
	page := p.signedIn().page("/reservations/default/3333122-433")
	for _, part := range []string{`id="first-used"`, `id="denied"`, "First opened a door", "Refused at a door"} {
		if !strings.Contains(page, part) {
			t.Errorf("the reservation's page lacks %s", part)
		}
	}
	for _, m := range receiver.messages() {
		if strings.Contains(m.Body, "jane") {
			t.Errorf("a message has guest data: %s", m.Body)
		}
	}
}

// launchWithCode starts the program with a stay that has begun and its backup code: a credential at Seam, and its
// digits.
func launchWithCode(t *testing.T) (sim *simulator.Simulator, p *process, id, digits string) {
	t.Helper()
	sim, env := simulated(t, storetest.DSN(t))
	p = launch(t, withGuestLinks(t, env, "    backup_code: true"))
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", begunReservation())
	p.until("3333122-433", "active")
	var code map[string]any
	until.True(t, "the code to be ready", func() bool {
		_, body := p.rest("GET", "/v1/reservations/default/3333122-433")
		code, _ = body["backup_code"].(map[string]any)
		return code["status"] == "ready"
	})
	id, _ = code["acs_credential_id"].(string)
	if digits = sim.State().Credentials[id].Code; digits == "" {
		t.Fatalf("the code is no credential: %v", code)
	}
	return sim, p, id, digits
}

// A guest whose phone doesn't open the door gets the code on the page of the link, a program by its token, and nobody
// else: it is in no log, message or list. It goes with the key.
func TestBackupCode(t *testing.T) {
	t.Parallel()
	sim, p, id, digits := launchWithCode(t)
	link := p.guestLink("3333122-433")
	if _, _, page := p.ask("GET", link, nil); !strings.Contains(page, "My phone doesn&#39;t open the door") ||
		simulator.HasDigits(page, digits) {
		t.Errorf("the guest's page doesn't offer the code, or shows it at once:\n%s", page)
	}
	if status, header, page := p.ask("POST", link+"?show=code", nil); status != http.StatusOK ||
		!strings.Contains(page, digits) || header.Get("Cache-Control") != "no-store" {
		t.Errorf("asked for the code, the guest's page is %d, %v:\n%s", status, header, page)
	}
	asked := map[string]string{"Accept": "application/json"}
	if status, _, body := p.ask("POST", link+"?show=code", asked); status != http.StatusOK ||
		!strings.Contains(body, `"backup_code":"`+digits+`"`) {
		t.Errorf("a program gets %d %s", status, body)
	}
	if status, body := p.rest("POST", "/v1/reservations/default/3333122-433/backup-code"); status != http.StatusOK ||
		body["code"] != digits {
		t.Errorf("REST answers %d %v", status, body)
	}
	if page := p.signedIn().page("/reservations/default/3333122-433"); !strings.Contains(page, `id="backup-code"`) ||
		simulator.HasDigits(page, digits) {
		t.Error("the reservation's page doesn't have the status of the code, or shows the code")
	}
	for _, path := range []string{"", "/timeline", "/plan"} {
		if _, _, body := p.ask("GET", "/v1/reservations/default/3333122-433"+path,
			map[string]string{"Authorization": "Bearer " + e2eToken}); simulator.HasDigits(body, digits) {
			t.Errorf("%s has the digits: %s", path, body)
		}
	}
	p.deliver("default", "reservation.cancelled", map[string]any{"reservation_id": "3333122-433"})
	p.until("3333122-433", "revoked")
	if _, has := sim.State().Credentials[id]; has {
		t.Error("the code is left at Seam")
	}
	if status, _, body := p.ask("POST", link+"?show=code", asked); status != http.StatusGone {
		t.Errorf("after the cancel: %d %s", status, body)
	}
	if log := p.log.String(); simulator.HasDigits(log, digits) {
		t.Error("the log has the digits")
	}
}
