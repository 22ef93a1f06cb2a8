package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/store/storetest"
)

// StaysBetween finds short and long stays in different indexes. Compared with a filter in Go, for stays of every length
// around the limit, and for bounds on, before and after their check-ins and check-outs.
func TestStaysBetween(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	lengths := []time.Duration{
		-time.Hour, 0, time.Hour, 72 * time.Hour, 192*time.Hour - time.Microsecond, 192 * time.Hour,
		192*time.Hour + time.Microsecond, 200 * time.Hour, 2000 * time.Hour,
	}
	type span struct{ in, out time.Time }
	spans := map[string]span{}
	for i, length := range lengths {
		for day := range 25 {
			in := epoch.Add(time.Duration(day*12) * time.Hour)
			id := time.Duration(i).String() + in.Format(time.RFC3339)
			spans[id] = span{in, in.Add(length)}
			if _, err := s.Pool().Exec(ctx, `
				WITH r AS (INSERT INTO reservations (source, reservation_id, status, check_in, check_out, version_at,
					version_seq, created_at, updated_at) VALUES ('a', $1, $2, $3, $4, $3, 1, $3, $3) RETURNING *)
				INSERT INTO mobile_keys (source, reservation_id, check_in, check_out, cancelled, changed_at)
				SELECT source, reservation_id, check_in, check_out, status = 'cancelled', updated_at FROM r`,
				id, "confirmed", spans[id].in, spans[id].out); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Pool().Exec(ctx, `INSERT INTO reservations (source, reservation_id, status, check_in, check_out,
			version_at, version_seq, created_at, updated_at)
		VALUES ('a', 'cancelled', 'cancelled', $1, $1, $1, 1, $1, $1),
			('a', 'undated', 'confirmed', $1, NULL, $1, 1, $1, $1)`,
		epoch); err != nil {
		t.Fatal(err)
	}

	for hour := -24; hour < 24*20; hour += 6 {
		from := epoch.Add(time.Duration(hour) * time.Hour)
		for _, lasts := range []time.Duration{time.Microsecond, 24 * time.Hour, 240 * time.Hour} {
			until := from.Add(lasts)
			var wanted, got []string
			for id, of := range spans {
				last := of.out
				if last.Before(of.in) {
					last = of.in
				}
				if of.in.Before(until) && !last.Before(from) {
					wanted = append(wanted, id)
				}
			}
			found, err := s.Calendar.StaysBetween(ctx, from, until, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, stay := range found {
				got = append(got, stay.ReservationID)
			}
			slices.Sort(wanted)
			slices.Sort(got)
			if diff := cmp.Diff(wanted, got); diff != "" {
				t.Fatalf("from %s until %s: %s", from, until, diff)
			}
		}
	}
	found, err := s.Calendar.StaysBetween(ctx, epoch, epoch.Add(time.Hour), []string{"b"})
	if err != nil || len(found) > 0 {
		t.Errorf("%d stays of another source; %v", len(found), err)
	}
}
