package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/migrations"
)

// TestReadiness has each thing that readiness goes by report trouble, and no more.
func TestReadiness(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good := store.Accepting{SchemaVersion: migrations.Latest()}
	var (
		log      bytes.Buffer
		found    store.Accepting
		fails    error
		refusals intake.Refusals
		full     bool
		trials   int
	)
	r := &readiness{
		log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now },
		trial:   func(context.Context) (store.Accepting, error) { trials++; return found, fails },
		within:  func(d time.Duration) time.Duration { return d },
		refused: func() intake.Refusals { return refusals },
		full:    func() bool { return full },
	}
	after := func(d time.Duration) string {
		now = now.Add(d)
		r.look(ctx)
		return r.state.Load().text()
	}
	reset := func() {
		found, fails, refusals, full = good, nil, intake.Refusals{}, false
	}
	for _, c := range []struct {
		name   string
		broken func()
		want   string // the cause, "" for none
	}{
		{"all is well", func() {}, ""},
		{"read-only", func() { fails = &pgconn.PgError{Code: "25006"} }, store.CauseReadOnly},
		{"no answer", func() { fails = context.DeadlineExceeded }, store.CauseUnreachable},
		{"an older schema", func() { found.SchemaVersion-- }, store.CauseSchema},
		{"a newer schema, as while a newer version is rolled out", func() { found.SchemaVersion++ }, ""},
		{"the clock is late", func() { found.ClockOffset = -61 * time.Second }, causeClock},
		{"the clock is early", func() { found.ClockOffset = 2 * time.Hour }, causeClock},
		{"the clock is a little off", func() { found.ClockOffset = 59 * time.Second }, ""},
		{"one commit failed", func() {
			refusals = intake.Refusals{
				Count: 1, Last: now,
				Err: &pgconn.PgError{Code: "53100"},
			}
		}, ""},
		{"commits fail, and the trial finds room", func() {
			refusals = intake.Refusals{
				Count: 2, Last: now,
				Err: &pgconn.PgError{Code: "53100"},
			}
		}, store.CauseDiskFull},
		{
			"commits failed a while ago, and nothing came since",
			func() { refusals = intake.Refusals{Count: 9, Last: now.Add(-time.Minute), Err: errors.New("x")} }, "",
		},
		{"the listener is full", func() { full = true; after(lookEvery) }, causeConnections},
		{"the listener was full for a moment", func() { full = true; after(lookEvery); full = false }, ""},
	} {
		reset()
		c.broken()
		if got := after(trialEvery + time.Second); (c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want the cause %q", c.name, got, c.want)
		}
		reset()
		if got := after(trialEvery); got != "" {
			t.Errorf("%s, and over: %q", c.name, got)
		}
	}
	if not, again := strings.Count(log.String(), "not ready"),
		strings.Count(log.String(), "ready again"); not != again || not != 7 {
		t.Errorf("%d times not ready and %d times ready again in the log, want 7:\n%s", not, again, log.String())
	}
	trials = 0
	for range 50 {
		after(lookEvery)
	}
	if trials > 10 {
		t.Errorf("%d trials in 50 s while all is well", trials)
	}
	fails = errors.New("gone")
	after(trialEvery)
	fails = nil
	if got := after(lookEvery); got != "" {
		t.Errorf("a second after the end of an outage: %q", got)
	}
}

// TestProbesAskNothing probes a service whose database is not there: the answer is what is known.
func TestProbesAskNothing(t *testing.T) {
	t.Parallel()
	s := newTestService(nil)
	if got := s.health.ready(context.Background()); got.Ready {
		t.Error("ready before anything is known")
	}
	s.health.readiness.state.Store(&condition{})
	s.health.working.Store(true)
	if got := s.health.ready(context.Background()); !got.Ready {
		t.Errorf("not ready: %v", got.Detail)
	}
	s.health.readiness.state.Store(&condition{causes: map[string]string{store.CauseDiskFull: "no space left"}})
	if got := s.health.ready(context.Background()); got.Ready || got.Detail["postgres"] != "no space left" {
		t.Errorf("%+v", got)
	}
	_, ops := handlers.New(handlers.Config{Ready: s.health.ready, Log: slog.New(slog.DiscardHandler)})
	w := httptest.NewRecorder()
	ops.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "postgres: no space left") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
