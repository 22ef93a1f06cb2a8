package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// intakeRig is servers with listings known, workers running, on a simulated Seam that takes 80 ms per call.
func (b webhooks) intakeRig(ctx context.Context, replicas int,
	measure func(db *pgx.Conn, servers []*program) error, env ...string,
) error {
	name, db, err := b.database(ctx, "migrated")
	if err != nil {
		return err
	}

	defer b.drop(ctx, name, db)
	if err := addListings(ctx, db); err != nil {
		return err
	}

	_, seam, err := simulatedSeam(80 * time.Millisecond)
	if err != nil {
		return err
	}
	defer seam.Close()

	var servers []*program
	defer func() {
		for _, s := range servers {
			_ = s.stop()
		}
	}()

	for range replicas {
		s, err := b.server(ctx, name, seam.URL, env...)
		if err != nil {
			return err
		}
		servers = append(servers, s)
	}
	return measure(db, servers)
}

func addListings(ctx context.Context, db *pgx.Conn) error {
	_, err := db.Exec(ctx, `
		INSERT INTO listings (source, listing_id, known, name, acs_system_id, access_group_ids, version_at, version_seq,
			created_at, updated_at)
		SELECT 'default', 'listing-' || n, true, 'Listing ' || n, $2, ARRAY[$3], now(), 0, now(),
			now() + n * interval '1 microsecond' FROM generate_series(1, $1) n`,
		listings, system, group)
	return err
}

// post posts events to all servers at once, and counts what is lost of those that were acknowledged.
func (b webhooks) post(ctx context.Context, db *pgx.Conn, servers []*program, lasts time.Duration,
	what posts,
) (load, error) {
	var before, after int
	if err := db.QueryRow(ctx, `SELECT count(*) FROM events`).Scan(&before); err != nil {
		return load{}, err
	}

	loads, errs := make([]load, len(servers)), make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { loads[i], errs[i] = b.wrk(ctx, s.url, connections/len(servers), lasts, 0, what) })
	}
	wg.Wait()

	total := loads[0]
	for i, l := range loads {
		if errs[i] != nil {
			return load{}, errs[i]
		}
		if i > 0 {
			total.Requests, total.Refused = total.Requests+l.Requests, total.Refused+l.Refused
			total.wrk += l.wrk
			total.P50, total.P99 = max(total.P50, l.P50), max(total.P99, l.P99)
		}
	}

	if err := db.QueryRow(ctx, `SELECT count(*) FROM events`).Scan(&after); err != nil {
		return load{}, err
	}
	if lost := total.Requests - total.Refused - (after - before); what.repeated == 0 && lost > 0 {
		b.lost += lost
	}
	return total, nil
}

// watched is post, and reports who used the processors.
func (b webhooks) watched(ctx context.Context, db *pgx.Conn, servers []*program, lasts time.Duration) (l load,
	err error,
) {
	err = b.watch(ctx, db, servers, func() (what string, events int, err error) {
		l, err = b.post(ctx, db, servers, lasts, posts{})
		return fmt.Sprintf("accepted, and %.0f µs of wrk", float64(l.wrk.Microseconds())/float64(max(l.Requests, 1))),
			l.Requests, err
	})
	return l, err
}

// watch does something with events, and reports how much processor time each of them took.
func (b webhooks) watch(ctx context.Context, db *pgx.Conn, servers []*program,
	do func() (what string, events int, err error),
) error {
	used := func() (server, postgres time.Duration, err error) {
		for _, s := range servers {
			server += s.processorTime()
		}
		postgres, err = postgresTime(ctx, db)
		return server, postgres, err
	}

	server, postgres, err := used()
	if err != nil {
		return err
	}
	began := time.Now()
	what, events, err := do()
	if err != nil {
		return err
	}
	took := time.Since(began)
	serverAfter, postgresAfter, err := used()
	each := func(d time.Duration) string {
		return fmt.Sprintf("%.0f µs", float64(d.Microseconds())/float64(max(events, 1)))
	}
	both := serverAfter - server + postgresAfter - postgres
	say("processor time for each of %d events %s: server %s, Postgres %s; together %.2f of %d processors", events,
		what, each(serverAfter-server), each(postgresAfter-postgres), both.Seconds()/took.Seconds(), runtime.NumCPU())
	return err
}

func backlog(ctx context.Context, db *pgx.Conn) (n int, err error) {
	err = db.QueryRow(ctx, `SELECT count(*) FROM event_queue`).Scan(&n)
	return n, err
}

// awaitApplied waits until no event waits.
func (b webhooks) awaitApplied(ctx context.Context, db *pgx.Conn) error {
	for {
		left, err := backlog(ctx, db)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
