//go:build drills

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/staykey/staykey/internal/localpg"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// smallDisk mounts a file system of its own, in memory. It needs root.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a disk that is really full needs root: sudo make drills")
	}
	dir, err := os.MkdirTemp("", "staykey-disk-") // where Postgres' own account can get to
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size="+size); err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill leaves no room on a disk; what it returns makes room again.
func fill(t *testing.T, disk string) (empty func()) {
	t.Helper()
	name := filepath.Join(disk, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size >= 512; size /= 2 {
		for block := make([]byte, size); ; {
			if _, err := f.Write(block); err != nil {
				break
			}
		}
	}
	_ = f.Close()
	return func() { _ = os.Remove(name) }
}

// startWithWALAt starts a Postgres whose WAL is elsewhere.
func startWithWALAt(t *testing.T, dir, wal string) *localpg.Server {
	t.Helper()
	small := []string{"max_wal_size=48MB", "min_wal_size=32MB", "checkpoint_timeout=30s", "wal_recycle=off"}
	start := func() *localpg.Server {
		server, err := localpg.Start(context.Background(), localpg.Options{Dir: dir, Settings: small})
		if err != nil {
			t.Fatalf("no Postgres for this drill: %v", err)
		}
		t.Cleanup(func() { _ = server.Stop() })
		return server
	}
	server := start()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(server.Dir(), "data", "pg_wal")
	if out, err := drillCommand(t, "cp", "-a", from, wal); err != nil {
		t.Fatalf("copy the WAL: %v %s", err, out)
	}
	if err := os.RemoveAll(from); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(wal, "pg_wal"), from); err != nil {
		t.Fatal(err)
	}
	return start()
}

// drillDir is a directory that Postgres' own account can get to.
func drillDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "staykey-drill-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func drillFullDisk(t *testing.T) string {
	disk := smallDisk(t, "160m")
	server := startWithWALAt(t, filepath.Join(disk, "postgres"), drillDir(t))
	d := newDrill(t, server.DSN(), 2)
	full := time.Now()
	empty := fill(t, disk)
	refused := d.first(http.StatusServiceUnavailable, full)
	named := refused + d.notReady(d.any(), store.CauseDiskFull)
	during(30*time.Second - min(time.Since(full), 30*time.Second))
	during30 := d.since(full.Add(refused))
	empty()
	again := d.first(http.StatusAccepted, time.Now())
	ready := d.isReady(d.any())
	return fmt.Sprintf(
		"503 after %s (%s), not ready with the cause after %s; 202 again %s after space, ready %s later; %s",
		seconds(refused), during30, seconds(named), seconds(again), seconds(ready), d.settle("full disk"))
}

func drillFullWAL(t *testing.T) string {
	disk, dir := smallDisk(t, "112m"), drillDir(t)
	server := startWithWALAt(t, dir, disk)
	d := newDrill(t, server.DSN(), 2)
	before := d.lines()
	full := time.Now()
	empty := fill(t, disk)
	refused := d.first(http.StatusServiceUnavailable, full)
	named := refused + d.notReady(d.any(), store.CauseUnreachable, store.CauseDiskFull)
	waitUntil(t, "Postgres to end", func() bool {
		conn, err := pgconn.Connect(context.Background(), server.DSN())
		if err == nil {
			_ = conn.Close(context.Background())
		}
		return err != nil
	})
	down := time.Now()
	during(20 * time.Second)
	lines := float64(d.lines()-before) / time.Since(down).Seconds() / 2
	empty()
	_ = server.Stop()
	server, err := localpg.Start(context.Background(), localpg.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	u, err := url.Parse(server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	d.db.lead(u.Host)
	again := d.first(http.StatusAccepted, time.Now())
	return fmt.Sprintf(
		"503 after %s, not ready with the cause after %s; 202 again %s after the start; %.1f log lines a second and replica; %s",
		seconds(refused), seconds(named), seconds(again), lines, d.settle("full WAL"))
}

func drillSlow(t *testing.T) string {
	d := newDrill(t, storetest.ServiceDSN(t), 2)
	d.db.slow(300 * time.Millisecond)
	began, failed := time.Now(), 0
	var slowest time.Duration
	for time.Since(began) < 30*time.Second {
		asked := time.Now()
		if status, _ := d.any().probe(); status != http.StatusOK {
			failed++
		}
		slowest = max(slowest, time.Since(asked))
		during(200 * time.Millisecond)
	}
	got := d.since(began.Add(time.Second))
	d.db.slow(0)
	return fmt.Sprintf("%s; slowest probe %s, %d failed; %s", got, seconds(slowest), failed, d.settle("slow"))
}

func drillLockedTables(t *testing.T) string {
	dsn := storetest.ServiceDSN(t)
	d := newDrill(t, dsn, 2)
	admin := openSession(t, dsn)
	var parts []string
	for _, table := range []string{"reservations", "mobile_keys", "events", "acs_users"} {
		began, probes, failed := time.Now(), 0, 0
		admin.do(`BEGIN`, `LOCK TABLE `+table+` IN ACCESS EXCLUSIVE MODE`)
		for ; time.Since(began) < 30*time.Second; probes++ {
			if status, _ := d.any().probe(); status != http.StatusOK {
				failed++
			}
			during(200 * time.Millisecond)
		}
		got := d.since(began.Add(100 * time.Millisecond))
		admin.do(`COMMIT`)
		readiness := "ready all the time"
		if failed > 0 {
			readiness = fmt.Sprintf("%d of %d probes not ready", failed, probes)
		}
		// A busy machine may cost a probe or two; most of them say what the service makes of the lock.
		if wanted := table == "events"; wanted != (2*failed > probes) {
			t.Errorf("%s is locked: %d of %d probes failed", table, failed, probes)
		}
		d.isReady(d.any())
		d.busy(10)
		parts = append(parts, fmt.Sprintf("%s: %s, %s", table, got, readiness))
	}
	return strings.Join(append(parts, d.settle("locked tables")), "; ")
}

func drillLockedRow(t *testing.T) string {
	dsn := storetest.ServiceDSN(t)
	d := newDrill(t, dsn, 2)
	d.reserve("held", "A", "held", 3)
	d.any().until("held", "issued")
	admin := openSession(t, dsn)
	admin.do(`BEGIN`, `SELECT FROM reservations WHERE reservation_id = 'held' FOR UPDATE`)
	began := time.Now()
	for range 5 { // both replicas' appliers meet it
		go d.reserve("held", "B", "held", 4)
		during(time.Second)
	}
	var slowest time.Duration
	arrivals := 0
	for ; time.Since(began) < 55*time.Second; arrivals++ {
		booked := time.Now()
		id := fmt.Sprintf("arrival-%d", arrivals)
		d.reserve(id, "A2", id, 2)
		d.any().until(id, "issued") // the row is locked until all have theirs: one that waits for it fails here
		slowest = max(slowest, time.Since(booked))
		during(time.Second)
	}
	log := ""
	for _, p := range d.replicas {
		log += p.log.String()
	}
	named := "the log does not name who holds it"
	if strings.Contains(log, "waits_for") {
		named = "the log names the row and who holds it"
	} else {
		t.Error(named)
	}
	admin.do(`COMMIT`)
	freed := time.Now()
	waitUntil(t, "the held stay to follow", func() bool {
		u := d.sim.State().UsersNamed("held")
		return len(u) == 1 && len(u[0].GroupIDs) == 1 && u[0].GroupIDs[0] == "b-1"
	})
	return fmt.Sprintf(
		"%d arrivals booked meanwhile had a key after %s at most; %s; the held stay follows %s after the lock; %s",
		arrivals, seconds(slowest), named, seconds(time.Since(freed)), d.settle("locked row"))
}

// drillConnections takes every connection that is free, and each that becomes free: a pool gives its own back now and
// then, and the third replica, which asks for a place for half a minute, would get that one and be ready.
func drillConnections(t *testing.T) string {
	server, err := localpg.Start(context.Background(), localpg.Options{
		Dir:      drillDir(t),
		Settings: []string{"max_connections=50"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	d := newDrill(t, server.DSN(), 2)
	h := hogConnections(t, server.DSN())
	waitUntil(t, "all connections to be in use", func() bool { return h.full.Load() })
	began := time.Now()
	third := tryStart(t, d.env)
	took := time.Since(began)
	got := d.since(began)
	outcome := fmt.Sprintf("a third replica ends after %s with the cause", seconds(took))
	select {
	case <-third.done:
		if last := lastLine(third.log.String()); !strings.Contains(last, "too many clients") &&
			!strings.Contains(last, "remaining connection slots") {
			t.Errorf("the third replica doesn't name the cause: %s", last)
		}
	default: // it was faster than the hog
		outcome = fmt.Sprintf("a third replica found free ones after %s", seconds(took))
		_ = third.cmd.Process.Signal(syscall.SIGTERM)
		third.ended("the third replica to stop")
	}
	taken := h.release()
	return fmt.Sprintf("%s; %s; %d connections taken by others; %s", got, outcome, taken, d.settle("connections"))
}

// hog holds connections of a Postgres.
type hog struct {
	full    atomic.Bool // Postgres has refused one
	stop    chan struct{}
	release func() int // returns how many it held
}

// hogConnections takes connections until it is released.
func hogConnections(t *testing.T, dsn string) *hog {
	t.Helper()
	h := &hog{stop: make(chan struct{})}
	var connections []*pgconn.PgConn
	var working sync.WaitGroup
	working.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			conn, err := pgconn.Connect(t.Context(), dsn)
			if err == nil {
				connections = append(connections, conn)
				continue
			}
			if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code == "53300" {
				h.full.Store(true)
			}
			select {
			case <-h.stop:
				return
			case <-t.Context().Done():
				return
			case <-tick.C:
			}
		}
	})
	h.release = sync.OnceValue(func() int {
		close(h.stop)
		working.Wait()
		for _, conn := range connections {
			_ = conn.Close(context.Background())
		}
		return len(connections)
	})
	t.Cleanup(func() { h.release() })
	return h
}

// tryStart starts a replica and returns when it is ready or has ended.
func tryStart(t *testing.T, env []string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return launchProgram(t, path, env)
}

func lastLine(log string) string {
	log = strings.TrimSpace(log)
	return log[strings.LastIndex(log, "\n")+1:]
}

func drillReadOnly(t *testing.T) string {
	dsn := storetest.ServiceDSN(t)
	d := newDrill(t, dsn, 2)
	admin := openSession(t, dsn)
	began := time.Now()
	admin.do(
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`, endOthers)
	refused := d.first(http.StatusServiceUnavailable, began)
	named := refused + d.notReady(d.any(), store.CauseReadOnly)
	during(20 * time.Second)
	admin.do(`SET default_transaction_read_only = off`,
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$`, endOthers)
	again := d.first(http.StatusAccepted, time.Now())
	return fmt.Sprintf("503 after %s, not ready with the cause after %s; 202 again %s after the end; %s",
		seconds(refused), seconds(named), seconds(again), d.settle("read-only"))
}

func drillSilent(t *testing.T) string {
	d := newDrill(t, storetest.ServiceDSN(t), 2)
	began := time.Now()
	d.db.set(silent)
	named := d.notReady(d.any(), store.CauseUnreachable)
	during(20*time.Second - min(time.Since(began), 20*time.Second))
	d.db.set(whole)
	again := d.first(http.StatusAccepted, time.Now())
	return fmt.Sprintf("not ready with the cause after %s; 202 again %s after the end; %s", seconds(named),
		seconds(again), d.settle("silent"))
}

func drillClock(t *testing.T) string {
	dsn := storetest.ServiceDSN(t)
	r := newCrashRig(t, dsn, 1)
	d := underLoad(r)
	var parts []string
	for _, off := range []string{"2 hours", "-2 hours", "3 minutes"} {
		shiftClock(t, dsn, off)
		named := d.notReady(d.any(), "clock")
		swept := sweeps(d.any())
		began := time.Now()
		during(10 * time.Second)                   // three intervals
		if now := sweeps(d.any()); now > swept+1 { // one was under way
			t.Errorf("it sweeps by a clock that is %s off", off)
		}
		got := d.since(began)
		shiftClock(t, dsn, "0 s")
		parts = append(parts, fmt.Sprintf(
			"%s: not ready with the cause after %s, no sweep, %s; ready %s after it is right",
			off, seconds(named), got, seconds(d.isReady(d.any()))))
	}
	return strings.Join(append(parts, d.settle("clock")), "; ")
}

// drillSoak runs for STAYKEY_DRILL_SOAK (default one minute) and measures what must not grow.
func drillSoak(t *testing.T) string {
	last := time.Minute
	if text := os.Getenv("STAYKEY_DRILL_SOAK"); text != "" {
		var err error
		if last, err = time.ParseDuration(text); err != nil {
			t.Fatalf("STAYKEY_DRILL_SOAK: %v", err)
		}
	}
	dsn := storetest.ServiceDSN(t)
	d := newDrill(t, dsn, 1)
	p := d.any()
	most := map[string]float64{}
	began, lines := time.Now(), d.lines()
	for time.Since(began) < last {
		for _, series := range []string{"process_resident_memory_bytes", "go_goroutines", "process_open_fds"} {
			if v, err := strconv.ParseFloat(p.metric(series), 64); err == nil {
				most[series] = max(most[series], v)
			}
		}
		during(time.Second)
	}
	got := d.since(began)
	perEvent := float64(d.lines()-lines) / float64(max(got.count(http.StatusAccepted), 1))
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var connections, dead int
	if err := conn.QueryRow(t.Context(),
		`SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()),
		(SELECT max(n_dead_tup) FROM pg_stat_user_tables)`).Scan(&connections, &dead); err != nil {
		t.Fatal(err)
	}
	if most["go_goroutines"] > 1000 || most["process_open_fds"] > 500 {
		t.Errorf("it grows: %v", most)
	}
	return fmt.Sprintf(
		"%s: %s; at most %.0f MB of memory, %.0f goroutines, %.0f open files; %d connections; %.1f log records per event; at most %d dead rows in a table; %s",
		last, got, most["process_resident_memory_bytes"]/1e6, most["go_goroutines"], most["process_open_fds"],
		connections, perEvent, dead, d.settle("soak"))
}
