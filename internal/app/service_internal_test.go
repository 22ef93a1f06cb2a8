package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// The provisioner makes way not only for a burst, but also for a backlog that is old.
func TestTheProvisionerGivesWayToAnOldBacklog(t *testing.T) {
	t.Parallel()
	db, log := storetest.New(t), slog.New(slog.DiscardHandler)
	s := newIdle(log, config.Config{}, Build{}, db, nil, &atomic.Pointer[config.Set]{})
	var pace intake.Pace
	options := s.provisionerOptions(&pace)
	if options.Crowded() {
		t.Error("an idle provisioner gives way")
	}

	if _, err := db.Events.Insert(t.Context(), []store.Event{{
		EventID: uuid.New(), Source: "default", Type: "x", Status: stay.EventAccepted,
		ReceivedAt: time.Now(), Body: []byte(`{}`),
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool().Exec(t.Context(),
		`UPDATE event_queue SET queued_at = now() - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	applier := intake.NewApplier(db, log, intake.Options{
		Pace: &pace, Source: func(string) pms.Source { return pms.Source{Policy: pms.DefaultPolicy()} },
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // only one batch is applied: the applier doesn't find out that nothing else waits
	if err := applier.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if !options.Crowded() {
		t.Error("events have waited for an hour, and the provisioner doesn't give way")
	}
}
