package provisioner

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// The end of the identities of a reservation's own: they go when nothing is linked to them any more.

// removeOwn deletes the identity of an ACS user that is gone, if it is the reservation's own and nothing else
// is linked to it. It reports whether the identity can be forgotten.
func (r *identities) removeOwn(ctx context.Context, u *record.User) (bool, outcome) {
	identity, err := r.store.UserIdentities.Get(ctx, u.UserIdentityKey)
	if errors.Is(err, store.ErrNotFound) {
		return false, outcome{}
	}
	if err != nil || !identity.StayOnly || !identity.MadeByUs {
		return false, fails(err)
	}
	if slices.ContainsFunc(r.users.rows,
		func(x record.User) bool { return x.ID != u.ID && x.UserIdentityKey == u.UserIdentityKey }) {
		return false, outcome{}
	}
	return r.remove(ctx, rows.Identity(identity), u)
}

// remove deletes an own identity that nothing is linked to; deleting it would delete linked ACS users, too. u
// is the last one that was linked; nil for none.
func (r *identities) remove(ctx context.Context, identity record.Identity,
	u *record.User,
) (forget bool, out outcome) {
	if identity.ID == nil {
		if forget, out := r.findUnanswered(ctx, &identity); forget || out.stops() {
			return forget, out
		}
	}

	asking := r.ledger.because(ctx, "whether anything is linked to the reservation's own user identity")
	is, err := r.seam.UserIdentity(asking, *identity.ID)
	if seam.KindOf(err) == seam.NotFound {
		gone, holder, out := r.isKeyFree(asking, identity.Key, *identity.ID)
		switch {
		case out.stops():
			return false, out
		case !gone:
			return false, contradicted(err)
		case holder == nil:
			return true, outcome{}
		}
		r.ledger.note("user identity %s is gone from Seam, and %s has its key", *identity.ID, *holder)
		identity.Gone(holder)
		return r.remove(ctx, identity, u)
	}

	if err != nil {
		return false, fails(err)
	}

	if is.UserIdentityID != *identity.ID {
		r.ledger.note("user identity %s was merged into %s, which is left alone", *identity.ID, is.UserIdentityID)
		return true, outcome{}
	}

	linked, err := linkedTo(asking, r.seam, is)
	if err != nil {
		return false, fails(err)
	}
	if len(linked) > 0 {
		if u != nil && u.DeletedAt != nil {
			if until := r.belief.countsFrom(*u.DeletedAt); r.belief.tooEarly(until) {
				return false, wait(until, "Seam still shows something linked to the user identity")
			}
		}
		r.ledger.note("user identity %s is kept: somebody linked another ACS user to it", *identity.ID)
		return false, outcome{}
	}

	return r.deleteUnlinked(ctx, identity)
}

// deleteUnlinked deletes an own identity that nothing is linked to. Until the result is known, nothing is: it would be
// deleted, too.
func (r *identities) deleteUnlinked(ctx context.Context, identity record.Identity) (forget bool, out outcome) {
	var earlier *time.Time
	// The lease must still be ours: another worker may have linked something since.
	out = r.ledger.mark(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		earlier, err = store.MarkErasing(ctx, tx, identity.Key, r.now())
		return err
	})
	if out.stops() {
		return false, out
	}

	r.ledger.changes++
	err := r.seam.DeleteUserIdentity(r.ledger.because(ctx,
		"nothing is linked to the reservation's own user identity any more"), *identity.ID)
	switch {
	case err == nil:
		return true, outcome{}
	case seam.KindOf(err) == seam.Lost: // it may still take effect: the mark stays
		return false, fails(err)
	}
	out = r.ledger.save(ctx, false, func(b *pgx.Batch) { store.QueueRestoreErasing(b, identity.Key, earlier) })
	switch {
	case out.stops():
		return false, out
	case seam.KindOf(err) == seam.NotFound: // Seam has just shown it
		return false, contradicted(err)
	}
	return false, fails(err)
}

// linkedTo returns the ids of the ACS users that are linked to an identity and are not being deleted: those that Seam
// lists, and those that the identity itself names. Deleting an identity deletes them too, and a list may be
// incomplete.
func linkedTo(ctx context.Context, client *seam.Client, identity seam.UserIdentity) ([]string, error) {
	listed, err := client.ACSUsersOfIdentity(ctx, identity.UserIdentityID)
	if err != nil && seam.KindOf(err) != seam.NotFound {
		return nil, err
	}
	var linked []string
	seen := map[string]bool{}
	for _, u := range listed {
		if seen[u.ACSUserID] = true; !u.BeingDeleted() {
			linked = append(linked, u.ACSUserID)
		}
	}
	for _, id := range identity.ACSUserIDs {
		if seen[id] {
			continue
		}
		switch u, err := client.ACSUser(ctx, id); {
		case err == nil && !u.BeingDeleted():
			linked = append(linked, id)
		case err != nil && seam.KindOf(err) != seam.NotFound:
			return nil, err
		}
	}
	return linked, nil
}

// removeStrays deletes the reservation's own identities that never got an ACS user.
func (r *identities) removeStrays(ctx context.Context) outcome {
	keys := make([]string, ownIdentities)
	for n := range keys {
		keys[n] = r.keys.own(r.reservation, n)
	}
	strays, err := r.store.UserIdentities.List(ctx, keys)
	if err != nil {
		return fails(err)
	}
	for _, identity := range strays {
		if out := r.removeStray(ctx, rows.Identity(identity)); out.stops() {
			return out
		}
	}
	return outcome{}
}

// findUnanswered looks for the identity that a create without an answer may have made. forget reports that Seam has
// none, or that it was merged into another, which is left alone.
func (r *identities) findUnanswered(ctx context.Context, identity *record.Identity) (forget bool, out outcome) {
	asking := r.ledger.because(ctx, "whether a create without an answer made a user identity")
	is, err := r.seam.UserIdentityByKey(asking, identity.Key)
	if seam.KindOf(err) == seam.NotFound { // one wrong answer is soon corrected
		is, err = r.seam.UserIdentityByKey(asking, identity.Key)
	}
	switch {
	case err == nil && slices.Contains(is.MergedKeys, identity.Key):
		r.ledger.note("user identity %s was merged into %s, which is left alone", identity.Key, is.UserIdentityID)
		return true, outcome{}
	case err == nil:
		identity.Found(is.UserIdentityID)
		return false, outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return false, fails(err)
	}
	if until := r.belief.identitySettles(identity.CreatedAt); r.belief.tooEarly(until) {
		return false, wait(until, "A user identity may still show up")
	}
	return true, outcome{}
}

// removeStray deletes one own identity that has no ACS user, once it is certain whether Seam has it.
func (r *identities) removeStray(ctx context.Context, identity record.Identity) outcome {
	forget, out := r.remove(ctx, identity, nil)
	if out.stops() || !forget {
		return out
	}
	return r.ledger.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		return store.DeleteUserIdentity(ctx, tx, identity.Key)
	})
}
