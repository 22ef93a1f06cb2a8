package store_test

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

// TestSilentPostgres has all connections fall silent at once, as when the primary's machine loses its power. What
// claims and renewals, webhooks and everything else ask comes back with an error, and then with an answer over new
// connections; nothing waits for the kernel to give up.
func TestSilentPostgres(t *testing.T) {
	t.Parallel()
	dsn, w := storetest.Through(t, storetest.ServiceDSN(t))
	s, err := store.Open(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ctx := context.Background() // no deadline of the caller's
	key := "k"
	calls := map[string]func() error{
		"claim":   func() error { _, err := s.Keys.Claim(ctx, 10*time.Second, time.Time{}, 1); return err },
		"queue":   func() error { _, err := s.Keys.QueueDue(ctx, time.Now()); return err },
		"ping":    func() error { return s.Ping(ctx) },
		"trial":   func() error { _, err := s.Events.TryAccepting(ctx); return err },
		"listing": func() error { _, err := s.Listings.ToFanOut(ctx, 1); return err },
		"accept": func() error {
			_, err := s.Events.Insert(ctx, []store.Event{{
				EventID: uuid.New(), Source: "default", EventKey: &key,
				Type: "x", Status: stay.EventAccepted, ReceivedAt: time.Now(), Body: []byte("{}"),
			}})
			return err
		},
	}
	for name, call := range calls {
		if err := call(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	w.FallSilent()
	var all sync.WaitGroup
	for name, call := range calls {
		all.Go(func() {
			for range 20 { // each try is bounded; one of the first meets a new connection
				if call() == nil {
					return
				}
			}
			t.Errorf("%s: no answer over a new connection", name)
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	until.Reached(t, func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}, func() {
		t.Errorf("after %s a call still waits for an answer over a silent connection", until.Patience)
		w.Cut()
	})
	<-done
}

// TestSilentPostgresDoesNotHoldUpTheEnd closes a store whose connections have fallen silent, one of them borrowed.
func TestSilentPostgresDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	dsn, w := storetest.Through(t, storetest.ServiceDSN(t))
	s, err := store.Open(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}
	borrowed, err := s.Pool().Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer borrowed.Release()
	w.FallSilent()
	s.Close() // hangs otherwise
}

// TestFirstHostFrozen names a host first that takes connections and never says a word: each connection costs its
// deadline, and no more.
func TestFirstHostFrozen(t *testing.T) {
	t.Parallel()
	frozen, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections for it; nobody answers them
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = frozen.Close() })
	u, err := url.Parse(storetest.ServiceDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = frozen.Addr().String() + "," + u.Host
	query := u.Query()
	query.Del("connect_timeout")
	u.RawQuery = query.Encode()
	config, err := store.ParseDSN(u.String())
	if err != nil {
		t.Fatal(err)
	}
	if config.ConnConfig.ConnectTimeout != store.ConnectTimeout {
		t.Errorf("a host gets %s to take a connection", config.ConnConfig.ConnectTimeout)
	}
	s, err := store.Open(context.Background(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for range 20 { // a busy machine's own Postgres may miss the deadline, too
		if err = s.Ping(context.Background()); err == nil {
			return
		}
	}
	t.Error(err)
}
