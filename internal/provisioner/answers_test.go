package provisioner_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Answers that are odd, incomplete or pending for long.

// A group disappears at Seam while the site is at its subscription limit: the key is created with the other groups
// anyway.
func TestFullSiteDoesNotHideWhyACreateIsRefused(t *testing.T) {
	t.Parallel()
	options := fast()
	options.SweepInterval = 100 * time.Millisecond
	r := newRig(t, options, simulator.Options{})
	r.limitSubscriptions(1)
	r.listing("default", "L", "555555-5555", "666666-6666")
	r.listing("default", "L0", "555555-5555")
	first := r.stay("R0")
	first.listing, first.email, first.in = "L0", "joe@example.com", r.now().Add(-time.Hour).Truncate(time.Millisecond)
	r.book(first)
	r.until(first, store.KeyActive) // the site is full now
	r.sim.Change(func(s *simulator.State) { delete(s.Groups, "666666-6666") })
	s := r.stay("R1")
	r.book(s)
	r.untilThat(s, "created with the other group", func(v store.View) bool {
		return str(v.Key.Reason) == "access_group_not_found" && len(r.holds(s.id)) == 1
	})
}

// One endpoint that doesn't accept the key, while the others do, affects its own reservations and pauses nothing for
// good.
func TestOneEndpointRefusesTheKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	r.sim.Inject(simulator.Fault{Kind: simulator.NotAuthorized, Path: seam.PathCredentialCreate, Count: -1})
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "a reason", func() bool { return str(r.view(s).Key.Reason) == "forbidden_by_seam" })
	r.rest(s)
	before := r.called("/workspaces/get")
	for range 3 { // within the minute for which the key counts as accepted
		r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
		r.rest(s)
	}
	if asked := r.called("/workspaces/get"); before > 10 || asked > before {
		t.Errorf("the workspace was asked for %d times, and %d times more although Seam had just accepted the key",
			before, asked-before)
	}
}

// What Seam has had pending for months is checked less and less while the guest is far away.
func TestPendingForMonths(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{Pending: 300 * 24 * time.Hour})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.in = r.now().Add(200 * 24 * time.Hour).Truncate(time.Millisecond)
	s.out = s.in.Add(24 * time.Hour)
	r.book(s)
	r.untilThat(s, "created, and read back once", func(v store.View) bool {
		return v.User != nil &&
			v.User.CredentialID != nil
	})
	r.advance(24 * time.Hour)
	waitFor(t, "patience", func() bool {
		next := r.view(s).Key.NextReconcileAt
		return next != nil && next.Sub(r.now()) > time.Hour
	})
}

// An error that Seam has reported for months is asked about less and less while the guest is far away.
func TestAnErrorForMonths(t *testing.T) {
	t.Parallel()
	options := fast()
	options.SweepInterval = 1_000_000 * time.Hour // it would ask, too
	r := newRig(t, options, simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.in = r.now().Add(200 * 24 * time.Hour).Truncate(time.Millisecond)
	s.out = s.in.Add(24 * time.Hour)
	issued(r, &s)
	r.alter(s, func(u *simulator.User) { u.ErrorCode = "something_is_wrong" })
	r.recheck(s)
	r.untilThat(s, "in trouble", func(v store.View) bool { return str(v.Key.Reason) == "seam_reports_error" })
	r.advance(24 * time.Hour)
	waitFor(t, "patience", func() bool {
		next := r.view(s).Key.NextReconcileAt
		return next != nil && next.Sub(r.now()) > time.Hour
	})
}

// An error text that Postgres would refuse is stored anyway, with a reason and a next try.
func TestErrorTextsOfAllKinds(t *testing.T) {
	t.Parallel()
	for _, text := range []simulator.ErrorText{simulator.Long, simulator.NonASCII, simulator.NUL, simulator.HTML} {
		t.Run(string(text), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{ErrorText: text})
			r.listing("default", "L", "555555-5555")
			r.sim.Inject(simulator.Fault{Kind: simulator.Refused, Path: seam.PathUserCreate, Count: -1})
			s := r.stay("R1")
			r.book(s)
			waitFor(t, "a reason", func() bool {
				k := r.view(s).Key
				return k.Status == store.KeyAttention && str(k.Reason) == "rejected_by_seam" && k.NextReconcileAt != nil
			})
		})
	}
}

// Schedules that the access system rounds count as the schedules that were sent; others that it doesn't keep end in a
// reason, not in a loop.
func TestSchedulesThatSeamStoresDifferently(t *testing.T) {
	t.Parallel()
	t.Run("rounded to seconds", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fast(), simulator.Options{Rounding: 30 * time.Second})
		r.listing("default", "L", "555555-5555")
		s := r.stay("R1")
		s.in = s.in.Truncate(time.Minute).Add(17 * time.Second)
		r.book(s)
		r.until(s, store.KeyIssued)
		r.advance(time.Minute)
		r.recheck(s)
		r.rest(s)
		if n := r.called(seam.PathUserUpdate); n != 0 {
			t.Errorf("the schedule was set %d times again", n)
		}
		r.until(s, store.KeyIssued)
	})
	t.Run("rounded to days", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fast(), simulator.Options{Rounding: 24 * time.Hour})
		r.listing("default", "L", "555555-5555")
		s := r.stay("R1")
		s.in = s.in.Truncate(24 * time.Hour).Add(15 * time.Hour)
		s.out = s.in.Add(48 * time.Hour)
		r.book(s)
		r.untilThat(s, "a reason", func(v store.View) bool { return str(v.Key.Reason) == "not_kept_by_seam" })
		n := r.called(seam.PathUserUpdate)
		r.recheck(s)
		r.advance(10 * time.Minute)
		r.rest(s)
		if again := r.called(seam.PathUserUpdate) - n; n > 4 || again > 1 {
			t.Errorf("the schedule was set %d times, and then %d times in ten minutes", n, again)
		}
	})
}

// read are the objects in answers that the provisioner reads, by the names that Seam's OpenAPI gives them.
var read = map[string]any{
	"acs_access_group": seam.AccessGroup{}, "acs_credential": seam.Credential{}, "acs_system": seam.System{},
	"acs_user": seam.ACSUser{}, "user_identity": seam.UserIdentity{},
}

// ragged is a field that may be missing in answers, or null.
type ragged struct {
	field string
	null  bool
}

// raggedFields are the fields that we read and that Seam's OpenAPI doesn't require, or allows to be null: a field that
// somebody begins to read is among them.
func raggedFields() []ragged {
	all := []ragged{{"optional", false}, {"optional", true}}
	for kind, object := range read {
		optional, nullable := simulator.OptionalFields(kind), simulator.NullableFields(kind)
		for _, f := range reflect.VisibleFields(reflect.TypeOf(object)) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if slices.Contains(optional, name) {
				all = append(all, ragged{kind + "." + name, false})
			}
			if slices.Contains(optional, name) || slices.Contains(nullable, name) {
				all = append(all, ragged{kind + "." + name, true})
			}
		}
	}
	return all
}

// Answers may lack, or return as null, every field that Seam's OpenAPI doesn't require: still one ACS user with one
// key, and nothing left over.
func TestOptionalFieldsThatAreMissing(t *testing.T) {
	t.Parallel()
	fields := raggedFields()
	if len(fields) < 20 {
		t.Errorf("only %d fields that may be missing or null", len(fields))
	}
	for _, f := range fields {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, null %v, lost %v", f.field, f.null, lost), func(t *testing.T) {
				t.Parallel()
				options := simulator.Options{}
				if f.null {
					options.Null = []string{f.field}
				} else {
					options.Omit = []string{f.field}
				}
				r := newLossyRig(t, fast(), options)
				r.listing("default", "L", "555555-5555")
				if lost { // what they created is found in lists
					r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate},
						simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathCredentialCreate})
				}
				s := r.stay("R1")
				r.book(s)
				v := r.until(s, store.KeyIssued)
				r.advance(2 * time.Minute)
				r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
				r.rest(s)
				r.mustKeepIDs(v, r.until(s, store.KeyIssued))
				r.advance(10 * time.Minute)
				r.rest(s)
				r.mustBeOne(s)
			})
		}
	}
}
