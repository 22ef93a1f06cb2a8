package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/jobs"
	"github.com/staykey/staykey/internal/logs/logtest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// rig is a fetcher and an applier on a database of their own.
type rig struct {
	t       *testing.T
	store   *store.Store
	jobs    *jobs.Client
	fetcher *Fetcher
	applier *intake.Applier
	fetched chan struct{} // something can be applied
	log     *logtest.Buffer
}

func newRig(t *testing.T, first time.Duration, sources map[string]pms.Source) *rig {
	t.Helper()
	return newRigWith(t, jobs.Options{}, first, sources)
}

func newRigWith(t *testing.T, o jobs.Options, first time.Duration, sources map[string]pms.Source) *rig {
	t.Helper()
	r := &rig{t: t, store: storetest.NewSmall(t, 2), fetched: make(chan struct{}, 1)}
	of := func(name string) pms.Source { s := sources[name]; s.Name = name; return s }
	r.log = &logtest.Buffer{}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	var err error
	if r.jobs, err = jobs.New(r.store.Pool(), log, o); err != nil {
		t.Fatal(err)
	}
	r.fetcher = New(r.store, r.jobs, log, Options{
		Accounts: new(pmsapi.Clients), Source: of, First: first, Done: func() {
			select {
			case r.fetched <- struct{}{}:
			default:
			}
		},
	})
	r.applier = intake.NewApplier(r.store, log, intake.Options{Source: of, Fetches: r.fetcher})
	return r
}

// start has River run what is due.
func (r *rig) start(sources ...string) {
	r.t.Helper()
	if err := r.fetcher.TakeUp(context.Background(), sources); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.jobs.Stop(ctx)
	})
}

// post keeps n events that each name a document, and has them looked for.
func (r *rig) post(source string, n int) []uuid.UUID {
	r.t.Helper()
	var events []store.Event
	var ids []uuid.UUID
	for i := range n {
		e := store.Event{
			EventID: uuid.New(), Source: source, Status: stay.EventAccepted, ReceivedAt: time.Now().UTC(),
			Request: []byte(`{}`), Body: fmt.Appendf(nil, `{"id": %d}`, i),
		}
		events, ids = append(events, e), append(ids, e.EventID)
	}
	if _, err := r.store.Events.Insert(r.t.Context(), events); err != nil {
		r.t.Fatal(err)
	}
	r.drain()
	return ids
}

func (r *rig) drain() {
	r.t.Helper()
	if err := r.applier.Drain(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// settled applies what is fetched until none of the events waits.
func (r *rig) settled(ids []uuid.UUID) {
	r.t.Helper()
	for _, id := range ids {
		for r.event(id).Status == stay.EventAccepted {
			<-r.fetched
			r.drain()
		}
	}
}

func (r *rig) event(id uuid.UUID) store.Event {
	r.t.Helper()
	e, err := r.store.Events.Get(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// A PMS that hangs has its own workers, and no more than those: a thousand events that wait for it don't delay one
// document of another PMS. Decided by what was asked of whom, and not by time.
func TestAHangingPMSHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	var hanging atomic.Int32
	release := make(chan struct{})
	defer close(release)
	token := func(s *pms.FetchSettings) { s.Token = "x" }
	_, dead := pmsOf(t, wantsDoc, bearerDoc, token, func(_ http.ResponseWriter, r *http.Request) {
		hanging.Add(1)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	_, well := pmsOf(t, wantsDoc, bearerDoc, token, func(w http.ResponseWriter, _ *http.Request) {
		_,
			_ = io.WriteString(w, `{}`)
	})
	r := newRig(t, time.Second, map[string]pms.Source{"dead": dead, "well": well})
	r.start("dead", "well")
	r.post("dead", 1000)
	r.settled(r.post("well", 40))
	if n := hanging.Load(); n > share {
		t.Errorf("%d requests to the PMS that hangs while the others were served, want at most %d", n, share)
	}
}

// While a PMS asks for a pause, none of its events sends a request, no matter which of them got the answer.
func TestRetryAfterHoldsTheSource(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	_, busy := pmsOf(t, wantsDoc, bearerDoc, func(s *pms.FetchSettings) { s.Token = "x" },
		func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		})
	r := newRig(t, time.Millisecond, map[string]pms.Source{"busy": busy})
	r.start("busy")
	ids := r.post("busy", 30)
	for waiting := 0; waiting < len(ids); { // every one of them has had its turn
		waiting = 0
		for _, id := range ids {
			if reason := r.event(id).Reason; reason != nil && strings.Contains(*reason, "429") {
				waiting++
			}
		}
	}
	if n := asked.Load(); n > share {
		t.Errorf("%d requests, want those that were under way, at most %d", n, share)
	}
}

// A wrong client secret costs no event: it waits, with the server's words as the reason, and continues when the secret
// is right.
func TestAWrongSecretRejectsNothing(t *testing.T) {
	t.Parallel()
	var right atomic.Bool
	_, s := pmsOf(t, wantsDoc, oauthDoc, func(s *pms.FetchSettings) { s.ClientID, s.ClientSecret = "id", "secret" },
		func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if !right.Load() {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error": "invalid_client"}`)
				return
			}
			_, _ = io.WriteString(w, `{"access_token": "t", "token_type": "bearer", "expires_in": 3600}`)
		})
	r := newRig(t, time.Millisecond, map[string]pms.Source{"s": s})
	id := r.post("s", 1)[0]
	attempt := func() error {
		r.fetcher.accounts = new(pmsapi.Clients) // its time has come
		return r.fetcher.work(t.Context(), id)
	}
	for range pmsapi.UnknownAtLeast + 2 { // more often than a document is asked for that the PMS says it doesn't have
		if _, err := r.store.Pool().Exec(t.Context(),
			`UPDATE event_fetches SET asked_at = asked_at - interval '5 hours'`); err != nil {
			t.Fatal(err)
		}
		snoozed := new(river.JobSnoozeError)
		if err := attempt(); !errors.As(err, &snoozed) {
			t.Fatal(err)
		}
		if e := r.event(id); e.Status != stay.EventAccepted ||
			!strings.Contains(*e.Reason, "400 Bad Request: invalid_client") {
			t.Fatalf("%s: %s", e.Status, *e.Reason)
		}
	}
	right.Store(true)
	if err := attempt(); err != nil {
		t.Fatal(err)
	}
	r.drain()
	if e := r.event(id); e.Status != stay.EventIgnored || *e.Reason != "done" {
		t.Errorf("with the right secret: %s %v", e.Status, e.Reason)
	}
	// After two days it is rejected, with the reason.
	right.Store(false)
	r.fetcher.accounts = new(pmsapi.Clients)
	id = r.post("s", 1)[0]
	_ = attempt()
	if _, err := r.store.Pool().Exec(t.Context(),
		`UPDATE event_fetches SET asked_at = asked_at - interval '48 hours'`); err != nil {
		t.Fatal(err)
	}
	if err := attempt(); err != nil {
		t.Fatal(err)
	}
	if e := r.event(id); e.Status != stay.EventRejected || !strings.Contains(*e.Reason, "invalid_client") {
		t.Errorf("after two days: %s %s", e.Status, *e.Reason)
	}
}

// The tries of an event are one entry per document, however many there were.
func TestTriesAreBounded(t *testing.T) {
	t.Parallel()
	var e store.EventFetch
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 130 {
		e.Note(store.Try{At: at.Add(time.Duration(i) * time.Minute), Document: "doc 1", Status: 503})
	}
	for i := range 400 {
		e.Note(store.Try{At: at, Document: fmt.Sprint("doc ", i+2), Status: 200})
	}
	if first := e.Tries[0]; len(e.Tries) > 30 || first.Attempt != 130 || !first.First.Equal(at) {
		t.Errorf("%d entries, the first is %+v", len(e.Tries), first)
	}
}

// Documents that never come cost nothing that the webhook itself has sent: its cancel was applied, and the event says
// so.
func TestGivingUpKeepsWhatWasApplied(t *testing.T) {
	t.Parallel()
	const program = `if .fetched then {ignore: "done"} else
		{reservation: {reservation_id: "r", status: (if .body.id == 0 then "cancelled" else "pending" end), pms_status: "x"}}, {fetch: {kind: "doc", id: .body.id}} end`
	_, s := pmsOf(t, program, bearerDoc, func(s *pms.FetchSettings) { s.Token = "x" },
		func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
		})
	r := newRig(t, time.Millisecond, map[string]pms.Source{"s": s})
	ids := r.post("s", 2)
	for i, want := range []string{stay.EventApplied, stay.EventRejected} {
		_ = r.fetcher.work(t.Context(), ids[i])
		if _, err := r.store.Pool().Exec(t.Context(),
			`UPDATE event_fetches SET asked_at = asked_at - interval '48 hours'`); err != nil {
			t.Fatal(err)
		}
		if err := r.fetcher.work(t.Context(), ids[i]); err != nil {
			t.Fatal(err)
		}
		e := r.event(ids[i])
		if e.Status != want || !strings.Contains(*e.Reason, "500 Internal Server Error") ||
			(e.AppliedAt != nil) != (want == stay.EventApplied) {
			t.Errorf("%s %q, applied at %v; want %s", e.Status, *e.Reason, e.AppliedAt, want)
		}
	}
}

// Documents of webhooks that arrive close together are all requested at once. River announces the jobs of a queue once
// per cooldown, and its workers poll only now and then: here both are so long that only our own announcement brings the
// later ones.
func TestEveryWebhookIsAnnounced(t *testing.T) {
	t.Parallel()
	_, s := pmsOf(t, wantsDoc, bearerDoc, func(s *pms.FetchSettings) { s.Token = "x" },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) })
	r := newRigWith(t, jobs.Options{Cooldown: 12 * time.Hour, Poll: 24 * time.Hour}, time.Second,
		map[string]pms.Source{"s": s})
	r.start("s")
	for i := range 3 {
		for _, id := range r.post("s", 1) {
			for r.event(id).Status == stay.EventAccepted {
				select {
				case <-r.fetched:
				case <-time.After(2 * time.Minute):
					t.Fatalf("webhook %d: its document was never asked for", i+1)
				}
				r.drain()
			}
		}
	}
}
