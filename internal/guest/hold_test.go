package guest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
)

func (r *rig) act(b booking, kind intake.ActionKind) {
	r.t.Helper()
	err := r.applier.Act(context.Background(), b.ref(), intake.Action{
		Kind: kind, By: "test", Why: "test", Audit: testAudit(string(kind)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// handOutBoth hands an instant key and an app session to a stay's guest, and returns what opens them.
func (r *rig) handOutBoth(b booking) (instantKey, session string) {
	r.t.Helper()
	opened := r.mustOpen(b)
	got, err := r.guest.AppSession(context.Background(), b.ref())
	if err != nil {
		r.t.Fatal(err)
	}
	return opened.InstantKeyURL, got.Token
}

// mustChangeNothing makes sure that no call since the last [simulator.Simulator.Forget] changes anything at Seam.
func (r *rig) mustChangeNothing() {
	r.t.Helper()
	for _, c := range r.sim.Records() {
		for _, verb := range []string{"delete", "revoke", "generate", "create", "update", "add", "remove"} {
			if strings.Contains(c.Path, verb) {
				r.t.Errorf("changed at Seam while on hold: %s", c.Path)
			}
		}
	}
}

// What ends while an admin holds the stay is taken back when the hold is released, and not before.
func TestNothingIsTakenBackOnHold(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*rig, *booking){
		"cancelled": func(r *rig, b *booking) { r.cancel(*b) },
		"another guest": func(r *rig, b *booking) {
			b.email = "joe@example.com"
			r.book(*b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.Options{})
			r.listing("g1")
			b := r.issued(r.booking("A"))
			instantKey, session := r.handOutBoth(b)
			r.act(b, intake.ActionHold)
			r.settle()

			r.sim.Forget()
			end(r, &b)
			r.until(b, stay.KeyAttention)
			r.settle()
			r.mustChangeNothing()
			if n := r.good(); n == 0 {
				t.Error("what was handed out is gone from Seam")
			}

			r.act(b, intake.ActionRelease)
			r.until(b, stay.KeyRevoked, stay.KeyIssued)
			r.mustBeCleanOf(instantKey, session)
		})
	}
}

// mustBeCleanOf waits until what was handed out shows nothing, and no record of it is left.
func (r *rig) mustBeCleanOf(secrets ...string) {
	r.t.Helper()
	r.settle()
	for _, secret := range secrets {
		if shown := r.sim.State().Shown(secret, r.now()); shown != nil {
			r.t.Errorf("what was handed out still shows %v", shown)
		}
	}
	if n := r.rows(); n != 0 {
		r.t.Errorf("%d records are left", n)
	}
}

// While an admin holds a stay, its guest is sent to the reception, and nothing is created.
func TestNothingIsHandedOutOnHold(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.listing("g1")
	b := r.issued(r.booking("A"))
	link := r.link(b)
	r.act(b, intake.ActionHold)
	r.settle()
	r.sim.Forget()

	if page, err := r.guest.Look(context.Background(), link); err != nil || page.Readiness != guest.Ask || page.Shared {
		t.Errorf("the page of a link: %q, shared %v, %v", page.Readiness, page.Shared, err)
	}
	_, opened := r.open(link)
	_, session := r.guest.AppSession(context.Background(), b.ref())
	for what, err := range map[string]error{"a link": opened, "an app session": session} {
		notReady := new(guest.NotReadyError)
		if !errors.As(err, &notReady) || notReady.Reason() != stay.ReasonHeld ||
			!strings.Contains(notReady.Explain(), "holds the reservation") {
			t.Errorf("%s: %v", what, err)
		}
	}
	r.mustChangeNothing()

	r.act(b, intake.ActionRelease)
	r.until(b, stay.KeyIssued)
	r.mustOpen(b)
}

// A hold that begins while the cleaner works stops it before its next call.
func TestAHoldStopsTheCleaner(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.listing("g1")
	b := r.issued(r.booking("A"))
	instantKey, session := r.handOutBoth(b)
	r.act(b, intake.ActionReissue)
	r.until(b, stay.KeyIssued)
	r.sim.Forget()
	held := false
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == seam.PathInstantKeyDelete && after && !held {
				held = true
				r.act(b, intake.ActionHold)
			}
			return false
		}
	})
	if _, err := r.guest.Clean(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.sim.Configure(func(o *simulator.Options) { o.Hook = nil })
	r.settle()
	if r.sim.State().Shown(session, r.now()) == nil {
		t.Error("a session was revoked after the hold began")
	}
	r.act(b, intake.ActionRelease)
	r.until(b, stay.KeyIssued)
	r.mustBeCleanOf(instantKey, session)
}

// Wrong 404s lose nothing that was handed out: neither one on the delete nor one on the list that follows.
func TestWrongNotFoundsLoseNothing(t *testing.T) {
	t.Parallel()
	for name, paths := range map[string][]string{
		"session":     {seam.PathSessionRevoke, "/client_sessions/list"},
		"instant key": {seam.PathInstantKeyDelete, "/instant_keys/list"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.Options{})
			r.listing("g1")
			b := r.issued(r.booking("A"))
			if name == "session" {
				if _, err := r.guest.AppSession(context.Background(), b.ref()); err != nil {
					t.Fatal(err)
				}
			} else {
				r.mustOpen(b)
			}
			r.act(b, intake.ActionReissue) // the identity stays
			r.until(b, stay.KeyIssued)
			for _, path := range paths {
				r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: path})
			}
			r.settle()
			if fired := r.sim.Heal(); fired != len(paths) {
				t.Errorf("%d wrong answers instead of %d", fired, len(paths))
			}
			r.mustBeCleanOf()
			state := r.sim.State()
			for _, c := range state.Sessions {
				if !c.Revoked {
					t.Errorf("session %s is not revoked", c.ID)
				}
			}
			if n := len(state.InstantKeys); n != 0 {
				t.Errorf("%d instant keys are left", n)
			}
		})
	}
}
