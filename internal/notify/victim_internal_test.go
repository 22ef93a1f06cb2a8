package notify

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
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

// TestMain has this program carry out an order instead of the tests, in a process that is meant to be killed.
func TestMain(m *testing.M) {
	var o order
	if !storetest.IsVictim(&o) {
		os.Exit(storetest.Main(m))
	}
	ctx := context.Background()
	db, err := store.Open(ctx, o.DSN)
	if err != nil {
		panic(err)
	}
	n := New(db, slog.New(slog.DiscardHandler), o.options(storetest.DiesAt(o.Dies, o.At, storetest.Die)))
	if _, err := n.round(ctx, ctx); err != nil {
		panic(err)
	}
	n.runners.Wait()
}

func (o order) options(reached func(point.Name)) Options {
	options := Options{
		Subscriptions: func() []Subscription { return o.Subscriptions }, AdminURL: "https://keys.example.com",
		Version: "test", Reached: reached,
		Now: func() time.Time { return o.Now }, Gates: func(string) []pms.Gate { return o.Gated },
		GatedSources: func() []string { return nil },
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
		DSN: storetest.VictimDSN(r.t, storetest.Of(r.t, r.db.Pool().Config().ConnConfig.Database)), Now: r.clock(),
		Subscriptions: r.subscriptions, Gated: r.gated,
		Dies: point.Deliver[random.IntN(len(point.Deliver))], At: 1 + random.IntN(3),
	}
	_, killed = r.victims.Send(r.t, r.db.Pool(), random.Int64N, o)
	return killed
}
