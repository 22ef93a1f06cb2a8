package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Overrides are an admin's word on a reservation, which wins over what the PMS says. The zero value is none.
type Overrides struct {
	HeldAt     *time.Time // nothing at Seam is changed while it is set
	HeldBy     *string
	HeldWhy    *string
	RevokedAt  *time.Time // no key, whatever the PMS says, until it is issued again
	RevokedBy  *string
	RevokedWhy *string
	WindowAt   *time.Time
	WindowBy   *string
	WindowWhy  *string
	StartsAt   *time.Time // access begins then, while check-in is OfCheckIn
	OfCheckIn  *time.Time
	EndsAt     *time.Time // access ends then, while check-out is OfCheckOut
	OfCheckOut *time.Time
	// ReplaceCredential is the mobile key that a new one is to take the place of; nil for none.
	ReplaceCredential *string
}

const overrideColumns = `held_at, held_by, held_why, revoked_at, revoked_by, revoked_why, window_at, window_by, window_why,
	starts_at, of_check_in, ends_at, of_check_out, replace_credential`

func (o *Overrides) scan() []any {
	return []any{
		&o.HeldAt, &o.HeldBy, &o.HeldWhy, &o.RevokedAt, &o.RevokedBy, &o.RevokedWhy, &o.WindowAt, &o.WindowBy, &o.WindowWhy,
		&o.StartsAt, &o.OfCheckIn, &o.EndsAt, &o.OfCheckOut, &o.ReplaceCredential,
	}
}

// Window is when access begins and ends: as admins say, where they said so of the present check-in and check-out.
// The zero time stands for what they have not said.
func (o Overrides) Window(checkIn, checkOut *time.Time) (starts, ends time.Time) {
	if o.StartsAt != nil && sameTime(o.OfCheckIn, checkIn) {
		starts = *o.StartsAt
	}
	if o.EndsAt != nil && sameTime(o.OfCheckOut, checkOut) {
		ends = *o.EndsAt
	}
	return starts, ends
}

func sameTime(a, b *time.Time) bool { return a != nil && b != nil && a.Equal(*b) }

const overridesOf = `SELECT ` + overrideColumns + ` FROM overrides WHERE source = $1 AND reservation_id = $2`

func scanOverrides(row pgx.Row) (o Overrides, err error) {
	if err = row.Scan(o.scan()...); errors.Is(err, pgx.ErrNoRows) {
		return Overrides{}, nil
	}
	return o, err
}

// Overrides returns an admin's word on a reservation.
func (s *Store) Overrides(ctx context.Context, ref Ref) (Overrides, error) {
	o, err := scanOverrides(s.pool.QueryRow(ctx, overridesOf, ref.Source, ref.ReservationID))
	return o, wrap(err, "overrides of %s/%s", ref.Source, ref.ReservationID)
}

// LockedOverrides returns an admin's word on a reservation that is locked.
func LockedOverrides(ctx context.Context, tx pgx.Tx, ref Ref) (Overrides, error) {
	o, err := scanOverrides(tx.QueryRow(ctx, overridesOf, ref.Source, ref.ReservationID))
	return o, wrap(err, "overrides of %s/%s", ref.Source, ref.ReservationID)
}

// SaveOverrides writes an admin's word on a reservation that is locked.
func SaveOverrides(batch *pgx.Batch, ref Ref, o Overrides) {
	batch.Queue(`DELETE FROM overrides WHERE source = $1 AND reservation_id = $2`, ref.Source, ref.ReservationID)
	if o == (Overrides{}) {
		return
	}
	batch.Queue(`INSERT INTO overrides (source, reservation_id, `+overrideColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		ref.Source, ref.ReservationID, o.HeldAt, o.HeldBy, o.HeldWhy, o.RevokedAt, o.RevokedBy, o.RevokedWhy, o.WindowAt, o.WindowBy, o.WindowWhy,
		o.StartsAt, o.OfCheckIn, o.EndsAt, o.OfCheckOut, o.ReplaceCredential)
}

// Held says who holds a reservation and why, "" if nobody does.
func (o Overrides) Held() string { return said(o.HeldAt, o.HeldBy, o.HeldWhy) }

// Revoked says who has revoked a reservation's key and why, "" if nobody has.
func (o Overrides) Revoked() string { return said(o.RevokedAt, o.RevokedBy, o.RevokedWhy) }

func said(at *time.Time, by, why *string) string {
	if at == nil {
		return ""
	}
	return fmt.Sprintf("%s, %s: %s", deref(by), at.UTC().Format("2006-01-02 15:04 MST"), deref(why))
}
