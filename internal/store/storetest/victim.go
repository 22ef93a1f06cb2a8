package storetest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/until"
)

// A test that kills processes for real sends orders to victims: each is its own program once more, whose TestMain
// carries the order out instead of running tests.

const orderVariable = "STAYKEY_TEST_ORDER"

// IsVictim reports whether this process is a victim, and reads its order.
func IsVictim(order any) bool {
	text := os.Getenv(orderVariable)
	if text == "" {
		return false
	}
	if err := json.Unmarshal([]byte(text), order); err != nil {
		panic(err)
	}
	return true
}

// DiesAt returns what is called at each marked point, and calls die where a process reaches one for the nth time.
func DiesAt(where point.Name, nth int, die func()) func(point.Name) {
	left := atomic.Int64{}
	left.Store(int64(nth))
	return func(name point.Name) {
		if name == where && left.Add(-1) == 0 {
			die()
		}
	}
}

// Die kills this process.
func Die() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

// Victims are processes that do much the same, one after another. The zero value is ready.
type Victims struct {
	took time.Duration // by the last one that wasn't killed
}

// firstGuess is how long a victim is thought to take until one wasn't killed.
const firstGuess = 300 * time.Millisecond

// Send has a victim carry an order out, and kills it at any moment of the time that such an order takes, unless it dies
// or is done before; random chooses as [math/rand/v2.Int64N] does. It waits until the victim's connections to the
// pool's database are gone, see [VictimDSN]. out is what it printed.
func (v *Victims) Send(t testing.TB, pool *pgxpool.Pool, random func(int64) int64, order any) (out []byte,
	killed bool,
) {
	t.Helper()
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	var printed, complaint bytes.Buffer
	cmd := exec.Command(os.Args[0]) // #nosec G204 -- this program
	cmd.Env = append(os.Environ(), orderVariable+"="+string(text))
	cmd.Stdout, cmd.Stderr = &printed, &complaint
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	moment := time.Duration(random(int64(cmp.Or(v.took, firstGuess) * 5 / 4)))
	at := time.AfterFunc(moment, func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	at.Stop()
	awaitVictimsGone(t, pool)

	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	killed = status.Signaled() && status.Signal() == syscall.SIGKILL
	if !killed {
		v.took = time.Since(began)
	}
	if err != nil && !killed {
		t.Fatalf("a process failed: %v %s", err, complaint.String())
	}
	return printed.Bytes(), killed
}

const victim = "victim"

// VictimDSN returns the DSN by which a victim connects, so that [Victims.Send] finds its connections.
func VictimDSN(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("the DSN of a test is no URL: %v", err)
	}
	q := u.Query()
	q.Set("application_name", victim)
	u.RawQuery = q.Encode()
	return u.String()
}

// awaitVictimsGone waits until the connections of a killed process are gone. What it had sent has taken effect by then,
// or never will: Postgres carries out a commit whose sender is dead.
func awaitVictimsGone(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	until.True(t, "the connections of a killed process to go", func() bool {
		var connected bool
		err := pool.QueryRow(context.Background(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1)`,
			victim).Scan(&connected)
		if err != nil {
			t.Fatalf("look for the connections of a killed process: %v", err)
		}
		return !connected
	})
}
