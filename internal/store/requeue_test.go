package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// An event that is put back, by its applier or by a lock, has waited since it was queued: otherwise one that waits for
// a lock for hours would never have waited long.
func TestPuttingBackKeepsTheWait(t *testing.T) {
	t.Parallel()
	s := storetest.NewSmall(t, 1)
	id := uuid.New()
	if _, err := s.Events.Insert(t.Context(), []store.Event{{
		EventID: id, Source: "hotel", Type: "x", Status: store.EventAccepted, ReceivedAt: time.Now().Add(-time.Hour),
		Body: []byte(`{}`),
	}}); err != nil {
		t.Fatal(err)
	}
	_, first, err := s.Events.Backlog(t.Context(), nil)
	if err != nil || first == nil || time.Since(*first) > 30*time.Minute {
		t.Fatalf("an event that was received an hour ago and queued now waits since %v, %v", first, err)
	}

	var seq int64
	if err := s.InTx(t.Context(), func(tx pgx.Tx) error {
		got, err := store.ClaimEvents(t.Context(), tx, store.Claim{
			Events: 1, Bytes: 1, Now: time.Now(), LockWait: time.Second,
		})
		if err != nil {
			return err
		}
		if got.Lag == nil || *got.Lag > 30*time.Minute {
			t.Errorf("the lag is %v", got.Lag)
		}
		seq = got.Events[0].Seq
		return store.RequeueEvents(t.Context(), tx, []store.Requeue{{Event: got.Events[0]}})
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Events.Postpone(t.Context(), seq, time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	if _, last, err := s.Events.Backlog(t.Context(), nil); err != nil || last == nil || !last.Equal(*first) {
		t.Errorf("put back twice, it waits since %v, %v; before, since %v", last, err, first)
	}
}
