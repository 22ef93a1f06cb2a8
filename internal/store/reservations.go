package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// Reservations are stays as PMSs reported them, each with its guest, key and history as lists and pages show it. They
// are written by applying events, in a caller's transaction: [InsertReservations], [UpdateReservations].
type Reservations struct{ *db }

// Reservation is a row of reservations.
type Reservation struct {
	Source            string     // with ReservationID: the reservation
	ReservationID     string     // the PMS's id
	Status            string     // confirmed or cancelled
	ListingID         *string    // nil: no room is assigned
	GuestEmail        *string    // nil: none
	GuestName         *string    // nil: none
	GuestPhone        *string    // nil: none; shown to admins, never sent to Seam
	CheckInText       *string    `db:"check_in_said"`  // as the PMS sent it, without a zone perhaps
	CheckOutText      *string    `db:"check_out_said"` // like CheckInText
	CheckIn           *time.Time // the resulting instant, UTC; nil while no time zone is known
	CheckOut          *time.Time // like CheckIn
	ListingGeneration int64      // the listing's generation that CheckIn and CheckOut were completed with
	VersionAt         time.Time  // the timestamp of the last event applied; older ones change nothing
	VersionSeq        int64      // the order of receipt, between events with the same timestamp
	CreatedAt         time.Time  // when the row was written
	UpdatedAt         time.Time  // when it last changed
	BookingID         *string    // of the PMS; nil: the booking is one reservation
	GuestID           *string    // of the PMS, if it sends guests separately
	// fingerprint of the policy that check-in and check-out were completed with; nil: not known
	Policy        *string
	Unit          *string    // of the PMS: the room within the booking; nil: it has none, or it isn't known
	CheckedInAt   *time.Time // when the PMS reported that the guest has arrived; nil: it didn't
	Segments      []byte     // JSON: the rooms of a stay that moves while it lasts; nil: it has one
	SegmentDue    *time.Time // when the next of them begins
	Notes         []byte     // JSON: what could not be read of the last events
	Bodies        []byte     // hashes of bodies that confirmed it, see intake
	Gates         []byte     // JSON: what the PMS sent about gates, see [MergeGateReports]
	GuestLanguage *string    // a BCP 47 tag; nil: the PMS doesn't send it
	// VersionReceipt equals VersionAt if that is the time of receipt of an event that had no time of its own.
	VersionReceipt *time.Time
}

// ByReceipt reports whether the version's time is a time of receipt. In rows of older versions of staykey, such times
// are known by their microseconds: a PMS's time is cut to milliseconds.
func (r Reservation) ByReceipt() bool {
	if r.VersionReceipt != nil {
		return r.VersionReceipt.Equal(r.VersionAt)
	}
	return r.VersionAt.Nanosecond()%int(time.Millisecond) != 0
}

// Ref names the reservation.
func (r Reservation) Ref() Ref { return Ref{Source: r.Source, ReservationID: r.ReservationID} }

const reservationColumns = `source, reservation_id, status, listing_id, guest_email, guest_name, guest_phone,
	check_in_said, check_out_said, check_in, check_out, listing_generation, version_at, version_seq, created_at,
	updated_at, booking_id, guest_id, policy, unit, checked_in_at, segments, segment_due, notes, bodies, gates,
	guest_language, version_receipt`

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

// reservationRows are the columns of many reservations, for unnestReservations.
func reservationRows(list []Reservation) pgx.StrictNamedArgs {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Reservation) int { return a.Ref().Compare(b.Ref()) }) // one order for locks
	n := len(list)
	sources, ids, statuses := make([]string, n), make([]string, n), make([]string, n)
	generations, seqs := make([]int64, n), make([]int64, n)
	versions, created, updated := make([]time.Time, n), make([]time.Time, n), make([]time.Time, n)
	bodies := make([][]byte, n)
	for i, r := range list {
		sources[i], ids[i], statuses[i], bodies[i] = r.Source, r.ReservationID, r.Status, r.Bodies
		generations[i], versions[i], seqs[i], created[i], updated[i] = r.ListingGeneration, r.VersionAt, r.VersionSeq,
			r.CreatedAt, r.UpdatedAt
	}

	rows := pgx.StrictNamedArgs{
		"source": sources, "reservation_id": ids, "status": statuses, "listing_generation": generations,
		"version_at":  versions,
		"version_seq": seqs, "created_at": created, "updated_at": updated, "bodies": bodies,
	}
	for name, of := range map[string]func(*Reservation) *string{
		"listing_id":     func(r *Reservation) *string { return r.ListingID },
		"guest_email":    func(r *Reservation) *string { return r.GuestEmail },
		"guest_name":     func(r *Reservation) *string { return r.GuestName },
		"guest_phone":    func(r *Reservation) *string { return r.GuestPhone },
		"check_in_said":  func(r *Reservation) *string { return r.CheckInText },
		"check_out_said": func(r *Reservation) *string { return r.CheckOutText },
		"booking_id":     func(r *Reservation) *string { return r.BookingID },
		"guest_id":       func(r *Reservation) *string { return r.GuestID },
		"policy":         func(r *Reservation) *string { return r.Policy },
		"unit":           func(r *Reservation) *string { return r.Unit },
		"segments":       func(r *Reservation) *string { return jsonText(r.Segments) },
		"notes":          func(r *Reservation) *string { return jsonText(r.Notes) },
		"gates":          func(r *Reservation) *string { return jsonText(r.Gates) },
		"guest_language": func(r *Reservation) *string { return r.GuestLanguage },
	} {
		column := make([]*string, n)
		for i := range list {
			column[i] = of(&list[i])
		}
		rows[name] = column
	}

	for name, of := range map[string]func(*Reservation) *time.Time{
		"check_in":      func(r *Reservation) *time.Time { return r.CheckIn },
		"check_out":     func(r *Reservation) *time.Time { return r.CheckOut },
		"checked_in_at": func(r *Reservation) *time.Time { return r.CheckedInAt },
		"segment_due":   func(r *Reservation) *time.Time { return r.SegmentDue },

		"version_receipt": func(r *Reservation) *time.Time { return r.VersionReceipt },
	} {
		column := make([]*time.Time, n)
		for i := range list {
			column[i] = of(&list[i])
		}
		rows[name] = column
	}
	return rows
}

func jsonText(encoded []byte) *string {
	if encoded == nil {
		return nil
	}
	text := string(encoded)
	return &text
}

const unnestReservations = `(SELECT source, reservation_id, status, listing_id, guest_email, guest_name, guest_phone,
	check_in_said, check_out_said, check_in,
		check_out, listing_generation, version_at, version_seq, created_at, updated_at, booking_id, guest_id, policy,
			unit, checked_in_at,
		segments::jsonb AS segments, segment_due, notes::jsonb AS notes, bodies, gates::jsonb AS gates, guest_language,
			version_receipt
	FROM unnest(@source::text[], @reservation_id::text[], @status::text[], @listing_id::text[], @guest_email::text[],
		@guest_name::text[],
		@guest_phone::text[], @check_in_said::text[], @check_out_said::text[], @check_in::timestamptz[],
			@check_out::timestamptz[],
		@listing_generation::bigint[], @version_at::timestamptz[], @version_seq::bigint[], @created_at::timestamptz[],
			@updated_at::timestamptz[],
		@booking_id::text[], @guest_id::text[], @policy::text[], @unit::text[], @checked_in_at::timestamptz[],
			@segments::text[],
		@segment_due::timestamptz[], @notes::text[], @bodies::bytea[], @gates::text[], @guest_language::text[],
		@version_receipt::timestamptz[])
		AS u (` + reservationColumns + `)) n`

// InsertReservations makes reservations that [LockReservations] has not found. [ErrRaced] if somebody else made one
// meanwhile: then the whole transaction must be rolled back and retried.
func InsertReservations(ctx context.Context, tx pgx.Tx, list []Reservation) error {
	if len(list) == 0 {
		return nil
	}
	tag, err := tx.Exec(ctx, `INSERT INTO reservations (`+reservationColumns+`) SELECT `+reservationColumns+` FROM `+
		unnestReservations+`
		ON CONFLICT DO NOTHING`, reservationRows(list))
	if err == nil && int(tag.RowsAffected()) < len(list) {
		err = ErrRaced
	}
	return wrap(err, "make %d reservations", len(list))
}

// UpdateReservations writes all columns of locked reservations. Data that retention has deleted is stored again if an
// event repeats it, and its age begins again.
func UpdateReservations(ctx context.Context, tx pgx.Tx, list []Reservation) error {
	if len(list) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		UPDATE reservations r SET status = n.status, listing_id = n.listing_id, guest_email = n.guest_email,
			guest_name = n.guest_name,
			guest_phone = n.guest_phone, check_in_said = n.check_in_said, check_out_said = n.check_out_said,
				check_in = n.check_in,
			check_out = n.check_out, listing_generation = n.listing_generation, version_at = n.version_at,
				version_seq = n.version_seq,
			updated_at = n.updated_at, booking_id = n.booking_id, guest_id = n.guest_id, policy = n.policy,
				unit = n.unit,
			checked_in_at = n.checked_in_at, segments = n.segments, segment_due = n.segment_due, notes = n.notes,
				bodies = n.bodies, gates = n.gates,
			guest_language = n.guest_language, version_receipt = n.version_receipt, pruned = 0
		FROM `+unnestReservations+` WHERE r.source = n.source AND r.reservation_id = n.reservation_id`,
		reservationRows(list))
	return wrap(err, "save %d reservations", len(list))
}

// ofStaysOfGeneration selects the stays of a listing that were completed with an older generation of it and whose
// key may still matter: everything but what is removed, or over for two days.
const ofStaysOfGeneration = `FROM reservations r JOIN mobile_keys k ON k.source = r.source
	AND k.reservation_id = r.reservation_id
	WHERE r.source = $1 AND r.listing_id = $2 AND r.listing_generation < $3 AND r.status = 'confirmed'
	AND (r.check_out IS NULL OR r.check_out > $4::timestamptz - interval '2 days'
		OR EXISTS (SELECT FROM acs_users u WHERE u.source = r.source AND u.reservation_id = r.reservation_id))`

// LockStaysOfGeneration locks up to limit stays of a listing that were completed with an older generation of it,
// and their keys. What somebody else has locked is passed over: one stay must not hold up the others. Where all are
// locked, it waits for the first of them as long as the transaction's limit lets it: a worker writes a mark in a
// moment.
func LockStaysOfGeneration(ctx context.Context, tx pgx.Tx, ref ListingRef, generation int64, now time.Time,
	limit int,
) ([]Reservation, error) {
	lock := func(limit int, whatIsLocked string) ([]Reservation, error) {
		rows, _ := tx.Query(ctx, `
			SELECT `+prefixed("r", reservationColumns)+` `+ofStaysOfGeneration+`
			ORDER BY r.source COLLATE "C", r.reservation_id COLLATE "C" LIMIT $5 FOR NO KEY UPDATE OF r, k`+
			whatIsLocked,
			ref.Source, ref.ListingID, generation, now, limit)
		return pgx.CollectRows(rows, pgx.RowToStructByName[Reservation])
	}
	list, err := lock(limit, ` SKIP LOCKED`)
	if err == nil && len(list) == 0 {
		list, err = lock(1, ``)
	}
	return list, wrap(err, "find the stays of listing %s/%s", ref.Source, ref.ListingID)
}

// StaysOfGenerationLeft reports whether stays are left that [LockStaysOfGeneration] finds once nobody has locked them.
func StaysOfGenerationLeft(ctx context.Context, tx pgx.Tx, ref ListingRef, generation int64,
	now time.Time,
) (left bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT `+ofStaysOfGeneration+`)`, ref.Source, ref.ListingID,
		generation, now).Scan(&left)
	return left, wrap(err, "look for stays of listing %s/%s", ref.Source, ref.ListingID)
}

// MarkUnassigned makes stays of several rooms due that have no room yet and whose later room is this listing, or one
// that was merged into it: their times are those of the property, which is known by the listing. Such a stay is
// completed as if it moved to its next room now.
func MarkUnassigned(ctx context.Context, tx pgx.Tx, ref ListingRef, now time.Time) error {
	_, err := tx.Exec(ctx, `
		UPDATE reservations r SET segment_due = $3
		WHERE r.source = $1 AND r.listing_id IS NULL AND r.segments IS NOT NULL AND r.status = 'confirmed'
			AND (r.segment_due IS NULL OR r.segment_due > $3)
			AND EXISTS (SELECT FROM jsonb_array_elements(r.segments) s JOIN listings l ON l.source = r.source
				AND l.listing_id = s->>'listing_id'
				WHERE $2 IN (l.listing_id, l.merged_into))`, ref.Source, ref.ListingID, now)
	return wrap(err, "find the stays without a room that listing %s/%s is a part of", ref.Source, ref.ListingID)
}

// SegmentsDue returns up to limit stays whose next room is due, the longest due first. Nothing is locked.
func (s Reservations) SegmentsDue(ctx context.Context, now time.Time, limit int) ([]Reservation, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT `+reservationColumns+` FROM reservations WHERE segment_due <= $1 ORDER BY segment_due LIMIT $2`,
		now, limit)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Reservation])
	return list, wrap(err, "find stays that move to their next room")
}

func splitRefs(refs []Ref) (sources, ids []string) {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, Ref.Compare)
	for _, r := range slices.Compact(refs) {
		sources, ids = append(sources, r.Source), append(ids, r.ReservationID)
	}
	return sources, ids
}

// View is a reservation with its mobile key and the ACS user that stands for it, if there is one.
type View struct {
	Reservation Reservation                 // as the PMS last reported it
	Key         MobileKey                   // its mobile key
	User        *ACSUser                    // nil: none exists
	GateReports map[string]stay.GateReports // the states of its gates
	// what that results in, by the rules of its source, which the store doesn't know: admin fills it in
	Gates       []stay.Gate
	WriteBackOf *WriteBackRow // of its booking; nil: none
	// what that means for the reservation, by the settings of its source: admin fills it in
	WriteBack *stay.WriteBack
	DoorUse   *DoorUse       // what Seam reported of its guest at doors; nil: nothing
	DoorRisk  *stay.DoorRisk // its doors that may not open; nil: none
	// the PIN of User, if it has one
	BackupCodeOf *BackupCode
	BackupCode   *stay.BackupCode // what that means: admin fills it in
	GuestLink    *stay.GuestLink  // not in the database: package guest derives it; nil where the stay has none
}

// View returns one reservation, or [ErrNotFound].
func (s Reservations) View(ctx context.Context, ref Ref) (View, error) {
	views, err := s.views(ctx, `SELECT $1::text AS source, $2::text AS reservation_id`, ref.Source, ref.ReservationID)
	if err == nil && len(views) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return View{}, wrap(err, "reservation %s/%s", ref.Source, ref.ReservationID)
	}
	return views[0], nil
}

// views reads what a page names, newest change first.
func (s Reservations) views(ctx context.Context, page string, args ...any) ([]View, error) {
	return s.viewsBy(ctx, ByChange, page, args...)
}

// viewsBy reads what a page names, in an order.
func (s Reservations) viewsBy(ctx context.Context, order Order, page string, args ...any) ([]View, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT `+prefixed("r", reservationColumns)+`, `+prefixed("k", keyColumns)+`
		FROM (`+page+`) p JOIN reservations r USING (source, reservation_id)
			JOIN mobile_keys k USING (source, reservation_id)
		`+order.by("k"), args...)
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

	users, err := ACSUsers(s).Of(ctx, refs)
	if err != nil {
		return nil, err
	}

	reports, err := gateReportsOf(ctx, s.pool, refs)
	if err != nil {
		return nil, err
	}

	written, err := s.writeBacksOf(ctx, views)
	if err != nil {
		return nil, err
	}

	for i, ref := range refs {
		if row, has := written[ref]; has {
			views[i].WriteBackOf = &row
		}
		views[i].User = Current(users[ref], views[i].Key.Status)
		views[i].GateReports = mergedGateReports(views[i].Reservation.Gates, reports[ref])
	}

	if err := s.addBackupCodes(ctx, views); err != nil {
		return nil, err
	}
	if err := s.addDoorRisks(ctx, views, refs); err != nil {
		return nil, err
	}
	return views, s.addDoorUses(ctx, views, refs)
}

func (r *Reservation) scan() []any {
	return []any{
		&r.Source, &r.ReservationID, &r.Status, &r.ListingID, &r.GuestEmail, &r.GuestName,
		&r.GuestPhone, &r.CheckInText,
		&r.CheckOutText, &r.CheckIn, &r.CheckOut, &r.ListingGeneration, &r.VersionAt, &r.VersionSeq, &r.CreatedAt,
		&r.UpdatedAt, &r.BookingID, &r.GuestID, &r.Policy,
		&r.Unit, &r.CheckedInAt, &r.Segments, &r.SegmentDue, &r.Notes, &r.Bodies, &r.Gates, &r.GuestLanguage,
		&r.VersionReceipt,
	}
}
