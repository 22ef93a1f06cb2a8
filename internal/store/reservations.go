package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Reservation is a row of reservations.
type Reservation struct {
	Source            string
	ReservationID     string
	Status            string
	ListingID         *string
	GuestEmail        *string
	GuestName         *string
	GuestPhone        *string
	CheckInSaid       *string
	CheckOutSaid      *string
	CheckIn           *time.Time
	CheckOut          *time.Time
	ListingGeneration int64
	VersionAt         time.Time
	VersionSeq        int64
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// Ref names the reservation.
func (r Reservation) Ref() Ref { return Ref{r.Source, r.ReservationID} }

const reservationColumns = `source, reservation_id, status, listing_id, guest_email, guest_name, guest_phone, check_in_said,
	check_out_said, check_in, check_out, listing_generation, version_at, version_seq, created_at, updated_at`

// LockReservations locks those of the named reservations that exist, in one order.
func LockReservations(ctx context.Context, tx pgx.Tx, refs []Ref) (map[Ref]Reservation, error) {
	found := map[Ref]Reservation{}
	if len(refs) == 0 {
		return found, nil
	}
	sources, ids := splitRefs(refs)
	rows, _ := tx.Query(ctx, `
		SELECT `+reservationColumns+` FROM reservations
		WHERE (source, reservation_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
		ORDER BY source COLLATE "C", reservation_id COLLATE "C" FOR NO KEY UPDATE`, sources, ids)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Reservation])
	if err != nil {
		return nil, wrap(err, "lock reservations")
	}
	for _, r := range list {
		found[r.Ref()] = r
	}
	return found, nil
}

// ReserveReservations makes empty rows for the named reservations that don't exist, so that two appliers
// which both bring the first event of one wait for each other. An empty row has version_seq 0.
func ReserveReservations(ctx context.Context, tx pgx.Tx, refs []Ref, now time.Time) error {
	sources, ids := splitRefs(refs)
	_, err := tx.Exec(ctx, `
		INSERT INTO reservations (source, reservation_id, status, version_at, version_seq, created_at, updated_at)
		SELECT source, reservation_id, 'cancelled', 'epoch', 0, $3, $3
		FROM unnest($1::text[], $2::text[]) AS r (source, reservation_id)
		ON CONFLICT DO NOTHING`, sources, ids, now)
	return wrap(err, "make reservations")
}

// SaveReservations writes all of the locked reservations.
func SaveReservations(ctx context.Context, tx pgx.Tx, list []Reservation) error {
	batch := &pgx.Batch{}
	for _, r := range list {
		batch.Queue(`
			UPDATE reservations SET status = $3, listing_id = $4, guest_email = $5, guest_name = $6, guest_phone = $7,
				check_in_said = $8, check_out_said = $9, check_in = $10, check_out = $11, listing_generation = $12,
				version_at = $13, version_seq = $14, updated_at = $15
			WHERE source = $1 AND reservation_id = $2`,
			r.Source, r.ReservationID, r.Status, r.ListingID, r.GuestEmail, r.GuestName, r.GuestPhone,
			r.CheckInSaid, r.CheckOutSaid, r.CheckIn, r.CheckOut, r.ListingGeneration, r.VersionAt, r.VersionSeq, r.UpdatedAt)
	}
	return wrap(tx.SendBatch(ctx, batch).Close(), "save %d reservations", len(list))
}

// LockStaysBehindListing locks up to limit reservations of a listing that were completed with an older
// generation of it and whose key may still matter: everything but what is removed, or over for two days.
func LockStaysBehindListing(ctx context.Context, tx pgx.Tx, ref ListingRef, generation int64, now time.Time, limit int) ([]Reservation, error) {
	rows, _ := tx.Query(ctx, `
		SELECT `+reservationColumns+` FROM reservations r
		WHERE source = $1 AND listing_id = $2 AND listing_generation < $3 AND status = 'confirmed'
			AND (check_out IS NULL OR check_out > $4::timestamptz - interval '2 days'
				OR EXISTS (SELECT FROM acs_users u WHERE u.source = r.source AND u.reservation_id = r.reservation_id))
		ORDER BY source COLLATE "C", reservation_id COLLATE "C" LIMIT $5 FOR NO KEY UPDATE`,
		ref.Source, ref.ListingID, generation, now, limit)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Reservation])
	return list, wrap(err, "find the stays of listing %s/%s", ref.Source, ref.ListingID)
}

func splitRefs(refs []Ref) (sources, ids []string) {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.ReservationID, b.ReservationID))
	})
	for _, r := range slices.Compact(refs) {
		sources, ids = append(sources, r.Source), append(ids, r.ReservationID)
	}
	return sources, ids
}

// View is a reservation with its mobile key and the ACS user that stands for it, if there is one.
type View struct {
	Reservation Reservation
	Key         MobileKey
	User        *ACSUser
}

// ReservationFilter narrows a list of reservations; empty fields don't.
type ReservationFilter struct {
	Source, Status, KeyStatus, ListingID, GuestEmail, Query string
	CheckInFrom, CheckInTo                                  *time.Time // from is included, to is not
}

// View returns one reservation.
func (s *Store) View(ctx context.Context, ref Ref) (View, error) {
	views, err := s.views(ctx, func(w *where) {
		w.add("r.source = %s", ref.Source)
		w.add("r.reservation_id = %s", ref.ReservationID)
	}, 1)
	if err == nil && len(views) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return View{}, wrap(err, "reservation %s/%s", ref.Source, ref.ReservationID)
	}
	return views[0], nil
}

// Views lists reservations, newest change first, from behind a place.
func (s *Store) Views(ctx context.Context, f ReservationFilter, after Place, limit int) ([]View, error) {
	views, err := s.views(ctx, func(w *where) {
		w.equal("k.source", f.Source)
		w.equal("r.status", f.Status)
		w.equal("k.status", f.KeyStatus)
		w.equal("r.listing_id", f.ListingID)
		if f.GuestEmail != "" {
			w.add("lower(r.guest_email) = lower(%s)", f.GuestEmail)
		}
		if f.CheckInFrom != nil {
			w.add("r.check_in >= %s", *f.CheckInFrom)
		}
		if f.CheckInTo != nil {
			w.add("r.check_in < %s", *f.CheckInTo)
		}
		if f.Query != "" {
			w.add(`(strpos(lower(r.reservation_id), lower(%s)) > 0 OR strpos(lower(coalesce(r.listing_id, '')), lower(%s)) > 0
				OR strpos(lower(coalesce(r.guest_email, '')), lower(%s)) > 0 OR strpos(lower(coalesce(r.guest_name, '')), lower(%s)) > 0)`,
				f.Query, f.Query, f.Query, f.Query)
		}
		if !after.At.IsZero() {
			w.add("(k.changed_at < %s OR (k.changed_at = %s AND (k.source, k.reservation_id) > (%s, %s)))", after.At, after.At, after.Source, after.ID)
		}
	}, limit)
	return views, wrap(err, "list reservations")
}

func (s *Store) views(ctx context.Context, narrow func(*where), limit int) ([]View, error) {
	var w where
	w.add("r.version_seq > 0")
	narrow(&w)
	rows, _ := s.pool.Query(ctx, `
		SELECT `+prefixed("r", reservationColumns)+`, `+prefixed("k", keyColumns)+`
		FROM mobile_keys k JOIN reservations r USING (source, reservation_id)`+w.sql()+`
		ORDER BY k.changed_at DESC, k.source, k.reservation_id LIMIT `+w.arg(limit), w.args...)
	views, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (View, error) {
		var v View
		return v, row.Scan(append(v.Reservation.scan(), v.Key.scan()...)...)
	})
	if err != nil || len(views) == 0 {
		return views, err
	}
	refs := make([]Ref, len(views))
	for i, v := range views {
		refs[i] = v.Reservation.Ref()
	}
	users, err := s.ACSUsers(ctx, refs)
	if err != nil {
		return nil, err
	}
	for i := range views {
		views[i].User = Current(users[refs[i]])
	}
	return views, nil
}

func (r *Reservation) scan() []any {
	return []any{
		&r.Source, &r.ReservationID, &r.Status, &r.ListingID, &r.GuestEmail, &r.GuestName, &r.GuestPhone, &r.CheckInSaid,
		&r.CheckOutSaid, &r.CheckIn, &r.CheckOut, &r.ListingGeneration, &r.VersionAt, &r.VersionSeq, &r.CreatedAt, &r.UpdatedAt,
	}
}
