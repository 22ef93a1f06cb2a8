package storetest

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// Wire carries connections to Postgres until it falls silent: then nothing goes through those that are open, and
// nobody is notified. New ones work again, as after a failover.
type Wire struct {
	mu     sync.Mutex
	silent map[net.Conn]bool
	open   []net.Conn
}

// Through returns a DSN that leads through a wire. The wire is cut when the test ends.
func Through(t testing.TB, dsn string) (string, *Wire) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}

	target := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	w := &Wire{silent: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = listener.Close()
		w.Cut()
	})

	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = near.Close()
				continue
			}
			w.mu.Lock()
			w.open = append(w.open, near, far)
			w.mu.Unlock()
			go w.carry(far, near)
			go w.carry(near, far)
		}
	}()

	u.Host = listener.Addr().String()
	return u.String(), w
}

// FallSilent has all connections that are open now fall silent.
func (w *Wire) FallSilent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		w.silent[c] = true
	}
}

// Cut closes what is open, so that callers that wait for an answer notice.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.silent)
	for _, c := range w.open {
		_ = c.Close()
	}
}

func (w *Wire) carry(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		silent := w.silent[from]
		w.mu.Unlock()
		switch {
		case silent && err == nil:
			continue // until the test ends and closes it
		case silent:
			return
		case err != nil:
			_ = to.Close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
