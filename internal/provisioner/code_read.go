package provisioner

import (
	"context"
	"slices"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
)

// What Seam shows of a backup code. Its digits come late, and may change.

// read asks for the code: its digits come late, and may change.
func (w *codeWork) read(ctx context.Context) (more bool, out outcome) {
	got, err := w.seam.Credential(w.ledger.discreetly(ctx, "whether the backup code is issued"), *w.code.CredentialID)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return w.notSeen(ctx)
	case err != nil:
		return w.failed(ctx, err)
	case got.BeingDeleted():
		return w.notSeen(ctx)
	}
	return w.learn(ctx, got)
}

// compare compares the code with a list that an attempt read for another reason.
func (w *codeWork) compare(ctx context.Context, listed []seam.Credential) (more bool, out outcome) {
	for _, l := range listed {
		if l.ACSCredentialID == *w.code.CredentialID {
			return w.learn(ctx, l)
		}
	}
	return w.read(ctx)
}

// remember makes a code due that has to wait for its key, if a list that was read for the key's sake shows another
// code, or none: the attempt that follows doesn't read that list again.
func (w *codeWork) remember(ctx context.Context) outcome {
	listed, isListed := w.listed[w.user.ID]
	if !isListed || w.code.Phase() != record.CodeMade || w.isShownBy(listed) {
		return outcome{}
	}
	if w.code.DueAt != nil && !w.code.DueAt.After(w.now()) {
		return outcome{} // it has waited for its key before: to write it again would ask for another attempt
	}
	return w.due(ctx, w.now())
}

// isShownBy reports whether a list shows the code as it is recorded. Digits that it leaves out prove nothing.
func (w *codeWork) isShownBy(listed []seam.Credential) bool {
	i := slices.IndexFunc(listed, func(l seam.Credential) bool {
		return l.ACSCredentialID == *w.code.CredentialID
	})
	if i < 0 {
		return false
	}
	digits, readable := w.sealer.Open(w.code.Sealed, *w.code.CredentialID)
	return (listed[i].Code == "" || readable && digits == listed[i].Code) &&
		stay.Text(listed[i].Problem()) == stay.Text(w.code.Problem)
}

// learn records what Seam shows of the code, and when to look again.
func (w *codeWork) learn(ctx context.Context, got seam.Credential) (more bool, out outcome) {
	if changed := w.code.Read(got, w.sealer, w.now()); changed {
		w.ledger.note("backup code %s has other digits now", *w.code.CredentialID)
	}
	return false, w.settle(ctx)
}

// settle saves the code with the time of its next look: soon while Seam has not issued it, or reports an error on it.
func (w *codeWork) settle(ctx context.Context) outcome {
	c := w.code
	next := &earliest{}
	if at := codeLookUpAt(c); at != nil {
		next.at(*at)
	}
	switch {
	case len(c.Surplus) > 0:
		next.at(w.now())
	case c.Phase() != record.CodeMade:
	case c.Problem != nil || c.Waiting:
		c.Failed()
		next.at(w.now().Add(w.codeDelay()))
	default:
		c.Succeeded()
	}
	c.Due(next.time)
	return w.save(ctx)
}

// notSeen handles a code that a get doesn't find. It counts as deleted when the list agrees, twice, a read lag apart.
func (w *codeWork) notSeen(ctx context.Context) (more bool, out outcome) {
	c := w.code
	listed, err := w.list(ctx, "whether the backup code is gone")
	if err != nil {
		return w.failed(ctx, err)
	}
	for _, l := range listed {
		if l.ACSCredentialID == *c.CredentialID {
			return w.learn(ctx, l)
		}
	}

	now := w.now()
	if c.MarkedAt != nil && w.belief.tooEarly(w.belief.countsFrom(*c.MarkedAt)) {
		return false, w.due(ctx, w.belief.countsFrom(*c.MarkedAt))
	}
	c.NotSeen(now)

	if until := w.belief.countsFrom(*c.MissingAt); w.belief.tooEarly(until) {
		return false, w.due(ctx, until)
	}

	w.ledger.note("backup code %s has been deleted, not by us", *c.CredentialID)
	c.Gone()
	if w.policy.Drift == pms.DriftReport && !w.work.Key.Revive {
		c.Refused(codeRemoved)
		c.Due(nil)
		return false, w.save(ctx)
	}
	return true, w.due(ctx, now)
}

// list lists the codes of the ACS user, oldest first.
func (w *codeWork) list(ctx context.Context, reason string) ([]seam.Credential, error) {
	all, err := w.seam.Credentials(w.ledger.discreetly(ctx, reason), *w.user.ACSUserID)
	return codesIn(all, *w.user.ACSUserID), err
}
