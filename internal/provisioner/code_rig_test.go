package provisioner_test

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

// Backup codes in the rigs: what is true of a stay's code once everything is settled, and stages for the matrix.

// wrongCode describes what is wrong with a stay's backup code; "" for nothing. others is whether somebody else has made
// codes for the stay, which stay.
func (r *rig) wrongCode(s stay, v store.View, others bool) string {
	state := r.sim.State()
	var codes []simulator.Credential
	for _, u := range state.UsersNamed(s.id) {
		if u.GoneAt.IsZero() && u.ErrorCode != "deleted_externally" {
			codes = append(codes, state.Codes(u.ID)...)
		}
	}
	hasKey := (v.Key.Status == store.KeyIssued || v.Key.Status == store.KeyActive) && v.User != nil
	coded, c := slices.Contains(codedSources, s.source), v.BackupCodeOf
	switch {
	case len(codes) > 1 && !others:
		return fmt.Sprintf("Seam has %d", len(codes))
	case len(codes) > 0 && !coded && !others:
		return "there is one, although the source has none"
	case len(codes) > 0 && v.Key.Status == store.KeyRevoked:
		return "it has outlived its key"
	case !coded && c != nil:
		return "one is recorded, although the source has none"
	case !coded || !hasKey:
		return ""
	case c == nil || c.CredentialID == nil:
		return fmt.Sprintf("none was made: %+v", c)
	}
	at, key := state.Credentials[*c.CredentialID], state.Credentials[domain.Text(v.User.CredentialID)]
	switch {
	case at.AccessMethod != "code" || at.UserID != domain.Text(v.User.ACSUserID):
		return fmt.Sprintf("what is recorded is %+v", at)
	case key.AccessMethod != "mobile_key" || key.UserID != at.UserID:
		return fmt.Sprintf("what is recorded as the mobile key is %+v", key)
	case r.digits(c) != at.Code || c.DeletingAt != nil || c.Waiting:
		return fmt.Sprintf("Seam has %q, and %q is recorded (being deleted: %v, waiting: %t)", at.Code, r.digits(c),
			c.DeletingAt, c.Waiting)
	}
	return ""
}

// untilRightCode waits until nothing is wrong with a stay's backup code, however long by the rig's clocks, and returns
// what is wrong in the end.
func (r *rig) untilRightCode(s stay) (wrong string) {
	r.t.Helper()
	until.Reached(r.t, func() bool {
		v := r.view(s)
		if v.Key.ObservedGeneration != v.Key.Generation {
			return false
		}
		if wrong = r.wrongCode(s, v, false); wrong == "" {
			return true
		}
		r.skipTo(v)
		return false
	}, func() { r.tell(s) })
	return wrong
}

func (r *rig) mustHaveRightCode(s stay) {
	r.t.Helper()
	if wrong := r.untilRightCode(s); wrong != "" {
		r.t.Errorf("the backup code of %s: %s", s.id, wrong)
	}
}

// codedStages are what happens to stays with backup codes. No failure of a call about a code changes anything about the
// key, and there is one code in the end.
var codedStages = []stage{
	{
		name: "create, with a code", prepare: func(_ *rig, s *stay) { s.source = "coded" }, act: booked,
		status: store.KeyIssued, groups: groupsL,
	},
	{
		name: "move to another system, with a code", prepare: coded,
		act: func(r *rig, s *stay) { s.listing = "V"; r.book(*s) }, status: store.KeyIssued, groups: groupsV,
		moved: true, live: true,
	},
	{
		name: "guest change, with a code", prepare: coded,
		act:    func(r *rig, s *stay) { s.email = "new-" + s.email; r.book(*s) },
		status: store.KeyIssued, groups: groupsL, live: true,
	},
	{
		name: "cancel, with a code", prepare: coded, act: func(r *rig, s *stay) { r.cancel(*s) },
		status: store.KeyRevoked,
	},
	{name: "another key and code", prepare: coded, act: reissued, status: store.KeyIssued, groups: groupsL},
	{
		name: "reconcile, code deleted", prepare: codeSpoilt(func(st *simulator.State, u simulator.User) {
			delete(st.Credentials, st.Codes(u.ID)[0].ID)
		}), act: reconcile, status: store.KeyIssued, groups: groupsL, live: true,
	},
	{
		name: "reconcile, key deleted, with a code", prepare: codeSpoilt(func(st *simulator.State, u simulator.User) {
			delete(st.Credentials, st.MobileKeys(u.ID)[0].ID)
		}), act: reconcile, status: store.KeyIssued, groups: groupsL,
	},
}

// coded issues a stay of a source with backup codes.
func coded(r *rig, s *stay) {
	s.source = "coded"
	issued(r, s)
	r.rest(*s)
}

// codeSpoilt is [spoilt] for a stay with a backup code.
func codeSpoilt(change func(*simulator.State, simulator.User)) func(*rig, *stay) {
	return func(r *rig, s *stay) {
		coded(r, s)
		spoilt(change)(r, s)
	}
}

// reissued has an admin request another mobile key, whose code is another one, too.
func reissued(r *rig, s *stay) {
	before := *r.view(*s).BackupCodeOf.CredentialID
	r.mustAct(*s, intake.Action{Kind: intake.ActionReissue})
	r.untilLater(*s, "with another code", func(v store.View) bool {
		c := v.BackupCodeOf
		return c != nil && c.CredentialID != nil && *c.CredentialID != before && v.User != nil &&
			c.KeyID == domain.Text(v.User.CredentialID)
	})
}

// wrongToo is [unkind.wrong], and what differs about the backup code: one that Seam refused is tried again at the
// latest when an admin asks for it.
func (w *unkind) wrongToo(s *unkindStay, v store.View) string {
	if wrong := w.wrong(s, v); wrong != "" {
		return wrong
	}
	return w.wrongCode(s.stay, v, s.codesByOthers)
}

// seeCodes checks the codes of an ACS user at every moment. The caller holds the lock.
func (w *unkind) seeCodes(state *simulator.State, s *unkindStay, u simulator.User) {
	switch n := len(state.Codes(u.ID)); {
	case n == 0 || s.codesByOthers:
	case !slices.Contains(codedSources, s.source):
		w.violation(s, "%s has a backup code, although its source has none", s.id)
	case n > 1:
		w.violation(s, "%s has a second backup code", s.id)
	}
}

// meddleWithCode changes a stay's backup code at Seam, as another person would.
func (w *unkind) meddleWithCode(st *simulator.State, u simulator.User, what string) {
	codes := st.Codes(u.ID)
	switch {
	case what == "second code":
		id := uuid.NewString()
		st.Credentials[id] = simulator.Credential{
			ID: id, UserID: u.ID, AccessMethod: "code", Code: fmt.Sprintf("9%05d", w.random.IntN(100_000)),
			CreatedAt: w.now(),
		}
	case len(codes) == 0:
	case what == "delete code":
		delete(st.Credentials, codes[0].ID)
	default:
		c := codes[0]
		c.Code = fmt.Sprintf("8%05d", w.random.IntN(100_000))
		st.Credentials[c.ID] = c
	}
}
