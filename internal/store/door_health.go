package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// What Seam shows of the doors that keys open. Package doors writes it, one replica at a time.

// Doors are the entrances of access groups, with what Seam reports about their locks and which stays that puts at risk.
type Doors struct{ *db }

// Door is a door of an access system, as Seam last showed it.
type Door struct {
	EntranceID string               `db:"acs_entrance_id"` // Seam's id of it
	SystemID   string               `db:"acs_system_id"`   // Seam's id of its access system
	Name       *string              // as Seam shows it; nil: not known yet
	MobileKeys *bool                // whether mobile keys can open it; nil: not known yet
	Problems   map[string]time.Time // what is wrong with it (stay.DoorOffline and others), and since when
	SeenAt     time.Time            // when an answer last had it
}

// DoorGroup is an access group that keys open, and its doors.
type DoorGroup struct {
	GroupID     string               `db:"acs_access_group_id"` // Seam's id of it
	SystemID    string               `db:"acs_system_id"`       // Seam's id of its access system
	EntranceIDs []string             `db:"acs_entrance_ids"`    // of its doors, sorted
	Missing     map[string]time.Time // those that the last list lacked, since when
	SuspectedAt *time.Time           // since when it seems to open no door with mobile keys
	NoDoorAt    *time.Time           // since when it opens none
	AskedAt     *time.Time           // when Seam last answered about it; nil: it must be asked
	UsedAt      time.Time            // when a key of a near stay last opened it
}

// DoorUsers are the stays of a listing whose keys open an access group.
type DoorUsers struct {
	SystemID  string     // Seam's id of the access system
	GroupID   string     // Seam's id of the access group
	Source    string     // with ListingID: the listing
	ListingID string     // "" for none
	TimeZone  string     // of the listing, as its PMS or an admin set it; "" for none
	ArrivesBy *time.Time // the last check-in of those that begin before soon; nil: none does
}

// staysWithDoors are the confirmed stays from @from until @until, and the ACS user of each that opens doors for it.
const staysWithDoors = `
	WITH r AS MATERIALIZED (
		SELECT * FROM (` + confirmedBetween + `) r WHERE check_out > @from),
	s AS (
		SELECT r.*, u.acs_system_id, u.acs_access_group_ids FROM r
		CROSS JOIN LATERAL (
			SELECT status FROM mobile_keys k WHERE k.source = r.source
				AND k.reservation_id = r.reservation_id OFFSET 0) k
		CROSS JOIN LATERAL (SELECT * FROM (
			SELECT * FROM acs_users u WHERE u.source = r.source AND u.reservation_id = r.reservation_id
				AND u.deleted_at IS NULL ORDER BY ` + currentFirst + ` LIMIT 1) u
			WHERE u.acs_user_id IS NOT NULL AND u.removed_at IS NULL OFFSET 0) u
		WHERE k.status NOT IN ('revoking', 'revoked', 'expired'))`

// InUse returns which access groups the keys of stays from now until then open, and for which listings. soon is
// when a stay is about to begin.
func (s Doors) InUse(ctx context.Context, now, soon, until time.Time) ([]DoorUsers, error) {
	rows, _ := s.pool.Query(ctx, staysWithDoors+`
		SELECT s.acs_system_id, g, s.source, coalesce(s.listing_id, ''), coalesce(l.time_zone, ''),
			max(s.check_in) FILTER (WHERE s.check_in > @from AND s.check_in <= @soon)
		FROM s CROSS JOIN unnest(s.acs_access_group_ids) AS g
		LEFT JOIN LATERAL (
			SELECT * FROM listings l WHERE l.source = s.source AND l.listing_id = s.listing_id AND l.known OFFSET 0) l
				ON true
		GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`,
		pgx.QueryExecModeDescribeExec, pgx.StrictNamedArgs{"from": now, "soon": soon, "until": until})
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DoorUsers])
	return list, wrap(err, "find the access groups that keys open")
}

const (
	doorColumns      = `acs_entrance_id, acs_system_id, name, mobile_keys, problems, seen_at`
	doorGroupColumns = `acs_access_group_id, acs_system_id, acs_entrance_ids, missing, suspected_at, no_door_at,
		asked_at, used_at`
)

// Of returns what is known of the doors and groups of an access system.
func (s Doors) Of(ctx context.Context, systemID string) ([]Door, []DoorGroup, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+doorGroupColumns+` FROM door_groups WHERE acs_system_id = $1`, systemID)
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByName[DoorGroup])
	if err != nil {
		return nil, nil, wrap(err, "read the access groups of %s", systemID)
	}
	rows, _ = s.pool.Query(ctx, `SELECT `+doorColumns+` FROM doors WHERE acs_entrance_id IN (
		SELECT unnest(acs_entrance_ids) FROM door_groups WHERE acs_system_id = $1)`, systemID)
	doors, err := pgx.CollectRows(rows, pgx.RowToStructByName[Door])
	return doors, groups, wrap(err, "read the doors of %s", systemID)
}

// Save stores what Seam showed of doors and groups.
func (s Doors) Save(ctx context.Context, doors []Door, groups []DoorGroup) error {
	var b pgx.Batch
	for _, d := range doors {
		b.Queue(`
			INSERT INTO doors (`+doorColumns+`) VALUES (@id, @system, @name, @mobile_keys, @problems, @seen_at)
			ON CONFLICT (acs_entrance_id) DO UPDATE SET acs_system_id = excluded.acs_system_id, name = excluded.name,
				mobile_keys = excluded.mobile_keys, problems = excluded.problems, seen_at = excluded.seen_at`,
			pgx.StrictNamedArgs{
				"id": d.EntranceID, "system": d.SystemID, "name": textOrNil(d.Name), "mobile_keys": d.MobileKeys,
				"problems": times(d.Problems), "seen_at": d.SeenAt,
			})
	}
	for _, g := range groups {
		b.Queue(`
			INSERT INTO door_groups (`+doorGroupColumns+`) VALUES (@id, @system, @entrances, @missing, @suspected_at,
				@no_door_at, @asked_at, @used_at)
			ON CONFLICT (acs_access_group_id) DO UPDATE SET acs_system_id = excluded.acs_system_id,
				acs_entrance_ids = excluded.acs_entrance_ids, missing = excluded.missing,
				suspected_at = excluded.suspected_at, no_door_at = excluded.no_door_at, asked_at = excluded.asked_at,
				used_at = excluded.used_at`,
			pgx.StrictNamedArgs{
				"id": g.GroupID, "system": g.SystemID, "entrances": notNil(g.EntranceIDs), "missing": times(g.Missing),
				"suspected_at": g.SuspectedAt, "no_door_at": g.NoDoorAt, "asked_at": g.AskedAt, "used_at": g.UsedAt,
			})
	}
	return wrap(s.pool.SendBatch(ctx, &b).Close(), "save %d doors and %d access groups", len(doors), len(groups))
}

// times is never null in the database.
func times(m map[string]time.Time) map[string]time.Time {
	if m == nil {
		return map[string]time.Time{}
	}
	return m
}

// Forget deletes what is known of access groups that no key has opened since then, and of doors that no group
// opens.
func (s Doors) Forget(ctx context.Context, before time.Time) error {
	var b pgx.Batch
	b.Queue(`DELETE FROM door_groups WHERE used_at < $1`, before)
	b.Queue(`DELETE FROM doors WHERE acs_entrance_id NOT IN (SELECT unnest(acs_entrance_ids) FROM door_groups)`)
	return wrap(s.pool.SendBatch(ctx, &b).Close(), "forget doors")
}

// Check has the access groups that a stay's key opens checked at the next opportunity.
func (s Doors) Check(ctx context.Context, ref Ref) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE door_groups SET asked_at = NULL WHERE acs_access_group_id IN (
			SELECT unnest(acs_access_group_ids) FROM acs_users
			WHERE source = $1 AND reservation_id = $2 AND deleted_at IS NULL)`, ref.Source, ref.ReservationID)
	return wrap(err, "have the doors of reservation %s/%s checked", ref.Source, ref.ReservationID)
}

// Problems returns what is wrong with the doors of access groups, by group; of all groups if groups is nil.
func (s Doors) Problems(ctx context.Context, groups []string) (map[string][]stay.DoorProblem, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT g.acs_access_group_id, '' AS acs_entrance_id, '' AS name, @no_door::text AS problem, g.no_door_at, ''
		FROM door_groups g WHERE g.no_door_at IS NOT NULL
			AND (@groups::text[] IS NULL OR g.acs_access_group_id = ANY (@groups))
		UNION ALL
		SELECT g.acs_access_group_id, d.acs_entrance_id, coalesce(d.name, ''), p.key, p.value::timestamptz, ''
		FROM door_groups g JOIN doors d ON d.acs_entrance_id = ANY (g.acs_entrance_ids)
		CROSS JOIN jsonb_each_text(d.problems) p
		WHERE d.problems <> '{}' AND (@groups::text[] IS NULL OR g.acs_access_group_id = ANY (@groups))
		ORDER BY 2, 4, 1`, pgx.StrictNamedArgs{"groups": groups, "no_door": stay.DoorNoMobileKey})
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stay.DoorProblem])
	found := map[string][]stay.DoorProblem{}
	for _, p := range list {
		found[p.GroupID] = append(found[p.GroupID], p)
	}
	return found, wrap(err, "read what is wrong with doors")
}

// StayAtDoors is a stay and the access groups that its key opens.
type StayAtDoors struct {
	Ref
	CheckIn  time.Time // UTC
	GroupIDs []string  // Seam's ids
}

// Stays returns the stays from now until then whose keys open any of the access groups.
func (s Doors) Stays(ctx context.Context, now, until time.Time, groups []string) ([]StayAtDoors, error) {
	rows, _ := s.pool.Query(ctx, staysWithDoors+`
		SELECT s.source, s.reservation_id, s.check_in, s.acs_access_group_ids FROM s
		WHERE s.acs_access_group_ids && @groups::text[]`,
		pgx.QueryExecModeDescribeExec, pgx.StrictNamedArgs{"from": now, "until": until, "groups": groups})
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[StayAtDoors])
	return list, wrap(err, "find the stays whose doors may not open")
}

// Offline returns the offline doors of access systems most of whose doors are offline, and at least some of them, by
// door with the id of the access system. Only doors that keys open count.
func (s Doors) Offline(ctx context.Context, some int) (map[string]string, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT acs_entrance_id, acs_system_id FROM doors WHERE problems ? @offline AND acs_system_id IN (
			SELECT acs_system_id FROM doors GROUP BY 1
			HAVING count(*) FILTER (WHERE problems ? @offline) >= greatest(@some, count(*) / 2 + 1))`,
		pgx.StrictNamedArgs{"offline": stay.DoorOffline, "some": some})
	found := map[string]string{}
	var door, system string
	_, err := pgx.ForEachRow(rows, []any{&door, &system}, func() error {
		found[door] = system
		return nil
	})
	return found, wrap(err, "find access systems whose doors are offline")
}

// Risks returns the doors of stays that may not open, of the sources (nil: of all), up to most stays (0: all).
func (s Doors) Risks(ctx context.Context, sources []string, most int) (map[Ref][]stay.DoorProblem, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT source, reservation_id, doors FROM door_risks WHERE $1::text[] IS NULL OR source = ANY ($1)
		ORDER BY since, source, reservation_id LIMIT nullif($2, 0)`, sources, most)
	return doorRisks(rows, "read the stays whose doors may not open")
}

func doorRisks(rows pgx.Rows, doing string) (map[Ref][]stay.DoorProblem, error) {
	risks := map[Ref][]stay.DoorProblem{}
	var ref Ref
	var doors []stay.DoorProblem
	_, err := pgx.ForEachRow(rows, []any{&ref.Source, &ref.ReservationID, &doors}, func() error {
		risks[ref] = doors
		doors = nil
		return nil
	})
	return risks, wrap(err, doing)
}

// SetRisk stores the doors of a stay that may not open, and notes it in its timeline; none deletes it. A stay that
// is gone has none.
func (s Doors) SetRisk(ctx context.Context, ref Ref, doors []stay.DoorProblem, now time.Time) error {
	set := `DELETE FROM door_risks WHERE source = @source AND reservation_id = @reservation_id`
	args := pgx.StrictNamedArgs{"source": ref.Source, "reservation_id": ref.ReservationID}
	entry := Entry{Ref: ref, At: now, Kind: TimelineStep, Summary: "No door is reported at risk any more"}
	if len(doors) > 0 {
		set = `
			INSERT INTO door_risks (source, reservation_id, doors, since)
			SELECT source, reservation_id, @doors, @since FROM reservations
			WHERE source = @source AND reservation_id = @reservation_id
			ON CONFLICT (source, reservation_id) DO UPDATE SET doors = excluded.doors, since = excluded.since`
		args["doors"], args["since"] = doors, stay.NewDoorRisk(doors).Since
		entry.Summary, entry.Detail = "A door may not open for the guest", map[string]any{"doors": doors}
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, set, args)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		var b pgx.Batch
		if err := QueueTimeline(&b, []Entry{entry}); err != nil {
			return err
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	return wrap(err, "record the doors at risk of reservation %s/%s", ref.Source, ref.ReservationID)
}

// CountRisks counts the stays whose doors may not open.
func (s Doors) CountRisks(ctx context.Context) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM door_risks`).Scan(&n)
	return n, wrap(err, "count the stays whose doors may not open")
}

// addDoorRisks fills in the doors of reservations that may not open. A key that is gone opens none.
func (s Reservations) addDoorRisks(ctx context.Context, views []View, refs []Ref) error {
	sources, ids := splitRefs(refs)
	rows, _ := s.pool.Query(ctx, `
		SELECT source, reservation_id, doors FROM door_risks
		WHERE (source, reservation_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))`, sources, ids)
	risks, err := doorRisks(rows, "read the doors at risk of reservations")
	for i, ref := range refs {
		switch views[i].Key.Status {
		case KeyRevoking, KeyRevoked, KeyExpired:
		default:
			views[i].DoorRisk = stay.NewDoorRisk(risks[ref])
		}
	}
	return err
}
