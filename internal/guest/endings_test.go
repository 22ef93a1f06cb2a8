package guest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

func testAudit(action string) store.Audit {
	return store.Audit{Author: "test", Token: "test", Via: store.AuditREST, Action: action}
}

// Whatever ends a key takes with it what was handed out of it, an instant key and an app's session.
func TestEveryEndOfAKey(t *testing.T) {
	t.Parallel()
	act := func(kind intake.ActionKind) func(*rig, *booking) {
		return func(r *rig, b *booking) {
			err := r.applier.Act(context.Background(), b.ref(), intake.Action{
				Kind: kind, By: "test", Why: "test",
				Audit: testAudit(string(kind)),
			})
			if err != nil {
				r.t.Fatal(err)
			}
		}
	}
	for name, end := range map[string]func(*rig, *booking){
		"cancelled": func(r *rig, b *booking) { r.cancel(*b) },
		"over":      func(r *rig, b *booking) { r.advance(b.out.Sub(r.now()) + time.Minute) },
		"cut short": func(r *rig, b *booking) {
			r.advance(b.in.Sub(r.now()) + time.Hour)
			b.out = r.now().Add(-time.Minute)
			r.book(*b)
		},
		"another guest": func(r *rig, b *booking) {
			b.email = "joe@example.com"
			r.book(*b)
		},
		"revoked":  act(intake.ActionRevoke),
		"reissued": act(intake.ActionReissue),
		"removed at Seam": func(r *rig, b *booking) {
			r.sim.Change(func(s *simulator.State) {
				for _, u := range s.UsersNamed(b.id) {
					delete(s.Users, u.ID)
				}
				clear(s.Credentials)
			})
			act(intake.ActionReconcile)(r, b)
		},
		"another access system": func(r *rig, b *booking) { r.listing("verde") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.Options{KeepSessionOfKey: true})
			r.run(func(ctx context.Context) { r.guest.Run(ctx) })
			r.listing("g1")
			b := r.issued(r.booking("A"))
			instantKey, session := r.handOutBoth(b)
			r.mustShow(session, b)
			end(r, &b)
			until.True(t, "what was handed out to be good for nothing", func() bool {
				state := r.sim.State()
				return state.Shown(instantKey, r.now()) == nil && state.Shown(session, r.now()) == nil
			})
			until.True(t, "the records to go", func() bool {
				r.guest.Wake()
				return r.rows() == 0
			})
		})
	}
}

// A change of dates or doors is none: the guest's phone keeps the key.
func TestWhatIsHandedOutOutlivesChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.run(func(ctx context.Context) { r.guest.Run(ctx) })
	r.listing("g1")
	b := r.issued(r.booking("A"))
	opened := r.mustOpen(b)
	b.out = b.out.Add(24 * time.Hour)
	r.issued(b)
	r.listing("g1", "g2")
	r.until(b, stay.KeyIssued)
	if again := r.mustOpen(b); again.InstantKeyURL != opened.InstantKeyURL {
		t.Error("another instant key")
	}
}

func TestAppSessions(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.listing("g1")
	a, b := r.issued(r.booking("A")), r.issued(r.booking("B"))
	ask := func(b booking) guest.Session {
		t.Helper()
		s, err := r.guest.AppSession(context.Background(), b.ref())
		if err != nil {
			t.Fatal(err)
		}
		r.mustShow(s.Token, b)
		return s
	}
	first := ask(a)
	if life := first.ExpiresAt.Sub(r.now()); life > 24*time.Hour || life < 23*time.Hour {
		t.Errorf("a session lasts %s", life)
	}
	r.advance(time.Hour)
	if again := ask(a); again.Token != first.Token || !again.ExpiresAt.After(first.ExpiresAt) {
		t.Error("asked again, the session is another one, or lasts no longer")
	}
	if other := ask(b); other.Token == first.Token || other.IdentityID == first.IdentityID {
		t.Error("two stays of one guest share a session")
	}
	r.advance(a.out.Sub(r.now()) - time.Hour)
	if last := ask(a); last.ExpiresAt.After(a.out) {
		t.Errorf("a session lasts until %s, the stay until %s", last.ExpiresAt, a.out)
	}
	none := stay.Ref{Source: "default", ReservationID: "none"}
	if _, err := r.guest.AppSession(context.Background(), none); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such reservation: %v", err)
	}
	r.source.Policy.OwnIdentity = false
	if _, err := r.guest.AppSession(context.Background(), none); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no such reservation, without an identity per stay: %v", err)
	}
	if _, err := r.guest.AppSession(context.Background(), a.ref()); !errors.Is(err, guest.ErrUnknown) {
		t.Errorf("without an identity per stay: %v", err)
	}
}

// A call whose answer was lost leaves nothing: what it made is found and deleted, and the guest gets another key
// meanwhile.
func TestALostCreate(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulator.FaultKind{
		simulator.LostAfter, simulator.Error500After, simulator.Garbage,
		simulator.NoObject,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.Options{})
			r.listing("g1")
			b := r.issued(r.booking("A"))
			r.sim.Inject(simulator.Fault{Kind: kind, Path: seam.PathInstantKeyCreate})
			if _, err := r.open(r.link(b)); !errors.Is(err, guest.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			opened := r.mustOpen(b)
			if n := len(r.sim.State().InstantKeys); n != 2 {
				t.Fatalf("%d instant keys", n)
			}
			until.True(t, "the orphan to go", func() bool {
				r.advance(time.Second)
				if _, err := r.guest.Clean(context.Background()); err != nil {
					t.Fatal(err)
				}
				return len(r.sim.State().InstantKeys) == 1
			})
			r.mustShow(opened.InstantKeyURL, b)
			r.advance(10 * time.Minute)
			until.True(t, "the mark to be forgotten", func() bool {
				r.advance(time.Minute)
				if _, err := r.guest.Clean(context.Background()); err != nil {
					t.Fatal(err)
				}
				return r.rows() == 1
			})
		})
	}
}

// Seam may answer the request for an app's session with the session of an instant key, which ends with that. What
// belongs to a key that is being taken back is not given to the app: it would be good for nothing moments later.
func TestAnAppsSessionOfAnInstantKey(t *testing.T) {
	t.Parallel()
	// taken leaves an instant key at Seam that staykey is about to delete.
	for name, taken := range map[string]func(*rig, booking){
		"of a lost create": func(r *rig, b booking) {
			r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathInstantKeyCreate})
			if _, err := r.open(r.link(b)); !errors.Is(err, guest.ErrUnavailable) {
				r.t.Fatalf("got %v", err)
			}
		},
		"of a renewed link": func(r *rig, b booking) {
			r.mustOpen(b)
			stay := guest.Stay{Ref: b.ref(), Status: pms.Confirmed}
			if err := r.guest.Renew(context.Background(), stay, testAudit("renew")); err != nil {
				r.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.Options{AnySession: true})
			r.listing("g1")
			b := r.issued(r.booking("A"))
			taken(r, b)
			if _, err := r.guest.AppSession(context.Background(), b.ref()); !errors.Is(err, guest.ErrUnavailable) {
				t.Errorf("the app gets the session of a key that is deleted next: %v", err)
			}
			r.settle()
			session, err := r.guest.AppSession(context.Background(), b.ref())
			if err != nil {
				t.Fatal(err)
			}
			r.settle()
			r.mustShow(session.Token, b)
		})
	}
}

// A session of an instant key that the guest has is as good as one of the app's own, for as long as that key is.
func TestAnAppsSessionOfAGoodInstantKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{AnySession: true})
	r.listing("g1")
	b := r.issued(r.booking("A"))
	opened := r.mustOpen(b)
	session, err := r.guest.AppSession(context.Background(), b.ref())
	if err != nil {
		t.Fatal(err)
	}
	r.settle()
	r.mustShow(session.Token, b)
	r.mustShow(opened.InstantKeyURL, b)
}

// Where Seam has not named the session of a key that the guest keeps, a session may be that key's: it is not revoked,
// even if another key of the guest is being taken back.
func TestAnAppsSessionThatMayBeAGuestsKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{AnySession: true})
	r.listing("g1")
	b := r.issued(r.booking("A"))
	opened := r.mustOpen(b)
	r.exec(`UPDATE handed_out SET session_id = NULL`)
	r.exec(`INSERT INTO handed_out (source, reservation_id, kind, user_identity_id, guest_key, acs_credential_id,
			marked_at, ending_at)
		SELECT source, reservation_id, kind, user_identity_id, guest_key, acs_credential_id, marked_at, $1
		FROM handed_out`, r.now())
	if _, err := r.guest.AppSession(context.Background(), b.ref()); err != nil {
		t.Error(err)
	}
	r.settle()
	r.mustShow(opened.InstantKeyURL, b)
}

// Two taps at once, on two replicas, give one instant key.
func TestTwoTapsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 6, simulator.Options{Latency: 20 * time.Millisecond})
	r.listing("g1")
	b := r.issued(r.booking("A"))
	link := r.link(b)
	urls := make(chan string, 6)
	for range cap(urls) {
		replica := r.service()
		go func() {
			o, err := replica.Open(context.Background(), link)
			if err != nil {
				t.Error(err)
			}
			urls <- o.InstantKeyURL
		}()
	}
	first := <-urls
	for range cap(urls) - 1 {
		if url := <-urls; url != first {
			t.Errorf("%s and %s", first, url)
		}
	}
	if n := len(r.sim.State().InstantKeys); n != 1 {
		t.Errorf("%d instant keys", n)
	}
}

// A guest is erased only once nothing is left at Seam of what was handed out; then the link is unknown.
func TestEraseGuest(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.listing("g1")
	b := r.issued(r.booking("A"))
	link := r.link(b)
	r.mustOpen(b)
	r.cancel(b)
	r.until(b, stay.KeyRevoked)
	erase := func() stay.Erasure {
		t.Helper()
		e, err := r.prov.EraseGuest(context.Background(), b.email, testAudit("erase_guest"))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := erase(); len(e.Live) != 1 {
		t.Errorf("erased while an instant key is recorded: %+v", e)
	}
	r.mustBeClean()
	if e := erase(); e.Reservations != 1 {
		t.Errorf("not erased: %+v", e)
	}
	if _, err := r.guest.Look(context.Background(), link); !errors.Is(err, guest.ErrUnknown) {
		t.Errorf("the link of an erased guest: %v", err)
	}
}

// What Seam doesn't let go counts as overdue until it does.
func TestOverdueGuestKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.listing("g1")
	b := r.issued(r.booking("A"))
	r.mustOpen(b)
	overdue := func(want int) {
		t.Helper()
		n, err := r.store.GuestStays.CountOverdue(context.Background(), r.now().Add(-15*time.Minute))
		if err != nil || n != want {
			t.Errorf("%d are overdue, want %d: %v", n, want, err)
		}
	}
	r.sim.Inject(simulator.Fault{Kind: simulator.Unprocessable, Path: seam.PathInstantKeyDelete, Count: 1000})
	r.cancel(b)
	r.until(b, stay.KeyRevoked)
	for range 2 {
		if _, err := r.guest.Clean(context.Background()); err != nil {
			t.Fatal(err)
		}
		overdue(0)
	}
	r.advance(16 * time.Minute)
	overdue(1)
	r.sim.Heal()
	r.mustBeClean()
	overdue(0)
}
