package provisioner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// What a code must not do: outlive the key that it belongs to, or be in its way.

// Somebody deletes the mobile key, and staykey makes another. When an admin replaces that one, the code goes too: who
// had the phone may know it.
func TestACodeGoesWithTheKeyThatCameAfterIt(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{})
	s := r.stay("R1")
	r.book(s)
	code := r.untilCode(s)
	r.rest(s)
	first := *r.view(s).User.CredentialID
	r.sim.Change(func(st *simulator.State) { delete(st.Credentials, first) })
	r.recheck(s)
	another := func(than string) func(store.View) bool {
		return func(v store.View) bool {
			return v.Key.Status == store.KeyIssued && v.User.CredentialID != nil && *v.User.CredentialID != than
		}
	}
	second := *r.untilThat(s, "issued with another key", another(first)).User.CredentialID
	r.rest(s)
	if kept := r.untilCode(s); kept.ID != code.ID {
		t.Errorf("code %s was replaced by %s, although nobody asked for that", code.ID, kept.ID)
	}
	r.mustAct(s, intake.Action{Kind: intake.ActionReissue})
	r.untilThat(s, "issued with a third key", another(second))
	r.untilLater(s, "with another code", func(v store.View) bool {
		c := v.BackupCodeOf
		return c != nil && c.CredentialID != nil && *c.CredentialID != code.ID && c.KeyID == *v.User.CredentialID
	})
	r.untilCode(s)
	r.mustHaveOneCode(s)
}

// Seam wrongly doesn't find a code that it should delete, nor a get of it, and its list leaves it out: that proves
// nothing, because its holder could still open the doors.
func TestACodeThatWasNotFoundIsNotForgotten(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{})
	s := r.stay("R1")
	r.book(s)
	code := r.untilCode(s)
	r.rest(s)
	r.sim.Configure(func(o *simulator.Options) { o.Hidden = []string{code.ID} })
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: seam.PathCredentialDelete, Contains: code.ID})
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/credentials/get", Contains: code.ID})
	r.policy = func(string) pms.Policy { return pms.DefaultPolicy() }
	r.recheck(s)
	r.untilLater(s, "without a code", func(v store.View) bool { return v.BackupCodeOf == nil })
	if list := r.codesAtSeam(s); len(list) > 0 {
		t.Errorf("Seam has %+v", list)
	}
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// An admin has a stay repaired whose code somebody has deleted, or changed. The attempt lists the credentials for the
// sake of the key, which comes first, and doesn't forget what it saw of the code.
func TestARepairOfTheKeyRepairsTheCode(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{})
	stays := r.issue(2)
	for i, s := range stays {
		code := r.untilCode(s)
		r.rest(s)
		r.advance(10 * time.Second) // what is missing after the read lag counts as deleted
		r.sim.Change(func(st *simulator.State) {
			if delete(st.Credentials, code.ID); i > 0 {
				code.Code = "777444"
				st.Credentials[code.ID] = code
			}
		})
		reconcile(r, &s)
		r.untilLater(s, "with the code that Seam has", func(v store.View) bool {
			list := r.codesAtSeam(s)
			return v.Key.Status == store.KeyIssued && len(list) == 1 && list[0].Code == r.digits(v.BackupCodeOf)
		})
	}
}

// The code of a stay is gone, and Seam reports an error on its key, which comes first: Seam is asked at its pace, not
// without end.
func TestACodeThatWaitsForABrokenKey(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{})
	s := r.issue(1)[0]
	code := r.untilCode(s)
	r.rest(s)
	r.advance(10 * time.Second)
	r.sim.Change(func(st *simulator.State) {
		delete(st.Credentials, code.ID)
		for id, c := range st.Credentials {
			c.ErrorCode = "something_new"
			st.Credentials[id] = c
		}
	})
	reconcile(r, &s)
	r.untilThat(s, "seam_reports_error", func(v store.View) bool { return str(v.Key.Reason) == "seam_reports_error" })
	r.rest(s)
}

// A stay moves to another access system, the create there is lost, and it moves back. While the result of that create
// is looked for, the key, its code and everything that shows them are those of the ACS user that exists.
func TestALostCreateElsewhereHidesNothing(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{})
	r.listing("default", "V", "verde-1")
	s := r.stay("R1")
	r.book(s)
	code := r.untilCode(s)
	r.rest(s)
	r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserCreate, Count: -1})
	s.listing = "V"
	r.book(s)
	waitFor(t, "the lost create", func() bool { return r.called(seam.PathUserCreate) > 1 })
	r.sim.Heal()
	s.listing = "L"
	r.book(s)
	v := r.untilThat(s, "issued again", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
	users, err := r.store.ACSUsers.Of(context.Background(), []store.Ref{s.ref()})
	if err != nil || len(users[s.ref()]) != 2 {
		t.Fatalf("rows of ACS users: %+v, %v", users, err)
	}
	if v.User == nil || v.User.ACSUserID == nil || *v.User.ACSUserID != code.UserID || v.BackupCodeOf == nil {
		t.Errorf("the key is %s, its ACS user %+v, its code %+v", v.Key.Status, v.User, v.BackupCodeOf)
	}
	guest, err := r.store.GuestStays.State(context.Background(), s.ref())
	if err != nil || guest.CredentialID == nil || guest.CodeID == nil {
		t.Errorf("the guest may have %+v, %v", guest, err)
	}
}

// A call about the code that is never answered holds nothing back: the key is issued while it waits.
func TestACodeDoesNotDelayTheKey(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{Pending: 3 * time.Second})
	s := r.stay("R1")
	r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathCredentialCreate, Skip: 1, Count: -1})
	r.book(s)
	r.until(s, store.KeyIssued)
	r.untilThat(s, "with a code under way", func(v store.View) bool {
		return v.BackupCodeOf != nil &&
			v.BackupCodeOf.LostAt != nil
	})
	items, err := r.store.Reservations.Timeline(context.Background(), s.ref(), 0, 120)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(items) // oldest first
	issued := slices.IndexFunc(items, func(i store.TimelineItem) bool {
		return i.Kind == store.TimelineStatus && strings.HasSuffix(i.Summary, "→ "+store.KeyIssued)
	})
	asked := slices.IndexFunc(items, func(i store.TimelineItem) bool {
		return strings.Contains(fmt.Sprint(i.Detail["reason"]), "backup code")
	})
	if issued < 0 || asked < issued {
		r.tell(s)
		t.Errorf("entry %d says that the key is issued, and %d is a call about the code", issued, asked)
	}
}
