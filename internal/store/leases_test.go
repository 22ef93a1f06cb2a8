package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store/storetest"
)

// TestLeasesBehindAClockThatWasSetBack has leases that were given two hours ahead, by a clock that is right again: they
// end within a minute instead of two hours, and others are left unchanged.
func TestLeasesBehindAClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := storetest.New(t)
	for _, q := range []string{
		`INSERT INTO reservations (source, reservation_id, status, version_at, version_seq, created_at, updated_at)
			SELECT 'default', id, 'confirmed', now(), 1, now(), now()
				FROM unnest(ARRAY['stranded', 'stranded and locked', 'worked on', 'free']) id`,
		`INSERT INTO mobile_keys (source, reservation_id, status, changed_at, queued, next_reconcile_at, rank_at,
			lease_token, lease_until)
			SELECT source, reservation_id, 'provisioning', now(), true, now(), now(), gen_random_uuid(),
				CASE reservation_id
				WHEN 'stranded' THEN now() + interval '2 hours' WHEN 'stranded and locked'
					THEN now() + interval '2 hours' WHEN 'worked on' THEN now() + interval '4 minutes' END
					FROM reservations`,
		`INSERT INTO tasks (name, next_at, lease_token, lease_until) VALUES ('sweep', now(), gen_random_uuid(), now() + interval '2 hours')`,
	} {
		if _, err := s.Pool().Exec(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	forgotten := storetest.Begin(t, s)
	if _, err := forgotten.Exec(ctx,
		`SELECT FROM mobile_keys WHERE reservation_id = 'stranded and locked' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	for try, want := range []int{2, 1, 0} {
		if try == 1 {
			_ = forgotten.Rollback(ctx)
		}
		if n, err := s.ShortenLeases(ctx); err != nil || n != want {
			t.Errorf("%d leases were shortened, want %d: %v", n, want, err)
		}
	}
	var longest time.Duration
	var worked bool
	if err := s.Pool().QueryRow(ctx, `
		SELECT greatest((SELECT max(lease_until) FROM mobile_keys WHERE reservation_id <> 'worked on'),
			(SELECT max(lease_until) FROM tasks))
				- clock_timestamp(),
			(SELECT lease_until = changed_at + interval '4 minutes' FROM mobile_keys
				WHERE reservation_id = 'worked on')`).Scan(&longest, &worked); err != nil {
		t.Fatal(err)
	}
	if longest > time.Minute || !worked {
		t.Errorf("the longest lease lasts for %s; the other one is unchanged: %t", longest, worked)
	}
	// A busy machine may take long: no other lease ends before the next statement.
	if _, err := s.Pool().Exec(ctx, `UPDATE mobile_keys SET lease_until = lease_until + interval '1 hour'
		WHERE lease_until IS NOT NULL`); err != nil {
		t.Fatal(err)
	}
	leases, err := s.Keys.Claim(ctx, 10*time.Second, time.Time{}, 10)
	if err != nil || len(leases) != 1 || leases[0].Ref != (stay.Ref{Source: "default", ReservationID: "free"}) {
		t.Errorf("claimed %v: %v", leases, err)
	}
}
