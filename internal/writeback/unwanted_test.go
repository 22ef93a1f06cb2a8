package writeback_test

import (
	"context"
	"testing"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

// A field doesn't keep the text of a key that an admin has revoked and Salto KS doesn't remove.
func TestTheFieldOfAKeyThatCantBeRemovedIsCleared(t *testing.T) {
	t.Parallel()
	f := newFake(t, guesty)
	r := newRig(t, "guesty", f.URL, nil)
	r.listing("g1")
	r.issued("7001")
	r.settle()
	if got := f.field("7001", "keyCode"); got != r.link("7001") {
		t.Fatalf("the field is %q", got)
	}
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = true })
	audit := store.Audit{Author: "test", Token: "test", Via: store.AuditREST, Action: "revoke"}
	if err := r.applier.Act(context.Background(), stay.Ref{Source: "default", ReservationID: "7001"}, intake.Action{
		Kind: intake.ActionRevoke, By: "test", Why: "test", Audit: audit,
	}); err != nil {
		t.Fatal(err)
	}
	until.True(t, "attention", func() bool { return r.view("7001").Key.Status == stay.KeyAttention })
	r.settle()
	if got := f.field("7001", "keyCode"); got != "" {
		t.Errorf("the field is %q", got)
	}
}
