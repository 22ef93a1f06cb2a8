package provisioner_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/tools/chaos"
)

// TestUnkindWorlds plays random worlds against a Seam with every switch of the simulator: while reservations,
// listings and clocks change, reads lag and are incomplete, fields are missing, calls are refused, lost and late, and
// other people edit the workspace. Two things are checked. At every moment: no stay has a second ACS user or a second
// key, a door or an hour that was never wanted, or a key in somebody else's app, and ACS users that other people made
// on a guest's identity are as those made them. After each storm: every stay is either in the right state or shows a
// reason, and an admin's reconcile brings it to the right state.
//
// STAYKEY_UNKIND_STEPS is the total number of steps, STAYKEY_WORLD_SEED repeats a run. The rig has its own clock, so
// a step takes milliseconds whatever it waits for.
func TestUnkindWorlds(t *testing.T) {
	t.Parallel()
	const stepsOfOneWorld = 1000
	positions := []simulator.SecondUser{simulator.Allow, simulator.Refuse, simulator.ReturnExisting, simulator.MoveLink}
	lanes := chaos.Size("STAYKEY_UNKIND_LANES", len(positions))
	steps := max(chaos.Size("STAYKEY_UNKIND_STEPS", 400)/lanes, 1)
	for lane := range lanes {
		second := positions[lane%len(positions)]
		t.Run(fmt.Sprintf("%s %d", second, lane), func(t *testing.T) {
			t.Parallel()
			seed := chaos.Seed(uint64(lane)) // #nosec G115 -- a small number
			for world := 0; world*stepsOfOneWorld < steps && !t.Failed(); world++ {
				seed := seed + uint64(world)<<32 // #nosec G115 -- a small number
				t.Run(fmt.Sprint(world), func(t *testing.T) {
					t.Logf("STAYKEY_WORLD_SEED=%d", seed)
					newUnkind(t, second, rand.New(rand.NewPCG(seed, seed))).run(min(stepsOfOneWorld,
						steps-world*stepsOfOneWorld)) // #nosec G404 -- a test
				})
			}
		})
	}
}

// unkind is a world with a Seam that is not kind.
type unkind struct {
	*rig
	random  *rand.Rand
	second  simulator.SecondUser
	stays   []*unkindStay
	groups  map[string][]string // of each listing, as last sent
	hidden  []string            // ids that lists may leave out next
	story   []string            // the last steps, for who reads a failure
	notices notices

	// this storm has many incomplete lists in a row, and in exchange no wrong 404s
	shortLists bool

	mu      sync.Mutex // what follows, and the stays' "ever"
	broken  bool       // something was observed that must never happen
	exempt  map[string]bool
	leftOut map[string]bool           // ids of objects that staykey didn't know when a list left them out
	refused map[string]bool           // ACS users that Salto KS refused to delete, next to another one
	walkIns map[string]simulator.User // other people's ACS users, by id, as they made them
}

// unkindStay is a stay, with everything that it was ever meant to be.
type unkindStay struct {
	stay
	booked, cancelled bool
	held              bool            // by an admin
	suspect           bool            // its timeline is worth reading
	guestChanged      bool            // since it was last checked: an old and a new ACS user may exist for a while
	lately            map[string]bool // its listings of the events that may not be applied yet, and of the last one
	groups            map[string]bool
	windows           map[[2]int64]bool
	emails            map[string]bool
	keysByOthers      bool // somebody else created a key
	codesByOthers     bool // somebody else created a code
	groupsByOthers    bool // somebody else closed a door: only a reconcile or a change looks at the groups of one stay
	gatesModel        gatesOfStay
}

// unkindSources are the sources of the stays. Those that have gates have an identity for each stay, and those of
// [codedSources] have backup codes.
var unkindSources = []string{"default", "coded", "gated", "strict"}

// What is late and what lags is together less than ReadLag, which is what the service relies on.
const (
	unkindLag    = 5 * time.Second
	longestLag   = 4 * time.Second
	longestDelay = unkindLag - longestLag - 100*time.Millisecond
)

func newUnkind(t *testing.T, second simulator.SecondUser, random *rand.Rand) *unkind {
	options := fast()
	options.ReadLag, options.SweepInterval, options.RetryBase = unkindLag, 15*time.Minute, time.Second
	kind := rigKind{timeout: callTimeout, connections: racing, overTLS: random.IntN(2) == 0}
	r := newRigWith(t, kind, options, simulator.Options{SecondUser: second})
	w := &unkind{
		rig: r, random: random, second: second,
		groups: map[string][]string{},
		exempt: map[string]bool{}, refused: map[string]bool{}, leftOut: map[string]bool{},
		walkIns: map[string]simulator.User{},
	}
	w.tell("HTTP/2 over TLS: %t", kind.overTLS)
	w.stop()
	w.sim.Configure(func(o *simulator.Options) { o.HangFor = unkindHang })
	w.policy = policyWithGates
	w.after = func(d time.Duration) <-chan time.Time { return time.After(d / 1000) }
	w.start()
	for i := range 12 {
		s := &unkindStay{
			stay: w.rig.stay(fmt.Sprintf("S%d", i)), lately: map[string]bool{}, groups: map[string]bool{},
			windows: map[[2]int64]bool{}, emails: map[string]bool{},
		}
		s.source = unkindSources[i%len(unkindSources)]
		if unkindGates[s.source] != nil { // its gates have not been reported as open
			s.gatesModel.sealed = map[string]bool{}
		}
		w.stays = append(w.stays, s)
	}
	waitFor(t, "the access groups to be known", func() bool { return w.sim.Calls() >= 2 })
	w.listenForHeld()
	w.sim.Configure(func(o *simulator.Options) { o.Watch = w.see })
	for _, l := range []string{"L", "M", "V"} {
		w.changeListing(l)
	}
	return w
}

// one picks one of several values.
func one[T any](w *unkind, values ...T) T { return values[w.random.IntN(len(values))] }

// chance is true in that many percent of cases.
func (w *unkind) chance(percent int) bool { return w.random.IntN(100) < percent }

func (w *unkind) tell(format string, args ...any) {
	w.story = append(w.story, w.now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	if len(w.story) > 60 {
		w.story = w.story[1:]
	}
}

// run takes steps, in storms of a random length with a check after each.
func (w *unkind) run(steps int) {
	started := time.Now()
	result := chaos.Result{Rig: "unkind worlds", Cells: 1, Fired: 1, Events: steps}
	for left := steps; left > 0 && !w.t.Failed(); {
		storm := min(left, 20+w.random.IntN(120))
		w.shortLists = w.chance(50)
		for range storm {
			if w.step(); w.brokenYet() {
				break
			}
		}
		left -= storm
		w.notices.calm.Store(true)
		result.Faults += w.sim.Heal()
		if w.brokenYet() {
			break
		}
		calm := time.Now()
		w.check()
		w.notices.calm.Store(false)
		result.Converge = append(result.Converge, time.Since(calm))
	}
	if w.brokenYet() || w.t.Failed() {
		result.Wrong = 1
		w.t.Logf("the last steps:\n%s", strings.Join(w.story, "\n"))
		for _, s := range w.stays {
			if s.suspect {
				w.rig.tell(s.stay)
				w.tellCalls(s)
			}
		}
	}
	w.t.Logf("%d steps in %s, %d calls", steps, time.Since(started).Round(time.Millisecond), w.sim.Calls())
	chaos.Record(w.t, result)
}

// step does one random thing. Now and then everybody else waits for its effects.
func (w *unkind) step() {
	switch n := w.random.IntN(100); {
	case n < 34:
		w.changeStay(one(w, w.stays...))
	case n < 38:
		w.changeGate(one(w, w.stays...))
	case n < 42:
		w.changeListing(one(w, "L", "M", "V"))
	case n < 60:
		w.breakCalls()
	case n < 70:
		w.turnSwitch()
	case n < 85:
		d := time.Duration(1+w.random.IntN(one(w, 10, 300, 5000))) * time.Second
		w.tell("%s pass", d)
		w.passTime(d)
	case n < 93:
		w.meddle(one(w, w.stays...))
	case n < 95:
		w.reconcile(one(w, w.stays...))
	case n < 96:
		w.holdOrRelease(one(w, w.stays...))
	case n < 97:
		w.restart()
	case n < 98:
		w.addWalkIn(one(w, w.stays...))
	default:
		w.changeIdentities()
	}
	if w.chance(30) {
		w.rest()
	}
}

func (w *unkind) passTime(d time.Duration) {
	w.advance(d)
	w.prov.Wake()
}

// restart stops the service and starts it again. The lease of an unfinished sweep is freed at once, so that nobody
// waits for it.
func (w *unkind) restart() {
	w.tell("restart")
	w.stopAndSettle()
	if _, err := w.store.Pool().Exec(context.Background(), `UPDATE tasks SET lease_until = NULL`); err != nil {
		w.t.Fatal(err)
	}
	w.start()
}

func (w *unkind) reconcile(s *unkindStay) {
	if s.booked && !s.held { // a held one has to be released first
		w.tell("%s: reconcile", s.id)
		reconcile(w.rig, &s.stay)
	}
}

// holdOrRelease has an admin hold a stay, or release it.
func (w *unkind) holdOrRelease(s *unkindStay) {
	if !s.booked {
		return
	}
	kind := intake.ActionHold
	if s.held {
		kind = intake.ActionRelease
	}
	w.tell("%s: %s", s.id, kind)
	w.mustAct(s.stay, intake.Action{Kind: kind})
	s.held = !s.held
}

// rest waits until nothing is due and no worker is active. Events that the applier has postponed because of a lock
// come first.
func (w *unkind) rest() {
	w.drain()
	w.forgetFormerListings()
	w.prov.Wake()
	mostCalls := w.sim.Calls() + 100_000
	late := func() {
		var stacks bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		for _, s := range w.stays {
			if w.due("count(*) FILTER (WHERE reservation_id = '"+s.id+"')") != "0" {
				w.rig.tell(s.stay)
				w.tellCalls(s)
			}
		}
		w.t.Fatalf("still due at %s, trouble %q:\n%s\nlast steps:\n%s\ngoroutines of all tests:\n%s", w.now(),
			w.prov.Trouble(), w.due(`string_agg(to_json(mobile_keys)::text, E'\n')`),
			strings.Join(w.story, "\n"), &stacks)
	}
	until.Reached(w.t, func() bool {
		if w.due("count(*) FILTER (WHERE attempts > 300)") != "0" || w.sim.Calls() > mostCalls {
			late() // it is tried, or looked at, again without end
		}
		return w.due("count(*)") == "0" || w.pass()
	}, late)
	w.notices.notifier.Wake()
	w.seal()
}

// forgetFormerListings ends what [unkindStay.lately] is for once every event is applied.
func (w *unkind) forgetFormerListings() {
	var waiting int
	err := w.store.Pool().QueryRow(context.Background(), `SELECT count(*) FROM event_queue`).Scan(&waiting)
	if err != nil {
		w.t.Fatal(err)
	}
	if waiting > 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.stays {
		s.lately = map[string]bool{s.listing: true}
	}
}

// due is an aggregate of the keys that are due or being worked on.
func (w *unkind) due(aggregate string) (value string) {
	if err := w.store.Pool().QueryRow(context.Background(), `SELECT coalesce((`+aggregate+`)::text, '') FROM mobile_keys
		WHERE queued OR next_reconcile_at <= $1 OR lease_until > clock_timestamp()`, w.now()).Scan(&value); err != nil {
		w.t.Fatal(err)
	}
	return value
}

// changeStay books a stay, changes it or cancels it.
func (w *unkind) changeStay(s *unkindStay) {
	now := w.now().Truncate(time.Millisecond)
	switch {
	case s.booked && !s.cancelled && w.chance(15):
		s.cancelled = true
		w.tell("%s: cancelled", s.id)
		w.cancel(s.stay)
		if !w.chance(30) {
			return
		}
		s.cancelled = false // booked again, perhaps while it is being removed
	case !s.booked, s.out.Before(now.Add(time.Hour)), w.chance(10): // other dates
		s.in = now.Add(time.Duration(w.random.IntN(72)-12) * time.Hour)
		s.out = now.Add(time.Duration(24+w.random.IntN(96)) * time.Hour)
		if !s.in.Before(s.out) {
			s.in = s.out.Add(-6 * time.Hour)
		}
	case w.chance(30):
		s.out = s.out.Add(time.Duration(w.random.IntN(48)-12) * time.Hour)
		if s.out.Before(now.Add(6*time.Hour)) || !s.in.Before(s.out) {
			s.out = now.Add(24 * time.Hour)
			s.in = now.Add(-time.Hour)
		}
	case w.chance(40):
		s.listing = one(w, "L", "M", "V", "")
	case w.chance(50):
		s.email = one(w, "jane@example.com", "Joe@example.com", "")
		w.mu.Lock()
		s.guestChanged = true
		w.mu.Unlock()
	}
	s.booked, s.cancelled = true, false
	w.want(s)
	w.tell("%s: booked, %q at %q, %s to %s", s.id, s.email, s.listing, s.in.Format("02 15:04"),
		s.out.Format("02 15:04"))
	w.book(s.stay)
}

// want records what a stay may be from now on.
func (w *unkind) want(s *unkindStay) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.lately[s.listing] = true
	for listing := range s.lately {
		for _, g := range w.groups[listing] {
			s.groups[g] = true
		}
	}
	s.windows[windowOf(s.in, s.out)] = true
	if s.email != "" {
		s.emails[pms.GuestAddress(s.email)] = true
	}
}

// windowOf is a window to the minute: schedules may be rounded.
func windowOf(in, out time.Time) [2]int64 { return [2]int64{in.Unix() / 60, out.Unix() / 60} }

func (w *unkind) changeListing(id string) {
	all := possible[id]
	w.groups[id] = all[:1+w.random.IntN(len(all))]
	w.tell("listing %s: %v", id, w.groups[id])
	for _, s := range w.stays {
		if s.lately[id] {
			w.want(s)
		}
	}
	for _, source := range unkindSources {
		w.listing(source, id, w.groups[id]...)
	}
}
