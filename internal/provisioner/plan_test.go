package provisioner

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

var (
	noon   = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	groups = []string{"a", "b", "c"}
)

// checkOften draws far more than rapid does by default: a plan costs microseconds.
func checkOften(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	for range 200 {
		rapid.Check(t, property)
	}
}

func ptr[T any](v T) *T { return &v }

// drawObserved draws any state that a reservation can be found in.
func drawObserved(t *rapid.T) observed {
	var o observed
	for i := range rapid.IntRange(0, 3).Draw(t, "users") {
		u := seen{ACSUser: store.ACSUser{
			ID: int64(i + 1), ACSSystemID: rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "system"), UserIdentityID: fmt.Sprintf("i%d", i),
			GuestKey:       rapid.SampledFrom([]string{"", "jane", "joe"}).Draw(t, "guest"),
			AccessGroupIDs: rapid.SliceOfDistinct(rapid.SampledFrom(groups), rapid.ID).Draw(t, "groups"),
		}}
		if rapid.Bool().Draw(t, "made") {
			u.ACSUserID = ptr(fmt.Sprintf("u%d", i))
			u.StartsAt, u.EndsAt = ptr(noon.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "starts"))*time.Hour)), ptr(noon.Add(time.Duration(rapid.IntRange(-5, 50).Draw(t, "ends"))*time.Hour))
			if rapid.Bool().Draw(t, "key") {
				u.CredentialID = ptr(fmt.Sprintf("c%d", i))
			}
			if rapid.Bool().Draw(t, "surplus") {
				u.surplusKeys, u.surplusUsers = []string{"x"}, []string{"y"}
			}
			u.unlinked = rapid.Bool().Draw(t, "unlinked")
			switch rapid.IntRange(0, 5).Draw(t, "fate") {
			case 0:
				u.RemovedAt = ptr(noon)
			case 1:
				u.SuspendedAt = ptr(noon)
			case 2:
				u.DeletedAt = ptr(noon)
			}
		}
		o.users = append(o.users, u)
	}
	return o
}

func drawSituation(t *rapid.T) situation {
	s := situation{now: noon, policy: pms.DefaultPolicy(), guestKey: func(a string) string { return a[:3] }}
	s.guestKey = func(address string) string { return map[string]string{"jane@x": "jane", "joe@x": "joe"}[address] }
	s.group = func(id string) (string, bool) {
		return rapid.SampledFrom([]string{"s1", "s1", "s2"}).Draw(t, "system of "+id), rapid.IntRange(0, 9).Draw(t, "known "+id) > 0
	}
	known := map[string]struct {
		system string
		known  bool
	}{}
	draw := s.group
	s.group = func(id string) (string, bool) {
		if _, ok := known[id]; !ok {
			system, is := draw(id)
			known[id] = struct {
				system string
				known  bool
			}{system, is}
		}
		return known[id].system, known[id].known
	}
	in := noon.Add(time.Duration(rapid.IntRange(-60, 20).Draw(t, "in")) * time.Hour)
	out := in.Add(time.Duration(rapid.IntRange(-1, 40).Draw(t, "nights")) * time.Hour)
	s.reservation = store.Reservation{Source: "default", ReservationID: "R", Status: rapid.SampledFrom([]string{pms.Confirmed, pms.Confirmed, pms.Cancelled}).Draw(t, "status")}
	if rapid.IntRange(0, 9).Draw(t, "times") > 0 {
		s.reservation.CheckIn, s.reservation.CheckOut = &in, &out
	}
	if rapid.IntRange(0, 9).Draw(t, "revoked") == 0 {
		s.overrides.RevokedAt = ptr(noon)
	}
	if rapid.IntRange(0, 4).Draw(t, "window") == 0 {
		s.overrides.StartsAt, s.overrides.OfCheckIn = ptr(in.Add(-2*time.Hour)), &in
		s.overrides.EndsAt, s.overrides.OfCheckOut = ptr(out.Add(3*time.Hour)), rapid.SampledFrom([]*time.Time{&out, ptr(noon.Add(-999 * time.Hour))}).Draw(t, "window's check-out")
	}
	s.overrides.ReplaceCredential = rapid.SampledFrom([]*string{nil, nil, ptr("c0"), ptr("c1")}).Draw(t, "replaced")
	s.reservation.GuestEmail = rapid.SampledFrom([]*string{nil, ptr("jane@x"), ptr("joe@x")}).Draw(t, "email")
	if rapid.IntRange(0, 9).Draw(t, "room") > 0 {
		s.reservation.ListingID = ptr("L")
		if rapid.IntRange(0, 9).Draw(t, "listing") > 0 {
			s.listing = &store.Listing{ListingID: "L", Known: true, Deleted: rapid.IntRange(0, 9).Draw(t, "deleted") == 0, AccessGroupIDs: rapid.SliceOfDistinct(rapid.SampledFrom(groups), rapid.ID).Draw(t, "listing's groups")}
		}
	}
	return s
}

// perform does what a step says, as a Seam would that never fails.
func perform(d desired, o *observed, s step) {
	if s.kind == createIdentity {
		if s.user < 0 {
			o.users = append(o.users, seen{ACSUser: store.ACSUser{ID: int64(len(o.users) + 1), ACSSystemID: d.systemID, GuestKey: d.guestKey, UserIdentityID: "new"}})
		}
		return
	}
	u := &o.users[s.user]
	switch s.kind {
	case createUser:
		body := s.body.(seam.CreateACSUser)
		u.ACSUserID, u.CredentialID, u.RemovedAt, u.SuspendedAt, u.unlinked, u.surplusKeys = ptr("made"), nil, nil, nil, false, nil
		u.StartsAt, u.EndsAt, u.AccessGroupIDs = ptr(d.starts), ptr(d.ends), slices.Clone(body.ACSAccessGroupIDs)
	case createKey:
		u.CredentialID = ptr("made")
	case replaceKey:
		u.CredentialID = nil
	case linkUser:
		u.unlinked = false
	case unsuspend:
		u.SuspendedAt = nil
	case setSchedule:
		u.StartsAt, u.EndsAt = ptr(d.starts), ptr(d.ends)
	case addGroup:
		u.AccessGroupIDs = append(u.AccessGroupIDs, s.body.(seam.GroupMembership).ACSAccessGroupID)
	case removeGroup:
		u.AccessGroupIDs = slices.DeleteFunc(u.AccessGroupIDs, func(g string) bool { return g == s.body.(seam.GroupMembership).ACSAccessGroupID })
	case deleteKey:
		u.surplusKeys = nil
	case deleteSurplusUser:
		u.surplusUsers = nil
	case deleteUser:
		u.DeletedAt = ptr(noon)
	}
}

// From any start the plan comes to an end, at which nothing is left to plan and what is desired is true.
func TestPlanConverges(t *testing.T) {
	t.Parallel()
	checkOften(t, func(t *rapid.T) {
		d, o := desire(drawSituation(t)), drawObserved(t)
		revive := rapid.Bool().Draw(t, "revive")
		opened := 0
		for range 50 {
			steps := plan(d, o, revive)
			if len(steps) == 0 {
				break
			}
			opened++
			perform(d, &o, steps[0])
		}
		if left := plan(d, o, revive); len(left) != 0 {
			t.Fatalf("no end: %v", left)
		}
		if d.create && (d.starts.IsZero() || !d.ends.After(d.starts) || d.systemID == "" || len(d.groups) == 0) {
			t.Fatalf("a new ACS user without a schedule, a system or a door: %+v", d)
		}
		live := 0
		for i, u := range o.users {
			if u.DeletedAt != nil || u.ACSUserID == nil {
				continue
			}
			live++
			if d.goal == gone {
				t.Errorf("user %d is left of a stay that is to have none", i)
			}
			if d.goal == over && u.EndsAt != nil && u.EndsAt.After(d.ends) {
				t.Errorf("user %d opens doors for longer than the stay lasted", i)
			}
		}
		if d.goal != have {
			return
		}
		if live > 1 {
			t.Errorf("%d ACS users", live)
		}
		i := standing(d, o)
		if i < 0 || o.users[i].ACSUserID == nil {
			if d.create {
				t.Error("no ACS user")
			}
			return
		}
		u := o.users[i]
		if u.RemovedAt != nil || u.SuspendedAt != nil {
			if revive && d.create {
				t.Error("what was wanted back is not back")
			}
			return
		}
		if u.CredentialID == nil || u.unlinked || len(u.surplusKeys)+len(u.surplusUsers) > 0 {
			t.Errorf("the key is not whole: %+v", u)
		}
		if d.create && (!sameInstant(u.StartsAt, d.starts) || !sameInstant(u.EndsAt, d.ends)) {
			t.Error("another schedule")
		}
		if !d.keepGroups && (d.create || u.ACSSystemID == d.systemID) && !slices.Equal(slices.Sorted(slices.Values(u.AccessGroupIDs)), slices.Sorted(slices.Values(d.groups))) {
			t.Errorf("groups %v, want %v", u.AccessGroupIDs, d.groups)
		}
	})
}

// Doors open before others close, and an ACS user goes only when what takes its place is planned before it.
func TestPlanOpensBeforeItCloses(t *testing.T) {
	t.Parallel()
	checkOften(t, func(t *rapid.T) {
		d, o := desire(drawSituation(t)), drawObserved(t)
		closed := false
		for _, s := range plan(d, o, rapid.Bool().Draw(t, "revive")) {
			switch s.kind {
			case removeGroup, deleteUser:
				closed = true
			case addGroup, createUser, setSchedule:
				if closed {
					t.Fatalf("%s comes behind a step that closes doors", s)
				}
			}
		}
	})
}
