package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// Overrides are an admin's decisions about a reservation, which take precedence over the PMS. The zero value means
// none.
type Overrides struct {
	HeldAt     *time.Time // nothing at Seam is changed while it is set
	HeldBy     *string    // who; nil if HeldAt is
	HeldWhy    *string    // the reason given; nil if HeldAt is
	RevokedAt  *time.Time // no key, whatever the PMS reports, until it is issued again
	RevokedBy  *string    // who; nil if RevokedAt is
	RevokedWhy *string    // the reason given; nil if RevokedAt is
	WindowAt   *time.Time // when other access times were set; nil: none are
	WindowBy   *string    // who; nil if WindowAt is
	WindowWhy  *string    // the reason given; nil if WindowAt is
	StartsAt   *time.Time // access begins then; nil: with the stay
	OfCheckIn  *time.Time // check-in when the window was set
	EndsAt     *time.Time // access ends then; nil: with the stay
	OfCheckOut *time.Time // check-out when the window was set
	// OfCheckInText and OfCheckOutText are the stay that the window was set for, as the PMS specified it. A window
	// outlives a change of the listing's or the source's hours and time zone, which complete these to instants, and
	// lapses when the PMS moves the stay.
	OfCheckInText, OfCheckOutText *string
	// ReplaceCredential is the mobile key that a new one replaces; nil for none.
	ReplaceCredential *string
}

const overrideColumns = `held_at, held_by, held_why, revoked_at, revoked_by, revoked_why, window_at, window_by,
	window_why, starts_at, of_check_in, ends_at, of_check_out, of_check_in_text, of_check_out_text, replace_credential`

func (o *Overrides) scan() []any {
	return []any{
		&o.HeldAt, &o.HeldBy, &o.HeldWhy, &o.RevokedAt, &o.RevokedBy, &o.RevokedWhy, &o.WindowAt,
		&o.WindowBy, &o.WindowWhy,
		&o.StartsAt, &o.OfCheckIn, &o.EndsAt, &o.OfCheckOut, &o.OfCheckInText, &o.OfCheckOutText, &o.ReplaceCredential,
	}
}

// WindowHolds reports whether the window belongs to the stay as the PMS specifies it now. Another spelling of the
// same instants is no move.
func (o Overrides) WindowHolds(r Reservation) bool {
	same := func(text, now *string, of, at *time.Time) bool {
		return text != nil && now != nil && *text == *now || of != nil && at != nil && of.Equal(*at)
	}
	return o.WindowAt != nil && same(o.OfCheckInText, r.CheckInText, o.OfCheckIn, r.CheckIn) && same(o.OfCheckOutText,
		r.CheckOutText, o.OfCheckOut, r.CheckOut)
}

// Window returns the times that admins have set for access to a stay; zero times are those of the stay, as both are
// once the window has lapsed.
func (o Overrides) Window(r Reservation) (starts, ends time.Time) {
	if !o.WindowHolds(r) {
		return starts, ends
	}
	if o.StartsAt != nil {
		starts = *o.StartsAt
	}
	if o.EndsAt != nil {
		ends = *o.EndsAt
	}
	return starts, ends
}

// Access returns when access to a stay begins and ends, from what it would be without admins. A window whose end
// would no longer be after its beginning, because the hours that complete the other side of the stay have changed,
// is ignored.
func (o Overrides) Access(r Reservation, starts, ends time.Time) (from, until time.Time) {
	from, until = o.Window(r)
	if from.IsZero() {
		from = starts
	}
	if until.IsZero() {
		until = ends
	}
	if !until.After(from) {
		return starts, ends
	}
	return from.UTC(), until.UTC()
}

// SetWindow sets a window for a stay in its current state; nil times are those of the stay, and without both there
// is none.
func (o *Overrides) SetWindow(r Reservation, starts, ends *time.Time) {
	o.StartsAt, o.EndsAt = starts, ends
	o.OfCheckIn, o.OfCheckOut, o.OfCheckInText, o.OfCheckOutText = r.CheckIn, r.CheckOut, r.CheckInText, r.CheckOutText
	if starts == nil && ends == nil {
		o.OfCheckIn, o.OfCheckOut, o.OfCheckInText, o.OfCheckOutText = nil, nil, nil, nil
		o.WindowAt, o.WindowBy, o.WindowWhy = nil, nil, nil
	}
}

// WindowsOf returns the overrides of those of the locked reservations that have a window.
func WindowsOf(ctx context.Context, tx pgx.Tx, refs []Ref) (map[Ref]Overrides, error) {
	found := map[Ref]Overrides{}
	if len(refs) == 0 {
		return found, nil
	}
	sources, ids := splitRefs(refs)
	rows, _ := tx.Query(ctx, `
		SELECT source, reservation_id, `+overrideColumns+` FROM overrides
		WHERE window_at IS NOT NULL AND (source, reservation_id) IN (SELECT *
			FROM unnest($1::text[], $2::text[]))`, sources, ids)
	var ref Ref
	var o Overrides
	_, err := pgx.ForEachRow(rows, append([]any{&ref.Source, &ref.ReservationID}, o.scan()...), func() error {
		found[ref] = o
		return nil
	})
	return found, wrap(err, "read the windows of %d reservations", len(refs))
}

// forgetDecisions removes what needs no longer be kept of admins' decisions on the stays t. A revocation or a hold
// stays for as long as the reservation exists: its PMS may move it into the future at any time.
var forgetDecisions = []string{
	`DELETE FROM overrides t WHERE t.revoked_at IS NULL AND t.held_at IS NULL AND `,
	`UPDATE overrides t SET window_at = NULL, window_by = NULL, window_why = NULL, starts_at = NULL, of_check_in = NULL,
		ends_at = NULL,
		of_check_out = NULL, of_check_in_text = NULL, of_check_out_text = NULL, replace_credential = NULL WHERE `,
}

// forgetReasons removes the reasons of decisions that are kept.
const forgetReasons = `UPDATE overrides t SET held_why = CASE WHEN t.held_at IS NOT NULL THEN '(no longer kept)' END,
	revoked_why = CASE WHEN t.revoked_at IS NOT NULL THEN '(no longer kept)' END WHERE `

const overridesOf = `SELECT ` + overrideColumns + ` FROM overrides WHERE source = $1 AND reservation_id = $2`

func scanOverrides(row pgx.Row) (o Overrides, err error) {
	if err = row.Scan(o.scan()...); errors.Is(err, pgx.ErrNoRows) {
		return Overrides{}, nil
	}
	return o, err
}

// Overrides returns what admins have decided about a reservation.
func (s Reservations) Overrides(ctx context.Context, ref Ref) (Overrides, error) {
	o, err := scanOverrides(s.pool.QueryRow(ctx, overridesOf, ref.Source, ref.ReservationID))
	return o, wrap(err, "overrides of %s/%s", ref.Source, ref.ReservationID)
}

// LockedOverrides returns what admins have decided about a reservation that is locked.
func LockedOverrides(ctx context.Context, tx pgx.Tx, ref Ref) (Overrides, error) {
	o, err := scanOverrides(tx.QueryRow(ctx, overridesOf, ref.Source, ref.ReservationID))
	return o, wrap(err, "overrides of %s/%s", ref.Source, ref.ReservationID)
}

// SaveOverrides writes what admins have decided about a reservation that is locked.
func SaveOverrides(batch *pgx.Batch, ref Ref, o Overrides) {
	batch.Queue(`DELETE FROM overrides WHERE source = $1 AND reservation_id = $2`, ref.Source, ref.ReservationID)
	if o == (Overrides{}) {
		return
	}
	batch.Queue(`INSERT INTO overrides (source, reservation_id, `+overrideColumns+`)
		VALUES (@source, @reservation_id, @held_at, @held_by, @held_why, @revoked_at, @revoked_by, @revoked_why,
			@window_at, @window_by, @window_why, @starts_at, @of_check_in, @ends_at, @of_check_out, @of_check_in_text,
			@of_check_out_text, @replace_credential)`,
		pgx.StrictNamedArgs{
			"source": ref.Source, "reservation_id": ref.ReservationID,
			"held_at": o.HeldAt, "held_by": o.HeldBy, "held_why": o.HeldWhy,
			"revoked_at": o.RevokedAt, "revoked_by": o.RevokedBy, "revoked_why": o.RevokedWhy,
			"window_at": o.WindowAt, "window_by": o.WindowBy, "window_why": o.WindowWhy,
			"starts_at": o.StartsAt, "of_check_in": o.OfCheckIn, "of_check_in_text": o.OfCheckInText,
			"ends_at": o.EndsAt, "of_check_out": o.OfCheckOut, "of_check_out_text": o.OfCheckOutText,
			"replace_credential": o.ReplaceCredential,
		})
}

// Held returns who holds a reservation and why, "" if nobody does.
func (o Overrides) Held() string { return decisionText(o.HeldAt, o.HeldBy, o.HeldWhy) }

// Revoked returns who has revoked a reservation's key and why, "" if nobody has.
func (o Overrides) Revoked() string { return decisionText(o.RevokedAt, o.RevokedBy, o.RevokedWhy) }

func decisionText(at *time.Time, by, why *string) string {
	if at == nil {
		return ""
	}
	return fmt.Sprintf("%s, %s: %s", stay.Text(by), at.UTC().Format("2006-01-02 15:04 MST"), stay.Text(why))
}

// SameDecisions reports whether two overrides are the same decisions. Which mobile key a new one replaces is none:
// it changes as the work is done. Times are compared as Postgres keeps them.
func (o Overrides) SameDecisions(other Overrides) bool {
	texts := func(o Overrides) []*string {
		return []*string{
			o.HeldBy, o.HeldWhy, o.RevokedBy, o.RevokedWhy, o.WindowBy, o.WindowWhy, o.OfCheckInText,
			o.OfCheckOutText,
		}
	}
	times := func(o Overrides) []*time.Time {
		return []*time.Time{o.HeldAt, o.RevokedAt, o.WindowAt, o.StartsAt, o.OfCheckIn, o.EndsAt, o.OfCheckOut}
	}
	return slices.EqualFunc(texts(o), texts(other), func(a, b *string) bool {
		return (a == nil) == (b == nil) && stay.Text(a) == stay.Text(b)
	}) && slices.EqualFunc(times(o), times(other), func(a, b *time.Time) bool {
		const kept = time.Microsecond
		return (a == nil) == (b == nil) && (a == nil || a.Truncate(kept).Equal(b.Truncate(kept)))
	})
}
