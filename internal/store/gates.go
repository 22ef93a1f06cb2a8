package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// The states of the gates of stays. What the PMS sent last is in the reservation's row, because intake writes that
// anyway; those of programs and people are rows of gate_reports. Which of them counts is decided in one place,
// [stay.Gates].

// Gates are what a key or a guest's link waits for. Reports about them are written in a caller's transaction:
// [SaveGateReport].
type Gates struct{ *db }

// GateByPMS is the author of what PMSs report about gates.
const GateByPMS = "pms"

// pmsGate is what a PMS sent for a gate, as stored.
type pmsGate struct {
	State  string    `json:"state"`
	At     time.Time `json:"at"`
	Opened bool      `json:"opened,omitempty"`
}

// MergeGateReports adds what a PMS reports about gates, by name, to what it reported before. at is when that was
// received.
func MergeGateReports(before []byte, says map[string]string, at time.Time) []byte {
	if len(says) == 0 {
		return before
	}
	reported := readPMSGates(before)
	for name, state := range says {
		reported[name] = pmsGate{State: state, At: at.UTC(), Opened: reported[name].Opened || state == stay.GateOpen}
	}
	encoded, _ := json.Marshal(reported) // texts, times and flags: it can't fail
	return encoded
}

func readPMSGates(encoded []byte) map[string]pmsGate {
	reported := map[string]pmsGate{}
	_ = json.Unmarshal(encoded, &reported) // written here: null is nothing
	return reported
}

// gateRow is a row of gate_reports.
type gateRow struct {
	Source        string
	ReservationID string
	Name          string
	Person        bool
	State         *string
	By            string
	At            time.Time
	Evidence      *string
	Opened        bool
}

const gateRowColumns = `source, reservation_id, name, person, state, by, at, evidence, opened`

const gateReportsOfOne = `SELECT ` + gateRowColumns + ` FROM gate_reports WHERE source = $1 AND reservation_id = $2`

// mergedGateReports joins what a PMS reported about a stay's gates with what programs and people set.
func mergedGateReports(reported []byte, rows []gateRow) map[string]stay.GateReports {
	reports := map[string]stay.GateReports{}
	for name, s := range readPMSGates(reported) {
		reports[name] = stay.GateReports{
			PMS: &stay.GateReport{State: s.State, By: GateByPMS, At: s.At, Opened: s.Opened},
		}
	}
	for _, row := range rows {
		merged := reports[row.Name]
		report := &stay.GateReport{
			State: stay.Text(row.State), By: row.By, At: row.At, Evidence: stay.Text(row.Evidence),
			Opened: row.Opened,
		}
		if row.Person {
			merged.Person = report
		} else {
			merged.Program = report
		}
		reports[row.Name] = merged
	}
	return reports
}

func gateReportsOf(ctx context.Context, q querier, refs []Ref) (map[Ref][]gateRow, error) {
	found := map[Ref][]gateRow{}
	if len(refs) == 0 {
		return found, nil
	}
	sources, ids := splitRefs(refs)
	rows, _ := q.Query(ctx, gateReportsOfStays, sources, ids)
	return found, wrap(collectGateReports(rows, found), "read the gates of %d reservations", len(refs))
}

const gateReportsOfStays = `
	SELECT ` + gateRowColumns + ` FROM gate_reports
	WHERE (source, reservation_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))`

func collectGateReports(rows pgx.Rows, found map[Ref][]gateRow) error {
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[gateRow])
	for _, row := range list {
		ref := Ref{Source: row.Source, ReservationID: row.ReservationID}
		found[ref] = append(found[ref], row)
	}
	return err
}

// GateRows are what programs and people set for the gates of one stay.
type GateRows []gateRow

// With joins them with what a PMS sent, as [Reservation.Gates] has it.
func (r GateRows) With(reported []byte) map[string]stay.GateReports {
	return mergedGateReports(reported, r)
}

// LockedGates returns what programs and people set for the gates of reservations that are locked.
func LockedGates(ctx context.Context, tx pgx.Tx, refs []Ref) (map[Ref]GateRows, error) {
	list, err := gateReportsOf(ctx, tx, refs)
	found := make(map[Ref]GateRows, len(list))
	for ref, rows := range list {
		found[ref] = rows
	}
	return found, err
}

// SaveGateReport records what a program or a person reports about a gate of a locked reservation. An empty state means
// that a person withdraws the decision.
func SaveGateReport(batch *pgx.Batch, ref Ref, name string, person bool, w stay.GateReport) {
	batch.Queue(`
		INSERT INTO gate_reports AS g (`+gateRowColumns+`)
		VALUES (@source, @reservation_id, @name, @person, nullif(@state::text, ''), @by, @at,
			nullif(@evidence::text, ''), @state::text = 'open')
		ON CONFLICT (source, reservation_id, name, person) DO UPDATE SET
			state = excluded.state, by = excluded.by, at = excluded.at, evidence = excluded.evidence, opened = g.opened
				OR excluded.opened`,
		pgx.StrictNamedArgs{
			"source": ref.Source, "reservation_id": ref.ReservationID, "name": name, "person": person, "state": w.State,
			"by": w.By, "at": w.At, "evidence": w.Evidence,
		})
}

// forgetEvidence removes what may name a guest from the records of the gates of the stays t. The states stay: a
// person's decision holds as long as the reservation exists, and the PMS may move that into the future at any time.
const forgetEvidence = `UPDATE gate_reports t SET evidence = NULL WHERE t.evidence IS NOT NULL AND `

// keptByGates is the condition under which retention keeps the row of a reservation r: a person has decided that a
// gate is not open.
const keptByGates = `EXISTS (SELECT FROM gate_reports g WHERE g.source = r.source
	AND g.reservation_id = r.reservation_id
	AND g.person AND g.state <> 'open')`

// deadlinesBack is how far back deadlines are looked at after a time without looking: what is older is over, or
// somebody knows.
const deadlinesBack = 31 * 24 * time.Hour

// deadlinesStep is how much of the missed time is looked at in one transaction.
const deadlinesStep = 24 * time.Hour

// clockAhead is how far the time that was looked to may be ahead of a clock before the clock that wrote it counts
// as wrong.
const clockAhead = time.Minute

// PassDeadlines makes subscribers look at the stays of sources whose check-in came nearer than one of the given
// times since it was last looked, and reports whether there is more to look at. How far it has looked is committed
// with that, so that no deadline is missed, whatever is killed when; one that is looked at twice is reported once.
// Keys that somebody keeps locked are passed over and looked at again next time; the error is one of [IsLockWait]
// then.
func (s Gates) PassDeadlines(ctx context.Context, sources []string, before []time.Duration,
	now time.Time,
) (more bool, err error) {
	err = s.passingLocked(ctx, func(tx pgx.Tx, skip string) error {
		more = false
		var looked *time.Time
		err := tx.QueryRow(ctx, `SELECT looked_to FROM gate_deadlines FOR UPDATE SKIP LOCKED`).Scan(&looked)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // another replica is looking
		}
		if err != nil {
			return err
		}
		from, to := now.Add(-deadlinesBack), now
		switch {
		case looked == nil || looked.After(now.Add(clockAhead)):
			from = now
		case !looked.Before(now):
			return nil
		case looked.After(from):
			from = *looked
		}
		if end := from.Add(deadlinesStep); end.Before(to) {
			to, more = end, true
		}
		for _, d := range before {
			if _, err := tx.Exec(ctx, `
				UPDATE mobile_keys SET sequence = sequence + 1 WHERE (source, reservation_id) IN (
					SELECT source, reservation_id FROM mobile_keys
					WHERE NOT cancelled AND (check_in AT TIME ZONE 'UTC') > ($2::timestamptz AT TIME ZONE 'UTC')
						AND (check_in AT TIME ZONE 'UTC') <= ($3::timestamptz AT TIME ZONE 'UTC') AND source = ANY ($1)
						AND status NOT IN ('revoked', 'expired')
					ORDER BY source COLLATE "C", reservation_id COLLATE "C"
						FOR NO KEY UPDATE `+skip+`)`, sources, from.Add(d), to.Add(d)); err != nil {
				return err
			}
		}
		if skip != "" { // what is locked must be looked at again, and so is everything else
			more = false
			return nil
		}
		_, err = tx.Exec(ctx, `UPDATE gate_deadlines SET looked_to = $1`, to)
		return err
	})
	return more, wrap(err, "look for deadlines of gates")
}

// gatesLooked bounds how many reservations are looked at for gates that were set.
const gatesLooked = 2000

// NamesSet returns the names of gates that were set for any of a source's reservations, as far as a sample of them
// shows, and whether the source has reservations.
func (s Gates) NamesSet(ctx context.Context, source string) (names []string, stays bool, err error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT jsonb_object_keys(gates) FROM (SELECT gates FROM reservations WHERE source = $1
			ORDER BY reservation_id DESC LIMIT $2) r WHERE gates IS NOT NULL
		UNION SELECT name FROM (SELECT name FROM gate_reports WHERE source = $1 LIMIT $2) w`, source, gatesLooked)
	if names, err = pgx.CollectRows(rows, pgx.RowTo[string]); err == nil {
		err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM reservations WHERE source = $1)`, source).Scan(&stays)
	}
	return names, stays, wrap(err, "look for gates of source %s that were set", source)
}
