package provisioner

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Backup codes: a PIN on the same ACS user as the mobile key, for guests whose phone doesn't open the door.
//
// A code never matters to the mobile key. It is made and looked at only when an attempt has nothing left to do for the
// key, or Seam refuses what is left; whatever happens to it, the key's verdict is the same. Seam deletes it with its
// ACS user, so that it opens nothing for longer than the key does. Its digits are sealed before they are stored, and
// Seam's messages about it are not kept, because they may quote them.
//
// follow takes a code as far as it can be taken in one attempt, a step at a time. Each step makes at most one changing
// call, between a mark and its result, and the code's phase (record.Code.Phase) says which comes next:
//
//	none        create it, if the source has backup codes (code_create.go)
//	lost        a create without an answer, or a refused one: look for what it made, and adopt it (code_create.go)
//	made        read it until its digits are known, and now and then afterwards (code_read.go). A code that is no
//	            longer wanted is taken back; one that somebody else made is left alone and forgotten
//	deleting    confirm that it is gone (code_remove.go)
//
// Second codes that a lost create left are deleted before anything else (deleteSurplus). A step that fails puts the
// code off, longer each time; the time of its next step is the row's due_at.

// Why there is no code, besides Seam's own error codes.
const codeRemoved = "removed_at_seam"

// codesOf returns the stay's codes by the rows of their ACS users.
func codesOf(work store.Work) map[int64]*record.Code {
	codes := map[int64]*record.Code{}
	for _, c := range work.Codes {
		codes[c.UserRow] = rows.Code(c)
	}
	return codes
}

// backupCodes knows the backup codes of one stay, whether the guest should have one, and whether the mobile key comes
// first. What is done about a code is in [codeWork].
type backupCodes struct {
	codeTools
	users    *users
	refusals *refusals
	verdict  func(plan.Desired) store.KeyVerdict // what the key's verdict would be now

	due *time.Time // when the code that is wanted is due next
}

// codeTools are what the work on a code needs.
type codeTools struct {
	seam     *seam.Client
	now      func() time.Time
	sealer   stay.Sealer
	ledger   *ledger
	belief   belief
	observed *observation
	pacing   *pacing
	work     *store.Work // as it was loaded
	policy   pms.Policy
	codes    map[int64]*record.Code // by the rows of their ACS users
	listed   listedCodes            // those that were listed in this attempt
}

// wants reports whether the guest should have a code besides the mobile key.
func (b *backupCodes) wants(d plan.Desired) bool {
	return b.policy.BackupCode && d.Goal == plan.Have && !d.NoKey
}

// listedCodes are the codes in lists that an attempt read for another reason, by the rows of their ACS users.
type listedCodes map[int64][]seam.Credential

// note remembers the codes in a list of an ACS user's credentials.
func (l listedCodes) note(u *record.User, all []seam.Credential) {
	l[u.ID] = codesIn(all, *u.ACSUserID)
}

// codesIn are the codes of an ACS user in a list, oldest first.
func codesIn(all []seam.Credential, acsUserID string) []seam.Credential {
	codes := []seam.Credential{} // not nil: the list was read
	for _, c := range all {
		if c.ACSUserID == acsUserID && c.IsCode() && !c.BeingDeleted() {
			codes = append(codes, c)
		}
	}
	slices.SortStableFunc(codes, func(x, y seam.Credential) int {
		return seam.ParseTime(x.CreatedAt).Compare(seam.ParseTime(y.CreatedAt))
	})
	return codes
}

// follow brings the code of the ACS user that serves the stay as far as it can be brought now. Its outcome stops
// the attempt only if another worker has taken the reservation over, it has been overtaken, or can't be written.
func (b *backupCodes) follow(ctx context.Context, d plan.Desired) outcome {
	if b.ledger.preview {
		return outcome{}
	}
	if out := b.forgetOthers(ctx); out.stops() {
		return out
	}

	i := b.users.standing(d)
	if i < 0 {
		return outcome{}
	}
	u := &b.users.rows[i]
	if p := u.Phase(); p != record.Made && p != record.Unsure || u.SuspendedAt != nil {
		return outcome{}
	}

	w := codeWork{codeTools: b.codeTools, user: u, wanted: b.wants(d), code: b.codes[u.ID]}
	if w.code == nil {
		if !w.wanted {
			return outcome{}
		}
		w.code = record.NewCode(u)
		b.codes[u.ID] = w.code
	}

	if b.keyComesFirst(d) {
		return w.remember(ctx)
	}

	w.replaces = d.Replace != "" && w.code.CredentialID != nil &&
		(w.code.KeyID == d.Replace || w.code.KeyID != stay.Text(u.CredentialID))
	out := w.run(ctx)
	b.due = w.code.DueAt
	return out
}

// keyComesFirst reports whether the code has to wait, because something about the mobile key must be written or read
// first: its guest doesn't wait for a code.
func (b *backupCodes) keyComesFirst(d plan.Desired) bool {
	recorded := b.work.Key
	if len(b.refusals.all) > 0 {
		return recorded.LastError == nil // the key is due again after a while, with what Seam refused on record
	}
	v := b.verdict(d)
	switch {
	case v.Status == stay.KeyProvisioning:
		return true // it is due again soon
	case b.ledger.changes > 0 || v.Status != recorded.Status || stay.Text(recorded.Reason) != v.Reason:
		now := b.now()
		b.due = &now
		return true
	}
	return false
}

// forgetOthers forgets codes whose ACS user is gone: Seam has deleted them with it.
func (b *backupCodes) forgetOthers(ctx context.Context) outcome {
	for row, c := range b.codes {
		i := slices.IndexFunc(b.users.rows, func(u record.User) bool { return u.ID == row })
		if i >= 0 && stay.Text(b.users.rows[i].ACSUserID) == c.ACSUserID {
			continue
		}
		delete(b.codes, row)
		if i < 0 {
			continue // the row went with its ACS user's
		}
		if out := b.ledger.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
			return store.DeleteBackupCode(ctx, tx, row)
		}); out.stops() {
			return out
		}
	}
	return outcome{}
}

// codeWork creates, finds, reads and deletes one code in an attempt. It never touches the mobile key.
type codeWork struct {
	codeTools
	user     *record.User
	code     *record.Code
	wanted   bool
	replaces bool // an admin requested a new mobile key: the holder of the old one, or of one before, may know the code
}

// codeSteps is more than any code needs in one attempt.
const codeSteps = 8

func (w *codeWork) run(ctx context.Context) outcome {
	for range codeSteps {
		more, out := w.step(ctx)
		if out.stops() || !more {
			return out
		}
	}
	return outcome{}
}

// step makes at most one changing call, and records its result. more is false when nothing is left to do now.
func (w *codeWork) step(ctx context.Context) (more bool, out outcome) {
	phase := w.code.Phase()
	unwanted := phase == record.CodeMade && (!w.wanted || w.replaces)
	listed, isListed := w.listed[w.user.ID]
	delete(w.listed, w.user.ID) // it describes the time before what is done now
	switch {
	case phase == record.CodeMade && isListed && !unwanted:
		return w.compare(ctx, listed)
	case !unwanted && w.rests():
		return false, outcome{}
	case len(w.code.Surplus) > 0:
		return w.deleteSurplus(ctx, w.code.Surplus[0])
	case unwanted:
		return w.withdraw(ctx)
	}
	switch phase {
	case record.CodeDeleting:
		return w.confirmRemoved(ctx)
	case record.CodeLost:
		return w.findLost(ctx)
	case record.NoCode:
		return w.begin(ctx)
	default:
		return w.follow(ctx)
	}
}

// rests reports whether the code is not due yet. An admin's repair doesn't wait.
func (w *codeWork) rests() bool {
	return w.code.DueAt != nil && w.now().Before(*w.code.DueAt) && !w.work.Key.Revive
}

// withdraw takes back a code that is no longer wanted. One that somebody else made stays, unless an admin replaces
// what the guest knows.
func (w *codeWork) withdraw(ctx context.Context) (more bool, out outcome) {
	if !w.code.MadeByUs && !w.replaces {
		return false, w.forget(ctx)
	}
	return w.remove(ctx)
}

// begin makes the code that doesn't exist yet, if it is wanted.
func (w *codeWork) begin(ctx context.Context) (more bool, out outcome) {
	if !w.wanted {
		return false, w.forget(ctx)
	}
	if !w.isToBeMade() {
		return false, outcome{}
	}
	return w.create(ctx)
}

// isToBeMade reports whether a code is wanted. One that somebody deleted is not made again where such changes are only
// reported.
func (w *codeWork) isToBeMade() bool {
	return w.wanted && (stay.Text(w.code.Problem) != codeRemoved || w.work.Key.Revive)
}

// follow looks at a code that exists, if that is due.
func (w *codeWork) follow(ctx context.Context) (more bool, out outcome) {
	if at := codeLookUpAt(w.code); at != nil && !w.belief.tooEarly(*at) {
		return w.lookUp(ctx)
	}
	if w.code.DueAt == nil && w.code.MissingAt == nil {
		return false, outcome{} // it is known, and nothing says that it has changed
	}
	return w.read(ctx)
}

// failed records that a call about the code has failed. The mobile key is not affected.
func (w *codeWork) failed(ctx context.Context, err error) (more bool, out outcome) {
	switch api := new(seam.Error); {
	case !errors.As(err, &api):
		return false, fails(err)
	case api.Kind == seam.NotFound:
		w.observed.recheckAt(w.now()) // the ACS user may be gone: that is the key's business
	case api.Kind == seam.RateLimited:
		return false, w.due(ctx, w.now().Add(max(api.RetryAfter, minPause)))
	case isRefusal(err) && w.code.CredentialID == nil:
		w.code.Refused(cmp.Or(api.Type, "rejected_by_seam"))
	}
	w.code.Failed()
	return w.postpone(ctx)
}

// postpone saves the code; it is due again after a delay that grows with its failures.
func (w *codeWork) postpone(ctx context.Context) (more bool, out outcome) {
	return false, w.due(ctx, w.now().Add(w.codeDelay()))
}

// codeDelay grows with what failed, or was in vain, in a row: slowly enough that codes that Salto makes only when the
// stay begins don't cost calls for months, and soon when the guest arrives.
func (w *codeWork) codeDelay() time.Duration {
	slowest := w.pacing.patience(askForProblems)
	if w.code.CredentialID == nil && w.code.Problem != nil { // Seam refuses it: other locks are needed, or rights
		return min(w.pacing.slowRetry()<<min(w.code.Tries, 10), slowest)
	}
	return min(w.pacing.backoff(int(w.code.Tries)), slowest)
}

// due saves the code with the time of its next look.
func (w *codeWork) due(ctx context.Context, at time.Time) outcome {
	w.code.Due(&at)
	return w.save(ctx)
}

// save commits the code's row.
func (w *codeWork) save(ctx context.Context) outcome {
	return w.ledger.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		return store.SaveBackupCode(ctx, tx, rows.BackupCode(w.code))
	})
}

// saveMark commits the mark of a call that is about to be made.
func (w *codeWork) saveMark(ctx context.Context) outcome {
	return w.ledger.mark(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return store.SaveBackupCode(ctx, tx, rows.BackupCode(w.code))
	})
}

// planned is the call that a reconcile would make for a code, for people who ask.
func (b *backupCodes) planned(d plan.Desired) []stay.PlannedCall {
	i := b.users.standing(d)
	if i < 0 || b.users.rows[i].ACSUserID == nil {
		return nil
	}
	u := b.users.rows[i]
	c := b.codes[u.ID]
	has := c != nil && c.CredentialID != nil || len(b.listed[u.ID]) > 0
	switch {
	case b.wants(d) && !has:
		return []stay.PlannedCall{{
			Path: seam.PathCredentialCreate, Body: seam.CodeOf(*u.ACSUserID), Reason: "the source has backup codes",
		}}
	case !b.wants(d) && c != nil && c.CredentialID != nil && c.MadeByUs && d.Goal == plan.Have:
		return []stay.PlannedCall{{
			Path: seam.PathCredentialDelete, Body: seam.CredentialID{ACSCredentialID: *c.CredentialID},
			Reason: "the source has no backup codes any more",
		}}
	}
	return nil
}
