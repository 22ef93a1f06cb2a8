package provisioner

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// A first key waits for the source's horizon and, where that is asked for, for an e-mail address; one that is there lives on
// and follows what changes.
func TestFirstKeysWait(t *testing.T) {
	t.Parallel()
	listing := store.Listing{Source: "s", ListingID: "L", Known: true, AccessGroupIDs: []string{"a"}}
	stay := func(in time.Duration, email string) store.Reservation {
		r := store.Reservation{Source: "s", ReservationID: "R", Status: pms.Confirmed, ListingID: ptr("L"), CheckIn: ptr(noon.Add(in)), CheckOut: ptr(noon.Add(in + 48*time.Hour))}
		if email != "" {
			r.GuestEmail = &email
		}
		return r
	}
	made := observed{users: []seen{{ACSUser: store.ACSUser{ID: 1, ACSSystemID: "sys", UserIdentityID: "i", GuestKey: "k:jane@example.com", ACSUserID: ptr("u"), CredentialID: ptr("c"), AccessGroupIDs: []string{"a"}, StartsAt: &noon, EndsAt: &noon}}}}
	gone := observed{users: []seen{made.users[0]}}
	gone.users[0].DeletedAt = &noon
	horizon := pms.Policy{Horizon: 10 * 24 * time.Hour, GraceBefore: time.Hour}
	needsEmail := pms.Policy{NeedEmail: true}
	for name, c := range map[string]struct {
		policy      pms.Policy
		reservation store.Reservation
		has         observed
		reason      string // "": it is made, or changed
		at          time.Duration
	}{
		"before the horizon":                   {horizon, stay(20*24*time.Hour, ""), observed{}, reasonBeforeHorizon, 10*24*time.Hour - time.Hour},
		"at the horizon":                       {horizon, stay(10*24*time.Hour+time.Hour, ""), observed{}, "", 0},
		"a key is there before the horizon":    {horizon, stay(20*24*time.Hour, "jane@example.com"), made, "", 0},
		"a key was there, before the horizon":  {horizon, stay(20*24*time.Hour, "jane@example.com"), gone, reasonBeforeHorizon, 10*24*time.Hour - time.Hour},
		"no horizon":                           {pms.Policy{}, stay(2000*24*time.Hour, ""), observed{}, "", 0},
		"no address":                           {needsEmail, stay(time.Hour, ""), observed{}, reasonNoEmail, 0},
		"a relay's address is one to write to": {needsEmail, stay(time.Hour, "x@guest.booking.com"), observed{}, "", 0},
		"no address, and nobody asks for one":  {pms.Policy{}, stay(time.Hour, ""), observed{}, "", 0},
		"no address any more, and a key there": {needsEmail, stay(time.Hour, ""), made, "", 0},
	} {
		d := desire(situation{
			reservation: c.reservation, listing: &listing, policy: c.policy, now: noon, guestKey: func(a string) string { return "k:" + a },
			group: func(string) (string, bool) { return "sys", true },
		})
		steps := plan(d, c.has, false)
		held := d.heldBack(c.has)
		if c.reason == "" {
			if len(steps) == 0 || held.blocked != nil {
				t.Errorf("%s: %d steps, %+v", name, len(steps), held.blocked)
			}
			continue
		}
		if len(steps) > 0 || held.blocked == nil || held.blocked.reason != c.reason || held.blocked.status != store.KeyWaiting {
			t.Errorf("%s: %d steps, %+v", name, len(steps), held.blocked)
		}
		if c.at > 0 && !held.createAt.Equal(noon.Add(c.at)) {
			t.Errorf("%s: made at %s", name, held.createAt)
		}
	}
}

// The grace of a listing wins over its source's, each end by itself.
func TestGraceOfAListing(t *testing.T) {
	t.Parallel()
	p := pms.Policy{GraceBefore: time.Hour, GraceAfter: 30 * time.Minute, Listings: map[string]pms.ListingPolicy{"L": {GraceAfter: ptr(2 * time.Hour)}, "M": {GraceBefore: ptr(time.Duration(0))}}}
	for id, want := range map[string][2]time.Duration{"L": {time.Hour, 2 * time.Hour}, "M": {0, 30 * time.Minute}, "": {time.Hour, 30 * time.Minute}} {
		if before, after := p.Grace(id); before != want[0] || after != want[1] {
			t.Errorf("%q: %s and %s", id, before, after)
		}
	}
}
