package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// WriteBacks are what is written into PMSs, by booking: the last state that each has, and when to try again. One
// replica at a time writes to a source, under its lease.
type WriteBacks struct{ *db }

// Statuses of a write-back.
const (
	WriteBackPending = stay.WriteBackPending
	WriteBackWritten = stay.WriteBackWritten
	WriteBackFailed  = stay.WriteBackFailed
	WriteBackCleared = stay.WriteBackCleared
)

// WriteBackRow is the record of the field of one booking at its PMS.
type WriteBackRow struct {
	Source       string          // with BookingID: the booking
	BookingID    string          // the PMS's id; of a reservation without a booking, the reservation's
	Status       string          // one of the WriteBack constants
	Reason       *string         // why it has that status; nil for none
	LastError    *string         // of the last call that failed; nil for none
	ChangedAt    time.Time       // when the status last changed
	Written      []byte          // keyed hash of the text that the field holds; nil: it holds none of ours
	Parts        []string        // the reservations that the text was written for
	Target       json.RawMessage // which field of which document holds it, as the preset found it; nil: not known yet
	Unsure       bool            // a call left whose result is not recorded
	LostAt       *time.Time      // the end of a call without an answer; nil: none is open
	Looks        int32           // how often the field was read since
	Tries        int32           // failed ones in a row
	FailingSince *time.Time      // the first of them; nil: the last try succeeded
	Changes      int64           // counts changes of what the field should hold
}

const writeBackColumns = `source, booking_id, status, reason, last_error, changed_at, written, parts, target, unsure,
	lost_at, looks, tries, failing_since, changes`

// OfBooking returns the reservations of one booking, in the order of their ids.
func (s Reservations) OfBooking(ctx context.Context, source, bookingID string) ([]Ref, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT source, reservation_id FROM reservations r WHERE r.source = $1 AND r.booking_id = $2
		UNION SELECT source, reservation_id FROM reservations r WHERE r.source = $1 AND r.reservation_id = $2
			AND r.booking_id IS NULL`, source, bookingID)
	refs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
	slices.SortFunc(refs, Ref.Compare)
	return refs, wrap(err, "find the reservations of booking %s/%s", source, bookingID)
}

// WriteBackState is a booking's field and the stays that decide what it holds.
type WriteBackState struct {
	Row   WriteBackRow       // of the booking
	Stays map[Ref]GuestState // those that exist
}

// With runs fn in a transaction that keeps the lease, the stays' keys and the booking's row from changing.
// [ErrLeaseLost] if another replica writes for the source, [ErrNotFound] if the booking has no row.
func (s WriteBacks) With(ctx context.Context, l WriteBackLease, bookingID string, stays []Ref,
	fn func(tx pgx.Tx, state WriteBackState) error,
) error {
	err := s.inTxOn(ctx, s.pool, func(tx pgx.Tx) error {
		state := WriteBackState{Stays: map[Ref]GuestState{}}
		for _, ref := range stays {
			locked, err := LockedGuestState(ctx, tx, ref)
			switch {
			case err == nil:
				state.Stays[ref] = locked
			case !errors.Is(err, ErrNotFound):
				return err
			}
		}

		if err := holdWriteBackLease(ctx, tx, l); err != nil {
			return err
		}

		rows, _ := tx.Query(ctx, `SELECT `+writeBackColumns+` FROM write_backs WHERE source = $1
			AND booking_id = $2 FOR UPDATE`, l.Source, bookingID)
		var err error
		if state.Row, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[WriteBackRow]); err != nil {
			return err
		}
		return fn(tx, state)
	})
	return wrap(err, "write-back of %s/%s", l.Source, bookingID)
}

// SaveWriteBack writes a row that [WriteBacks.With] has locked. due is when to compare again, nil for when
// something changes: a change since seen, the row's number of changes when the attempt began, has it compared again
// at once.
func SaveWriteBack(b *pgx.Batch, r WriteBackRow, due *time.Time, seen int64) {
	b.Queue(`
		UPDATE write_backs SET status = @status, reason = @reason, last_error = @last_error, changed_at = @changed_at,
			written = @written, parts = @parts,
			target = @target, unsure = @unsure, lost_at = @lost_at, looks = @looks, tries = @tries,
				failing_since = @failing_since,
			due_at = CASE WHEN changes = @seen THEN @due::timestamptz ELSE 'epoch' END
		WHERE source = @source AND booking_id = @booking_id`, pgx.StrictNamedArgs{
		"source": r.Source, "booking_id": r.BookingID, "status": r.Status, "reason": r.Reason,
		"last_error": r.LastError, "changed_at": r.ChangedAt,
		"written": r.Written, "parts": append([]string{}, r.Parts...), "target": jsonText(r.Target), "unsure": r.Unsure,
		"lost_at": r.LostAt, "looks": r.Looks,
		"tries": r.Tries, "failing_since": r.FailingSince, "due": due, "seen": seen,
	})
}

// ForgetWriteBack removes a row that [WriteBacks.With] has locked, unless something changed since seen.
func ForgetWriteBack(b *pgx.Batch, r WriteBackRow, seen int64) {
	b.Queue(`DELETE FROM write_backs WHERE source = $1 AND booking_id = $2
		AND changes = $3`, r.Source, r.BookingID, seen)
}

// Repeat has a booking's field compared, and written or cleared if it differs, whatever is known of it. It
// does nothing for a booking without a row.
func (s WriteBacks) Repeat(ctx context.Context, source, bookingID string) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			UPDATE write_backs SET due_at = 'epoch', unsure = true, rank = 0, changes = changes + 1, tries = 0,
				failing_since = NULL
			WHERE source = $1 AND booking_id = $2`, source, bookingID)
		return err
	})
	return wrap(err, "repeat the write-back of %s/%s", source, bookingID)
}

// BookingOf returns the id by which the PMS knows what a field is written to: the booking's, or the reservation's if
// it has no booking of its own.
func BookingOf(r Reservation) string {
	if r.BookingID != nil {
		return *r.BookingID
	}
	return r.ReservationID
}

// writeBacksOf returns the rows of the bookings of reservations, by their reservations.
func (s Reservations) writeBacksOf(ctx context.Context, views []View) (map[Ref]WriteBackRow, error) {
	sources, bookings := make([]string, len(views)), make([]string, len(views))
	for i, v := range views {
		sources[i], bookings[i] = v.Reservation.Source, BookingOf(v.Reservation)
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT `+prefixed("w", writeBackColumns)+
		` FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS n (source, booking_id)) n
		JOIN write_backs w USING (source, booking_id)`, sources, bookings)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[WriteBackRow])
	if err != nil {
		return nil, wrap(err, "read the write-back of %d reservations", len(views))
	}
	byBooking := map[Ref]WriteBackRow{}
	for _, r := range list {
		byBooking[Ref{Source: r.Source, ReservationID: r.BookingID}] = r
	}
	found := map[Ref]WriteBackRow{}
	for i, v := range views {
		if row, has := byBooking[Ref{Source: sources[i], ReservationID: bookings[i]}]; has {
			found[v.Reservation.Ref()] = row
		}
	}
	return found, nil
}

// WriteBackTrouble is the state of a source's write-back.
type WriteBackTrouble struct {
	Source       string     // the source's name
	Waiting      int        // bookings whose field waits to be written or cleared, at most 10,000 are counted
	Failed       int        // those of them that failed, likewise
	FailingSince *time.Time // the oldest failure that lasts
	LastError    *string    // of it
}

// Troubles returns the state of each source's write-back.
func (s WriteBacks) Troubles(ctx context.Context) ([]WriteBackTrouble, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT s.source,
			(SELECT count(*) FROM (SELECT FROM write_backs w WHERE w.source = s.source
				AND w.status IN ('pending', 'failed') LIMIT 10000) w) AS waiting,
			(SELECT count(*) FROM (SELECT FROM write_backs w WHERE w.source = s.source AND w.status = 'failed'
				LIMIT 10000) w) AS failed,
			f.failing_since, f.last_error
		FROM write_back_sources s LEFT JOIN LATERAL (
			SELECT failing_since, last_error FROM write_backs w WHERE w.source = s.source AND w.status = 'failed'
				ORDER BY failing_since LIMIT 1) f ON true
		ORDER BY s.source`)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[WriteBackTrouble])
	return list, wrap(err, "read the state of write-back")
}
