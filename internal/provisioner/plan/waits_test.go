package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// A first key waits for the source's horizon and, if the source requires one, for an e-mail address; an existing key
// is kept and changed as needed.
func TestFirstKeysWait(t *testing.T) {
	t.Parallel()
	listing := Listing{Groups: []string{"a"}}
	booked := func(in time.Duration, email string) Reservation {
		return Reservation{
			Source: "s", ReservationID: "R", Status: pms.Confirmed, ListingID: "L",
			CheckIn: ptr(noon.Add(in)), CheckOut: ptr(noon.Add(in + 48*time.Hour)), GuestEmail: email,
		}
	}
	made := []record.User{rows.User(store.ACSUser{
		ID: 1, ACSSystemID: "sys", UserIdentityID: "i",
		GuestKey: "k:jane@example.com", ACSUserID: ptr("u"), CredentialID: ptr("c"), AccessGroupIDs: []string{"a"},
		StartsAt: &noon, EndsAt: &noon, MadeAt: &noon,
	})}
	gone := []record.User{made[0]}
	gone[0].DeletedAt = &noon
	horizon := pms.Policy{Horizon: 10 * 24 * time.Hour, GraceBefore: time.Hour}
	needsEmail := pms.Policy{NeedEmail: true}
	for name, c := range map[string]struct {
		policy      pms.Policy
		reservation Reservation
		has         []record.User
		reason      string // "": it is created, or changed
		at          time.Duration
	}{
		"before the horizon": {
			horizon, booked(20*24*time.Hour, ""), nil, stay.ReasonBeforeHorizon,
			10*24*time.Hour - time.Hour,
		},
		"at the horizon":                    {horizon, booked(10*24*time.Hour+time.Hour, ""), nil, "", 0},
		"a key is there before the horizon": {horizon, booked(20*24*time.Hour, "jane@example.com"), made, "", 0},
		"a key was there, before the horizon": {
			horizon, booked(20*24*time.Hour, "jane@example.com"), gone,
			stay.ReasonBeforeHorizon, 10*24*time.Hour - time.Hour,
		},
		"no horizon":                           {pms.Policy{}, booked(2000*24*time.Hour, ""), nil, "", 0},
		"no address":                           {needsEmail, booked(time.Hour, ""), nil, stay.ReasonNoEmail, 0},
		"a relay's address is one to write to": {needsEmail, booked(time.Hour, "x@guest.booking.com"), nil, "", 0},
		"no address, and nobody asks for one":  {pms.Policy{}, booked(time.Hour, ""), nil, "", 0},
		"no address any more, and a key there": {needsEmail, booked(time.Hour, ""), made, "", 0},
	} {
		d := Desire(Situation{
			Reservation: c.reservation, Listing: &listing, Policy: c.policy, Now: noon,
			GuestKey: func(a string) string { return "k:" + a },
			Group:    func(string) (string, bool) { return "sys", true },
		})
		steps := Plan(d, c.has, false)
		waiting := d.WithFirstKeyWaiting(c.has)
		if c.reason == "" {
			if len(steps) == 0 || waiting.Blocked != nil {
				t.Errorf("%s: %d steps, %+v", name, len(steps), waiting.Blocked)
			}
			continue
		}
		if len(steps) > 0 || waiting.Blocked == nil || waiting.Blocked.Reason != c.reason ||
			waiting.Blocked.Status != stay.KeyWaiting {
			t.Errorf("%s: %d steps, %+v", name, len(steps), waiting.Blocked)
		}
		if c.at > 0 && !waiting.CreateAt.Equal(noon.Add(c.at)) {
			t.Errorf("%s: made at %s", name, waiting.CreateAt)
		}
		if m := waiting.Blocked.Message; c.reason == stay.ReasonBeforeHorizon && !strings.HasSuffix(m, ", 10 days before check-in.") {
			t.Errorf("%s: %s", name, m)
		}
	}
}

// The grace of a listing overrides its source's, each end separately.
func TestGraceOfAListing(t *testing.T) {
	t.Parallel()
	p := pms.Policy{
		GraceBefore: time.Hour, GraceAfter: 30 * time.Minute,
		Listings: map[string]pms.ListingPolicy{
			"L": {GraceAfter: ptr(2 * time.Hour)},
			"M": {GraceBefore: ptr(time.Duration(0))},
		},
	}
	for id, want := range map[string][2]time.Duration{
		"L": {time.Hour, 2 * time.Hour}, "M": {0, 30 * time.Minute},
		"": {time.Hour, 30 * time.Minute},
	} {
		if before, after := p.Grace(id); before != want[0] || after != want[1] {
			t.Errorf("%q: %s and %s", id, before, after)
		}
	}
}
