package provisioner_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

// overtakings are what may happen to a stay while an attempt is at it. From then on that attempt may change nothing at
// Seam: the commit before each changing call finds it out, and nothing else does.
var overtakings = map[string]struct {
	begin, end func(*overtaken, stay)
	over       string // what the log says about the attempt; "": the next one has ended, too
}{
	"an admin holds the stay": {
		begin: func(o *overtaken, s stay) { o.mustAct(s, intake.Action{Kind: intake.ActionHold}) },
		end:   func(o *overtaken, s stay) { o.mustAct(s, intake.Action{Kind: intake.ActionRelease}) },
	},
	"another worker takes the stay over": {
		begin: func(o *overtaken, s stay) {
			o.exec(`
				UPDATE mobile_keys SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + interval '1 h'
				WHERE source = $1 AND reservation_id = $2`, s.source, s.id)
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

	// called whenever an attempt has loaded what it works on, and after each call to Seam
	loaded, served atomic.Pointer[func()]
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
	o.logged = o.logTo()
	o.policy = func(source string) pms.Policy {
		call(&o.loaded)
		return policyWithGates(source)
	}
	o.sim.Configure(func(opts *simulator.Options) {
		opts.Hook = func(_ string, served bool) bool {
			if served {
				call(&o.served)
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

func (r *rig) exec(statement string, args ...any) {
	r.t.Helper()
	if _, err := r.store.Pool().Exec(context.Background(), statement, args...); err != nil {
		r.t.Fatal(err)
	}
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
	o.rest(s)

	var calls, before atomic.Int64 // all calls, and the changing ones that were sent before the stay was overtaken
	overtook := make(chan struct{})
	logged := len(o.logged())
	by := overtakings[how]
	moment := func() {
		if !o.isLeased(s) {
			return // something in the background
		}
		if calls.Add(1) == int64(max(after, 0))+1 {
			o.loaded.Store(nil) // an admin's decision asks for the policy, too
			by.begin(o, s)
			before.Store(int64(len(o.changing())))
			close(overtook)
		}
	}
	if after == atLoad {
		o.loaded.Store(&moment)
	} else {
		o.served.Store(&moment)
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
		code := v.BackupCodeOf
		return v.Key.ObservedGeneration == v.Key.Generation && v.Key.Status == st.status && len(o.holds(s.id)) < 2 &&
			o.wrongCode(s, v, false) == "" && (code == nil || code.KeyID == domain.Text(v.User.CredentialID))
	}
	waitFor(o.t, "the stay to be overtaken, or the stage to end", func() bool {
		if begun() {
			return true
		}
		v := o.view(s)
		if reached(v) {
			return true
		}
		o.skipTo(v)
		return begun()
	})
	o.loaded.Store(nil)
	o.served.Store(nil)
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

// secondStages have something deleted that the stay has in addition to its own.
var secondStages = []stage{
	{
		name: "second user", prepare: func(r *rig, s *stay) {
			issued(r, s)
			r.advance(time.Minute)
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
	o.served.Store(&moment)
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
