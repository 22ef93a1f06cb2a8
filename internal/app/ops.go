package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"golang.org/x/net/netutil"
)

// privateServer is the private listener's. It answers from the beginning, so that a start that waits for Postgres
// or for a migration's lock is seen to live and not to be ready; what it answers changes when the service runs.
type privateServer struct {
	*http.Server
	address net.Addr
	handler atomic.Pointer[http.Handler]
	failed  chan error // holds the error that ended it
}

// serveOps begins to answer.
func serveOps(l net.Listener, log *slog.Logger) *privateServer {
	p := &privateServer{address: l.Addr(), failed: make(chan error, 1)}
	p.use(http.HandlerFunc(starting))
	p.Server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter,
			r *http.Request,
		) {
			(*p.handler.Load()).ServeHTTP(w, r)
		}),
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ReadHeaderTimeout: HeaderWithin,
		ReadTimeout: RequestWithin, IdleTimeout: idleFor, MaxHeaderBytes: 32 << 10,
	}
	go func() {
		if err := p.Serve(netutil.LimitListener(l, maxOpsConnections)); !errors.Is(err, http.ErrServerClosed) {
			p.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
	}()
	return p
}

// use has it answer by another handler from now on.
func (p *privateServer) use(h http.Handler) { p.handler.Store(&h) }

// starting answers before the service runs.
func starting(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"ok"}` + "\n")) // the client may be gone
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"type":"about:blank","title":"Service Unavailable","status":503,"code":"starting","detail":"not ready: starting: waiting for Postgres, or migrating it"}` + "\n"))
}
