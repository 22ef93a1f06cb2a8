package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// TestKeysAreFlaggedInAnyCollation flags more keys than a page has, with ids that collations order differently from
// their bytes, in each way that something at Seam may concern them. A key that somebody keeps locked is passed over and
// reported; all others are flagged.
func TestKeysAreFlaggedInAnyCollation(t *testing.T) {
	t.Parallel()
	const keys = 5100
	const system, group = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
	ids := `CASE WHEN i <= 10 THEN 'abnb-' ELSE 'HM' END || i`
	everyone := func(ctx context.Context, s *store.Store) ([]stay.Ref, error) {
		var refs []stay.Ref
		rows, err := s.Pool().Query(ctx, `SELECT source, reservation_id FROM reservations`)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var r stay.Ref
			if err := rows.Scan(&r.Source, &r.ReservationID); err != nil {
				return nil, err
			}
			refs = append(refs, r)
		}
		return refs, rows.Err()
	}
	for name, c := range map[string]struct {
		flag    func(context.Context, *store.Store) (int, error)
		want    int  // how many keys it concerns
		compare bool // they are compared with Seam
	}{
		"access system": {func(ctx context.Context, s *store.Store) (int, error) {
			return s.ACSSystems.Queue(ctx, system,
				time.Now())
		}, keys, false},
		"access group": {func(ctx context.Context, s *store.Store) (int, error) {
			return s.Keys.CheckMembers(ctx, system, group, time.Now())
		}, keys, true},
		"credential": {func(ctx context.Context, s *store.Store) (int, error) {
			return s.Keys.CheckNamed(ctx, "", "credential-abnb-3", time.Now())
		}, 1, true},
		"ACS user": {func(ctx context.Context, s *store.Store) (int, error) {
			return s.Keys.CheckNamed(ctx, "user-abnb-3", "", time.Now())
		}, 1, true},
		"by name": {func(ctx context.Context, s *store.Store) (int, error) {
			refs, err := everyone(ctx, s)
			if err != nil {
				return 0, err
			}
			err = s.Keys.Check(ctx, refs, time.Now())
			var n int
			if scan := s.Pool().QueryRow(ctx,
				`SELECT count(*) FROM mobile_keys WHERE check_requested`).Scan(&n); scan != nil {
				return n, scan
			}
			return n, err
		}, keys, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			s := storetest.NewWithBriefLockWaits(t, 20)
			for _, q := range []string{
				`INSERT INTO reservations (source, reservation_id, status, version_at, version_seq, created_at,
					updated_at)
					SELECT 'default', ` + ids + `, 'confirmed', now(), 1, now(), now() FROM generate_series(1, 5100) i`,
				`INSERT INTO mobile_keys (source, reservation_id, status, changed_at) SELECT source, reservation_id, 'issued', now() FROM reservations`,
				`INSERT INTO user_identities (user_identity_key, own, created_at) SELECT reservation_id, false, now() FROM reservations`,
				`INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id,
					guest_key, acs_user_id, made_at, acs_access_group_ids, acs_credential_id)
					SELECT source, reservation_id, '` + system +
					`', reservation_id, reservation_id, '', 'user-' || reservation_id, now(), ARRAY['` + group + `'],
						'credential-' || reservation_id FROM reservations`,
			} {
				if _, err := s.Pool().Exec(ctx, q); err != nil {
					t.Fatal(err)
				}
			}
			n, err := c.flag(ctx, s)
			var checks, queued, compared int
			if err := s.Pool().QueryRow(ctx,
				`SELECT max(checks), count(*) FILTER (WHERE queued), count(*) FILTER (WHERE check_requested) FROM mobile_keys`).
				Scan(&checks, &queued, &compared); err != nil {
				t.Fatal(err)
			}
			if err != nil || n != c.want || queued != c.want || checks != 1 || (compared == c.want) != c.compare {
				t.Errorf("%d keys flagged of %d, %d queued, some %d times, %d to be compared: %v", n, c.want, queued,
					checks, compared, err)
			}
			if _, err := s.Pool().Exec(ctx,
				`UPDATE mobile_keys SET queued = false, check_requested = false`); err != nil {
				t.Fatal(err)
			}
			tx := storetest.Begin(t, s)
			if _, err := tx.Exec(ctx,
				`SELECT FROM mobile_keys WHERE reservation_id = 'abnb-3' FOR UPDATE`); err != nil {
				t.Fatal(err)
			}
			if n, err := c.flag(ctx, s); n != c.want-1 || !store.IsLockWait(err) {
				t.Errorf("next to a locked key %d are flagged of %d: %v", n, c.want-1, err)
			}
		})
	}
}
