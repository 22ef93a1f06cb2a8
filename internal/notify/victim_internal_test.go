package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// order is what a process does until it dies, or is done: one round, as [Notifier.Run] does them.
type order struct {
	DSN           string
	Now           time.Time
	Subscriptions []Subscription
	Gated         []pms.Gate
	Dies          point.Name // where it dies, the At-th time that it gets there
	At            int
}

const orderVariable = "STAYKEY_TEST_ORDER"

// TestMain has this program carry out an order instead of the tests, in a process that is meant to be killed.
func TestMain(m *testing.M) {
	text := os.Getenv(orderVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	ctx := context.Background()
	db, err := store.Open(ctx, o.DSN)
	if err != nil {
		panic(err)
	}
	left := atomic.Int64{}
	left.Store(int64(o.At))
	n := New(db, slog.New(slog.DiscardHandler), o.options(func(name point.Name) {
		if name == o.Dies && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}))
	if _, err := n.round(ctx, ctx); err != nil {
		panic(err)
	}
	n.runners.Wait()
}

func (o order) options(reached func(point.Name)) Options {
	options := Options{
		Subscriptions: func() []Subscription { return o.Subscriptions }, PublicURL: "https://keys.example.com", Version: "test", Reached: reached,
		Now: func() time.Time { return o.Now }, Gates: func(string) []pms.Gate { return o.Gated }, GatedSources: func() []string { return nil },
	}
	if o.Gated != nil {
		options.GatedSources = func() []string { return []string{"default"} }
	}
	return options
}

// send has a process of its own carry an order out, and reports whether it was killed: where the order says, or at any
// moment before it was done.
func (r *rig) send(random *rand.Rand) (killed bool) {
	r.t.Helper()
	o := order{
		DSN: storetest.VictimDSN(r.t, r.db.Pool().Config().ConnString()), Now: r.clock(), Subscriptions: r.subscriptions, Gated: r.gated,
		Dies: point.Deliver[random.IntN(len(point.Deliver))], At: 1 + random.IntN(3),
	}
	text, err := json.Marshal(o)
	if err != nil {
		r.t.Fatal(err)
	}
	var complaint bytes.Buffer
	cmd := exec.Command(os.Args[0]) // #nosec G204 -- this program
	cmd.Env = append(os.Environ(), orderVariable+"="+string(text))
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	began := time.Now()
	if r.took == 0 {
		r.took = 300 * time.Millisecond
	}
	at := time.AfterFunc(time.Duration(random.Int64N(int64(r.took*5/4))), func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	at.Stop()
	storetest.AwaitVictimsGone(r.t, r.db.Pool())
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	killed = status.Signaled() && status.Signal() == syscall.SIGKILL
	if !killed {
		r.took = time.Since(began)
	}
	if err != nil && !killed {
		r.t.Fatalf("a process failed: %v %s", err, complaint.String())
	}
	return killed
}
