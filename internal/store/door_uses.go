package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// What Seam reported about guests at doors: the first opening of each stay, and the last refusal. They belong to the
// guest: a stay that gets another one has not used a door.

// DoorEvent is an opening, or a refusal, of a door to an ACS user.
type DoorEvent struct {
	ACSUserID string    // Seam's id
	At        time.Time // when it happened, by Seam's clock
	Entrance  string    // its id at Seam; "" for unknown
	Denied    bool      // the door stayed closed
	Reason    string    // of a refusal, in Seam's words; "" for unknown
	Method    string    // of an opening; "" for unknown
}

// DoorUse is the record of a stay's guest at doors.
type DoorUse struct {
	GuestKey          string     // whose, as in [ACSUser]
	FirstUsedAt       *time.Time // the first opening; nil: none reported
	FirstUsedEntrance *string    // Seam's id of the entrance; nil: unknown
	DeniedAt          *time.Time // the last refusal, those within ten minutes of it left out; nil: none reported
	DeniedReason      *string    // in Seam's words; nil: unknown
	DeniedEntrance    *string    // like FirstUsedEntrance
}

const doorUseColumns = `guest_key, first_used_at, first_used_entrance, denied_at, denied_reason, denied_entrance`

// deniedEvery is how far apart refusals are that count: a guest tries several times.
const deniedEvery = 10 * time.Minute

// NoteEvent records an event for the stay of its ACS user, and returns how many stays it was news for: none for an
// unknown ACS user, for that of an earlier guest, and for an opening that isn't the first.
func (s Doors) NoteEvent(ctx context.Context, e DoorEvent, now time.Time) (news int, err error) {
	opened, summary := noteOpening, "The guest opened a door for the first time"
	detail := map[string]any{"acs_user_id": e.ACSUserID, "acs_entrance_id": e.Entrance, "method": e.Method}
	if e.Denied {
		opened, summary = noteRefusal, "A door was refused to the guest"
		detail = map[string]any{"acs_user_id": e.ACSUserID, "acs_entrance_id": e.Entrance, "reason": e.Reason}
	}

	err = s.inTx(ctx, func(tx pgx.Tx) error {
		args := pgx.StrictNamedArgs{"acs_user_id": e.ACSUserID, "at": e.At, "entrance": e.Entrance}
		if e.Denied {
			args["reason"], args["before"] = e.Reason, e.At.Add(-deniedEvery)
		}
		rows, _ := tx.Query(ctx, opened, args)
		refs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
		if news = len(refs); err != nil || news == 0 {
			return err
		}

		var b pgx.Batch
		entries := make([]Entry, len(refs))
		for i, ref := range refs {
			entries[i] = Entry{Ref: ref, At: now, Kind: TimelineStep, Summary: summary, Detail: detail}
		}
		if err := QueueTimeline(&b, entries); err != nil {
			return err
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	return news, wrap(err, "record an event at a door")
}

// doorUser finds the stay whose guest an ACS user is now.
const doorUser = `
	WITH whose AS (
		SELECT u.source, u.reservation_id, u.guest_key FROM acs_users u WHERE u.acs_user_id = @acs_user_id
			AND u.guest_key = (SELECT guest_key FROM acs_users latest WHERE latest.source = u.source
				AND latest.reservation_id = u.reservation_id ORDER BY id DESC LIMIT 1) LIMIT 1)`

const noteOpening = doorUser + `
	INSERT INTO door_uses AS d (source, reservation_id, guest_key, first_used_at, first_used_entrance)
	SELECT source, reservation_id, guest_key, @at, nullif(@entrance, '') FROM whose
	ON CONFLICT (source, reservation_id) DO UPDATE SET guest_key = excluded.guest_key,
		first_used_at = excluded.first_used_at, first_used_entrance = excluded.first_used_entrance,
		denied_at = CASE WHEN d.guest_key = excluded.guest_key THEN d.denied_at END,
		denied_reason = CASE WHEN d.guest_key = excluded.guest_key THEN d.denied_reason END,
		denied_entrance = CASE WHEN d.guest_key = excluded.guest_key THEN d.denied_entrance END
		WHERE d.guest_key <> excluded.guest_key OR d.first_used_at IS NULL OR d.first_used_at > excluded.first_used_at
	RETURNING source, reservation_id`

const noteRefusal = doorUser + `
	INSERT INTO door_uses AS d (source, reservation_id, guest_key, denied_at, denied_reason, denied_entrance)
	SELECT source, reservation_id, guest_key, @at, nullif(@reason, ''), nullif(@entrance, '') FROM whose
	ON CONFLICT (source, reservation_id) DO UPDATE SET guest_key = excluded.guest_key,
		denied_at = excluded.denied_at, denied_reason = excluded.denied_reason,
		denied_entrance = excluded.denied_entrance,
		first_used_at = CASE WHEN d.guest_key = excluded.guest_key THEN d.first_used_at END,
		first_used_entrance = CASE WHEN d.guest_key = excluded.guest_key THEN d.first_used_entrance END
		WHERE d.guest_key <> excluded.guest_key OR d.denied_at IS NULL OR d.denied_at < @before
	RETURNING source, reservation_id`

// addDoorUses fills in the door uses of reservations' guests.
func (s Reservations) addDoorUses(ctx context.Context, views []View, refs []Ref) error {
	sources, ids := splitRefs(refs)
	rows, _ := s.pool.Query(ctx, `
		SELECT source, reservation_id, `+doorUseColumns+` FROM door_uses
		WHERE (source, reservation_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))`, sources, ids)
	found := map[Ref]DoorUse{}
	var ref Ref
	var u DoorUse
	_, err := pgx.ForEachRow(rows, []any{
		&ref.Source, &ref.ReservationID, &u.GuestKey, &u.FirstUsedAt, &u.FirstUsedEntrance, &u.DeniedAt,
		&u.DeniedReason, &u.DeniedEntrance,
	}, func() error {
		found[ref] = u
		return nil
	})
	for i, ref := range refs {
		if use, has := found[ref]; has && (views[i].User == nil || views[i].User.GuestKey == use.GuestKey) {
			views[i].DoorUse = &use
		}
	}
	return wrap(err, "read what is known of %d guests at doors", len(refs))
}

// forgetDoorUses erases when guests were at doors.
const forgetDoorUses = `DELETE FROM door_uses t WHERE `
