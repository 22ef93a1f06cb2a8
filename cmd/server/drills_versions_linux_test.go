//go:build drills

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/localpg"
	"github.com/staykey/staykey/internal/store/storetest"
)

// oldVersion is the first version that was drilled.
const oldVersion = "d4a087a"

// buildOld builds the program of an older commit.
func buildOld(t *testing.T, commit string) string {
	t.Helper()
	dir := t.TempDir()
	sources, program := filepath.Join(dir, "src"), filepath.Join(dir, "staykey")
	script := `set -e; mkdir -p "$1"; git -C ../.. archive "$3" | tar -x -C "$1"; cd "$1"; go build -o "$2" ./cmd/server`
	if out, err := drillCommand(t, "bash", "-c", script, "build", sources, program, commit); err != nil {
		t.Skipf("the program of %s can't be built here: %v %s", commit, err, out)
	}
	return program
}

func drillUpgrade(t *testing.T) string {
	old, dsn := buildOld(t, oldVersion), storetest.WithServiceWaits(storetest.EmptyDSN(t))
	r := layRig(t, dsn)
	for range 2 {
		r.replicas = append(r.replicas, launchProgram(t, old, r.env))
	}
	r.furnish()
	d := underLoad(r)
	reader := openSession(t, dsn)
	reader.do(`BEGIN`,
		`LOCK TABLE events, mobile_keys, reservations, acs_users, listings, timeline IN ACCESS SHARE MODE`)
	began := time.Now()
	ready := launchSome(t, 2, d.env)
	during(45 * time.Second)
	reader.do(`COMMIT`)
	ended := time.Now()
	fresh := ready()
	migrated := time.Since(ended)
	beside := d.since(began)
	d.crashRig.mu.Lock()
	olds := slices.Clone(d.replicas)
	d.replicas = append(d.replicas, fresh...) // old and new on the new schema
	d.crashRig.mu.Unlock()
	both := time.Now()
	during(20 * time.Second)
	mixed := d.since(both)
	d.inTurn(fresh, olds) // the upgrade is taken back
	alone := time.Now()
	during(15 * time.Second)
	back := d.since(alone)
	d.inTurn(olds, launchSome(t, 2, d.env)())
	all := slices.Concat(beside, mixed, back)
	// a busy machine may miss a commit's deadline now and then
	if n := all.count(http.StatusServiceUnavailable); n > len(all)/20 {
		t.Errorf("%d of %d webhooks were refused", n, len(all))
	}
	return fmt.Sprintf(
		"the old ones meanwhile: %s; the new ones are ready %s after the reader's end; old next to new: %s; only the old ones again: %s; %s",
		beside, seconds(migrated), mixed, back, d.settle("upgrade"))
}

// inTurn has other replicas take all webhooks, and then ends those that did.
func (d *drilled) inTurn(before, after []*process) {
	d.t.Helper()
	d.crashRig.mu.Lock()
	d.replicas = after
	d.crashRig.mu.Unlock()
	for _, p := range before {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range before {
		p.ended("a replica of the other version to stop")
	}
}

// drillKilledMigration kills first starts at random moments, most of them within their migrations. The next start
// finishes them.
func drillKilledMigration(t *testing.T) string {
	const kills = 8
	_, env := simulated(t, storetest.WithServiceWaits(storetest.EmptyDSN(t)))
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	launch(t, env)
	whole := time.Since(began) // of a first start
	var versions []int64
	var slowest time.Duration
	for range kills {
		dsn := storetest.WithServiceWaits(storetest.EmptyDSN(t))
		again := slices.Concat(env, []string{"DATABASE_URL=" + dsn})
		cmd := exec.Command(path, "serve")
		cmd.Env = slices.Concat(again, []string{"STAYKEY_LISTEN=127.0.0.1:0", "STAYKEY_OPS_LISTEN=127.0.0.1:0"})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		during(rand.N(whole))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		versions = append(versions, migratedTo(t, dsn))
		began := time.Now()
		p := launch(t, again)
		slowest = max(slowest, time.Since(began))
		wholeIndexes(t, dsn)
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		p.ended("a replica to stop")
	}
	return fmt.Sprintf(
		"%d of %d next starts ready after %s at most, no unfinished index; killed within %s, at schema %v",
		kills, kills, seconds(slowest), seconds(whole), versions)
}

// migratedTo is the newest migration that a database has; 0 for none.
func migratedTo(t *testing.T, dsn string) (version int64) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	// there may be no table yet
	_ = conn.QueryRow(context.Background(), `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&version)
	return version
}

// wholeIndexes fails the drill if a migration has left an index unfinished.
func wholeIndexes(t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var torsos int
	if err := conn.QueryRow(context.Background(),
		`SELECT count(*) FROM pg_index WHERE NOT indisvalid`).Scan(&torsos); err != nil || torsos > 0 {
		t.Errorf("%d indexes are not whole: %v", torsos, err)
	}
}

// postgresProgram finds one of Postgres' own programs.
func postgresProgram(t *testing.T, name string) string {
	t.Helper()
	dir, err := localpg.FindBinaries(context.Background(), localpg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("this drill needs %s", name)
	}
	return path
}

// drillRestore goes back to a dump as docs/operations.md says: with STAYKEY_DRIFT=report until the PMS has repeated
// what came since.
func drillRestore(t *testing.T) string {
	dump, restore := postgresProgram(t, "pg_dump"), postgresProgram(t, "pg_restore")
	dsn := storetest.ServiceDSN(t)
	r := newCrashRig(t, dsn, 1)
	const stays = 8
	for i := range stays {
		r.reserve(fmt.Sprintf("stay-%d", i), "A", fmt.Sprintf("guest%d", i), 3)
	}
	r.settled()
	file := filepath.Join(t.TempDir(), "dump")
	if out, err := drillCommand(t, dump, "-Fc", "-f", file, "-d", dsn); err != nil {
		t.Fatalf("pg_dump: %v %s", err, out)
	}
	for i := range stays { // what comes after the dump: extensions and bookings
		r.reserve(fmt.Sprintf("stay-%d", i), "A", fmt.Sprintf("guest%d", i), 8)
		r.reserve(fmt.Sprintf("later-%d", i), "A2", fmt.Sprintf("later%d", i), 3)
	}
	r.settled()
	p := r.any()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.ended("the service to stop before the restore")
	users := func() map[string]string {
		ids := map[string]string{}
		for _, u := range r.sim.State().Users {
			ids[u.FullName] = u.ID
		}
		return ids
	}
	before := users()
	target := storetest.WithServiceWaits(storetest.EmptyDSN(t))
	if out, err := drillCommand(t, restore, "--no-owner", "-d", target, file); err != nil {
		t.Fatalf("pg_restore: %v %s", err, out)
	}
	openSession(t, target).do(`ANALYZE`)
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = r.db.addr()
	r.env = append(r.env, "DATABASE_URL="+u.String(), "STAYKEY_DRIFT=report")
	r.keys.Clear() // what was acknowledged after the dump is in no inbox until it is sent again
	r.sim.Forget()
	began := time.Now()
	r.restart(0)
	waitUntil(t, "three sweeps", func() bool { return sweeps(r.any()) >= 3 })
	during(5 * time.Second)
	back := 0
	for i := range stays {
		want, _ := r.truths.Load(fmt.Sprintf("stay-%d", i))
		for _, u := range r.sim.State().UsersNamed(fmt.Sprintf("stay-%d", i)) {
			if u.Schedule.EndsAt.Format("2006-01-02T15:04:05.000Z") != want.(crashStay).out {
				back++
			}
		}
	}
	waited := time.Since(began)
	if back > 0 {
		t.Errorf("%d extensions were taken back", back)
	}
	for i := range stays { // the PMS repeats
		r.reserve(fmt.Sprintf("stay-%d", i), "A", fmt.Sprintf("guest%d", i), 8)
		r.reserve(fmt.Sprintf("later-%d", i), "A2", fmt.Sprintf("later%d", i), 3)
	}
	r.settled()
	same := 0
	after := users()
	for name, id := range before {
		if after[name] == id {
			same++
		}
	}
	if same != len(before) {
		t.Errorf("%d of %d ACS users are the same", same, len(before))
	}
	r.finish("restore")
	return fmt.Sprintf(
		"%d of %d taken back within %s and 3 sweeps, with STAYKEY_DRIFT=report; after the PMS has repeated them %d of %d ACS users and keys are the same", back, stays, seconds(waited), same, len(before))
}

// settled waits until everything is as it should be, without ending the load's rig.
func (r *crashRig) settled() {
	r.t.Helper()
	r.truths.Range(func(key, value any) bool {
		if problem := r.await(key.(string), value.(crashStay), time.Now().Add(4*time.Minute)); problem != "" {
			r.t.Error(problem)
		}
		return true
	})
}

// drillPolicies has three replicas whose configuration differs: they follow the one that was decided last, so that
// stays don't go to and fro.
func drillPolicies(t *testing.T) string {
	dsn := storetest.ServiceDSN(t)
	r := layRig(t, dsn)
	dir := t.TempDir()
	for i, grace := range []string{"0s", "1h", "2h"} {
		file := filepath.Join(dir, fmt.Sprintf("%d.yaml", i))
		content := fmt.Sprintf(
			"sources:\n  - name: default\n    verify: {method: standard-webhooks, secrets: [%q]}\n    grace: {before: %s}\n", e2eSecret.String(), grace)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		env := slices.DeleteFunc(slices.Clone(r.env), func(e string) bool {
			return strings.HasPrefix(e,
				"STAYKEY_WEBHOOK_SECRET=")
		})
		r.replicas = append(r.replicas, launch(t, append(env, "STAYKEY_CONFIG="+file)))
	}
	r.furnish()
	const stays = 25
	for i := range stays {
		r.reserve(fmt.Sprintf("stay-%d", i), "A", fmt.Sprintf("guest%d", i), 3)
	}
	r.settled()
	changes := func() int {
		n := 0
		for _, c := range r.sim.Records() {
			if call := path.Base(c.Path); call != "get" && !strings.HasPrefix(call, "list") {
				n++
			}
		}
		return n
	}
	quiet(t, changes) // policies are followed
	r.sim.Forget()
	for i := range stays { // the PMS touches each stay
		r.reserve(fmt.Sprintf("stay-%d", i), "A", fmt.Sprintf("guest%d", i), 3)
	}
	during(20 * time.Second)
	n := changes()
	if n > 0 {
		t.Errorf("%d writes at Seam although nothing changed", n)
	}
	r.finish("policies")
	return fmt.Sprintf("%d writes at Seam in 20 s while the PMS touches %d stays", n, stays)
}

// quiet waits until a number has stayed the same for five seconds.
func quiet(t *testing.T, number func() int) {
	t.Helper()
	last, since := number(), time.Now()
	waitUntil(t, "five seconds without a change", func() bool {
		if now := number(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) >= 5*time.Second
	})
}

func drillFirstStarts(t *testing.T) string {
	ready := 0
	var slowest time.Duration
	for range 3 {
		dsn := storetest.WithServiceWaits(storetest.EmptyDSN(t))
		_, env := simulated(t, dsn)
		began := time.Now()
		both := launchSome(t, 2, env)
		path, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		third := exec.Command(path)
		third.Env = append(slices.Clone(env), "STAYKEY_LISTEN=127.0.0.1:0", "STAYKEY_OPS_LISTEN=127.0.0.1:0")
		if err := third.Start(); err != nil {
			t.Fatal(err)
		}
		end := make(chan error, 1)
		go func() { end <- third.Wait() }()
		t.Cleanup(func() { _ = third.Process.Kill() })
		during(300 * time.Millisecond)
		_ = third.Process.Signal(syscall.SIGTERM)
		_ = received(t, "the end of a start that was asked to stop", end)
		for _, p := range both() {
			waitUntil(t, "ready", func() bool { return p.metric("staykey_ready") == "1" })
			ready++
		}
		slowest = max(slowest, time.Since(began))
		wholeIndexes(t, dsn)
	}
	return fmt.Sprintf("%d of 6 ready after %s at most, schema whole each time", ready, seconds(slowest))
}

func drillStops(t *testing.T) string {
	d := newDrill(t, storetest.ServiceDSN(t), 2)
	var took []time.Duration
	for i := range 10 {
		d.crashRig.mu.Lock()
		p := d.replicas[i%2]
		d.crashRig.mu.Unlock()
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		took = append(took, p.ended("a replica to stop"))
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit %d", code)
		}
		d.restart(i % 2)
		d.busy(10)
	}
	slices.Sort(took)
	return fmt.Sprintf("exit 0 × 10, median %s, at most %s (without STAYKEY_STOP_DELAY); %s", seconds(took[5]),
		seconds(took[9]), d.settle("stops"))
}

func drillStopWhileLocked(t *testing.T) string {
	dsn := storetest.ServiceDSN(t)
	d := newDrill(t, dsn, 1)
	admin := openSession(t, dsn)
	admin.do(`BEGIN`, `LOCK TABLE events IN ACCESS EXCLUSIVE MODE`)
	d.first(0, time.Now()) // its sender waits for three seconds
	p := d.any()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	took := p.ended("the service to stop while a table is locked")
	if code := p.cmd.ProcessState.ExitCode(); code != 0 || took > 35*time.Second { // 20 s, and what a busy machine adds
		t.Errorf("exit %d after %s", code, took)
	}
	admin.do(`COMMIT`)
	d.restart(0)
	return fmt.Sprintf("exit 0 after %s; %s", seconds(took), d.settle("stop while locked"))
}
