package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// accepted is one round of everything about accepting, by name.
type accepted struct {
	pgbench, plain, nothing, one       float64 // a second
	burst, sustained, drained, repeats float64
	burstLoad, sustainedLoad           load
	idle, commit                       float64 // microseconds
	peak, backlog                      int
	// the last round waits until all is applied: half a minute is enough once
	drains bool
}

// accept measures how fast events are made durable.
func (b acceptance) accept(ctx context.Context) error {
	rounds := make([]accepted, b.rounds)
	for i := range rounds {
		rounds[i].drains = i == len(rounds)-1
		say("accept, round %d of %d", i+1, b.rounds)
		// What a burst is compared with is measured before and after it: a machine that others share has fast minutes.
		for _, measure := range []func(context.Context, *accepted) error{
			b.inPgbench, b.inNothing, b.inOne, b.alone,
			b.inBurst, b.inRepeats,
			b.inPgbench, b.inNothing,
		} {
			if err := measure(ctx, &rounds[i]); err != nil {
				return err
			}
		}
	}

	of := func(pick func(accepted) float64) float64 {
		values := make([]float64, len(rounds))
		for i, r := range rounds {
			values[i] = pick(r)
		}
		return median(values)
	}

	latency := func(pick func(accepted) int64) string {
		values := make([]int64, len(rounds))
		for i, r := range rounds {
			values[i] = pick(r)
		}
		return milliseconds(time.Duration(median(values)) * time.Microsecond)
	}

	against := func(what string, pick, base func(accepted) float64, name, target string, p50,
		p99 func(accepted) int64,
	) {
		l := line{
			what: what, value: fmt.Sprintf("%.0f/s", of(pick)), against: name,
			base: fmt.Sprintf("%.0f/s", of(base)), target: target,
		}
		// The ratio of each round, not of the medians: what else the machine did, it did to both.
		l.ratio = fmt.Sprintf("%.2f", of(func(r accepted) float64 { return pick(r) / base(r) }))
		if p50 != nil {
			l.p50, l.p99 = latency(p50), latency(p99)
		}
		b.add(l)
	}

	burst := func(r accepted) float64 { return r.burst }
	burst50, burst99 := func(r accepted) int64 { return r.burstLoad.P50 },
		func(r accepted) int64 { return r.burstLoad.P99 }
	name := fmt.Sprintf("accepted in a burst of %.0f s", b.burst.Seconds())

	against(name, burst, func(r accepted) float64 { return r.pgbench },
		"(a) pgbench, the same statement, one row at a time", "at least 1.0", burst50, burst99)
	against(name, burst, func(r accepted) float64 { return r.plain }, "(a') pgbench, only the row in events",
		"", burst50, burst99)
	against(name, burst, func(r accepted) float64 { return r.nothing },
		"(b) the same HTTP stack, verifying, storing nothing", "at least 0.40", burst50, burst99)
	against(name, burst, func(r accepted) float64 { return r.one }, "(c) one transaction per request",
		"", burst50, burst99)
	against("accepted = applied, after the burst", func(r accepted) float64 { return r.sustained },
		func(r accepted) float64 { return r.pgbench }, "(a)", "at least 0.4",
		func(r accepted) int64 { return r.sustainedLoad.P50 }, func(r accepted) int64 { return r.sustainedLoad.P99 })

	last := rounds[len(rounds)-1]
	b.add(line{
		what: "applied, no other load", value: fmt.Sprintf("%.0f/s", last.drained), against: "(a)",
		base: fmt.Sprintf("%.0f/s", last.pgbench), ratio: fmt.Sprintf("%.2f", last.drained/last.pgbench),
	})

	b.note("the backlog of the last round, %d events, was applied in %.0f s", last.backlog,
		float64(last.backlog)/last.drained)
	against("accepted, 30 % of them duplicates", func(r accepted) float64 { return r.repeats }, burst,
		"the burst", "", nil, nil)

	micros := func(pick func(accepted) float64) string {
		return milliseconds(time.Duration(of(pick)) * time.Microsecond)
	}
	b.add(line{
		what: "a single event, idle server", value: micros(func(r accepted) float64 { return r.idle }),
		against: "pgbench, a single row as often",
		base:    micros(func(r accepted) float64 { return r.commit }), ratio: fmt.Sprintf("%.2f",
			of(func(r accepted) float64 { return r.idle / r.commit })), target: "under 2",
	})

	b.note("the server's memory at its peak: %.0f MiB", of(func(r accepted) float64 { return float64(r.peak) }))
	return nil
}

// stock measures a burst, and accepting what is applied, with Postgres' own settings. The Postgres of the run is not
// used meanwhile.
func (b acceptance) stock(ctx context.Context) error {
	rig, err := b.another(ctx, nil)
	if err != nil {
		return err
	}
	defer rig.stopPostgres()
	own := b
	own.bench = b.on(rig)
	own.rounds = 1
	var r accepted
	for _, measure := range []func(context.Context, *accepted) error{own.inPgbench, own.inBurst, own.inPgbench} {
		if err := measure(ctx, &r); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		what string
		rate float64
		goal string
	}{
		{"with stock settings: accepted in a burst", r.burst, "at least 1.0"},
		{"with stock settings: accepted = applied", r.sustained, "at least 0.4"},
	} {
		b.add(line{
			what: l.what, value: fmt.Sprintf("%.0f/s", l.rate), against: "(a), with stock settings",
			base: fmt.Sprintf("%.0f/s", r.pgbench), ratio: fmt.Sprintf("%.2f", l.rate/r.pgbench), target: l.goal,
		})
	}
	return nil
}

// idleRate is how many single events a second an idle server gets: between two of them, processors fall asleep.
const idleRate = 20

// What pgbench inserts: the statement of store.Events.Insert for an event that waits, with one row.
const (
	plainInsert = `INSERT INTO events (event_id, source, event_key, type, reservation_id, listing_id, urgent,
		occurred_at, received_at, body)
 VALUES (gen_random_uuid(), 'default', gen_random_uuid()::text, 'reservation.created', gen_random_uuid()::text,
 	'listing-' || :n, false, now(), now(), '%[1]s'::bytea)
 ON CONFLICT (source, event_key) WHERE event_key IS NOT NULL DO NOTHING`
	sameInsert = `WITH stored AS (` + plainInsert + ` RETURNING seq, event_id, source, type, reservation_id, listing_id,
		urgent, octet_length(body) AS bytes)
 INSERT INTO event_queue (seq, event_id, source, type, reservation_id, listing_id, urgent, bytes)
 SELECT seq, event_id, source, type, reservation_id, listing_id, urgent, bytes FROM stored RETURNING event_id`
)

// pgbench runs a statement on a database and returns how often a second, and how long each takes. On a machine that is
// too busy to run it once, it tries again for longer.
func (b acceptance) pgbench(ctx context.Context, database, statement string, clients, rate int,
	lasts time.Duration,
) (perSecond, micros float64, err error) {
	script := filepath.Join(b.dir, "insert.sql")
	oneLine := strings.ReplaceAll(fmt.Sprintf(statement, strings.Repeat("x", 1000)), "\n", " ")
	if err := os.WriteFile(script, []byte("\\set n random(1, "+strconv.Itoa(listings)+")\n"+oneLine+";\n"),
		0o600); err != nil {
		return 0, 0, err
	}

	args := []string{
		"-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)), "-f", script,
	}
	if rate > 0 {
		args = append(args, "-R", strconv.Itoa(rate))
	}

	for seconds := max(int(lasts.Seconds()), 1); ; seconds *= 2 {
		out, err := exec.CommandContext(ctx, "pgbench", append(args, "-T", strconv.Itoa(seconds),
			b.dsn(database))...).CombinedOutput() // #nosec G204 -- our own arguments
		if err != nil {
			return 0, 0, fmt.Errorf("pgbench: %w: %s", err, lastLine(out))
		}
		if perSecond, micros, found := readPgbench(out); found {
			return perSecond, micros, nil
		}
		if seconds >= pgbenchAtMost {
			return 0, 0, fmt.Errorf("pgbench: nothing was inserted in %d s: %s", seconds, out)
		}
	}
}

// pgbenchAtMost is how many seconds pgbench gets to run a statement at all.
const pgbenchAtMost = 16

// readPgbench reads pgbench's report. One about no transactions has neither of the numbers, and found is false.
func readPgbench(report []byte) (perSecond, micros float64, found bool) {
	// with a rate, after the time that was due
	m := regexp.MustCompile(`latency average = ([0-9.]+) ms[\s\S]*tps = ([0-9.]+)`).FindSubmatch(report)
	if m == nil {
		return 0, 0, false
	}
	average, _ := strconv.ParseFloat(string(m[1]), 64)
	perSecond, _ = strconv.ParseFloat(string(m[2]), 64)
	return perSecond, average * 1000, perSecond > 0
}

func (b acceptance) inPgbench(ctx context.Context, r *accepted) error {
	name, db, err := b.database(ctx, "migrated")
	if err != nil {
		return err
	}
	defer b.drop(ctx, name, db)
	same, _, err := b.pgbench(ctx, name, sameInsert, connections, 0, b.burst/4)
	if err != nil {
		return err
	}
	plain, _, err := b.pgbench(ctx, name, plainInsert, connections, 0, b.compared/4)
	if err != nil {
		return err
	}
	_, commit, err := b.pgbench(ctx, name, sameInsert, 1, idleRate, b.compared/4)
	if err != nil {
		return err
	}
	r.pgbench, r.plain = between(r.pgbench, same), between(r.plain, plain)
	r.commit = between(r.commit, commit)
	return nil
}

// between is the mean of what was measured before, if it was, and what is measured now.
func between(before, now float64) float64 {
	if before == 0 {
		return now
	}
	return (before + now) / 2
}

// role runs a server to compare with under the load.
func (b acceptance) role(ctx context.Context, role, database string) (load, error) {
	self, err := os.Executable()
	if err != nil {
		return load{}, err
	}
	p, err := b.start(ctx, self, []string{"DATABASE_URL=" + b.dsn(database)}, "-role", role)
	if err != nil {
		return load{}, err
	}
	l, err := b.wrk(ctx, p.url, connections, b.compared, 0, posts{})
	if stopErr := p.stop(); err == nil {
		err = stopErr
	}
	return l, err
}

func (b acceptance) inNothing(ctx context.Context, r *accepted) error {
	l, err := b.role(ctx, roleNothing, "migrated")
	r.nothing = between(r.nothing, l.perSecond())
	return err
}

func (b acceptance) inOne(ctx context.Context, r *accepted) error {
	name, db, err := b.database(ctx, "migrated")
	if err != nil {
		return err
	}
	defer b.drop(ctx, name, db)
	l, err := b.role(ctx, roleOne, name)
	r.one = l.perSecond()
	return err
}

// inBurst posts for as long as a burst lasts, continues after it, and waits until all is applied.
func (b acceptance) inBurst(ctx context.Context, r *accepted) error {
	return b.intakeRig(ctx, b.replicas, func(db *pgx.Conn, servers []*program) (err error) {
		b.profile(ctx, servers[0], "burst", b.burst/2)
		if r.burstLoad, err = b.watched(ctx, db, servers, b.burst); err != nil {
			return err
		}
		r.burst = r.burstLoad.perSecond()

		if _, err = b.post(ctx, db, servers, b.settle, posts{}); err != nil {
			return err
		}
		before, err := backlog(ctx, db)
		if err != nil {
			return err
		}
		b.profile(ctx, servers[0], "sustained", b.sustained/2)
		if r.sustainedLoad, err = b.watched(ctx, db, servers, b.sustained); err != nil {
			return err
		}
		waiting, err := backlog(ctx, db)
		if err != nil {
			return err
		}
		// What was accepted beyond what was applied does not count.
		took := float64(r.sustainedLoad.Micros) / 1e6
		r.sustained = (float64(r.sustainedLoad.Requests-r.sustainedLoad.Refused) - max(float64(waiting-before),
			0)) / took
		for _, s := range servers {
			r.peak = max(r.peak, s.peak())
		}
		if !r.drains {
			return nil
		}

		began := time.Now()
		if err := b.awaitApplied(ctx, db); err != nil {
			return err
		}
		r.drained, r.backlog = float64(waiting)/time.Since(began).Seconds(), waiting
		say("burst: %.0f/s, p99 %.1f ms; backlog %d, then %.0f/s and %d; drained in %.1f s", r.burst,
			float64(r.burstLoad.P99)/1000, before, r.sustained, waiting, time.Since(began).Seconds())
		var applied, stays int
		if err := db.QueryRow(ctx, `SELECT (SELECT count(*) FROM event_results WHERE status = 'applied'),
			(SELECT count(*) FROM reservations)`).Scan(&applied, &stays); err != nil {
			return err
		}
		if applied != stays {
			return fmt.Errorf("%d events applied made %d reservations", applied, stays)
		}
		return nil
	})
}

// inRepeats posts a load of which three in ten are duplicates.
func (b acceptance) inRepeats(ctx context.Context, r *accepted) error {
	return b.intakeRig(ctx, 1, func(db *pgx.Conn, servers []*program) error {
		l, err := b.post(ctx, db, servers, b.compared, posts{repeated: 30})
		r.repeats = l.perSecond()
		return err
	})
}

// alone posts single events to an idle server.
func (b acceptance) alone(ctx context.Context, r *accepted) error {
	return b.intakeRig(ctx, 1, func(_ *pgx.Conn, servers []*program) error {
		l, err := b.wrk(ctx, servers[0].url, 1, b.compared/2, time.Second/idleRate, posts{})
		r.idle = float64(l.P50)
		return err
	})
}
