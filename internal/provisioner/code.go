package provisioner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
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

// Late look-ups of what a lost create may have made, as for other creates.
var codeLookups = []time.Duration{firstLookup, lastLookup}

// Why there is no code, besides Seam's own error codes.
const codeRemoved = "removed_at_seam"

// codes returns the stay's codes by the rows of their ACS users.
func codesOf(work store.Work) map[int64]*record.Code {
	codes := map[int64]*record.Code{}
	for _, c := range work.Codes {
		codes[c.UserRow] = &record.Code{BackupCode: c}
	}
	return codes
}

// wantsCode reports whether the guest should have a code besides the mobile key.
func (a *attempt) wantsCode(d plan.Desired) bool {
	return a.policy.BackupCode && d.Goal == plan.Have && !d.NoKey
}

// noteCodes remembers the codes in a list of an ACS user's credentials that was read for another reason.
func (a *attempt) noteCodes(u *record.User, all []seam.Credential) {
	a.listedCodes[u.ID] = codesIn(all, *u.ACSUserID)
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

// backupCode brings the code of the ACS user that serves the stay as far as it can be brought now. Its outcome stops
// the attempt only if the reservation is another worker's by now, has been overtaken, or can't be written.
func (a *attempt) backupCode(ctx context.Context, d plan.Desired) outcome {
	if a.preview {
		return outcome{}
	}
	if out := a.forgetCodesOfOthers(ctx); out.stops() {
		return out
	}
	i := a.standing(d)
	if i < 0 {
		return outcome{}
	}
	u := &a.users[i]
	if p := u.Phase(); p != record.Made && p != record.Unsure || u.SuspendedAt != nil {
		return outcome{}
	}
	w := codeWork{attempt: a, user: u, wanted: a.wantsCode(d), code: a.codes[u.ID]}
	if w.code == nil {
		if !w.wanted {
			return outcome{}
		}
		w.code = &record.Code{BackupCode: store.BackupCode{
			UserRow: u.ID, Source: u.Source, ReservationID: u.ReservationID, ACSUserID: *u.ACSUserID,
		}}
		a.codes[u.ID] = w.code
	}
	if a.changes > 0 && len(a.refusals) == 0 {
		// What was reached for the mobile key is written first: its guest doesn't wait for a code.
		now := a.now()
		a.codeDue = &now
		return outcome{}
	}
	w.replaces = d.Replace != "" && w.code.KeyID == d.Replace && w.code.CredentialID != nil
	out := w.run(ctx)
	a.codeDue = w.code.DueAt
	return out
}

// forgetCodesOfOthers forgets codes whose ACS user is gone: Seam has deleted them with it.
func (a *attempt) forgetCodesOfOthers(ctx context.Context) outcome {
	for row, c := range a.codes {
		i := slices.IndexFunc(a.users, func(u record.User) bool { return u.ID == row })
		if i >= 0 && stay.Text(a.users[i].ACSUserID) == c.ACSUserID {
			continue
		}
		delete(a.codes, row)
		if i < 0 {
			continue // the row went with its ACS user's
		}
		if out := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
			return store.DeleteBackupCode(ctx, tx, row)
		}); out.stops() {
			return out
		}
	}
	return outcome{}
}

// codeWork is the work on one code in an attempt.
type codeWork struct {
	*attempt
	user     *record.User
	code     *record.Code
	wanted   bool
	replaces bool // an admin requested a new mobile key: the holder of the old one may know the code
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
	listed, isListed := w.listedCodes[w.user.ID]
	delete(w.listedCodes, w.user.ID) // it describes the time before what is done now
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
	if !w.code.Own && !w.replaces {
		return false, w.forget(ctx)
	}
	return w.remove(ctx)
}

// begin makes the code that doesn't exist yet, if it is wanted.
func (w *codeWork) begin(ctx context.Context) (more bool, out outcome) {
	if !w.wanted {
		return false, w.forget(ctx)
	}
	if stay.Text(w.code.Problem) == codeRemoved && !w.work.Key.Revive {
		return false, outcome{} // somebody deleted it, and such changes are only reported
	}
	return w.create(ctx)
}

// follow looks at a code that exists, if that is due.
func (w *codeWork) follow(ctx context.Context) (more bool, out outcome) {
	if at := w.lookUpAt(); at != nil && !w.tooEarly(*at) {
		return w.lookUp(ctx)
	}
	if w.code.DueAt == nil && w.code.MissingAt == nil {
		return false, outcome{} // it is known, and nothing says that it has changed
	}
	return w.read(ctx)
}

// --- Creating

// create makes a code, if the ACS user has none. Seam has no idempotency keys, so it looks first.
func (w *codeWork) create(ctx context.Context) (more bool, out outcome) {
	found, err := w.list(ctx, "whether the ACS user has a backup code")
	if err != nil {
		return w.failed(ctx, err)
	}
	if len(found) > 0 {
		return w.take(ctx, found)
	}
	started := w.now()
	w.code.Mark(stay.Text(w.user.CredentialID), started, started.Add(w.seam.Timeout()))
	if out := w.saveMark(ctx); out.stops() {
		return false, out
	}
	made, err := w.seam.CreateCredential(w.discreetly(ctx, "the source has backup codes"),
		seam.CodeOf(*w.user.ACSUserID))
	switch {
	case err == nil:
		w.code.Created(made.ACSCredentialID)
		w.note("backup code %s was created", made.ACSCredentialID)
		return w.learn(ctx, made)
	case seam.KindOf(err) == seam.Lost:
		w.code.Lost(w.belief().lostUntil(started, w.now()))
	default:
		w.code.Unmark()
	}
	return w.failed(ctx, err)
}

// findLost looks for what a create without an answer has made. If it made nothing, the next step creates one.
func (w *codeWork) findLost(ctx context.Context) (more bool, out outcome) {
	found, err := w.list(ctx, "whether a create without an answer made a backup code")
	if err != nil {
		return w.failed(ctx, err)
	}
	if len(found) > 0 {
		return w.take(ctx, found)
	}
	if until := w.belief().countsFrom(*w.code.LostAt); w.tooEarly(until) {
		return false, w.due(ctx, until)
	}
	if !w.wanted {
		w.code.Looked(1)
		return true, w.save(ctx)
	}
	return w.create(ctx)
}

// take records the oldest of the codes that a look-up has found. Those that came after the mark of a lost create are
// ours; others somebody made by hand: one of them serves as well, and is not deleted.
func (w *codeWork) take(ctx context.Context, found []seam.Credential) (more bool, out outcome) {
	c := w.code
	ours := func(f seam.Credential) bool {
		return c.LostAt != nil && c.MarkedAt != nil &&
			seam.ParseTime(f.CreatedAt).After(c.MarkedAt.Add(-clocksDiffer))
	}
	first := found[0]
	c.Found(first.ACSCredentialID, ours(first))
	if c.KeyID == "" {
		c.KeyID = stay.Text(w.user.CredentialID)
	}
	w.addSurplus(found, ours)
	w.note("backup code %s was found", first.ACSCredentialID)
	return w.learn(ctx, first)
}

func (w *codeWork) addSurplus(found []seam.Credential, ours func(seam.Credential) bool) {
	for _, f := range found {
		if f.ACSCredentialID != stay.Text(w.code.CredentialID) && ours(f) {
			w.code.AddSurplus(f.ACSCredentialID)
		}
	}
}

// lookUpAt is when a lost create is looked for once more; nil for never.
func (w *codeWork) lookUpAt() *time.Time {
	c := w.code
	if c.LostAt == nil || int(c.Looks) >= len(codeLookups) {
		return nil
	}
	at := c.LostAt.Add(codeLookups[c.Looks])
	return &at
}

// lookUp looks for further codes that a lost create has made next to the one that is known.
func (w *codeWork) lookUp(ctx context.Context) (more bool, out outcome) {
	found, err := w.list(ctx, "whether a create without an answer made a second backup code")
	if err != nil {
		return w.failed(ctx, err)
	}
	c := w.code
	marked := c.MarkedAt
	w.addSurplus(found, func(f seam.Credential) bool {
		return marked != nil && seam.ParseTime(f.CreatedAt).After(marked.Add(-clocksDiffer))
	})
	c.Looked(int16(len(codeLookups))) // #nosec G115 -- a handful
	return true, w.settle(ctx)
}

// --- Reading

// read asks for the code: its digits come late, and may change.
func (w *codeWork) read(ctx context.Context) (more bool, out outcome) {
	got, err := w.seam.Credential(w.discreetly(ctx, "whether the backup code is issued"), *w.code.CredentialID)
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

// learn records what Seam shows of the code, and when to look again.
func (w *codeWork) learn(ctx context.Context, got seam.Credential) (more bool, out outcome) {
	if changed := w.code.Read(got, w.sealer, w.now()); changed {
		w.note("backup code %s has other digits now", *w.code.CredentialID)
	}
	return false, w.settle(ctx)
}

// settle saves the code with the time of its next look: soon while Seam has not issued it, or reports an error on it.
func (w *codeWork) settle(ctx context.Context) outcome {
	c := w.code
	next := &earliest{}
	if at := w.lookUpAt(); at != nil {
		next.at(*at)
	}
	switch {
	case len(c.Surplus) > 0:
		next.at(w.now())
	case c.Phase() != record.CodeMade:
	case c.Problem != nil || c.Waiting:
		c.Tries++
		next.at(w.now().Add(w.codeDelay()))
	default:
		c.Tries = 0
	}
	c.DueAt = next.time
	return w.save(ctx)
}

// notSeen handles a code that a get doesn't find. It counts as deleted when the list agrees, twice, a grace apart.
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
	if c.MarkedAt != nil && w.tooEarly(w.belief().countsFrom(*c.MarkedAt)) {
		return false, w.due(ctx, w.belief().countsFrom(*c.MarkedAt))
	}
	c.NotSeen(now)
	if until := w.belief().countsFrom(*c.MissingAt); w.tooEarly(until) {
		return false, w.due(ctx, until)
	}
	w.note("backup code %s has been deleted, not by us", *c.CredentialID)
	c.Gone()
	if w.policy.Drift == pms.DriftReport && !w.work.Key.Revive {
		problem := codeRemoved
		c.Problem, c.DueAt = &problem, nil
		return false, w.save(ctx)
	}
	return true, w.due(ctx, now)
}

// list lists the codes of the ACS user, oldest first.
func (w *codeWork) list(ctx context.Context, reason string) ([]seam.Credential, error) {
	all, err := w.seam.Credentials(w.discreetly(ctx, reason), *w.user.ACSUserID)
	return codesIn(all, *w.user.ACSUserID), err
}

// --- Deleting

// remove deletes a code that is no longer wanted. From the mark on nobody is given its digits.
func (w *codeWork) remove(ctx context.Context) (more bool, out outcome) {
	c, reason := w.code, "the source has no backup codes any more"
	if w.replaces {
		reason = "an admin requested a new mobile key, and its holder may know the code"
	}
	now := w.now()
	c.DeleteSent(now)
	c.DueAt = &now
	if out := w.saveMark(ctx); out.stops() {
		return false, out
	}
	err := w.seam.DeleteCredential(w.discreetly(ctx, reason), *c.CredentialID)
	if err != nil && seam.KindOf(err) != seam.NotFound {
		return w.failed(ctx, err)
	}
	next := w.belief().countsFrom(w.now())
	if c.Tries > 0 { // it was deleted in vain before
		next = later(next, w.now().Add(w.codeDelay()))
	}
	return false, w.due(ctx, next)
}

// confirmRemoved makes sure that a deleted code is gone: get and list agree after the grace. One that is still there
// is deleted again.
func (w *codeWork) confirmRemoved(ctx context.Context) (more bool, out outcome) {
	c := w.code
	_, err := w.seam.Credential(w.discreetly(ctx, "whether the backup code is gone"), *c.CredentialID)
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
		c.Tries++
		return w.remove(ctx)
	}
	w.note("backup code %s was deleted", *c.CredentialID)
	c.Gone()
	c.Tries, c.DueAt = 0, nil
	return true, w.save(ctx)
}

// deleteSurplus deletes a second code that a lost create has left.
func (w *codeWork) deleteSurplus(ctx context.Context, id string) (more bool, out outcome) {
	err := w.seam.DeleteCredential(w.discreetly(ctx, "a lost create left a second backup code"), id)
	if err != nil && seam.KindOf(err) != seam.NotFound {
		return w.failed(ctx, err)
	}
	w.code.DropSurplus(id)
	return true, w.settle(ctx)
}

// forget deletes the row of a code that doesn't exist, or is somebody else's.
func (w *codeWork) forget(ctx context.Context) outcome {
	delete(w.codes, w.user.ID)
	w.code.DueAt = nil
	return w.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		return store.DeleteBackupCode(ctx, tx, w.user.ID)
	})
}

// --- Failures and commits

// failed records that a call about the code has failed. The mobile key is not affected.
func (w *codeWork) failed(ctx context.Context, err error) (more bool, out outcome) {
	switch api := new(seam.Error); {
	case !errors.As(err, &api):
		return false, fails(err)
	case api.Kind == seam.NotFound:
		w.recheckAt(w.now()) // the ACS user may be gone: that is the key's business
	case api.Kind == seam.RateLimited:
		return false, w.due(ctx, w.now().Add(max(api.RetryAfter, minPause)))
	case isRefusal(err) && w.code.Phase() == record.NoCode:
		w.code.Refused(cmp.Or(api.Type, "rejected_by_seam"))
	}
	w.code.Tries++
	return w.postpone(ctx)
}

// postpone saves the code; it is due again after a delay that grows with its failures.
func (w *codeWork) postpone(ctx context.Context) (more bool, out outcome) {
	return false, w.due(ctx, w.now().Add(w.codeDelay()))
}

// codeDelay grows with what failed, or was in vain, in a row: slowly enough that codes that Salto makes only when the
// stay begins don't cost calls for months, and soon when the guest arrives.
func (w *codeWork) codeDelay() time.Duration {
	slowest := w.patience(askForProblems)
	if w.code.Phase() == record.NoCode && w.code.Problem != nil { // Seam refuses it: other locks are needed, or rights
		return min(w.slowRetry()<<min(w.code.Tries, 10), slowest)
	}
	return min(w.backoff(int(w.code.Tries)), slowest)
}

// due saves the code with the time of its next look.
func (w *codeWork) due(ctx context.Context, at time.Time) outcome {
	w.code.DueAt = &at
	return w.save(ctx)
}

func (w *codeWork) save(ctx context.Context) outcome {
	return w.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		return store.SaveBackupCode(ctx, tx, w.code.BackupCode)
	})
}

// saveMark commits the mark of a call that is about to be made. If the work has been overtaken, neither is made.
func (w *codeWork) saveMark(ctx context.Context) outcome {
	out := w.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
		if stale {
			return errStale
		}
		return store.SaveBackupCode(ctx, tx, w.code.BackupCode)
	})
	point.Reach(point.Marked)
	return out
}

// discreetly returns a context whose calls are recorded in the timeline without Seam's messages: they may quote codes.
func (a *attempt) discreetly(ctx context.Context, reason string) context.Context {
	return seam.WithRecorder(ctx, func(c seam.Call) {
		if api := new(seam.Error); errors.As(c.Err, &api) {
			silent := *api
			silent.Message = ""
			c.Err = &silent
		} else if c.Err != nil {
			c.Err = fmt.Errorf("%s failed", c.Path)
		}
		a.recordCall(ctx, c, reason)
	})
}

// plannedCode is the call that a reconcile would make for a code, for people who ask.
func (a *attempt) plannedCode(d plan.Desired) []stay.PlannedCall {
	i := a.standing(d)
	if i < 0 || a.users[i].ACSUserID == nil {
		return nil
	}
	u := a.users[i]
	c := a.codes[u.ID]
	has := c != nil && c.CredentialID != nil || len(a.listedCodes[u.ID]) > 0
	switch {
	case a.wantsCode(d) && !has:
		return []stay.PlannedCall{{
			Path: seam.PathCredentialCreate, Body: seam.CodeOf(*u.ACSUserID), Reason: "the source has backup codes",
		}}
	case !a.wantsCode(d) && c != nil && c.CredentialID != nil && c.Own && d.Goal == plan.Have:
		return []stay.PlannedCall{{
			Path: seam.PathCredentialDelete, Body: seam.CredentialID{ACSCredentialID: *c.CredentialID},
			Reason: "the source has no backup codes any more",
		}}
	}
	return nil
}
