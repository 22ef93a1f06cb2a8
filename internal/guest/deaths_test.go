package guest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/tools/chaos"
)

// handed is something that a guest was given.
type handed struct {
	secret     string
	credential string // the mobile key that it showed then
}

// life is one stay's, with everything that its guests were given.
type life struct {
	*rig
	booking
	given   []handed
	killed  bool // its processes are real ones
	victims storetest.Victims
	deaths  int
	faults  int
}

var handPaths = []string{
	seam.PathInstantKeyCreate, seam.PathInstantKeyDelete, seam.PathSessionGet, seam.PathSessionRevoke,
	"/instant_keys/get", "/instant_keys/list", "/client_sessions/list",
}

// once does one thing, which may fail, or its process die, at any step.
func (l *life) once(deed int) {
	l.t.Helper()
	o := order{DSN: l.dsn, Seam: l.seamURL, Link: l.link(l.booking), Ref: l.ref(), At: 1 + rand.IntN(2)}
	if l.killed || rand.IntN(2) == 0 {
		o.Dies = point.Guest[rand.IntN(len(point.Guest))]
	}
	if rand.IntN(2) == 0 {
		kinds := append(slices.Clone(simulator.Alterations), simulator.FaultKinds...)
		kinds = slices.DeleteFunc(kinds, func(k simulator.FaultKind) bool { return k == simulator.SlowDrip })
		l.sim.Inject(simulator.Fault{
			Kind: kinds[rand.IntN(len(kinds))], Path: handPaths[rand.IntN(len(handPaths))],
			Count: 1 + rand.IntN(2),
		})
		l.faults++
	}
	credential := l.credential()
	switch deed {
	case 0, 1, 2:
		o.Do = doOpen
	case 3:
		o.Do = doSession
	case 4:
		o.Do = doRenew
	case 5:
		l.email = fmt.Sprintf("guest%d@example.com", rand.IntN(3))
		l.issued(l.booking)
	case 6:
		l.cancel(l.booking)
		l.until(l.booking, stay.KeyRevoked)
		l.issued(l.booking)
	case 7:
		l.advance([]time.Duration{time.Second, time.Minute, 30 * time.Minute}[rand.IntN(3)])
	}
	o.Now = l.now()
	var got result
	if l.killed {
		got = l.send(o)
	} else {
		got = l.mortal(o)
	}
	if got.died {
		l.deaths++
	}
	switch {
	case got.Wrong != "" && !got.died:
		l.t.Errorf("the guest gets: %s", got.Wrong)
	case got.Secret != "":
		l.given = append(l.given, handed{got.Secret, credential})
		if !got.died {
			l.mustShow(got.Secret, l.booking)
		}
	}
	// Its lease would expire on its own; the test, which knows that it is dead, ends it at once.
	l.exec(`UPDATE guest_stays SET lease_until = clock_timestamp() - interval '1 second' WHERE lease_until IS NOT NULL`)
	l.sim.Heal()
}

func (l *life) credential() string {
	if u := l.view(l.booking).User; u != nil && u.CredentialID != nil {
		return *u.CredentialID
	}
	return ""
}

// mustBeSound checks that nothing is out there which isn't recorded, that one instant key at most is handed out from
// now on, and that nothing shows a key other than the one that it was given for.
func (l *life) mustBeSound() {
	l.t.Helper()
	state, now := l.sim.State(), l.now()
	recorded := map[string]bool{}
	usable := 0
	rows, err := l.store.Pool().Query(context.Background(),
		`SELECT kind, coalesce(seam_id, ''), coalesce(session_id, ''), ending_at IS NULL, uses, coalesce(expires_at, 'epoch') FROM handed_out`)
	if err != nil {
		l.t.Fatal(err)
	}
	for rows.Next() {
		var kind, id, session string
		var holds bool
		var uses int
		var expires time.Time
		if err := rows.Scan(&kind, &id, &session, &holds, &uses, &expires); err != nil {
			l.t.Fatal(err)
		}
		recorded[id], recorded[session] = true, true
		if kind == store.HandedInstantKey && holds && id != "" && uses < 10 && expires.After(now) {
			usable++
		}
	}
	if rows.Err() != nil || usable > 1 {
		l.t.Errorf("%d instant keys can be handed out: %v", usable, rows.Err())
	}
	for id, k := range state.InstantKeys {
		if !recorded[id] && k.ExpiresAt.After(now) {
			l.t.Errorf("instant key %s is an orphan", id)
		}
	}
	for id, c := range state.Sessions {
		if !recorded[id] && !c.Revoked && c.ExpiresAt.After(now) {
			l.t.Errorf("client session %s is an orphan", id)
		}
	}
	current := l.credential()
	for _, h := range l.given {
		if shown := state.Shown(h.secret, now); len(shown) > 0 && !slices.Equal(shown, []string{h.credential}) ||
			len(shown) > 0 && h.credential != current {
			l.t.Errorf("what was given for mobile key %s shows %v; the stay has %s", h.credential, shown, current)
		}
	}
}

// worlds are how Seam may behave where it documents nothing.
var worlds = []simulator.Options{
	{},
	{KeepSessionOfKey: true, ListRevokedSessions: true},
	{AnySession: true, InstantKeyLife: 40 * time.Minute},
	{ForgetExpiredKeys: true, InstantKeyLife: 40 * time.Minute, ReadLag: 100 * time.Millisecond},
}

// liveUnderDeaths has a stay live through changes, until so many deeds are done, or processes killed.
func liveUnderDeaths(t *testing.T, world simulator.Options, killed bool, wanted int) {
	r := newRig(t, world)
	r.listing("g1")
	l := &life{rig: r, booking: r.booking("A"), killed: killed}
	l.out = l.in.Add(300 * 24 * time.Hour)
	l.issued(l.booking)
	done := func(i int) bool {
		if killed {
			return l.deaths >= wanted
		}
		return i >= wanted
	}
	for i := 0; !done(i); i++ {
		l.once(rand.IntN(8))
		if i%5 == 4 {
			l.settle()
			l.mustBeSound()
		}
		if len(l.given) > 200 { // what was given long ago was checked often enough
			l.given = l.given[150:]
		}
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
	l.cancel(l.booking)
	l.until(l.booking, stay.KeyRevoked)
	l.settle()
	l.mustBeSound()
	if n := l.good(); n > 0 || l.rows() > 0 {
		t.Errorf("cancelled: %d are good at Seam, %d rows are left", n, l.rows())
	}
	c := chaos.Result{Rig: "guests' keys", Faults: l.faults + l.deaths}
	if killed {
		c = chaos.Result{Rig: "guests' keys, processes killed", Faults: l.faults, Kills: l.deaths}
	}
	chaos.Record(t, c)
}

// TestGivingAndTakingBackUnderDeaths has a stay live through changes while calls to Seam fail and processes die at
// every step of giving and taking back: their connections to the database end there. STAYKEY_GUEST_DEATHS makes it
// longer.
func TestGivingAndTakingBackUnderDeaths(t *testing.T) {
	t.Parallel()
	rounds := chaos.Size("STAYKEY_GUEST_DEATHS", 60)
	for n, world := range worlds {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			liveUnderDeaths(t, world, false, max(1, rounds/len(worlds)))
		})
	}
}

// TestKilledWhileGivingAndTakingBack is the same with processes that really are ones, and really are killed: at a
// marked step, or at any moment. STAYKEY_GUEST_KILLS makes it longer.
func TestKilledWhileGivingAndTakingBack(t *testing.T) {
	t.Parallel()
	kills := chaos.Size("STAYKEY_GUEST_KILLS", 8)
	lanes := min(4*len(worlds), kills)
	for n := range lanes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			liveUnderDeaths(t, worlds[n%len(worlds)], true, (kills+lanes-1)/lanes)
		})
	}
}
