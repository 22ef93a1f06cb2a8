package guest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

// Nobody is given a key that should be gone, although Seam doesn't remove it and its status isn't "revoking".
func TestAKeyThatCantBeRemovedIsGivenToNobody(t *testing.T) {
	t.Parallel()
	stuck := map[string]func(*rig){
		"no effect": func(r *rig) { r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = true }) },
		"refused": func(r *rig) {
			r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserDelete, Count: -1},
				simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserUpdate, Count: -1})
		},
	}
	ends := map[string]func(*rig, booking){
		"revoked": func(r *rig, b booking) {
			if err := r.applier.Act(context.Background(), b.ref(), intake.Action{
				Kind: intake.ActionRevoke, By: "test", Why: "test", Audit: testAudit("revoke"),
			}); err != nil {
				r.t.Fatal(err)
			}
		},
		"cancelled": (*rig).cancel,
		"cut short": func(r *rig, b booking) {
			b.out = r.now().Add(-time.Minute)
			r.book(b)
		},
	}
	for how, stuck := range stuck {
		for what, end := range ends {
			t.Run(how+"/"+what, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, simulator.Options{KeepSessionOfKey: true})
				r.source.Policy.BackupCode = true
				r.listing("g1")
				b := r.booking("A")
				r.withCode(b)
				r.advance(49 * time.Hour)
				instantKey, session := r.handOutBoth(b)
				link, ctx := r.link(b), context.Background()
				stuck(r)
				end(r, b)
				until.True(t, "attention", func() bool { return r.view(b).Key.Status == stay.KeyAttention })

				_, _, err := r.guest.ShowCode(ctx, link)
				if !errors.Is(err, guest.ErrGone) && !errors.Is(err, guest.ErrNoCode) {
					t.Errorf("the page's code: %v", err)
				}
				if _, err := r.guest.BackupCode(ctx, b.ref()); !errors.Is(err, guest.ErrGone) {
					t.Errorf("a program's code: %v", err)
				}
				page, err := r.guest.Look(ctx, link)
				if err == nil && (page.BackupCode || page.Readiness == guest.Ready) {
					t.Errorf("the page offers the code %t, and is %q", page.BackupCode, page.Readiness)
				}
				until.True(t, "what was handed out to be good for nothing", func() bool {
					if _, err := r.guest.Clean(ctx); err != nil {
						t.Fatal(err)
					}
					state := r.sim.State()
					return state.Shown(instantKey, r.now()) == nil && state.Shown(session, r.now()) == nil
				})
			})
		}
	}
}

// While Seam is asked for a code, its key may be revoked, and much else may change.
func TestACodeIsJudgedAgainAfterSeamHasAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.source.Policy.BackupCode = true
	r.listing("g1")
	ctx := context.Background()
	cases := []struct {
		name, change  string
		page, program error // what a guest's page and a program get
	}{
		{"revoked", `INSERT INTO overrides (source, reservation_id, revoked_at, revoked_by, revoked_why)
			VALUES ('default', $1, now(), 'test', 'test')`, guest.ErrGone, guest.ErrGone},
		{"link renewed", `UPDATE guest_stays SET counter = counter + 1 WHERE reservation_id = $1`, guest.ErrGone, nil},
		{"code replaced", `UPDATE backup_codes SET acs_credential_id = 'another' WHERE user_row =
			(SELECT id FROM acs_users WHERE reservation_id = $1)`, guest.ErrNoCode, guest.ErrNoCode},
		{
			"another guest", `UPDATE reservations SET guest_email = 'joe@example.com' WHERE reservation_id = $1`,
			guest.ErrGone, guest.ErrNoCode,
		},
		{"another guest's user", `WITH guest AS (UPDATE acs_users SET guest_key = '' WHERE reservation_id = $1)
			UPDATE reservations SET guest_email = NULL WHERE reservation_id = $1`, guest.ErrNoCode, guest.ErrNoCode},
		{"moved", `UPDATE reservations SET check_in = check_in + interval '1 day',
			check_out = check_out + interval '1 day' WHERE reservation_id = $1`, guest.ErrNoCode, nil},
		{"erased", `WITH users AS (DELETE FROM acs_users WHERE reservation_id = $1)
			DELETE FROM reservations WHERE reservation_id = $1`, guest.ErrGone, store.ErrNotFound},
	}
	for _, c := range cases {
		r.withCode(r.booking(c.name + ", page"))
		r.withCode(r.booking(c.name + ", program"))
	}
	r.advance(49 * time.Hour)
	during := func(b booking, change string) {
		var once sync.Once
		r.sim.Configure(func(o *simulator.Options) {
			o.Hook = func(path string, after bool) bool {
				if path == "/acs/credentials/get" && after {
					once.Do(func() { r.exec(change, b.id) })
				}
				return false
			}
		})
	}
	for _, c := range cases {
		page, program := booking{id: c.name + ", page"}, booking{id: c.name + ", program"}
		link := r.link(page)
		during(page, c.change)
		if _, _, err := r.guest.ShowCode(ctx, link); !errors.Is(err, c.page) {
			t.Errorf("%s: the page gets %v, want %v", c.name, err, c.page)
		}
		r.link(program) // the row that is renewed
		during(program, c.change)
		if _, err := r.guest.BackupCode(ctx, program.ref()); !errors.Is(err, c.program) {
			t.Errorf("%s: a program gets %v, want %v", c.name, err, c.program)
		}
	}
}

// A stay that was moved may still have its earlier hours at Seam, when its room may be another guest's.
func TestNoCodeBeforeAStayThatWasMoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.source.Policy.BackupCode = true
	r.listing("g1")
	ctx, day := context.Background(), 24*time.Hour
	cases := []struct {
		name          string
		in, out       time.Duration // how much later than at Seam
		page, program error
	}{
		{name: "to later dates", in: 10 * day, out: 10 * day, page: guest.ErrNoCode, program: guest.ErrNoCode},
		{name: "by a day", in: day, out: day, page: guest.ErrNoCode},
		{name: "cut short", out: -day},
		{name: "begins earlier and ends later", in: -day, out: day},
	}
	atSeam := map[string]booking{}
	for _, c := range cases {
		atSeam[c.name] = r.booking(c.name)
		r.withCode(atSeam[c.name])
	}
	r.advance(49 * time.Hour)
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserUpdate, Count: -1})
	for _, c := range cases {
		has := atSeam[c.name]
		b := has
		b.in, b.out = b.in.Add(c.in), b.out.Add(c.out)
		r.book(b)
		until.True(t, "attention", func() bool { return r.view(b).Key.Status == stay.KeyAttention })
		if _, _, err := r.guest.ShowCode(ctx, r.link(b)); !errors.Is(err, c.page) {
			t.Errorf("%s: the page gets %v, want %v", c.name, err, c.page)
		}
		from, to := has.in.Add(max(0, c.in)), has.out.Add(min(0, c.out))
		switch got, err := r.guest.BackupCode(ctx, b.ref()); {
		case !errors.Is(err, c.program):
			t.Errorf("%s: a program gets %v, want %v", c.name, err, c.program)
		case err == nil && (!got.OpensAt.Equal(from) || !got.OpensTo.Equal(to)):
			t.Errorf("%s: the code opens from %s to %s, want %s to %s", c.name, got.OpensAt, got.OpensTo, from, to)
		}
	}
}

// A stay's doors change, and Seam refuses that: the code that opens the old ones, where somebody else may sleep, is
// given to nobody. One that opens some of the present doors, and no other, is.
func TestNoCodeOfARoomThatWasLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why      string
		was, is  []string
		expected error
	}{
		{"another room", []string{"g1"}, []string{"g2"}, guest.ErrNoCode},
		{"another room, the same entrance", []string{"g1", "g3"}, []string{"g2", "g3"}, guest.ErrNoCode},
		{"one more door", []string{"g1"}, []string{"g1", "g2"}, nil},
		{"one door less", []string{"g1", "g2"}, []string{"g1"}, nil},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.Options{})
			r.source.Policy.BackupCode = true
			r.listing(c.was...)
			b := r.booking("A")
			r.withCode(b)
			r.advance(49 * time.Hour)
			r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathGroupAdd, Count: -1},
				simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathGroupRemove, Count: -1})
			r.listing(c.is...)
			until.True(t, "attention", func() bool { return r.view(b).Key.Status == stay.KeyAttention })

			_, _, byPage := r.guest.ShowCode(context.Background(), r.link(b))
			_, byProgram := r.guest.BackupCode(context.Background(), b.ref())
			if !errors.Is(byPage, c.expected) || !errors.Is(byProgram, c.expected) {
				t.Errorf("the page gets %v and a program %v, want %v", byPage, byProgram, c.expected)
			}
		})
	}
}
