package seam_test

import (
	"context"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// cable is a TCP proxy whose connections can be made to fall silent: what is sent into them is acknowledged and goes
// nowhere.
type cable struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	opened int
	silent int // so many of the first connections are silent
	closed chan struct{}
}

func newCable(t *testing.T, target string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: listener, target: target, closed: make(chan struct{}, 100)}
	t.Cleanup(func() { _ = listener.Close() })
	go c.accept()
	return c
}

func (c *cable) accept() {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		c.mu.Lock()
		c.opened++
		n := c.opened
		c.mu.Unlock()
		go c.pump(out, in, n, true)
		go c.pump(in, out, n, false)
	}
}

func (c *cable) pump(to, from net.Conn, n int, fromClient bool) {
	buffer := make([]byte, 32<<10)
	for {
		read, err := from.Read(buffer)
		c.mu.Lock()
		silent := n <= c.silent
		c.mu.Unlock()
		if err != nil {
			if !silent {
				_ = to.Close()
			}
			if fromClient {
				c.closed <- struct{}{}
			}
			return
		}
		if !silent {
			_, _ = to.Write(buffer[:read])
		}
	}
}

// hush has all connections that are open now fall silent. Later ones work.
func (c *cable) hush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = c.opened
}

func (c *cable) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// overTLS starts a Seam after a cable, and returns a client of it whose calls have been answered by that protocol.
func overTLS(t *testing.T, http2 bool, timeout time.Duration) (*seam.Client, *cable) {
	t.Helper()
	var protocol atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol.Store(r.Proto)
		_, _ = io.WriteString(w, `{"ok":true,"workspace":{"workspace_id":"w"}}`)
	}))
	server.EnableHTTP2 = http2
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	line := newCable(t, server.Listener.Addr().String())
	c, err := seam.New(seam.Config{
		Endpoint: "https://" + line.listener.Addr().String(), APIKey: "k", Timeout: timeout,
		RootCAs: roots,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	answered(t, c)
	if want := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[http2]; protocol.Load() != want {
		t.Fatalf("the client speaks %v, want %s", protocol.Load(), want)
	}
	return c, line
}

// answered calls until there is an answer, and returns how many calls were sent and had none. A call whose connection
// a busy machine did not open in time was never sent.
func answered(t *testing.T, c *seam.Client) (lost int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		_, err := c.WorkspaceID(ctx)
		if err == nil {
			return lost
		}
		if seam.KindOf(err) != seam.NotSent {
			lost++
		}
		if ctx.Err() != nil {
			t.Fatalf("no answer in %s, although a new connection would work: %v after %d calls", patience, err, lost)
		}
	}
}

// TestSilentConnection has the connection in use fall silent, as behind a NAT that has forgotten it: a call may be
// lost, and later ones use a new connection.
func TestSilentConnection(t *testing.T) {
	t.Parallel()
	for name, http2 := range map[string]bool{"HTTP/2": true, "HTTP/1.1": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, line := overTLS(t, http2, time.Second)
			before := line.count()
			line.hush()
			lost := answered(t, c)
			if opened := line.count() - before; lost > opened {
				t.Errorf(
					"%d calls were lost, and only %d connections opened: calls were sent into a connection known to be dead", lost, opened)
			}
		})
	}
}

// TestSilentConnectionIsNoticed has an HTTP/2 connection fall silent while nobody calls: it is dropped before anybody
// does.
func TestSilentConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	_, line := overTLS(t, true, time.Second)
	line.hush()
	select {
	case <-line.closed:
	case <-time.After(patience):
		t.Error("nobody noticed")
	}
}

// TestManyCallsOnASilentConnection has calls wait on a connection all the time, so that it is never idle.
func TestManyCallsOnASilentConnection(t *testing.T) {
	t.Parallel()
	c, line := overTLS(t, true, time.Second)
	line.hush()
	var calling sync.WaitGroup
	for range 12 {
		calling.Go(func() { answered(t, c) })
	}
	calling.Wait()
}
