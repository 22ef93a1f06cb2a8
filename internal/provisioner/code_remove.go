package provisioner

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// How a backup code is deleted before its ACS user is.

// remove deletes a code that is no longer wanted. From the mark on nobody is given its digits.
func (w *codeWork) remove(ctx context.Context) (more bool, out outcome) {
	c, reason := w.code, "the source has no backup codes any more"
	if w.replaces {
		reason = "an admin requested a new mobile key, and its holder may know the code"
	}
	now := w.now()
	c.DeleteSent(now)
	c.Due(&now)
	if out := w.saveMark(ctx); out.stops() {
		return false, out
	}
	switch err := w.seam.DeleteCredential(w.ledger.discreetly(ctx, reason), *c.CredentialID); {
	case err == nil:
		c.DeleteKnown(w.now())
	case seam.KindOf(err) != seam.NotFound:
		return w.failed(ctx, err)
	}
	next := w.belief.countsFrom(w.now())
	if c.Tries > 0 { // it was deleted in vain before
		next = later(next, w.now().Add(w.codeDelay()))
	}
	return false, w.due(ctx, next)
}

// confirmRemoved makes sure that a deleted code is gone: get and list agree after the read lag, twice if it is
// uncertain whether the delete took effect. One that is still there is deleted again.
func (w *codeWork) confirmRemoved(ctx context.Context) (more bool, out outcome) {
	c := w.code
	_, err := w.seam.Credential(w.ledger.discreetly(ctx, "whether the backup code is gone"), *c.CredentialID)
	if err != nil && seam.KindOf(err) != seam.NotFound {
		return w.failed(ctx, err)
	}

	gone := err != nil
	if gone {
		listed, err := w.list(ctx, "whether the backup code is gone")
		if err != nil {
			return w.failed(ctx, err)
		}
		gone = !slices.ContainsFunc(listed, func(l seam.Credential) bool {
			return l.ACSCredentialID == *c.CredentialID
		})
	}

	if !gone {
		c.Failed()
		return w.remove(ctx)
	}

	c.NotSeen(w.now())
	if until := w.belief.countsFrom(*c.MissingAt); w.belief.tooEarly(until) {
		return false, w.due(ctx, until)
	}

	w.ledger.note("backup code %s was deleted", *c.CredentialID)
	c.Gone()
	c.Succeeded()
	c.Due(nil)
	return true, w.save(ctx)
}

// deleteSurplus deletes a second code that a lost create has left. Whatever Seam answers proves nothing, so the mark
// has it looked for once more.
func (w *codeWork) deleteSurplus(ctx context.Context, id string) (more bool, out outcome) {
	if w.code.LostAt == nil { // otherwise further look-ups are due anyway, at growing distances
		w.code.LookAgain(w.now())
	}
	if out := w.saveMark(ctx); out.stops() {
		return false, out
	}
	err := w.seam.DeleteCredential(w.ledger.discreetly(ctx, "a lost create left a second backup code"), id)
	if err != nil && seam.KindOf(err) != seam.NotFound {
		return w.failed(ctx, err)
	}
	w.code.DropSurplus(id)
	return true, w.settle(ctx)
}

// forget deletes the row of a code that doesn't exist, or is somebody else's.
func (w *codeWork) forget(ctx context.Context) outcome {
	delete(w.codes, w.user.ID)
	w.code.Due(nil)
	return w.ledger.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		return store.DeleteBackupCode(ctx, tx, w.user.ID)
	})
}
