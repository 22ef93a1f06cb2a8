package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

func TestEventIntervals(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	now := time.Date(2026, 11, 26, 12, 30, 0, 0, time.UTC)
	a := store.NewActivity()
	for _, ago := range []time.Duration{0, time.Minute, 2 * time.Hour, 12 * time.Hour, 15 * time.Hour} {
		a.Add("busy", store.ActivitySecret+"1", now.Add(-ago))
	}
	a.Add("busy", store.ActivitySecret+"2", now.Add(-5*time.Hour)) // another secret of the same PMS
	a.Add("silent", store.ActivitySecret+"1", now.Add(-20*24*time.Hour))
	for _, kind := range []string{store.ActivityTest, store.ActivityRefused, stay.EventApplied} {
		a.Add("silent", kind, now)
		a.Add("tested", kind, now)
	}
	if err := s.Activity.Flush(ctx, a); err != nil {
		t.Fatal(err)
	}
	want := map[string]store.EventIntervals{
		"busy":   {LastAt: now, Hours: 5, Longest: 7 * time.Hour},
		"silent": {LastAt: now.Add(-20 * 24 * time.Hour), Hours: 1},
	}
	for name, sources := range map[string][]string{"all": nil, "some": {"busy", "silent", "tested"}} {
		got, err := s.Activity.EventIntervals(ctx, sources)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	got, err := s.Activity.EventIntervals(ctx, []string{"silent"})
	if err != nil || len(got) != 1 {
		t.Errorf("of one: %v %v", got, err)
	}
}

func TestHasKeys(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	has := func(sources ...string) bool {
		t.Helper()
		has, err := s.Keys.Exist(ctx, sources)
		if err != nil {
			t.Fatal(err)
		}
		return has
	}
	key := func(source, status string) {
		t.Helper()
		if _, err := s.Pool().Exec(ctx,
			`WITH r AS (INSERT INTO reservations (source, reservation_id, status, version_at, version_seq, created_at,
				updated_at)
			VALUES ($1, $2, 'confirmed', now(), 1, now(), now()))
			INSERT INTO mobile_keys (source, reservation_id, status, changed_at) VALUES ($1, $2, $2, now())`, source,
			status); err != nil {
			t.Fatal(err)
		}
	}
	key("a", stay.KeyWaiting)
	key("a", stay.KeyAttention)
	if has() || has("a") {
		t.Error("a key that waits opens no door")
	}
	key("b", stay.KeyExpired)
	if !has() || has("a") || !has("b") || !has("a", "b") {
		t.Error("a key that has ended opened doors")
	}
}
