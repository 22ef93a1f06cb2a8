package provisioner_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/tools/chaos"
)

// overtakings are what may happen to a stay while an attempt is at it. From then on that attempt may change nothing at
// Seam: the commit before each changing call finds it out, and nothing else does.
var overtakings = map[string]struct {
	begin func(*overtaken, stay) bool // false if there is nothing to overtake any more
	end   func(*overtaken, stay)
	over  string // what the log says about the attempt; "": the next one has ended, too
}{
	"an admin holds the stay": {
		begin: func(o *overtaken, s stay) bool {
			o.mustAct(s, intake.Action{Kind: intake.ActionHold})
			return true
		},
		end: func(o *overtaken, s stay) { o.mustAct(s, intake.Action{Kind: intake.ActionRelease}) },
	},
	"another worker takes the stay over": {
		begin: func(o *overtaken, s stay) bool {
			return o.exec(`
				UPDATE mobile_keys SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + interval '1 h'
				WHERE source = $1 AND reservation_id = $2 AND lease_until > clock_timestamp()`, s.source, s.id) > 0
		},
		end: func(o *overtaken, s stay) {
			o.exec(`UPDATE mobile_keys SET lease_until = clock_timestamp() - interval '1 second'
				WHERE source = $1 AND reservation_id = $2`, s.source, s.id)
			o.prov.Wake()
		},
		over: "reservation taken over by another worker",
	},
}

// overtaken is a rig that plays the same thing with one stay after another, and overtakes it one moment later each
// time.
type overtaken struct {
	*rig
	logged func() string
	stays  int

	// called whenever an attempt has loaded what it works on, and after each of its calls to Seam. What is asked in the
	// background may come between a mark and its call, which is sent then.
	onLoad, onServed atomic.Pointer[func()]
}

func call(f *atomic.Pointer[func()]) {
	if f := f.Load(); f != nil {
		(*f)()
	}
}

func newOvertaken(t *testing.T) *overtaken {
	options := fast()
	options.SweepInterval = 1_000_000 * time.Hour
	o := &overtaken{rig: newRigWith(t, rigKind{timeout: lossyTimeout, connections: racing}, options,
		simulator.Options{})}
	o.stop()
	o.policy, o.logged, o.loaded = policyWithGates, o.logTo(), func() { call(&o.onLoad) }
	o.sim.Configure(func(opts *simulator.Options) {
		opts.Hook = func(path string, served bool) bool {
			if served && !strings.HasPrefix(path, "/acs/systems/") && !strings.HasPrefix(path, "/workspaces/") {
				call(&o.onServed)
			}
			return false
		}
	})
	o.start()
	for _, source := range append(gatedSources(), "default", "coded") {
		o.listing(source, "L", groupsL...)
		o.listing(source, "M", groupsM...)
		o.listing(source, "V", groupsV...)
	}
	waitFor(t, "the access groups to be known", func() bool { return o.sim.Calls() >= 2 })
	return o
}

// exec executes a statement, and returns how many rows it changed.
func (r *rig) exec(statement string, args ...any) int64 {
	r.t.Helper()
	tag, err := r.store.Pool().Exec(context.Background(), statement, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return tag.RowsAffected()
}

// isLeased reports whether an attempt at a stay is under way.
func (r *rig) isLeased(s stay) (leased bool) {
	err := r.store.Pool().QueryRow(context.Background(), `
		SELECT coalesce(lease_until > clock_timestamp(), false) FROM mobile_keys
		WHERE source = $1 AND reservation_id = $2`, s.source, s.id).Scan(&leased)
	return err == nil && leased
}

// atLoad is the moment before all calls.
const atLoad = -1

// play plays a stage with a new stay, which is overtaken after so many calls. It returns false if the stage ends before
// that.
func (o *overtaken) play(st stage, how string, after int) bool {
	o.t.Helper()
	o.stays++
	s := o.stay(fmt.Sprintf("%s %d", st.name, o.stays))
	s.email = fmt.Sprintf("g%d@example.com", o.stays)
	if st.prepare == nil {
		st.prepare = issued
	}
	st.prepare(o.rig, &s)
	o.retire(s)

	var calls, before atomic.Int64 // all calls, and the changing ones that were sent before the stay was overtaken
	overtook := make(chan struct{})
	logged := len(o.logged())
	by := overtakings[how]
	moment := func() {
		if !o.isLeased(s) {
			return // something in the background
		}
		if calls.Add(1) == int64(max(after, 0))+1 {
			if !by.begin(o, s) {
				calls.Add(-1)
				return
			}
			before.Store(int64(len(o.changing())))
			close(overtook)
		}
	}
	if after == atLoad {
		o.onLoad.Store(&moment)
	} else {
		o.onServed.Store(&moment)
	}
	st.act(o.rig, &s)
	begun := func() bool {
		select {
		case <-overtook:
			return true
		default:
			return false
		}
	}
	reached := func(v store.View) bool {
		if st.status == store.KeyExpired && v.User != nil {
			return false // it is removed a while after the stay
		}
		return v.Key.ObservedGeneration == v.Key.Generation && v.Key.Status == st.status && len(o.holds(s.id)) < 2 &&
			o.wrongCode(s, v, false) == ""
	}
	waitFor(o.t, "the stay to be overtaken, or the stage to end", func() bool {
		if begun() {
			return true
		}
		v := o.view(s)
		switch {
		case !reached(v):
			o.skipTo(v)
		case !o.isLeased(s): // a call takes effect a moment before it counts as served
			return true
		}
		return begun()
	})
	o.onLoad.Store(nil)
	o.onServed.Store(nil)
	if calls.Load() <= int64(max(after, 0)) {
		return false
	}
	<-overtook

	until.True(o.t, "the attempt to end", func() bool {
		if by.over != "" {
			return strings.Contains(o.logged()[logged:], by.over)
		}
		v := o.view(s)
		busy, _ := o.work()
		return !busy && v.Key.ObservedGeneration == v.Key.Generation
	})
	if sent := o.changing()[before.Load():]; len(sent) > 0 {
		o.tell(s)
		o.t.Errorf("%s, and %s after that: %v", st.name, how, sent)
	}
	by.end(o, s)
	o.untilLater(s, st.status, reached)
	return true
}

// retire ends what all stays but one still have to do. One of their calls could come between a mark and its call, which
// is sent then: the stay would be overtaken too late.
func (o *overtaken) retire(but stay) {
	o.t.Helper()
	waitFor(o.t, "earlier stays to be at rest", func() bool {
		o.exec(`
			UPDATE mobile_keys SET queued = false, next_reconcile_at = NULL
			WHERE (source, reservation_id) <> ($1, $2) AND (queued OR next_reconcile_at IS NOT NULL)
				AND coalesce(lease_until <= clock_timestamp(), true)`, but.source, but.id)
		var busy bool
		if err := o.store.Pool().QueryRow(context.Background(), `
			SELECT EXISTS (SELECT FROM mobile_keys WHERE (source, reservation_id) <> ($1, $2)
				AND (queued OR next_reconcile_at IS NOT NULL OR lease_until > clock_timestamp()))`,
			but.source, but.id).Scan(&busy); err != nil {
			o.t.Fatal(err)
		}
		return !busy
	})
	o.exec(`DELETE FROM removed_acs_users WHERE (source, reservation_id) <> ($1, $2)`, but.source, but.id)
}

// secondStages have something deleted that the stay has in addition to its own.
var secondStages = []stage{
	{
		name: "second user", prepare: func(r *rig, s *stay) {
			issued(r, s)
			r.advance(time.Minute)
			r.rest(*s)
			r.addSecondUser(*s)
		}, act: func(r *rig, s *stay) { r.recheck(*s) }, status: store.KeyIssued,
	},
	{
		name: "second user, whose delete had no effect", prepare: func(r *rig, s *stay) {
			issued(r, s)
			r.advance(time.Minute)
			r.addSecondUser(*s)
			r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = true })
			r.recheck(*s)
			r.untilThat(*s, "not removed", func(v store.View) bool { return str(v.Key.Reason) == "not_removed" })
		}, act: func(r *rig, _ *stay) {
			r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
		}, status: store.KeyIssued,
	},
	{
		name: "second code", prepare: func(r *rig, s *stay) {
			coded(r, s)
			r.addSecondCode(*s, uuid.NewString())
		}, act: func(r *rig, s *stay) { // without a comparison, whose commits would come before
			r.exec(`UPDATE mobile_keys SET queued = true WHERE source = $1 AND reservation_id = $2`, s.source, s.id)
			r.prov.Wake()
		}, status: store.KeyIssued,
	},
}

// addSecondUser adds an ACS user like the stay's own, as a lost create leaves it.
func (r *rig) addSecondUser(s stay) {
	own := domain.Text(r.view(s).User.ACSUserID)
	r.sim.Change(func(st *simulator.State) {
		u := st.Users[own]
		u.ID, u.CreatedAt = uuid.NewString(), r.now()
		st.Users[u.ID] = u
	})
}

// addSecondCode adds a backup code like the stay's own, as a lost create leaves it, and records that it must go.
func (r *rig) addSecondCode(s stay, id string) {
	own := *r.view(s).BackupCodeOf.CredentialID
	r.sim.Change(func(st *simulator.State) {
		c := st.Credentials[own]
		c.ID = id
		st.Credentials[id] = c
	})
	r.exec(`UPDATE backup_codes SET surplus = ARRAY[$1] WHERE source = $2 AND reservation_id = $3`, id, s.source, s.id)
}

// An admin's hold, and another worker's claim, count from the next call on, whatever the attempt is about to do: a
// second ACS user or code is deleted, too.
func TestNothingIsDeletedOnceAStayIsOvertaken(t *testing.T) {
	t.Parallel()
	for _, how := range slices.Sorted(maps.Keys(overtakings)) {
		for _, st := range secondStages {
			t.Run(how+"/"+st.name, func(t *testing.T) {
				t.Parallel()
				o, after := newOvertaken(t), atLoad
				for o.play(st, how, after) && !t.Failed() {
					after++
				}
				if after < 1 {
					t.Error("no attempt was overtaken")
				}
			})
		}
	}
}

// The same for everything that happens in a stay's life. STAYKEY_OVERTAKEN stages are drawn at random, and overtaken
// after one of their calls; -1 is all of them, after each of their calls.
func TestNothingIsChangedOnceAStayIsOvertaken(t *testing.T) {
	t.Parallel()
	n := chaos.Size("STAYKEY_OVERTAKEN", 30)
	type draw struct {
		how string
		st  stage
	}
	var draws []draw
	for how := range overtakings {
		for _, st := range stages {
			// These wait for their own end, take a moment of their own, or begin with what ends it here.
			if st.name != "another key and code" && st.name != "booked again during a removal" && !st.held {
				draws = append(draws, draw{how, st})
			}
		}
	}
	rand.Shuffle(len(draws), func(i, j int) { draws[i], draws[j] = draws[j], draws[i] })
	if n >= 0 {
		draws = draws[:min(n, len(draws))]
	}
	for _, d := range draws {
		t.Run(d.how+"/"+d.st.name, func(t *testing.T) {
			t.Parallel()
			if n >= 0 {
				after := atLoad + rand.IntN(8) // #nosec G404 -- a test
				t.Logf("overtaken after %d calls", after+1)
				newOvertaken(t).play(d.st, d.how, after)
				return
			}
			for after := atLoad; newOvertaken(t).play(d.st, d.how, after) && !t.Failed(); {
				after++
			}
		})
	}
}

// A worker that loses its lease while it creates an ACS user can't record it. The mark that it has committed before
// tells the next worker, which has to remove it: the stay has been cancelled meanwhile.
func TestACreateWhoseWorkerLosesItsLease(t *testing.T) {
	t.Parallel()
	o := newOvertaken(t)
	s, lost := o.stay("R1"), overtakings["another worker takes the stay over"]
	var once sync.Once
	moment := func() {
		if o.called(seam.PathUserCreate) > 0 {
			once.Do(func() { lost.begin(o, s) })
		}
	}
	o.onServed.Store(&moment)
	o.book(s)
	until.True(t, "the attempt to end", func() bool { return strings.Contains(o.logged(), lost.over) })
	if n := len(o.holds(s.id)); n != 1 {
		t.Fatalf("Seam holds %d ACS users, want the one that was created", n)
	}
	o.cancel(s)
	lost.end(o, s)
	o.until(s, store.KeyRevoked)
	o.mustHold(s.id)
	o.mustBeSound()
}
