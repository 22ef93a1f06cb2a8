package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/staykey/staykey/internal/handlers"
)

// privateServer is the private listener's. It answers from the beginning, so that a start that waits for Postgres
// or for a migration's lock is seen to live and not to be ready; what it answers changes when the service runs.
type privateServer struct {
	*http.Server
	address net.Addr
	handler atomic.Pointer[http.Handler]
	waits   atomic.Pointer[string] // what a start waits for
	failed  chan error             // holds the error that ended it
}

// serveOps begins to answer.
func serveOps(l net.Listener, log *slog.Logger) *privateServer {
	p := &privateServer{address: l.Addr(), failed: make(chan error, 1)}
	p.show("")
	p.use(http.HandlerFunc(p.starting))
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

// use replaces the handler.
func (p *privateServer) use(h http.Handler) { p.handler.Store(&h) }

// show sets the text of what a start waits for.
func (p *privateServer) show(what string) { p.waits.Store(&what) }

// starting answers before the service runs.
func (p *privateServer) starting(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		alive(w)
		return
	}
	what := *p.waits.Load()
	if what == "" {
		what = "waiting for Postgres, or migrating it"
	}
	starting(w, "not ready: starting: "+what)
}

func alive(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n")) // the client may be gone
}

// starting answers a request that came too early.
func starting(w http.ResponseWriter, detail string) {
	handlers.NewProblem(http.StatusServiceUnavailable, detail).Coded(handlers.CodeStarting).After(time.Second).Write(w)
}
