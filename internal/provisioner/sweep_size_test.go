package provisioner_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/tools/chaos"
)

// Sweeps of many keys.

// hung is how long a sweep may go without a call to Seam.
const hung = 5 * time.Minute

// TestManyKeysAreSwept sweeps a great many keys from lists, finds the few that somebody changed, and does not delay a
// guest in the meantime. STAYKEY_SWEPT_KEYS increases the number.
func TestManyKeysAreSwept(t *testing.T) {
	t.Parallel()
	keys := chaos.Size("STAYKEY_SWEPT_KEYS", 2000)
	perGroup := 50
	r := newRig(t, fast(), simulator.Options{})
	r.stop()
	in := r.now().Add(30 * 24 * time.Hour).Truncate(time.Second)
	r.liveKeys(keys, perGroup, in)
	changed := []string{"M00003", fmt.Sprintf("M%05d", keys*35/100), fmt.Sprintf("M%05d", keys-1)}
	for _, id := range changed {
		r.alter(stay{id: id}, func(u *simulator.User) { u.GroupIDs = []string{"lobby"} })
	}
	r.sim.Forget()
	r.start()
	r.listing("default", "L", "555555-5555")
	r.advance(r.options.SweepInterval + time.Minute)
	waitFor(t, "the sweep to begin", func() bool { return r.sim.Calls() > 6 })
	near := r.stay("near")
	near.in = r.now().Add(time.Hour)
	booked := time.Now()
	r.book(near)
	r.until(near, store.KeyIssued)
	waited := time.Since(booked)
	stopped := time.NewTimer(hung)
	defer stopped.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for calls := r.sim.Calls(); r.lastSweep().At.IsZero(); {
		select {
		case <-tick.C:
			if made := r.sim.Calls(); made > calls {
				calls = made
				stopped.Reset(hung)
			}
		case <-stopped.C:
			t.Fatal("the sweep has stopped before its end")
		}
	}
	swept := r.lastSweep()
	// Pages overlap if something is created while they are read; keys that look different because of that are
	// compared, and are not.
	if swept.Compared != keys || swept.Different < len(changed) || swept.Different > len(changed)+3 ||
		swept.Missing > 3 || len(swept.Failed) != 0 {
		t.Errorf("the sweep's result is %+v", swept)
	}
	for _, id := range changed {
		waitFor(t, id+" to be repaired", func() bool {
			h := r.holds(id)
			return len(h) == 1 && !slices.Equal(h[0].Groups, []string{"lobby"})
		})
	}
	// Pages of 500 user identities, 500 ACS users and 500 credentials, one read per group, and some for those that
	// differ and the new stay.
	if most := 3*(keys/500+2) + keys/perGroup + 60; r.sim.Calls() > most {
		byPath := map[string]int{}
		for _, call := range r.sim.Records() {
			byPath[call.Path]++
		}
		t.Errorf("%d requests for %d keys, want at most %d: %v", r.sim.Calls(), keys, most, byPath)
	}
	t.Logf("%d keys swept in %d ms with %d requests in all; a guest who arrives in an hour had a key in %s meanwhile",
		keys, swept.TookMS, r.sim.Calls(), waited.Round(time.Millisecond))
}

// liveKeys creates issued keys, in the database and at Seam, as if they had been provisioned long ago.
func (r *rig) liveKeys(n, perGroup int, in time.Time) {
	r.t.Helper()
	out := in.Add(72 * time.Hour)
	r.sim.Change(func(st *simulator.State) {
		for i := range n {
			id := fmt.Sprintf("%05d", i)
			group := fmt.Sprintf("g%d", i/perGroup)
			st.Groups[group] = simulator.AccessGroup{ID: group, SystemID: system, Name: group}
			st.Identities["i"+id] = simulator.Identity{ID: "i" + id, Key: "k" + id, CreatedAt: in}
			st.Users["u"+id] = simulator.User{
				ID: "u" + id, SystemID: system, IdentityID: "i" + id, FullName: "M" + id,
				Schedule: &simulator.Schedule{StartsAt: in, EndsAt: out},
				GroupIDs: []string{group}, CreatedAt: in,
			}
			st.Credentials["c"+id] = simulator.Credential{
				ID: "c" + id, UserID: "u" + id, AccessMethod: "mobile_key",
				MultiPhone: true, CreatedAt: in,
			}
		}
	})
	if _, err := r.store.Pool().Exec(context.Background(), `
		WITH n AS (SELECT lpad(i::text, 5, '0') AS id, i FROM generate_series(0, $1::int - 1) i),
		l AS (INSERT INTO listings (source, listing_id, known, access_group_ids, generation, fanned_generation,
			created_at, updated_at)
			SELECT DISTINCT 'default', 'G' || i / $2::int, true, ARRAY['g' || i / $2::int], 1, 1, now(), now() FROM n),
		r AS (INSERT INTO reservations (source, reservation_id, status, listing_id, check_in, check_out,
			listing_generation, version_at, version_seq, created_at, updated_at)
			SELECT 'default', 'M' || id, 'confirmed', 'G' || i / $2::int, $3, $4, 1, now(), 1, now(), now() FROM n),
		k AS (INSERT INTO mobile_keys (source, reservation_id, status, generation, observed_generation,
			next_reconcile_at, rank_at, settled_at, changed_at)
			SELECT 'default', 'M' || id, 'issued', 1, 1, $3, $3, now(), now() FROM n),
		i AS (INSERT INTO user_identities (user_identity_key, user_identity_id, made, own, created_at)
			SELECT 'k' || id, 'i' || id, true, false, now() FROM n)
		INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id, guest_key,
			marked_at, acs_user_id, made_at, starts_at,
			ends_at, acs_access_group_ids, acs_credential_id, credential_marked_at, settled)
		SELECT 'default', 'M' || id, $5, 'k' || id, 'i' || id, '', '2024-01-01', 'u' || id, '2024-01-01', $3, $4,
			ARRAY['g' || i / $2::int], 'c' || id, '2024-01-01', true FROM n`,
		n, perGroup, in, out, system); err != nil {
		r.t.Fatal(err)
	}
}
