package intake

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// GateAction is what a program or a person reports about a gate of a reservation.
type GateAction struct {
	Name     string      // of the gate, as the configuration names it
	State    string      // one of [stay.GateStates]; "" for a person who withdraws the decision
	Evidence string      // "" for none
	By       string      // who, for the timeline
	Person   bool        // a person decided: that counts until a person withdraws it
	Audit    store.Audit // by which token and through which interface; the rest is filled in
}

// ErrNoGate means that a source has no gate with that name.
var ErrNoGate = errors.New("the source has no such gate")

func (c GateAction) check() error {
	if err := CheckLength("evidence", c.Evidence); err != nil {
		return err
	}
	if c.State == "" && !c.Person {
		return InputError{"author", "is required to take a decision back: only a person can"}
	}
	return nil
}

// SetGate records what a program or a person reports about a gate and returns the resulting gate. It returns an
// [InputError] if the action itself is invalid, [ErrNoGate] if the source has no such gate, and [store.ErrNotFound]
// if there is no such reservation. It can be repeated: the same report changes only its time.
func (a *Applier) SetGate(ctx context.Context, ref stay.Ref, action GateAction) (stay.Gate, error) {
	if err := action.check(); err != nil {
		return stay.Gate{}, err
	}

	rules := a.source(ref.Source).Policy.Gates
	at := -1
	for i, rule := range rules {
		if rule.Name == action.Name {
			at = i
		}
	}
	if at < 0 {
		return stay.Gate{}, ErrNoGate
	}

	var gate stay.Gate
	err := a.store.InTx(ctx, func(tx pgx.Tx) error {
		now := a.now().UTC()
		r, err := lockReported(ctx, tx, ref)
		if err != nil {
			return err
		}

		rows, err := store.LockedGates(ctx, tx, []stay.Ref{ref})
		if err != nil {
			return err
		}

		reports := rows[ref].With(r.Gates)
		before := stay.Gates(rules, reports)
		reports[action.Name] = action.on(reports[action.Name], now)
		after := stay.Gates(rules, reports)
		gate = after[at]
		return action.save(ctx, tx, r, gatesSet{before, after, gate}, now)
	})
	if err != nil {
		return stay.Gate{}, err
	}

	a.applied()
	return gate, nil
}

// on returns what was reported about the gate, including the action.
func (c GateAction) on(w stay.GateReports, now time.Time) stay.GateReports {
	report := &stay.GateReport{
		State: c.State, By: c.By, At: now, Evidence: c.Evidence, Opened: c.State == stay.GateOpen,
	}
	before := &w.Program
	if c.Person {
		before = &w.Person
	}
	report.Opened = report.Opened || *before != nil && (*before).Opened
	*before = report
	return w
}

// gatesSet are a reservation's gates before and after an action, and the one that was set.
type gatesSet struct {
	before, after []stay.Gate
	gate          stay.Gate
}

func (c GateAction) save(ctx context.Context, tx pgx.Tx, r store.Reservation, set gatesSet, now time.Time) error {
	ref := r.Ref()
	var writes pgx.Batch
	store.SaveGateReport(&writes, ref, c.Name, c.Person, stay.GateReport{
		State: c.State, By: c.By, At: now,
		Evidence: c.Evidence,
	})
	if gatesDiffer(set.before, set.after) && r.Status == pms.Confirmed {
		store.RequestKeys(&writes, []store.KeyRequest{keepingStatus(keyRequest(r, now, true, false))}, now)
	}
	entry := store.Entry{
		Ref: ref, At: now, Kind: stay.TimelineAction, Summary: c.summary(set.gate),
		Detail: map[string]any{"action": "set_gate", "gate": c.Name, "state": set.gate.State, "by": c.By},
	}
	if err := store.QueueTimeline(&writes, []store.Entry{entry}); err != nil {
		return err
	}
	audit := c.Audit.About(ref.Source, ref.ReservationID, "")
	audit.At, audit.Action, audit.Author = now, "set_gate", c.By
	audit.Before, audit.After = gatesForAudit(set.before, c.Name), gatesForAudit(set.after, c.Name)
	if err := store.QueueAudit(&writes, audit); err != nil {
		return err
	}
	return tx.SendBatch(ctx, &writes).Close()
}

func (c GateAction) summary(gate stay.Gate) string {
	verb := map[string]string{
		stay.GateOpen: "opened gate ", stay.GateClosed: "closed gate ",
		stay.GateUnknown: "set to unknown gate ",
	}[c.State]
	switch {
	case c.State == "":
		return c.By + " took back the decision on gate " + c.Name + ": it is " + gate.State
	case !c.Person && gate.Decided:
		return c.By + " " + verb + c.Name + ", which has no effect: " + gate.By + " decided that it is " + gate.State
	}
	return c.By + " " + verb + c.Name
}

func gatesForAudit(gates []stay.Gate, name string) map[string]any {
	for _, g := range gates {
		if g.Name == name {
			return map[string]any{"gate": name, "state": g.State, "decided": g.Decided}
		}
	}
	return nil
}

// gatesDiffer reports whether a key depends on the difference between two states of the same gates.
func gatesDiffer(a, b []stay.Gate) bool {
	for i := range a {
		if a[i].Closed() != b[i].Closed() || a[i].Opened != b[i].Opened {
			return true
		}
	}
	return false
}

// keepingStatus is a request because of gates alone. The key keeps its status until a worker has looked: what was
// read back from Seam is still true, and most gates change nothing at Seam.
func keepingStatus(w store.KeyRequest) store.KeyRequest {
	w.Interim = ""
	return w
}

// gatesChanged returns which of the batch's known reservations have gates that changed in a way that affects a key. New
// ones need a key whatever their gates are, and nobody has set a gate of theirs.
func (s saving) gatesChanged(ctx context.Context, tx pgx.Tx) (map[stay.Ref]bool, error) {
	var refs []stay.Ref
	for ref, before := range s.stays.before {
		if before.VersionSeq > 0 && len(s.policies.of(ref.Source).Gates) > 0 &&
			!bytes.Equal(before.Gates, s.reservations[ref].Gates) {
			refs = append(refs, ref)
		}
	}
	rows, err := store.LockedGates(ctx, tx, refs)
	if err != nil {
		return nil, err
	}
	changed := map[stay.Ref]bool{}
	for _, ref := range refs {
		rules := s.policies.of(ref.Source).Gates
		before, after := rows[ref].With(s.stays.before[ref].Gates), rows[ref].With(s.reservations[ref].Gates)
		changed[ref] = gatesDiffer(stay.Gates(rules, before), stay.Gates(rules, after))
	}
	return changed, nil
}
