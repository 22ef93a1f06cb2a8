package main

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/staykey/staykey/internal/store/storetest"
)

// shiftClock has a database tell the time otherwise: Postgres finds our functions before its own. Sessions that are
// open are ended.
func shiftClock(t *testing.T, dsn, by string) {
	t.Helper()
	conn, err := pgconn.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(context.Background(), `
		CREATE SCHEMA IF NOT EXISTS shifted;
		CREATE OR REPLACE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$
			SELECT pg_catalog.clock_timestamp() + interval '`+by+`' $$;
		CREATE OR REPLACE FUNCTION shifted.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
			SELECT pg_catalog.now() + interval '`+by+`' $$;
		DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = shifted, public,
			pg_catalog', current_database()); END $$;
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
}

func sweeps(p *process) int { return strings.Count(p.log.String(), `"msg":"swept"`) }

// TestWrongClockStopsTheSweep shows a service a database whose clock is two hours off: it is not ready, sweeps no more,
// and does again when the clocks agree.
func TestWrongClockStopsTheSweep(t *testing.T) {
	t.Parallel()
	dsn := storetest.DSN(t)
	_, env := simulated(t, dsn)
	p := launch(t, append(env, "STAYKEY_SWEEP_INTERVAL=1s"))
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "issued")
	waitUntil(t, "a sweep", func() bool { return sweeps(p) > 0 })
	shiftClock(t, dsn, "2 hours")
	waitUntil(t, "not ready because of the clock",
		func() bool { return p.metric(`staykey_not_ready{cause="clock"}`) == "1" })
	// One that had begun may end. Readiness looks each second, as often as a sweep is due: while it has looked three
	// times, no other ends.
	swept := sweeps(p)
	offsets := 0
	for last := ""; offsets < 3; {
		if offset := p.metric("staykey_clock_offset_seconds"); offset != last {
			last, offsets = offset, offsets+1
		}
	}
	if now := sweeps(p); now > swept+1 {
		t.Errorf("%d sweeps by a wrong clock", now-swept)
	}
	if state := p.metric("staykey_ready"); state != "0" {
		t.Errorf("ready with a wrong clock: %s", state)
	}
	shiftClock(t, dsn, "0 s")
	swept = sweeps(p)
	waitUntil(t, "ready again, and a sweep", func() bool {
		return p.metric("staykey_ready") == "1" &&
			sweeps(p) > swept
	})
}
