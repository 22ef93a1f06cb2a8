package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/staykey/staykey/internal/config"
)

// startPatience is how long a request waits for a service that is starting. Most starts take less, so that a restart
// costs a webhook a moment and no repetition.
const startPatience = 3 * time.Second

// publicServer is the public listener's, or the admin listener's. It takes connections from the beginning, so that a
// start that waits for Postgres or a lock refuses webhooks and doesn't leave their senders hanging.
type publicServer struct {
	*http.Server
	address net.Addr
	shared  *fairListener
	handler atomic.Pointer[http.Handler] // nil while the service starts
	ready   chan struct{}                // closed with the handler
	failed  chan error                   // holds the error that ended it
}

// servePublic begins to take connections, at most this many at a time. sources is the current
// configuration.
func servePublic(l net.Listener, most int, c config.Config, sources *atomic.Pointer[config.Set], log *slog.Logger,
) *publicServer {
	p := &publicServer{
		address: l.Addr(), shared: newFairListener(l, most, sources),
		ready: make(chan struct{}), failed: make(chan error, 1),
	}
	p.Server = &http.Server{
		Handler: http.HandlerFunc(p.answer), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: HeaderWithin, ReadTimeout: RequestWithin, WriteTimeout: time.Minute, IdleTimeout: idleFor,
		MaxHeaderBytes: 32 << 10, ConnState: noteState,
	}
	accepting := net.Listener(p.shared)
	if c.TLS != nil {
		accepting = tls.NewListener(accepting, c.TLS.Config())
	}
	go func() {
		if err := p.Serve(accepting); !errors.Is(err, http.ErrServerClosed) {
			p.failed <- fmt.Errorf("serve %s: %w", p.address, err)
		}
	}()
	return p
}

// use sets the handler. It is called once.
func (p *publicServer) use(h http.Handler) {
	p.handler.Store(&h)
	close(p.ready)
}

func (p *publicServer) answer(w http.ResponseWriter, r *http.Request) {
	if p.handler.Load() == nil {
		patience := time.NewTimer(startPatience)
		defer patience.Stop()
		select {
		case <-p.ready:
		case <-patience.C:
		case <-r.Context().Done():
		}
	}
	if h := p.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	if r.URL.Path == "/healthz" {
		alive(w)
		return
	}
	starting(w, "starting: nothing was stored, send it again")
}
