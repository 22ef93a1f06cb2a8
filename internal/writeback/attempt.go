package writeback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file makes one attempt at the field of one booking at its PMS:
//
//	load      the booking's row and stays, under the source's lease
//	render    the text of each stay (TextOf)
//	decide    write, erase, erase what was written with earlier settings, or nothing (decide.go; pure)
//	carryOut  by each route of the preset until one knows the booking:
//	            read     the field, where it is shared with people, where the last call was lost, or to spare a call
//	            wanted   the whole text: staykey's part is spliced into what people wrote
//	            change   mark, call, and compare what the answer (or a read) shows with what was wanted
//	done      records the result; ended and failed record why there is none, and when to try again (record.go)
//
// The mark is committed right before a call that changes the field, with the stays' keys locked: it refuses the call if
// a stay has changed since the decision, and it records that the content is unsure from then on. Only an answer takes
// that back: a success, or a refusal that changed nothing. So a lost call, or a process that dies, leads to another
// read, and never to a field whose content staykey only assumes.
//
// A text that people wrote is never deleted: a field that isn't shared is cleared only while it holds what staykey
// wrote (isPeoples), or might (the row is unsure).

// attempt brings the field of one booking up to date.
type attempt struct {
	*runner
	lease   store.WriteBackLease
	set     *pms.WriteBackSettings // of the field that is written
	rules   pms.FieldRules
	row     store.WriteBackRow // as it was loaded
	refs    []stay.Ref
	seen    string              // what the decision was based on
	api     *pmsapi.Client      // of the account
	stays   map[stay.Ref]bool   // stays that exist, for the timeline
	texts   map[stay.Ref]string // of the stays
	calls   int                 // calls that may have changed something
	refused bool                // the last call changed nothing
	target  target              // where the text is
	write   decision            // what to do
}

// errChanged ends an attempt whose decision is outdated: the booking is due again.
var errChanged = errors.New("the stay changed meanwhile")

// attempt makes one attempt. It returns only errors of the database.
func (r *runner) attempt(ctx context.Context, lease store.WriteBackLease, set *pms.WriteBackSettings,
	row store.WriteBackRow,
) error {
	a := &attempt{
		runner: r, lease: lease, set: set, row: row, target: targetOf(set),
		api: r.Accounts.Of(set.Account, r.First),
	}
	a.rules, _ = set.Preset.Rules(set.Field)
	stays, err := a.load(ctx)
	if err != nil {
		return err
	}
	ready := a.judge(stays)
	if f := a.render(ctx, ready); f != nil {
		return a.ended(ctx, f)
	}

	a.write = decide(set, a.row, ready, a.texts, r.hashOf, r.Now())
	if a.write.kind == eraseOld {
		a.useOldTarget()
	}
	if a.write.kind == nothing {
		return a.settle(ctx)
	}
	if at, known := readTarget(a.row.Target); known && at.same(a.target) {
		a.target.Route = at.Route
	}

	f := a.carryOut(ctx)
	switch {
	case f == nil:
		return a.done(ctx)
	case ctx.Err() != nil:
		return nil // the marked row is compared again
	default:
		return a.ended(ctx, f)
	}
}

// ended records why an attempt could not be completed. Failures of the database are for the caller.
func (a *attempt) ended(ctx context.Context, f *failure) error {
	if paused := new(pmsapi.PausedError); errors.As(f.err, &paused) {
		a.pause(paused.Wait)
		return nil // no call was made: it stays due
	}
	switch {
	case errors.Is(f.err, errChanged):
		return a.again(ctx)
	case errors.Is(f.err, store.ErrLeaseLost), f.database:
		return f.err
	default:
		return a.failed(ctx, *f)
	}
}

// load reads the booking's row and its stays.
func (a *attempt) load(ctx context.Context) (stays map[stay.Ref]store.GuestState, err error) {
	if a.refs, err = a.store.Reservations.OfBooking(ctx, a.name, a.row.BookingID); err != nil {
		return nil, err
	}
	err = a.store.WriteBacks.With(ctx, a.lease, a.row.BookingID, a.refs, func(_ pgx.Tx, s store.WriteBackState) error {
		a.row, stays = s.Row, s.Stays
		return nil
	})
	a.seen, a.stays = stateOf(stays), map[stay.Ref]bool{}
	for ref := range stays {
		a.stays[ref] = true
	}
	return stays, err
}

// judge judges each stay.
func (a *attempt) judge(stays map[stay.Ref]store.GuestState) map[stay.Ref]readiness {
	ready, policy := map[stay.Ref]readiness{}, a.Sources()[a.name].Policy
	for ref, s := range stays {
		before, after := policy.Grace(stay.Text(s.ListingID))
		ready[ref] = readinessOf(s, s.WantsKey(before, after, a.Now()))
	}
	return ready
}

// render computes the texts of the stays that may belong in the field.
func (a *attempt) render(ctx context.Context, stays map[stay.Ref]readiness) *failure {
	var refs []stay.Ref
	for ref, is := range stays {
		if is != gone {
			refs = append(refs, ref)
		}
	}
	a.texts = map[stay.Ref]string{}
	if len(refs) == 0 || a.set.Clear {
		return nil
	}
	slices.SortFunc(refs, stay.Ref.Compare)
	shown, err := a.Reservations(ctx, refs)
	if err != nil {
		return &failure{err: err, database: true}
	}
	for _, ref := range refs {
		text, err := TextOf(ctx, a.set, shown[ref])
		if err != nil {
			return &failure{reason: ReasonProgram, err: err, cause: pmsapi.Broken}
		}
		a.texts[ref] = text
	}
	return nil
}

// TextOf is the text that a source writes for a reservation, given as in REST; "" for none.
func TextOf(ctx context.Context, set *pms.WriteBackSettings, reservation any) (string, error) {
	if reservation == nil {
		return "", nil
	}
	if set.Text != nil {
		return set.Text.Of(ctx, reservation)
	}
	link, _ := pms.Lookup(reservation, "guest_link.url").(string)
	return link, nil
}

// useOldTarget makes the attempt clear the field that was written before the settings changed.
func (a *attempt) useOldTarget() {
	at, _ := readTarget(a.row.Target)
	old := *a.set
	old.Field, old.With = at.Field, at.With
	a.set, a.target = &old, at
	a.rules, _ = old.Preset.Rules(old.Field)
}

// carryOut makes the calls; nil if the field is up to date.
func (a *attempt) carryOut(ctx context.Context) *failure {
	routes := a.set.Preset.Routes
	if len(routes) == 0 {
		routes = []string{""}
	}
	if i := slices.Index(routes, a.target.Route); i > 0 {
		routes = append([]string{a.target.Route}, slices.Delete(slices.Clone(routes), i, i+1)...)
	}
	var f *failure
	for _, route := range routes {
		a.target.Route = route
		if f = a.byRoute(ctx, route); f == nil || f.reason != ReasonNotFound {
			return f
		}
	}
	if a.write.kind != write {
		return nil // the PMS doesn't know the booking: nothing is left in its field
	}
	return f
}

// byRoute reads the field if necessary, and makes the call that changes it.
func (a *attempt) byRoute(ctx context.Context, route string) *failure {
	step := pms.WriteBackStep{ID: a.row.BookingID, Route: route}
	if a.mustRead() {
		f := a.read(ctx, &step)
		if f != nil && !a.mayIgnore(f) {
			return f
		}
	}

	if step.Found == nil && (a.set.Preset.ReadFirst || a.rules.Shared) {
		return &failure{
			reason: ReasonUnreadable, cause: pmsapi.Failing,
			err: errors.New("the PMS's answer doesn't show the field"),
		}
	}

	wanted, f := a.wanted(step.Found)
	if f != nil {
		return f
	}
	if step.Found != nil && (sameText(foundText(step.Found), wanted) ||
		a.write.kind != write && a.isPeoples(step.Found)) {
		return nil
	}

	call, err := a.plan(ctx, step, wanted)
	if err != nil {
		return &failure{reason: ReasonProgram, cause: pmsapi.Broken, err: err}
	}
	if call == nil {
		return nil // there is nothing to clear
	}
	return a.change(ctx, step, *call, wanted)
}

// mustRead reports whether the field is read before it is changed.
func (a *attempt) mustRead() bool {
	p := a.set.Preset
	return p.ReadFirst || a.rules.Shared || a.row.Unsure || a.write.look || a.write.kind != write
}

// mayIgnore reports whether to change a field that can't be read: the read was then only meant to save a call.
func (a *attempt) mayIgnore(f *failure) bool {
	return !a.set.Preset.ReadFirst && !a.rules.Shared && f.isAboutReading()
}

// wanted is the whole text that the field should hold; "" for none.
func (a *attempt) wanted(found map[string]any) (string, *failure) {
	text := ""
	if a.write.kind == write {
		text = a.write.text
	}
	if a.rules.Shared {
		text = splice(foundText(found), text)
	}
	if n := utf8.RuneCountInString(text); a.rules.Longest > 0 && n > a.rules.Longest {
		return "", &failure{
			reason: ReasonTooLong, cause: pmsapi.Broken,
			err: fmt.Errorf("the text has %d characters, and the field %s holds %d", n, a.set.Field, a.rules.Longest),
		}
	}
	return text, nil
}

// isPeoples reports whether a field to be cleared holds a text that isn't staykey's, because somebody overwrote it.
func (a *attempt) isPeoples(found map[string]any) bool {
	text := foundText(found)
	return !a.rules.Shared && text != "" && !a.row.Unsure && !slices.Equal(a.hashOf(text), a.row.Written) &&
		!slices.Equal(a.hashOf(normal(text)), a.row.Written)
}

// plan is the call that makes the field hold a text, or clears it.
func (a *attempt) plan(ctx context.Context, step pms.WriteBackStep, wanted string) (*pms.PlannedCall, error) {
	if wanted == "" {
		return a.set.Erase(ctx, step)
	}
	step.Text = wanted
	return a.set.Write(ctx, step)
}

// change makes a call that changes the field, and verifies the result.
func (a *attempt) change(ctx context.Context, step pms.WriteBackStep, call pms.PlannedCall, wanted string) *failure {
	var shown map[string]any
	refused := false
	a.refused = false
	f := a.call(ctx, call, a.mark, func(answer pmsapi.Answer) *failure {
		after := step
		after.Call, after.Answer = call.Name, decoded(answer)
		var err error
		if shown, refused, err = a.set.Find(ctx, after); err != nil {
			return &failure{reason: ReasonProgram, cause: pmsapi.Broken, err: err}
		}
		if refused && !a.set.Preset.ReadBack {
			return a.refusal(answer)
		}
		return nil
	})
	if f != nil {
		a.refused = f.status >= 400 && f.status < 500 || f.reason == ReasonRefused
		return f
	}
	a.reach(point.WriteBackCalled)

	if shown == nil && a.set.Preset.ReadBack {
		back := step
		back.Found = nil
		if f := a.read(ctx, &back); f != nil && (refused || !f.isAboutReading()) {
			return f
		}
		shown = back.Found
	}
	return a.judgeShown(shown, refused, wanted)
}

// judgeShown compares the field's content after a change with the desired text. shown is nil if neither the answer nor
// a read shows the field.
func (a *attempt) judgeShown(shown map[string]any, refused bool, wanted string) *failure {
	switch {
	case shown == nil && refused:
		return &failure{
			reason: ReasonRefused, cause: pmsapi.Failing,
			err: errors.New("the PMS refused the change inside a successful answer"),
		}
	case shown != nil && !sameText(foundText(shown), wanted):
		return &failure{
			reason: ReasonNotKept, cause: pmsapi.Failing,
			err: fmt.Errorf("the PMS accepted the change of field %s but shows another value: check that it exists, and its length", a.set.Field),
		}
	}
	return nil
}

func foundText(found map[string]any) string {
	text, _ := found["text"].(string)
	return text
}

// normal removes the differences that PMSs make on their own: line breaks and surrounding space.
func normal(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
}

func sameText(a, b string) bool { return normal(a) == normal(b) }

// soon is when to compare again at once.
func soon(now time.Time) *time.Time { return &now }
