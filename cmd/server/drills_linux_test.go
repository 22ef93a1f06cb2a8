//go:build drills

package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/tools/drill"
)

// Drills repeat what an operator fears, with the real program under a small load on loopback, one after another. Unlike
// tests they measure: what they wait for is real time. Each fails if an acknowledged event is lost, a key is made
// twice, or anything is wrong at Seam in the end, and if a promise of docs/reliability.md is missed by far. make drills
// prints what they measured.

// drills are all of them, in the order of the table. before is what the same drill measured at d4a087a.
var drills = []struct {
	name, what, before string
	run                func(*testing.T) string
}{
	{
		"full disk", "The disk of Postgres' data is full for 30 s",
		"503 for all, ready all the time, no cause; 202 again 0.03 s after space; 0 lost", drillFullDisk,
	},
	{
		"full WAL", "The disk of Postgres' WAL is full: Postgres ends, and is started 20 s later",
		"503, not ready; 202 again 0.4 s after the start; 310 log lines a second", drillFullWAL,
	},
	{
		"slow", "Postgres answers 300 ms later, for 30 s",
		"202 for all, p50 0.8 s, p95 2.0 s; readiness takes 2.0 s of its 2 s", drillSlow,
	},
	{
		"locked tables", "ACCESS EXCLUSIVE for 30 s on reservations, mobile_keys, events, acs_users",
		"events: 503 and ready; acs_users: webhooks up to 5.9 s, all connections in use, one failed probe",
		drillLockedTables,
	},
	{
		"locked row", "A forgotten transaction holds one reservation for 60 s",
		"all hotels wait: 14 other stays after 52 s, a new arrival not even in REST after 25 s", drillLockedRow,
	},
	{
		"connections", "All connections of Postgres are in use",
		"202 for all; a third replica ends after 32.6 s with the cause", drillConnections,
	},
	{"read-only", "The database is read-only for 20 s", "503 for all, and ready", drillReadOnly},
	{"silent", "The network to Postgres is silent for 20 s", "not measured", drillSilent},
	{
		"upgrade",
		"A reader like pg_dump for 45 s; two new replicas migrate while two old ones run; then both, only the old ones, only new ones", "ends twice after 15.4 s and 17.1 s; the old ones: 43 × 503, p95 7.8 s; taken back: all 202", drillUpgrade,
	},
	{
		"killed migration", "A first start is killed at a random moment, 8 times",
		"5 of 5 next starts ready; each kill came before the first step", drillKilledMigration,
	},
	{
		"restore", "Back to a pg_dump of before 8 extensions and 8 bookings",
		"8 of 8 extensions taken back before the PMS repeats them", drillRestore,
	},
	{
		"policies", "Three replicas with three configurations",
		"2 to 4 writes at Seam per 10 s, for as long as they differ", drillPolicies,
	},
	{
		"clock", "The database's clock is 2 h fast, 2 h slow, 3 min fast",
		"401 for all webhooks, ready; a false alert at 3 min; sweeps by the wrong clock", drillClock,
	},
	{"switchover", "Patroni, 3 members, synchronous: switchover", "7.6 s, 0 lost", drillSwitchover},
	{"killed primary", "Patroni: the primary is killed", "Patroni 18.7 s, staykey 19.6 s", drillKilledPrimary},
	{
		"frozen primary", "Patroni: the primary, first in DATABASE_URL, is frozen", "Patroni 20.6 s, staykey 123.9 s",
		drillFrozenPrimary,
	},
	{"stops", "SIGTERM in turn, 10 times, under load", "median 2.8 s, at most 9.8 s", drillStops},
	{"stop while locked", "SIGTERM while events is locked", "41.2 s", drillStopWhileLocked},
	{
		"first starts", "Three first starts at once on an empty database, 3 times, one of each ended early",
		"all ready",
		drillFirstStarts,
	},
	{
		"soak", "A minute (STAYKEY_DRILL_SOAK) under load",
		"20 min at 3 a second: 98 MB, 98 goroutines, 50 open files, 20 connections, 732 dead rows", drillSoak,
	},
}

// TestDrills runs them. They don't run at the same time: they measure.
func TestDrills(t *testing.T) {
	for i, d := range drills {
		t.Run(d.name, func(t *testing.T) {
			now := "it did not end"
			t.Cleanup(func() {
				if t.Skipped() {
					now = "not run: it needs root and Debian's packages (see the log)"
				}
				drill.Record(t, drill.Row{Order: i, What: d.what, Before: d.before, Now: now})
			})
			now = d.run(t)
		})
	}
}

// drilled is a rig under load that keeps each answer to a webhook.
type drilled struct {
	*crashRig
	mu   sync.Mutex
	kept []answer
}

type answer struct {
	at     time.Time // of its end
	status int
	took   time.Duration
}

// underLoad puts a rig under about 25 webhooks a second, and keeps the answers.
func underLoad(r *crashRig) *drilled {
	d := &drilled{crashRig: r}
	r.answers = func(status int, took time.Duration) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.kept = append(d.kept, answer{time.Now(), status, took})
	}
	r.load(2, 5)
	d.busy(20)
	return d
}

// newDrill is a rig under load on a database.
func newDrill(t *testing.T, dsn string, replicas int, extra ...string) *drilled {
	t.Helper()
	return underLoad(newCrashRig(t, dsn, replicas, extra...))
}

// since is what came in a time.
func (d *drilled) since(from time.Time) answers {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.kept, func(a answer) bool { return a.at.After(from) })
	if i < 0 {
		return nil
	}
	return slices.Clone(d.kept[i:])
}

// first is when the first answer with a status came after a time.
func (d *drilled) first(status int, after time.Time) time.Duration {
	d.t.Helper()
	var found time.Duration
	waitUntil(d.t, fmt.Sprintf("a webhook to be answered %d", status), func() bool {
		list := d.since(after)
		i := slices.IndexFunc(list, func(a answer) bool { return a.status == status })
		if i >= 0 {
			found = list[i].at.Sub(after)
		}
		return i >= 0
	})
	return found
}

// settle ends the load and says what was lost and how long everything took to be right.
func (d *drilled) settle(rig string) string {
	d.t.Helper()
	began := time.Now()
	d.finish(rig)
	return fmt.Sprintf("%d acknowledged, 0 lost, all right after %s", d.events.Load(), seconds(time.Since(began)))
}

type answers []answer

// String counts answers by status, and says how long those with 202 took.
func (list answers) String() string {
	count := map[int]int{}
	var took []time.Duration
	for _, a := range list {
		count[a.status]++
		if a.status == http.StatusAccepted {
			took = append(took, a.took)
		}
	}
	var parts []string
	for _, status := range slices.SortedFunc(maps.Keys(count),
		func(a, b int) int { return cmp.Compare(count[b], count[a]) }) {
		name := fmt.Sprint(status)
		if status == 0 {
			name = "no answer"
		}
		parts = append(parts, fmt.Sprintf("%d × %s", count[status], name))
	}
	if len(took) > 0 {
		slices.Sort(took)
		parts = append(parts, fmt.Sprintf("p50 %s, p95 %s", seconds(took[len(took)/2]),
			seconds(took[len(took)*95/100])))
	}
	return strings.Join(parts, ", ")
}

func (list answers) count(status int) int {
	n := 0
	for _, a := range list {
		if a.status == status {
			n++
		}
	}
	return n
}

func seconds(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// notReady waits until a replica is not ready for a cause, and returns how long that took.
func (d *drilled) notReady(p *process, causes ...string) time.Duration {
	d.t.Helper()
	began := time.Now()
	waitUntil(d.t, "not ready: "+strings.Join(causes, " or "), func() bool {
		return p.metric("staykey_ready") == "0" && slices.ContainsFunc(causes,
			func(c string) bool { return p.metric(`staykey_not_ready{cause="`+c+`"}`) == "1" })
	})
	return time.Since(began)
}

// isReady waits until a replica is ready, and returns how long that took.
func (d *drilled) isReady(p *process) time.Duration {
	d.t.Helper()
	began := time.Now()
	waitUntil(d.t, "ready", func() bool { return p.metric("staykey_ready") == "1" })
	return time.Since(began)
}

// lines counts the log records of all replicas.
func (d *drilled) lines() int {
	n := 0
	d.crashRig.mu.Lock()
	defer d.crashRig.mu.Unlock()
	for _, p := range d.replicas {
		n += strings.Count(p.log.String(), "\n")
	}
	return n
}

// during lets a fault last.
func during(d time.Duration) { time.Sleep(d) }

// ended waits for a replica's end, and returns how long that took. If it doesn't end, the drill fails with its log.
func (p *process) ended(what string) time.Duration {
	p.t.Helper()
	began := time.Now()
	received(p.t, what, p.done)
	return time.Since(began)
}

// launchSome starts replicas at the same time, and waits until all are ready. Those that don't get ready end the drill.
func launchSome(t *testing.T, n int, env []string) (ready func() []*process) {
	t.Helper()
	started := make(chan *process, n)
	for range n {
		go func() {
			var p *process
			defer func() { started <- p }() // also when launch ends this goroutine
			p = launch(t, env)
		}()
	}
	return func() []*process {
		t.Helper()
		var list []*process
		for range n {
			p := received(t, "a replica to be ready or to fail", started)
			if p == nil {
				t.FailNow()
			}
			list = append(list, p)
		}
		return list
	}
}

// drillCommand runs a program that a drill needs, for as long as anything sensible takes on a busy machine.
func drillCommand(t *testing.T, name string, args ...string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*until.Patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("%s did not end within %s: %w", name, 3*until.Patience, err)
	}
	return string(out), err
}

// session is a connection that does what operators do.
type session struct {
	t    *testing.T
	conn *pgconn.PgConn
}

func openSession(t *testing.T, dsn string) session {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), until.Patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("connect an operator's session: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return session{t, conn}
}

func (s session) do(statements ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), until.Patience)
	defer cancel()
	for _, statement := range statements {
		if _, err := s.conn.Exec(ctx, statement).ReadAll(); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

const endOthers = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
