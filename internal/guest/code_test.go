package guest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

// withCode books a stay and waits for its key and its code.
func (r *rig) withCode(b booking) (code simulator.Credential) {
	r.t.Helper()
	r.issued(b)
	until.True(r.t, "a backup code", func() bool {
		c := r.view(b).BackupCodeOf
		if c == nil || c.CredentialID == nil || c.Waiting || c.Sealed == nil {
			return false
		}
		code = r.sim.State().Credentials[*c.CredentialID]
		return true
	})
	return code
}

// A guest is shown the code on the page in the hours of the stay, and a program gets it before.
func TestTheCodeIsShownDuringTheStay(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.source.Policy.BackupCode = true
	r.listing("g1")
	a := r.booking("A")
	code := r.withCode(a)
	link, ctx := r.link(a), context.Background()
	page := func() guest.Page {
		t.Helper()
		p, err := r.guest.Look(ctx, link)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if page().BackupCode {
		t.Error("the page offers the code before the stay")
	}
	if _, _, err := r.guest.ShowCode(ctx, link); !errors.Is(err, guest.ErrNoCode) {
		t.Errorf("before the stay: %v", err)
	}
	if got, err := r.guest.BackupCode(ctx, a.ref()); err != nil || got.Digits != code.Code ||
		!got.OpensAt.Equal(a.in) || !got.OpensTo.Equal(a.out) {
		t.Errorf("for a program: %+v %v", got, err)
	}
	r.advance(49 * time.Hour)
	if !page().BackupCode {
		t.Error("the page doesn't offer the code during the stay")
	}
	if got, _, err := r.guest.ShowCode(ctx, link); err != nil || got.Digits != code.Code {
		t.Errorf("during the stay: %+v %v", got, err)
	}
	r.sim.Change(func(st *simulator.State) { // somebody has Salto make other digits
		c := st.Credentials[code.ID]
		c.Code = "555001"
		st.Credentials[code.ID] = c
	})
	if got, _, err := r.guest.ShowCode(ctx, link); err != nil || got.Digits != "555001" {
		t.Errorf("digits that changed: %+v %v", got, err)
	}
	r.prov.Wake()
	until.True(t, "the new digits to be recorded", func() bool {
		c := r.view(a).BackupCodeOf
		digits, _ := stay.NewSealer("seam_key").Open(c.Sealed, code.ID)
		return digits == "555001"
	})
	r.sim.Inject(simulator.Fault{Kind: simulator.Error503Before, Path: "/acs/credentials/get", Count: 1})
	if got, _, err := r.guest.ShowCode(ctx, link); err != nil || got.Digits != "555001" {
		t.Errorf("while Seam doesn't answer: %+v %v", got, err)
	}
	items, err := r.store.Reservations.Timeline(ctx, a.ref(), 0, 200)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, item := range items {
		if item.Summary == "The backup code was shown to the guest" {
			shown++
		}
	}
	if shown != 3 {
		t.Errorf("the timeline has %d entries of codes that were shown, want 3", shown)
	}
	for range guest.OpeningsAnHour - 3 {
		if _, _, err := r.guest.ShowCode(ctx, link); err != nil {
			t.Fatal(err)
		}
	}
	limit := new(guest.LimitError)
	if _, _, err := r.guest.ShowCode(ctx, link); !errors.As(err, &limit) {
		t.Errorf("after %d times: %v", guest.OpeningsAnHour, err)
	}
	r.advance(73 * time.Hour)
	if _, _, err := r.guest.ShowCode(ctx, link); !errors.Is(err, guest.ErrGone) {
		t.Errorf("after the stay: %v", err)
	}
	if _, err := r.guest.BackupCode(ctx, a.ref()); !errors.Is(err, guest.ErrGone) {
		t.Errorf("after the stay, for a program: %v", err)
	}
}

// No code is given while a gate is closed, before Salto has made it, after a cancel, or to an earlier guest.
func TestCodesThatAreNotShown(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{CodeDelay: 365 * 24 * time.Hour})
	r.source.Policy.BackupCode = true
	r.listing("g1")
	ctx := context.Background()
	late := r.issued(r.booking("late"))
	until.True(t, "a code without digits", func() bool {
		c := r.view(late).BackupCodeOf
		return c != nil && c.CredentialID != nil
	})
	if _, err := r.guest.BackupCode(ctx, late.ref()); !errors.Is(err, guest.ErrNoCode) {
		t.Errorf("before Salto has made it: %v", err)
	}
	r.cancel(late)
	r.until(late, stay.KeyRevoked)
	if _, err := r.guest.BackupCode(ctx, late.ref()); !errors.Is(err, guest.ErrGone) {
		t.Errorf("after a cancel: %v", err)
	}
	if _, err := r.guest.BackupCode(ctx, stay.Ref{Source: "default", ReservationID: "nobody"}); !errors.Is(err,
		store.ErrNotFound) {
		t.Errorf("of an unknown stay: %v", err)
	}
	r.sim.Configure(func(o *simulator.Options) { o.CodeDelay = 0 })
	other := r.booking("other")
	r.withCode(other)
	link := r.link(other)
	other.email = "joe@example.com"
	r.book(other)
	if _, _, err := r.guest.ShowCode(ctx, link); !errors.Is(err, guest.ErrGone) {
		t.Errorf("with an earlier guest's link: %v", err)
	}
}

// A gate that holds only the link holds the code too, and one that takes the key away is no end of the stay.
func TestAClosedGateHoldsTheCode(t *testing.T) {
	t.Parallel()
	s := guest.New(nil, nil, nil, guest.Options{
		Secret: "seam_key",
		Source: func(string) pms.Source { return pms.Source{} },
	})
	held := func(err error) bool {
		notReady := new(guest.NotReadyError)
		return errors.As(err, &notReady) && strings.Contains(notReady.Explain(), "paid")
	}
	gone := func(err error) bool { return errors.Is(err, guest.ErrGone) }
	for name, c := range map[string]struct {
		change func(*store.GuestState)
		want   func(error) bool
	}{
		"an open gate":  {func(*store.GuestState) {}, func(err error) bool { return err == nil }},
		"a closed gate": {func(s *store.GuestState) { s.ClosedGates = []string{"paid"} }, held},
		"one that takes the key": {func(s *store.GuestState) {
			s.ClosedGates, s.GateTakes = []string{"paid"}, true
		}, held},
		"and an admin took it": {func(s *store.GuestState) {
			s.ClosedGates, s.GateTakes, s.Revoked = []string{"paid"}, true, true
		}, gone},
		"and the key is gone": {func(s *store.GuestState) {
			s.ClosedGates, s.GateTakes, s.KeyStatus = []string{"paid"}, true, stay.KeyRevoked
		}, gone},
	} {
		state := stateWithCode()
		c.change(&state)
		if err := guest.MayHaveCode(s, state); !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func stateWithCode() store.GuestState {
	now := time.Now()
	from, to, id, key := now.Add(-time.Hour), now.Add(time.Hour), "c", ""
	return store.GuestState{
		Status: pms.Confirmed, KeyStatus: stay.KeyIssued, StartsAt: &from, EndsAt: &to, CheckOut: &to, CodeID: &id,
		SealedCode: []byte("sealed"), KeyGuest: &key,
	}
}
