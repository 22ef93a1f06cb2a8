package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store"
)

// This file measures what stays leave on disk, and what deleting them costs.
//
// The built server and a simulated Seam take each stay through three events: it is booked, moves by a day, and is
// cancelled, which removes its key as the end of a stay does. Then retention goes through its stages. After each, every
// table is rewritten (VACUUM FULL), so that its size is that of its rows. The same rows in a table of their own are
// dropped, as a partition would be.

// diskState is what a stay takes in one of the stages of retention.
type diskState struct {
	after  string
	stage  int              // of retention, that leads there; 0: none
	days   int              // how long a stay is in this state, with the default ages
	bytes  int64            // of all stays
	wal    int64            // what the stage wrote
	took   time.Duration    // and how long it took, without the rests between its pages
	grown  map[string]int64 // bytes by table
	tables []string
}

// bookedAhead and a stay's length in days, before the ages of retention begin to count.
const bookedAhead, nights = 60, 3

// disk measures bytes per stay and table in each stage of retention.
func (b disk) disk(ctx context.Context) error {
	rig, name, db, done, err := b.apart(ctx, b.settings)
	if err != nil {
		return err
	}
	defer done()

	own := b
	own.bench = b.on(rig)
	empty, err := tableSizes(ctx, db)
	if err != nil {
		return err
	}

	if err := own.liveThrough(ctx, db, own.dsn(name)); err != nil {
		return err
	}

	states := []diskState{
		{after: "booked, or over for less than 30 days", days: bookedAhead + nights + 30},
		{after: "bodies and guests deleted, after 30 days", stage: store.PruneBodies, days: 60},
		{after: "events deleted, after 90 days", stage: store.PruneEvents, days: 90},
		{after: "timeline deleted, after 180 days", stage: store.PruneTimeline, days: 220},
		{after: "reservation deleted, after 400 days", stage: store.PruneReservations},
	}

	s, err := store.Open(ctx, own.dsn(name))
	if err != nil {
		return err
	}
	defer s.Close()

	for i := range states {
		if err := states[i].measure(ctx, s, db, empty, b.kept); err != nil {
			return fmt.Errorf("%s: %w", states[i].after, err)
		}
		if i == 0 {
			if err := dropCopies(ctx, db, b.kept); err != nil {
				return err
			}
		}
	}

	for _, state := range states {
		b.add(line{what: "disk, a stay: " + state.after, value: fmt.Sprintf("%d bytes", state.bytes/int64(b.kept))})
	}
	first := states[0].grown
	b.add(line{what: "disk, an event of it, with its result", value: fmt.Sprintf("%d bytes",
		(first["events"]+first["event_results"])/int64(b.kept)/int64(len(lifePhases)))})
	perMonthly := 0.0
	for _, state := range states {
		perMonthly += float64(state.bytes) / float64(b.kept) * float64(state.days) / 30
	}
	b.add(line{what: "disk, for each stay a month, after 400 days", value: fmt.Sprintf("%.1f KB", perMonthly/1000)})
	return nil
}

// lifePhases are the events of a stay, and the status of its key after each.
var lifePhases = []struct{ role, status string }{
	{roleAccept, "issued"}, {roleChange, "issued"}, {roleCancel, "revoked"},
}

// liveThrough takes each stay through its events.
func (b disk) liveThrough(ctx context.Context, db *pgx.Conn, dsn string) (err error) {
	_, seam, err := simulatedSeam(0)
	if err != nil {
		return err
	}
	defer func(s *httptest.Server) { s.Close() }(seam)
	p, err := b.serverOn(ctx, dsn, seam.URL, "STAYKEY_WORKERS="+strconv.Itoa(drainWorkers))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	for _, phase := range lifePhases {
		began := time.Now()
		if _, err := inRole(ctx, dsn, phase.role, b.kept); err != nil {
			return fmt.Errorf("%s: %w", phase.role, err)
		}
		if err := b.awaitStatus(ctx, db, phase.status); err != nil {
			return fmt.Errorf("%s: %w", phase.role, err)
		}
		say("%s: %d stays in %s", phase.role, b.kept, time.Since(began).Round(time.Second))
	}
	return nil
}

// awaitStatus waits until nothing is left to do and every key has the status.
func (b disk) awaitStatus(ctx context.Context, db *pgx.Conn, status string) error {
	for began := time.Now(); ; {
		var done int
		var busy bool
		if err := db.QueryRow(ctx, `
			SELECT count(*) FILTER (WHERE status = $1 AND NOT queued), EXISTS (SELECT FROM event_queue)
				FROM mobile_keys`,
			status).Scan(&done, &busy); err != nil {
			return err
		}
		if done == b.kept && !busy {
			return nil
		}
		if time.Since(began) > 10*time.Minute {
			return fmt.Errorf("%d of %d keys are %s after 10 minutes", done, b.kept, status)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// tableSizes are the sizes of the tables without free space, with indexes and TOAST.
func tableSizes(ctx context.Context, db *pgx.Conn) (map[string]int64, error) {
	if _, err := db.Exec(ctx, `VACUUM FULL`); err != nil {
		return nil, err
	}
	rows, _ := db.Query(ctx, `SELECT relname, pg_total_relation_size(oid) FROM pg_class
		WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`)
	sizes := map[string]int64{}
	var table string
	var size int64
	_, err := pgx.ForEachRow(rows, []any{&table, &size}, func() error { sizes[table] = size; return nil })
	return sizes, err
}

// measure goes through the stage, and measures what it leaves.
func (d *diskState) measure(ctx context.Context, s *store.Store, db *pgx.Conn, empty map[string]int64,
	stays int,
) error {
	if d.stage > 0 {
		var err error
		if d.wal, d.took, err = written(ctx, db, func() error { return pruneAll(ctx, s, d.stage, stays) }); err != nil {
			return err
		}
	}

	sizes, err := tableSizes(ctx, db)
	if err != nil {
		return err
	}
	d.grown = map[string]int64{}
	for table, size := range sizes {
		if grown := size - empty[table]; grown > int64(stays) { // more than a byte each
			d.bytes += grown
			d.grown[table] = grown
			d.tables = append(d.tables, fmt.Sprintf("%8.0f %s", float64(grown)/float64(stays), table))
		}
	}

	slices.Sort(d.tables)
	slices.Reverse(d.tables)
	say("%s: %.0f bytes per stay; getting there took %.0f µs and %.0f bytes of WAL per stay", d.after,
		float64(d.bytes)/float64(stays), float64(d.took.Microseconds())/float64(stays), float64(d.wal)/float64(stays))

	for _, table := range d.tables {
		say("    %s", table)
	}
	return nil
}

// pruneAll takes all stays through a stage, in pages as retention does, without its rests.
func pruneAll(ctx context.Context, s *store.Store, stage, stays int) error {
	const page = 200
	later := time.Now().AddDate(20, 0, 0)
	for left := stays; left > 0; {
		n, err := s.Retention.PruneStays(ctx, stage, later, later, page)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%d stays can't be taken through stage %d", left, stage)
		}
		left -= n
	}
	return nil
}

// written is what was written to the WAL meanwhile, and how long it took.
func written(ctx context.Context, db *pgx.Conn, do func() error) (bytes int64, took time.Duration, err error) {
	if _, err := db.Exec(ctx, `CHECKPOINT`); err != nil {
		return 0, 0, err
	}
	var from string
	if err := db.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&from); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := do(); err != nil {
		return 0, 0, err
	}
	took = time.Since(began)
	err = db.QueryRow(ctx, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::pg_lsn)::bigint`, from).Scan(&bytes)
	return bytes, took, err
}

// dropCopies drops what a partition of each large table would be.
func dropCopies(ctx context.Context, db *pgx.Conn, stays int) error {
	for _, table := range []string{"events", "event_results", "timeline"} {
		if _, err := db.Exec(ctx, fmt.Sprintf(
			`CREATE TABLE dropped (LIKE %s INCLUDING INDEXES INCLUDING STORAGE);
			INSERT INTO dropped SELECT * FROM %[1]s`,
			pgx.Identifier{table}.Sanitize())); err != nil {
			return err
		}
		wal, took, err := written(ctx, db, func() error {
			_, err := db.Exec(ctx, `DROP TABLE dropped`)
			return err
		})
		if err != nil {
			return err
		}
		say("dropping a partition of %s with %d stays: %s and %d bytes of WAL", table, stays,
			took.Round(100*time.Microsecond), wal)
	}
	return nil
}
