package provisioner

import (
	"context"
	"time"

	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
)

// How a backup code is made, and found if the answer was lost. Seam has no idempotency keys. A refused create counts as
// lost, unless the refusal says that nothing was made: it may have made the code before something else failed.

// create makes a code, if the ACS user has none: it looks first.
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
	made, err := w.seam.CreateCredential(w.ledger.discreetly(ctx, "the source has backup codes"),
		seam.CodeOf(*w.user.ACSUserID))
	switch {
	case err == nil:
		w.code.Created(made.ACSCredentialID)
		w.ledger.note("backup code %s was created", made.ACSCredentialID)
		return w.learn(ctx, made)
	case seam.KindOf(err) == seam.Lost:
		w.code.Lost(w.belief.lostUntil(started, w.now()))
	case !madeNothing(err):
		w.code.Lost(w.now())
	default:
		w.code.Unmark()
	}
	return w.failed(ctx, err)
}

// findLost looks for what a create without an answer has made. If it made nothing, another one is created. If none is
// to be created, it is looked for as long as it may show up.
func (w *codeWork) findLost(ctx context.Context) (more bool, out outcome) {
	found, err := w.list(ctx, "whether a create without an answer made a backup code")
	if err != nil {
		return w.failed(ctx, err)
	}
	if len(found) > 0 {
		return w.take(ctx, found)
	}
	if until := w.belief.countsFrom(*w.code.LostAt); w.belief.tooEarly(until) {
		return false, w.due(ctx, until)
	}
	if w.isToBeMade() {
		return w.create(ctx)
	}
	if at := codeLookUpAt(w.code); at != nil && w.belief.tooEarly(*at) {
		return false, w.due(ctx, *at)
	}
	w.code.Looked(int16(len(codeLookups))) // #nosec G115 -- a handful
	if at := codeLookUpAt(w.code); at != nil {
		return false, w.due(ctx, *at)
	}
	w.code.Due(nil)
	return true, w.save(ctx)
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
	c.BelongsTo(stay.Text(w.user.CredentialID))
	addSurplus(c, found, ours)
	w.ledger.note("backup code %s was found", first.ACSCredentialID)
	if out := w.save(ctx); out.stops() { // before its digits: only a row that is there reports that they come
		return false, out
	}
	return w.learn(ctx, first)
}

// addSurplus records those of some codes that are ours and not the recorded one.
func addSurplus(c *record.Code, found []seam.Credential, ours func(seam.Credential) bool) {
	for _, f := range found {
		if f.ACSCredentialID != stay.Text(c.CredentialID) && ours(f) {
			c.AddSurplus(f.ACSCredentialID)
		}
	}
}

// Late look-ups of what a lost create may have made, as for other creates.
var codeLookups = []time.Duration{firstLookup, lastLookup}

// codeLookUpAt is when a lost create is looked for once more; nil for never.
func codeLookUpAt(c *record.Code) *time.Time {
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
	addSurplus(c, found, func(f seam.Credential) bool {
		return marked != nil && seam.ParseTime(f.CreatedAt).After(marked.Add(-clocksDiffer))
	})
	c.Looked(int16(len(codeLookups))) // #nosec G115 -- a handful
	return true, w.settle(ctx)
}
