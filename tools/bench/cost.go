package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// This file measures what one event and one stay cost: what is written, how often Postgres is asked, and processor
// time. Except for the last, these are counts, which a busy machine doesn't change.
//
// Each phase runs in a process of its own, on a Postgres that nothing else uses and whose log of changes (WAL) is read
// afterwards: it records each row and each index entry.

// costSettings have Postgres count, and do nothing on its own account.
var costSettings = []string{
	"shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_planning=on", "autovacuum=off",
}

// costPhase is a part of the life of a stay. Each finds what the ones before it have left.
type costPhase struct {
	name  string
	units int
	// prepare is not measured; nil for nothing
	prepare func(context.Context, *pgx.Conn) error
	// run does the work through a connection string, and returns the processor time of the process that did it
	run func(context.Context, *pgx.Conn, string) (time.Duration, error)
}

// cost measures what an event and a stay cost.
func (b costs) cost(ctx context.Context) error {
	rig, name, db, done, err := b.apart(ctx, slices.Concat(b.settings, costSettings))
	if err != nil {
		return err
	}
	defer done()
	own := b
	own.bench = b.on(rig)

	for _, extension := range []string{"pg_stat_statements", "pg_walinspect"} {
		if _, err := db.Exec(ctx, `CREATE EXTENSION `+extension); err != nil {
			return fmt.Errorf("extension %s, of the contrib modules of Postgres 15 or newer: %w", extension, err)
		}
	}
	for _, p := range own.costPhases() {
		c, err := own.measureCost(ctx, name, db, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		say("%s: %s", p.name, c)
		for _, detail := range append(c.relations, c.statementsBy...) {
			say("    %s", detail)
		}
		b.costs = append(b.costs, c)
	}
	return nil
}

// apart starts a Postgres for one part, so that nothing else is counted, and returns a rig with it and a migrated
// database of it that has the listings. done ends them.
func (r *rig) apart(ctx context.Context, settings []string) (own *rig, name string, db *pgx.Conn, done func(),
	err error,
) {
	if own, err = r.another(ctx, settings); err != nil {
		return nil, "", nil, nil, err
	}
	if name, db, err = own.database(ctx, "migrated"); err == nil {
		err = addListings(ctx, db)
	}
	done = own.stopPostgres // which ends its connections, too
	if err != nil {
		done()
		return nil, "", nil, nil, err
	}
	return own, name, db, done, nil
}

func (b costs) costPhases() []costPhase {
	role := func(name string) func(context.Context, *pgx.Conn, string) (time.Duration, error) {
		return func(ctx context.Context, _ *pgx.Conn, dsn string) (time.Duration, error) {
			return inRole(ctx, dsn, name, b.costEvents)
		}
	}
	var idle time.Duration
	return []costPhase{
		{name: "a new stay's event, accepted", units: b.costEvents, run: role(roleAccept)},
		{name: "a new stay's event, applied", units: b.costEvents, run: role(roleApply)},
		{
			name: "a key issued, Seam at 0 ms per call", units: b.costKeys,
			prepare: func(ctx context.Context, db *pgx.Conn) (err error) {
				if idle, err = b.keysIssued(ctx, nil, b.dsn("migrated")); err != nil {
					return err
				}
				// Only so many are due; the others wait forever.
				_, err = db.Exec(ctx, `UPDATE mobile_keys SET queued = false, next_reconcile_at = NULL
					WHERE (source, reservation_id) IN (SELECT source, reservation_id FROM mobile_keys
						ORDER BY source, reservation_id OFFSET $1)`, b.costKeys)
				return err
			},
			// What a server with nothing to do takes to start and to stop is not counted.
			run: func(ctx context.Context, db *pgx.Conn, dsn string) (time.Duration, error) {
				took, err := b.keysIssued(ctx, db, dsn)
				return took - idle, err
			},
		},
		{name: "new dates of a stay, accepted", units: b.costEvents, run: role(roleChange)},
		{name: "new dates of a stay, applied", units: b.costEvents, run: role(roleApply)},
	}
}

// inRole runs this program in a role on a database, for so many events, and returns its processor time.
func inRole(ctx context.Context, dsn, role string, events int) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, "-role", role, "-stays", strconv.Itoa(events)) // #nosec G204 -- ourselves
	cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, lastLine(out))
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// keysIssued runs the built server until its keys are issued, and returns its processor time. Without a connection
// to look for keys it is stopped at once.
func (b costs) keysIssued(ctx context.Context, db *pgx.Conn, dsn string) (time.Duration, error) {
	_, seam, err := simulatedSeam(0)
	if err != nil {
		return 0, err
	}
	defer seam.Close()
	p, err := b.serverOn(ctx, dsn, seam.URL, "STAYKEY_WORKERS="+strconv.Itoa(drainWorkers))
	if err != nil {
		return 0, err
	}
	if db != nil {
		b.profile(ctx, p, "cost", 5*time.Second)
		err = b.awaitKeys(ctx, db, b.costKeys)
	}
	if stopErr := p.stop(); err == nil {
		err = stopErr
	}
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime(), err
}

// awaitKeys waits until so many keys are issued. It asks seldom, and for what an index knows, because its questions
// count too.
func (b costs) awaitKeys(ctx context.Context, db *pgx.Conn, wanted int) error {
	if _, err := db.Exec(ctx, `SET enable_seqscan = off`); err != nil {
		return err
	}
	for left, began := wanted, time.Now(); left > 0; {
		if time.Since(began) > 10*time.Minute {
			return fmt.Errorf("%d of %d keys are not issued after 10 minutes", left, wanted)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
		if err := db.QueryRow(ctx,
			`SELECT count(*) FROM mobile_keys WHERE queued`).Scan(&left); err != nil {
			return err
		}
	}
	var issued int
	err := db.QueryRow(ctx, `SELECT count(*) FROM mobile_keys WHERE status = 'issued'`).Scan(&issued)
	if err == nil && issued != wanted {
		err = fmt.Errorf("%d of %d keys are issued", issued, wanted)
	}
	return err
}

// measureCost runs a phase and measures it.
func (b costs) measureCost(ctx context.Context, name string, db *pgx.Conn, p costPhase) (c cost, err error) {
	if p.prepare != nil {
		if err := p.prepare(ctx, db); err != nil {
			return c, err
		}
	}

	for _, statement := range []string{
		`VACUUM ANALYZE`, `CHECKPOINT`, `SELECT pg_stat_statements_reset()`, `SELECT pg_stat_reset()`,
	} {
		if _, err := db.Exec(ctx, statement); err != nil {
			return c, err
		}
	}

	w, err := newWire(b.dsn(name))
	if err != nil {
		return c, err
	}
	defer w.close()

	var from string
	if err := db.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&from); err != nil {
		return c, err
	}

	before, err := postgresTime(ctx, db)
	if err != nil {
		return c, err
	}

	c.name, c.units = p.name, float64(p.units)
	if c.server, err = p.run(ctx, db, w.dsn); err != nil {
		return c, err
	}

	after, err := postgresTime(ctx, db)
	if err != nil {
		return c, err
	}

	c.postgres, c.trips = after-before, float64(w.trips.Load())
	return c, c.read(ctx, db, from)
}
