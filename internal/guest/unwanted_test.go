package guest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
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

// A key may be revoked while Seam is asked for its code.
func TestACodeIsJudgedAgainAfterSeamHasAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.source.Policy.BackupCode = true
	r.listing("g1")
	b := r.booking("A")
	r.withCode(b)
	r.advance(49 * time.Hour)
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == "/acs/credentials/get" && after {
				r.exec(`INSERT INTO overrides (source, reservation_id, revoked_at, revoked_by, revoked_why)
					VALUES ('default', 'A', now(), 'test', 'test') ON CONFLICT DO NOTHING`)
			}
			return false
		}
	})
	if _, _, err := r.guest.ShowCode(context.Background(), r.link(b)); !errors.Is(err, guest.ErrGone) {
		t.Errorf("got %v", err)
	}
}

// A stay that was moved to later dates may still have its earlier hours at Seam: its room may be another guest's now.
func TestNoCodeBeforeAStayThatWasMoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.source.Policy.BackupCode = true
	r.listing("g1")
	b := r.booking("A")
	r.withCode(b)
	r.advance(49 * time.Hour)
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserUpdate, Count: -1})
	b.in, b.out = b.in.Add(240*time.Hour), b.out.Add(240*time.Hour)
	r.book(b)
	until.True(t, "attention", func() bool { return r.view(b).Key.Status == stay.KeyAttention })
	if _, _, err := r.guest.ShowCode(context.Background(), r.link(b)); !errors.Is(err, guest.ErrNoCode) {
		t.Errorf("got %v", err)
	}
}
