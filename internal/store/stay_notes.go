package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// StayNotes are what admins wrote about stays for each other.
type StayNotes struct{ *db }

// StayNote is what somebody of the staff wrote about a stay. It may be about the guest: it is erased with the guest's
// data, and never in a log, the timeline or the audit log.
type StayNote struct {
	NoteID int64     // rises with time
	At     time.Time // when it was written
	Author string    // who wrote it, as timelines show it
	Body   string    // one paragraph
}

// Of returns the notes on some stays, each stay's oldest first.
func (s StayNotes) Of(ctx context.Context, refs []Ref) (map[Ref][]StayNote, error) {
	notes := map[Ref][]StayNote{}
	if len(refs) == 0 {
		return notes, nil
	}
	sources, ids := splitRefs(refs)
	rows, _ := s.pool.Query(ctx, `SELECT source, reservation_id, note_id, at, author, body FROM stay_notes
		WHERE (source, reservation_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
			ORDER BY note_id`, sources, ids)
	var ref Ref
	var n StayNote
	_, err := pgx.ForEachRow(rows, []any{&ref.Source, &ref.ReservationID, &n.NoteID, &n.At, &n.Author, &n.Body},
		func() error {
			notes[ref] = append(notes[ref], n)
			return nil
		})
	return notes, wrap(err, "read the notes on %d stays", len(refs))
}

// ErrManyNotes means that a stay has as many notes as it may have.
var ErrManyNotes = errors.New("the stay has too many notes")

// Add adds a note, with its entries in the timeline and the audit log; the latter has the note's id. It returns
// [ErrNotFound] if there is no such stay, or the guest's data has been removed, and [ErrManyNotes] if there are most
// notes already; several that are added at once may exceed that.
func (s StayNotes) Add(ctx context.Context, ref Ref, n StayNote, most int, audit Audit) (StayNote, error) {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var notes int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM stay_notes WHERE source = $1 AND reservation_id = $2`,
			ref.Source, ref.ReservationID).Scan(&notes); err != nil {
			return err
		}
		if notes >= most {
			return ErrManyNotes
		}
		// The lock makes it wait for an erasure under way, and the other way round: no note outlives the guest's data.
		err := tx.QueryRow(ctx, `INSERT INTO stay_notes (source, reservation_id, guest_email, at, author, body)
			SELECT source, reservation_id, guest_email, @at, @author, @body FROM reservations
			WHERE source = @source AND reservation_id = @id AND pruned = 0 AND version_seq > 0 FOR SHARE
				RETURNING note_id`,
			pgx.StrictNamedArgs{
				"source": ref.Source, "id": ref.ReservationID, "at": n.At, "author": n.Author, "body": n.Body,
			}).Scan(&n.NoteID)
		if err != nil {
			return err
		}
		audit.After = map[string]any{"note_id": n.NoteID}
		return noteChange(ctx, tx, ref, n.At, audit, " added a note")
	})
	return n, wrap(err, "add a note to %s/%s", ref.Source, ref.ReservationID)
}

// Delete deletes a note; [ErrNotFound] if the stay has none of that id.
func (s StayNotes) Delete(ctx context.Context, ref Ref, id int64, audit Audit) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM stay_notes WHERE source = $1 AND reservation_id = $2 AND note_id = $3`,
			ref.Source, ref.ReservationID, id)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return noteChange(ctx, tx, ref, audit.At, audit, " deleted a note")
	})
	return wrap(err, "delete a note of %s/%s", ref.Source, ref.ReservationID)
}

// noteChange records that a note was added or deleted, without its text.
func noteChange(ctx context.Context, tx pgx.Tx, ref Ref, at time.Time, audit Audit, what string) error {
	var b pgx.Batch
	if err := QueueTimeline(&b, []Entry{{
		Ref: ref, At: at, Kind: TimelineAction, Summary: audit.Author + what,
		Detail: map[string]any{"action": audit.Action, "by": audit.Author},
	}}); err != nil {
		return err
	}
	if err := QueueAudit(&b, audit.About(ref.Source, ref.ReservationID, "")); err != nil {
		return err
	}
	return tx.SendBatch(ctx, &b).Close()
}

// forgetNotes removes the notes on the stays t.
const forgetNotes = `DELETE FROM stay_notes t WHERE `

// forgetNotesOf removes the notes that were written while a stay had a guest whom it no longer has.
const forgetNotesOf = `DELETE FROM stay_notes n USING reservations r WHERE lower(n.guest_email) = lower($1)
	AND r.source = n.source AND r.reservation_id = n.reservation_id
	AND lower(r.guest_email) IS DISTINCT FROM lower($1)`
