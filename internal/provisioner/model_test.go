package provisioner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/tools/chaos"
)

// pmsEvent is one event of a PMS, in the model's terms.
type pmsEvent struct {
	minute  int // of its timestamp; unique
	kind    string
	id      string // of the reservation or listing
	listing string
	email   string
	nights  int
	groups  []string
	gate    string // what the PMS says about the gates of a source that has some
}

func (e pmsEvent) String() string {
	switch e.kind {
	case "listing.updated":
		return fmt.Sprintf("%02d %s %s %v", e.minute, e.kind, e.id, e.groups)
	case "reservation.updated":
		return fmt.Sprintf("%02d %s %s at %q for %q, %d nights, gates %s", e.minute, e.kind, e.id, e.listing, e.email,
			e.nights, e.gate)
	default:
		return fmt.Sprintf("%02d %s %s", e.minute, e.kind, e.id)
	}
}

// truth is what the contract's sections 3 and 4 require for a set of events, in any order of arrival.
type truth struct {
	reservations map[string]pmsEvent // the latest of each
	listings     map[string]pmsEvent
	opened       map[string]bool // reservations of which any event says that the gates are open
}

func theTruth(events []pmsEvent) truth {
	t := truth{map[string]pmsEvent{}, map[string]pmsEvent{}, map[string]bool{}}
	for _, e := range events {
		into := t.reservations
		if strings.HasPrefix(e.kind, "listing") {
			into = t.listings
		}
		t.opened[e.id] = t.opened[e.id] || e.gate == domain.GateOpen
		if last, ok := into[e.id]; !ok || last.minute < e.minute {
			into[e.id] = e
		}
	}
	return t
}

// drawEvents draws the events of one history, with gates if there are some.
func drawEvents(t *rapid.T, gated bool) []pmsEvent {
	// Shrinks to few events of one reservation at a listing with one group.
	n := rapid.IntRange(1, 14).Draw(t, "events")
	events := make([]pmsEvent, n)
	for i := range events {
		e := pmsEvent{minute: i}
		switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
		case kind < 6:
			e.kind, e.id = "reservation.updated", rapid.SampledFrom([]string{"R1", "R2"}).Draw(t, "reservation")
			e.listing = rapid.SampledFrom([]string{"A", "B", "V"}).Draw(t, "listing")
			e.email = rapid.SampledFrom([]string{"jane", "joe", ""}).Draw(t, "guest")
			e.nights = rapid.IntRange(1, 3).Draw(t, "nights")
			if gated {
				e.gate = rapid.SampledFrom(append(domain.GateStates(), domain.GateOpen)).Draw(t, "gate")
			}
		case kind < 8:
			e.kind, e.id = "reservation.cancelled", rapid.SampledFrom([]string{"R1", "R2"}).Draw(t, "reservation")
		default:
			e.kind, e.id = "listing.updated", rapid.SampledFrom([]string{"A", "B", "V"}).Draw(t, "listing")
			all := map[string][]string{"A": groupsL, "B": groupsM, "V": groupsV}[e.id]
			e.groups = all[:rapid.IntRange(1, 2).Draw(t, "groups")]
		}
		events[i] = e
	}
	return events
}

// delivery is how an event arrives: when, how often, and what fails in the meantime.
type delivery struct {
	event pmsEvent
	fault *simulator.Fault
	turn  *modelSwitch // how Seam behaves from then on
	quiet bool         // everything due is done before it
}

// modelSwitch is a way in which Seam may behave, for as long as a history lasts.
type modelSwitch struct {
	name string
	turn func(*simulator.Options)
}

// modelSwitches: none of them excuses a wrong result, and no lag exceeds ReadLag.
var modelSwitches = []modelSwitch{
	{"gets lag", func(o *simulator.Options) { o.GetLag = longestLag }},
	{"lists lag", func(o *simulator.Options) { o.ListLag = longestLag }},
	{"writes lag", func(o *simulator.Options) { o.WriteLag = time.Second }},
	{"lags are uneven", func(o *simulator.Options) { o.ReadLag, o.UnevenLag = longestLag, true }},
	{"lists leave groups out", func(o *simulator.Options) { o.Hidden = []string{groupsL[0], groupsV[0]} }},
	{"fields are missing", func(o *simulator.Options) { o.Omit = []string{"optional"} }},
	{"fields are missing now and then", func(o *simulator.Options) { o.Omit, o.Ragged = []string{"optional"}, 30 }},
	{"names and hours are missing", func(o *simulator.Options) { o.Omit = namelessAnswers }},
	{"fields are null", func(o *simulator.Options) { o.Null = []string{"optional"} }},
	{"unknown fields", func(o *simulator.Options) { o.Unknown = true }},
	{"schedules are rounded", func(o *simulator.Options) { o.Rounding = time.Minute }},
	{"names are stored in lower case", func(o *simulator.Options) { o.StoredName = simulator.LowerCase }},
	{"errors are pages", func(o *simulator.Options) { o.ErrorText = simulator.HTML }},
	{"conflicts of an unknown type", func(o *simulator.Options) {
		o.UniqueStatus, o.UniqueType = 409, "something_new"
	}},
	{"pages are short", func(o *simulator.Options) { o.PageSize, o.ShortPages = 2, true }},
	{"deleted users keep their slot", func(o *simulator.Options) { o.DeletingBlocks = true }},
	{"changes are pending", func(o *simulator.Options) { o.Pending = 3 * time.Second }},
}

// modelFaults are the faults of calls: those that lose a call, change its answer, or refuse it wrongly.
var modelFaults = slices.Concat(simulator.FaultKinds, simulator.Alterations, []simulator.FaultKind{
	simulator.WrongNotFound, simulator.Forbidden, simulator.Conflict, simulator.Unprocessable, simulator.NoEndpoint,
	simulator.Refused,
})

func drawDeliveries(t *rapid.T, events []pmsEvent) []delivery {
	arrivals := slices.Clone(events)
	for range rapid.IntRange(0, 4).Draw(t, "repeated") {
		arrivals = append(arrivals, events[rapid.IntRange(0, len(events)-1).Draw(t, "again")])
	}
	if rapid.Bool().Draw(t, "reordered") {
		arrivals = rapid.Permutation(arrivals).Draw(t, "arrivals")
	}
	paths := []string{
		seam.PathIdentityCreate, seam.PathUserCreate, seam.PathCredentialCreate, seam.PathUserUpdate,
		seam.PathUserDelete,
		seam.PathGroupAdd, seam.PathGroupRemove, "/acs/users/get", "/acs/users/list",
	}
	deliveries := make([]delivery, len(arrivals))
	for i, e := range arrivals {
		deliveries[i] = delivery{event: e, quiet: rapid.Bool().Draw(t, "quiet")}
		if rapid.IntRange(0, 3).Draw(t, "faulty") == 3 {
			kind := rapid.SampledFrom(modelFaults).Draw(t, "fault")
			deliveries[i].fault = &simulator.Fault{
				Kind: kind, Path: rapid.SampledFrom(paths).Draw(t, "path"),
				RetryAfter: 10 * time.Millisecond,
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "switched") == 3 {
			deliveries[i].turn = &modelSwitches[rapid.IntRange(0, len(modelSwitches)-1).Draw(t, "switch")]
		}
	}
	return deliveries
}

// history plays events on a rig; ids are its own, so that histories share a rig.
type history struct {
	*rig
	source string
	prefix string
	from   time.Time
	in     time.Time
}

func (s history) stay(e pmsEvent) stay {
	x := stay{
		source: s.source, id: s.prefix + e.id, listing: s.prefix + e.listing, in: s.in,
		out: s.in.Add(time.Duration(24*e.nights) * time.Hour),
	}
	if e.email != "" {
		x.email = s.prefix + e.email + "@example.com"
	}
	return x
}

func (s history) deliver(e pmsEvent) {
	data := map[string]any{"reservation_id": s.prefix + e.id}
	switch e.kind {
	case "listing.updated":
		data = map[string]any{"listing_id": s.prefix + e.id, "seam_access_group_ids": e.groups}
	case "reservation.updated":
		x := s.stay(e)
		data["listing_id"], data["check_in"], data["check_out"] = x.listing, x.in.Format(time.RFC3339),
			x.out.Format(time.RFC3339)
		if x.email != "" {
			data["guest_email"] = x.email
		}
		if unkindGates[s.source] != nil { // in each event, so that the latest says it all
			data["gates"] = map[string]string{"paid": e.gate, "signed": domain.GateOpen}
		}
	}
	s.sendAt(s.source, e.kind, s.from.Add(time.Duration(e.minute)*time.Minute), data)
}

// settle waits until none of the history is due, and returns the state of each reservation. What Seam has refused is
// tried again if finally: from then on, Seam refuses nothing.
func (s history) settle(ids []string, finally bool) (map[string]store.View, error) {
	views := map[string]store.View{}
	for _, id := range ids {
		var wrong error
		began := s.now()
		unsettled := func() error {
			k := views[id].Key
			return fmt.Errorf("%s does not settle (finally: %t): at %s it is %s (%s, %s), with the error %s: %+v", id,
				finally, s.now(), k.Status, str(k.Reason), str(k.Message), str(k.LastError), k)
		}
		until.Reached(s.t, func() bool {
			v, err := s.store.Reservations.View(context.Background(),
				store.Ref{Source: s.source, ReservationID: s.prefix + id})
			wrong, views[id] = err, v
			if err != nil || isSettled(v.Key, finally) {
				return true
			}
			if s.now().Sub(began) > longestHistory {
				wrong = unsettled()
				return true
			}
			if next := v.Key.NextReconcileAt; finally && next != nil && next.Sub(s.now()) > 2*time.Second {
				s.advance(next.Sub(s.now()))
				s.prov.Wake()
			}
			return s.pass()
		}, func() {
			s.tell(stay{source: s.source, id: s.prefix + id})
			wrong = unsettled()
		})
		if wrong != nil {
			return nil, wrong
		}
	}
	return views, nil
}

// longestHistory is by the rig's clock. Nothing that a history contains takes longer to settle: what is looked at again
// and again for so long never ends.
const longestHistory = 12 * time.Hour

// isSettled reports whether nothing is due soon. What Seam has refused, or what waits for a listing, is only due after
// minutes. Finally, a comparison is waited for that was put off because reads didn't show a change yet.
func isSettled(k store.MobileKey, finally bool) bool {
	if (k.Status == store.KeyAttention || k.Status == store.KeyWaiting) && k.NextIsRetry {
		return !finally
	}
	return k.ObservedGeneration == k.Generation && k.Status != store.KeyProvisioning && k.Status != store.KeyRevoking &&
		!(finally && k.CheckRequested)
}

// expect returns what a reservation's key should be, and what Seam should hold, given what it holds where several
// things are right.
func (s history) expect(t truth, id string, v store.View, got []access) (status string, want []access) {
	last := t.reservations[id]
	listing, known := t.listings[last.listing]
	closed := unkindGates[s.source] != nil && last.gate != domain.GateOpen
	switch {
	case last.kind == "reservation.cancelled":
		return store.KeyRevoked, nil
	case closed && (len(got) == 0 || s.source != "gated" || !t.opened[id]): // nothing was created, or it was taken away
		return store.KeyWaiting, nil
	case !known && len(got) == 0:
		return store.KeyWaiting, nil
	case !known: // it was on a listing that is known: its key lives on
		one := slices.Clone(got[:1])
		one[0].Keys = 1
		return v.Key.Status, one
	}
	system := map[string]string{"A": system, "B": system, "V": systemB}[last.listing]
	want = []access{s.stay(last).wants(system, listing.groups...)}
	if len(got) == 1 && got[0].Identity == "own" {
		want[0].Identity = "own" // whose slot was free depends on the other stay, and with gates each stay has its own
	}
	if closed {
		return store.KeyAttention, want
	}
	return store.KeyIssued, want
}

// sameMinute reports whether a schedule was only rounded.
func sameMinute(a, b time.Time) bool { return a.Sub(b).Abs() < time.Minute }

// check compares Seam and REST with the truth.
func (s history) check(t truth, views map[string]store.View) error {
	for id, last := range t.reservations {
		v, got := views[id], s.holds(s.prefix+id)
		status, want := s.expect(t, id, v, got)
		if v.Key.Status != status {
			return fmt.Errorf("%s is %s (%s), want %s", id, v.Key.Status, str(v.Key.Reason), status)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(sameMinute)); diff != "" {
			return fmt.Errorf("Seam holds for %s (-want +got):\n%s", id, diff)
		}
		x := stay{source: s.source, id: s.prefix + id}
		if wrong := s.untilRightCode(x); wrong != "" {
			return fmt.Errorf("the backup code of %s: %s", id, wrong)
		}
		if r := v.Reservation; last.kind == "reservation.updated" {
			if x := s.stay(last); r.Status != pms.Confirmed || str(r.ListingID) != x.listing ||
				str(r.GuestEmail) != x.email || !r.CheckOut.Equal(x.out) {
				return fmt.Errorf("%s says %+v, want %+v", id, r, x)
			}
		} else if r.Status != pms.Cancelled {
			return fmt.Errorf("%s is %s, want cancelled", id, r.Status)
		}
	}
	return nil
}

// checkSome checks a property about n times: rapid's own number is meant for checks of microseconds. After a failure,
// rapid shrinks for as long as it likes.
func checkSome(t *testing.T, n int, property func(*rapid.T)) {
	t.Helper()
	left, failed := n, false
	for left > 0 && !failed {
		rapid.Check(t, func(t *rapid.T) {
			if left--; left < 0 && !failed {
				return
			}
			passed := false
			defer func() { failed = failed || !passed }()
			property(t)
			passed = true
		})
	}
}

// TestModel plays random histories, duplicated, reordered and delayed, with faults, and compares the results with a
// model that ignores the order of arrival. Half of the histories have backup codes.
func TestModel(t *testing.T) {
	t.Parallel()
	playModel(t, "default", "coded")
}

// TestModelWithGates is [TestModel] for sources with gates, of which each event says the state.
func TestModelWithGates(t *testing.T) {
	t.Parallel()
	playModel(t, gatedSources()...)
}

func playModel(t *testing.T, sources ...string) {
	t.Helper()
	r := newRigWith(t, rigKind{timeout: lossyTimeout, connections: racing}, fast(), simulator.Options{})
	r.policy = policyWithGates
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	var kind simulator.Options // as Seam is without any switch
	r.sim.Configure(func(o *simulator.Options) { kind = *o })
	var histories, fired atomic.Int64
	checkSome(t, chaos.Size("STAYKEY_MODEL_HISTORIES", 30), func(t *rapid.T) {
		source := sources[0]
		if len(sources) > 1 {
			source = rapid.SampledFrom(sources).Draw(t, "source")
		}
		events := drawEvents(t, unkindGates[source] != nil)
		deliveries := drawDeliveries(t, events)
		now := r.now()
		s := history{
			rig: r, source: source, prefix: fmt.Sprintf("m%d-", histories.Add(1)),
			from: now.Add(-time.Hour).Truncate(time.Second), in: now.Add(48 * time.Hour).Truncate(time.Second),
		}
		want := theTruth(events)
		var ids, seen []string
		for id := range want.reservations {
			ids = append(ids, id)
		}
		defer r.sim.Configure(func(o *simulator.Options) { *o = kind })
		for _, d := range deliveries {
			if d.fault != nil {
				r.sim.Inject(*d.fault)
			}
			if d.turn != nil {
				r.sim.Configure(d.turn.turn)
			}
			s.deliver(d.event)
			if strings.HasPrefix(d.event.kind, "reservation") && !slices.Contains(seen, d.event.id) {
				seen = append(seen, d.event.id)
			}
			if d.quiet {
				if _, err := s.settle(seen, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		views, err := s.settle(ids, false)
		fired.Add(int64(r.sim.Heal()))
		r.sim.Configure(func(o *simulator.Options) { *o = kind })
		if err == nil {
			views, err = s.settle(ids, true)
		}
		if err == nil {
			err = s.check(want, views)
		}
		if p := r.sim.Peaks(); err == nil && (p.UsersOfOneStay > 1 || p.KeysOfOneUser > 1 ||
			p.CodesOfOneUser > 1 || p.UsersWithNoSchedule > 0) {
			err = fmt.Errorf("the worst moment: %+v", p)
		}
		if err != nil {
			r.sim.Forget()
			lines := make([]string, len(deliveries))
			for i, d := range deliveries {
				lines[i] = fmt.Sprintf("%v", d.event)
				if d.fault != nil {
					lines[i] += fmt.Sprintf("   with %s on %s", d.fault.Kind, d.fault.Path)
				}
				if d.turn != nil {
					lines[i] += "   from then on, " + d.turn.name
				}
			}
			t.Fatalf("%v\nafter, in order of arrival:\n%s", err, strings.Join(lines, "\n"))
		}
	})
	result := chaos.Result{
		Rig: "model", Cells: int(histories.Load()), Fired: int(histories.Load()),
		Faults: int(fired.Load()),
	}
	if t.Failed() {
		result.Wrong = 1
	}
	chaos.Record(t, result)
}
