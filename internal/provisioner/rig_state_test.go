package provisioner_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

func (r *rig) view(s stay) store.View {
	r.t.Helper()
	v, err := r.store.Reservations.View(context.Background(), store.Ref{Source: s.source, ReservationID: s.id})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// until waits for a status to be reached for the generation that is desired now.
func (r *rig) until(s stay, status string) store.View {
	r.t.Helper()
	return r.untilThat(s, status, func(v store.View) bool { return v.Key.Status == status })
}

func (r *rig) untilThat(s stay, what string, reached func(store.View) bool) store.View {
	r.t.Helper()
	var v store.View
	var seen glimpse
	until.Reached(r.t, func() bool {
		if !r.mayDiffer(s, &seen) {
			return r.pass()
		}
		var err error
		v, err = r.store.Reservations.View(context.Background(), store.Ref{Source: s.source, ReservationID: s.id})
		if err != nil && !errors.Is(err, store.ErrNotFound) { // another applier may be applying its event right now
			r.t.Fatal(err)
		}
		return err == nil && v.Key.ObservedGeneration == v.Key.Generation && reached(v) || r.pass()
	}, func() {
		r.tell(s)
		r.t.Fatalf("%s/%s: not %s in time, but %s/%s %q (generation %d, observed %d, last error %q)", s.source,
			s.id, what,
			v.Key.Status, str(v.Key.Reason), str(v.Key.Message), v.Key.Generation, v.Key.ObservedGeneration,
			str(v.Key.LastError))
	})
	return v
}

// glimpse is what the last look at a stay saw.
type glimpse struct {
	version string // of the row of its key
	same    int    // looks since then that saw the same
}

// mayDiffer reports whether a view of a stay may differ from the last one: most looks of a wait come between two
// commits, and a view costs Postgres as much as an attempt. What changes without the key's row is seen a few looks
// later.
func (r *rig) mayDiffer(s stay, last *glimpse) bool {
	var version string
	err := r.store.Pool().QueryRow(context.Background(), `
		SELECT xmin::text FROM mobile_keys WHERE source = $1 AND reservation_id = $2`, s.source, s.id).Scan(&version)
	if err == nil && version == last.version && last.same < 4 {
		last.same++
		return false
	}
	*last = glimpse{version: version}
	return true
}

// tell logs a stay's history.
func (r *rig) tell(s stay) {
	items, _ := r.store.Reservations.Timeline(context.Background(), store.Ref{Source: s.source, ReservationID: s.id}, 0,
		120)
	slices.Reverse(items)
	for _, item := range items {
		r.t.Logf("%s %-12s %s %v", item.At.Format("05.000"), item.Kind, item.Summary, item.Detail["reason"])
	}
}

// rest waits until nothing about a stay is due within a minute: everything is done.
func (r *rig) rest(s stay) store.View {
	r.t.Helper()
	waitFor(r.t, s.id+" to settle", func() bool {
		var atRest bool
		err := r.store.Pool().QueryRow(context.Background(), `
			SELECT NOT queued AND lease_token IS NULL AND coalesce(next_reconcile_at > $3, true) FROM mobile_keys
				WHERE source = $1 AND reservation_id = $2`,
			s.source, s.id, r.now().Add(30*time.Second)).Scan(&atRest)
		return err == nil && atRest
	})
	return r.view(s)
}

// recheck has a stay compared with Seam, like the sweep or a Seam event.
func (r *rig) recheck(s stay) {
	r.t.Helper()
	if err := r.store.Keys.Check(context.Background(), []store.Ref{s.ref()}, r.now()); err != nil {
		r.t.Fatal(err)
	}
	r.prov.Wake()
}
