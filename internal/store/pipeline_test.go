package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// A worker that has lost its lease gets no further than the key: were its other rows written first, two workers could
// wait for each other.
func TestAVerdictBeginsWithTheLease(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	lease := store.Lease{Ref: stay.Ref{Source: "default", ReservationID: "R1"}, Token: uuid.New()}
	err := s.Keys.Finish(t.Context(), lease, store.Finish{
		KeyVerdict: store.KeyVerdict{Status: stay.KeyIssued}, At: time.Now(),
		Also: func(b *pgx.Batch) { b.Queue("SELECT 1 / 0") },
	})
	if !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("the verdict of a worker without a lease: %v", err)
	}
}

// The consequence of a try is decided by the subscription that the transaction has read, or not at all.
func TestNoVerdictOnASubscriptionThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	claimed := store.ClaimedDelivery{Delivery: store.Delivery{DeliveryID: uuid.New(), Subscription: "gone"}, Attempt: 1}
	_, err := s.Deliveries.RecordAttempt(t.Context(), claimed, store.AttemptResult{At: time.Now()}, time.Now(),
		func(sub store.Subscription, _ int) store.AttemptNext {
			t.Errorf("judged the subscription %q", sub.Name)
			return store.AttemptNext{RetryAt: time.Now()}
		})
	if !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("a try that nobody may record: %v", err)
	}
}
