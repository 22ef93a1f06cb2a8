package provisioner_test

import (
	"context"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// twoSources is a rig with several sources, without lists of what they may open unless the test sets them.
func twoSources(t *testing.T, lists map[string]pms.Policy) *rig {
	t.Helper()
	options := fast()
	options.Configured = func(name string) bool { return name != "gone" }
	r := newRig(t, options, simulator.Options{})
	r.policy = func(source string) pms.Policy {
		p := pms.DefaultPolicy()
		l := lists[source]
		p.AccessGroups, p.AccessSystems = l.AccessGroups, l.AccessSystems
		p.OwnGroups = len(p.AccessGroups)+len(p.AccessSystems) == 0
		return p
	}
	return r
}

func (r *rig) stayOf(source, id string) stay {
	s := r.stay(id)
	s.source, s.email = source, strings.ToLower(id)+"@example.com"
	return s
}

// A source that names another hotel's access groups opens only its own doors, and a person is notified. The first
// user of a group keeps it.
func TestSourceOpensOnlyItsDoors(t *testing.T) {
	t.Parallel()
	r := twoSources(t, nil)
	r.listing("beta", "L", "666666-6666", "lobby")
	r.listing("alpha", "L", "555555-5555", "666666-6666")
	forged, own := r.stayOf("alpha", "A1"), r.stayOf("beta", "B1")
	r.book(forged)
	r.book(own)
	if v := r.until(forged, store.KeyAttention); str(v.Key.Reason) != "access_group_not_allowed" {
		t.Errorf("reason %q", str(v.Key.Reason))
	}
	r.mustHold(forged.id, forged.wants(system, "555555-5555"))
	r.until(own, store.KeyIssued)
	r.mustHold(own.id, own.wants(system, "666666-6666", "lobby"))
	// With foreign doors alone there is no key.
	r.listing("alpha", "foreign", "666666-6666")
	none := r.stayOf("alpha", "A2")
	none.listing = "foreign"
	r.book(none)
	if v := r.until(none, store.KeyAttention); str(v.Key.Reason) != "access_group_not_allowed" {
		t.Errorf("reason %q", str(v.Key.Reason))
	}
	r.mustHold(none.id)
	// An existing key loses doors when its listing changes to name only others.
	r.listing("alpha", "L", "666666-6666")
	r.untilThat(forged, "closed", func(v store.View) bool {
		got := r.holds(forged.id)
		return len(got) == 1 && len(got[0].Groups) == 0
	})
	r.listing("alpha", "L", "555555-5555")
	r.until(forged, store.KeyIssued)
	r.mustHold(forged.id, forged.wants(system, "555555-5555"))
	r.mustBeSound()
}

// An admin's setting for a listing has the same limits.
func TestPutOpensOnlyTheSourcesDoors(t *testing.T) {
	t.Parallel()
	r := twoSources(t, nil)
	r.listing("beta", "L", "666666-6666")
	r.listing("alpha", "L", "555555-5555")
	patch := pms.ListingPatch{
		Given:   map[string]bool{"seam_access_group_ids": true},
		Listing: pms.Listing{AccessGroupIDs: []string{"666666-6666", "555555-5555"}},
	}
	if _, _, err := r.applier.PutListing(context.Background(), store.ListingRef{Source: "alpha", ListingID: "L"}, patch,
		store.Audit{Action: "put_listing"}); err != nil {
		t.Fatal(err)
	}
	s := r.stayOf("alpha", "A1")
	r.book(s)
	if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != "access_group_not_allowed" {
		t.Errorf("reason %q", str(v.Key.Reason))
	}
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// The lists of a source decide, if it has any; otherwise the first user of a group.
func TestListsOfASource(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lists  map[string]pms.Policy
		groups []string
		opens  []string
		status string
	}{
		"a group of the list, which another source used first": {map[string]pms.Policy{"alpha": {AccessGroups: []string{
			"666666-6666",
		}}}, []string{"666666-6666"}, []string{"666666-6666"}, store.KeyIssued},
		"a group outside of the list": {map[string]pms.Policy{"alpha": {AccessGroups: []string{
			"lobby",
		}}}, []string{"555555-5555", "lobby"}, []string{"lobby"}, store.KeyAttention},
		"a system of the list": {
			map[string]pms.Policy{
				"alpha": {AccessSystems: []string{system}},
			},
			[]string{"555555-5555", "666666-6666"},
			[]string{"555555-5555", "666666-6666"},
			store.KeyIssued,
		},
		"a system outside of the list": {map[string]pms.Policy{
			"alpha": {AccessSystems: []string{systemB}},
		}, []string{"555555-5555"}, nil, store.KeyAttention},
		"one of both lists": {
			map[string]pms.Policy{
				"alpha": {AccessSystems: []string{system}, AccessGroups: []string{"lobby"}},
			},
			[]string{"555555-5555", "lobby"},
			[]string{"lobby"},
			store.KeyAttention,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := twoSources(t, c.lists)
			r.listing("beta", "L", "666666-6666")
			r.listing("alpha", "L", c.groups...)
			s := r.stayOf("alpha", "A1")
			r.book(s)
			v := r.until(s, c.status)
			if reason := str(v.Key.Reason); (c.status == store.KeyAttention) != (reason == "access_group_not_allowed") {
				t.Errorf("reason %q", reason)
			}
			if c.opens == nil {
				r.mustHold(s.id)
				return
			}
			r.mustHold(s.id, s.wants(system, c.opens...))
		})
	}
}

// A guest whose slot another source has taken gets a key anyway, and this is reported without naming the other stay.
func TestSlotTakenByAnotherSource(t *testing.T) {
	t.Parallel()
	r := twoSources(t, nil)
	logged := r.logTo()
	r.stop()
	r.start()
	r.listing("alpha", "L", "555555-5555")
	r.listing("beta", "L", "666666-6666")
	forged, real := r.stayOf("alpha", "FORGED"), r.stayOf("beta", "REAL")
	forged.email, real.email = "victim@example.com", "victim@example.com"
	forged.in, forged.out = forged.in.AddDate(0, 0, 400), forged.out.AddDate(0, 0, 400)
	r.book(forged)
	r.until(forged, store.KeyIssued)
	r.book(real)
	r.until(real, store.KeyIssued)
	own := real
	own.email = ""
	r.mustHold(real.id, own.wants(system, "666666-6666"))
	items, err := r.store.Reservations.Timeline(context.Background(), store.Ref{Source: "beta", ReservationID: "REAL"},
		0, 100)
	if err != nil {
		t.Fatal(err)
	}
	reported := false
	for _, item := range items {
		reported = reported || strings.HasPrefix(item.Summary,
			"a stay of another source already uses the guest's identity")
		if strings.Contains(item.Summary, "FORGED") {
			t.Errorf("the timeline names another source's stay: %s", item.Summary)
		}
	}
	if !reported || !strings.Contains(logged(), "other_source=alpha other_reservation_id=FORGED") {
		t.Errorf("not reported: %t\n%s", reported, logged())
	}
}

// What a source used first is free once the source is removed from the configuration.
func TestGroupsOfASourceThatIsGone(t *testing.T) {
	t.Parallel()
	r := twoSources(t, nil)
	r.listing("gone", "L", "666666-6666")
	r.listing("alpha", "L", "666666-6666")
	s := r.stayOf("alpha", "A1")
	r.book(s)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "666666-6666"))
}
