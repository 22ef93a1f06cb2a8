package guest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/tools/chaos"
)

// mortal is a replica's guest side that dies at a step: its connections to the database end there, so nothing after that
// is written. Its lease would expire on its own; the test, which knows that it is dead, ends it at once.
type mortal struct {
	*guest.Service
	db   *store.Store
	dead atomic.Bool
}

func (r *rig) mortal(dies point.Name, at int) *mortal {
	r.t.Helper()
	db, err := store.Open(context.Background(), r.dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	m := &mortal{db: db}
	left := atomic.Int64{}
	left.Store(int64(at))
	m.Service = guest.New(db, r.client, slog.New(slog.DiscardHandler), guest.Options{
		PublicURL: "https://keys.example.com", Salt: "salt", LinkSalt: "links", Secret: "seam_key", Source: func(string) pms.Source { return r.source },
		Now: r.now, Grace: 300 * time.Millisecond,
		Reached: func(name point.Name) {
			if name == dies && left.Add(-1) == 0 {
				m.dead.Store(true)
				db.Close()
			}
		},
	})
	return m
}

func (m *mortal) end(r *rig) {
	if !m.dead.Load() {
		m.db.Close()
	}
	r.exec(`UPDATE guest_stays SET lease_until = clock_timestamp() - interval '1 second' WHERE lease_until IS NOT NULL`)
}

// handed is something that a guest was given.
type handed struct {
	secret     string
	credential string // the mobile key that it showed then
}

// life is one stay's, with everything that its guests were given.
type life struct {
	*rig
	booking
	given  []handed
	deaths int
	faults int
}

var handPaths = []string{
	seam.PathInstantKeyCreate, seam.PathInstantKeyDelete, seam.PathSessionGet, seam.PathSessionRevoke, "/instant_keys/get", "/instant_keys/list", "/client_sessions/list",
}

// once does one thing, which may fail, or its process die, at any step.
func (l *life) once(what int) {
	l.t.Helper()
	var dies point.Name
	if rand.IntN(2) == 0 {
		dies = point.Guest[rand.IntN(len(point.Guest))]
	}
	if rand.IntN(2) == 0 {
		kinds := append(slices.Clone(simulator.Alterations), simulator.FaultKinds...)
		kinds = slices.DeleteFunc(kinds, func(k simulator.FaultKind) bool { return k == simulator.SlowDrip })
		l.sim.Inject(simulator.Fault{Kind: kinds[rand.IntN(len(kinds))], Path: handPaths[rand.IntN(len(handPaths))], Count: 1 + rand.IntN(2)})
		l.faults++
	}
	ctx := context.Background()
	m := l.mortal(dies, 1+rand.IntN(2))
	switch what {
	case 0, 1, 2:
		credential := l.credential()
		o, err := m.Open(ctx, l.link(l.booking))
		l.took(m, o.InstantKeyURL, credential, err)
	case 3:
		credential := l.credential()
		session, err := m.AppSession(ctx, l.ref())
		l.took(m, session.Token, credential, err)
	case 4:
		_ = m.Renew(ctx, guest.StayOf(l.view(l.booking).Reservation), store.Audit{Author: "test", Token: "test", Via: store.AuditREST, Action: "renew"})
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
	for range 3 { // a failed look is repeated later
		_, _ = m.Clean(ctx)
	}
	if m.dead.Load() {
		l.deaths++
	}
	m.end(l.rig)
	l.sim.Heal()
}

func (l *life) credential() string {
	if u := l.view(l.booking).User; u != nil && u.CredentialID != nil {
		return *u.CredentialID
	}
	return ""
}

// took notes what a guest was given. A process that is dead gives nothing.
func (l *life) took(m *mortal, secret, credential string, err error) {
	l.t.Helper()
	notReady, limit := new(guest.NotReadyError), new(guest.LimitError)
	switch {
	case err == nil && m.dead.Load(): // it died after the answer was certain: the guest may have it
		l.given = append(l.given, handed{secret, credential})
	case err == nil:
		l.given = append(l.given, handed{secret, credential})
		l.mustShow(secret, l.booking)
	case errors.Is(err, guest.ErrUnavailable), errors.Is(err, guest.ErrBusy), errors.As(err, &notReady), errors.As(err, &limit), m.dead.Load():
	default:
		l.t.Errorf("the guest gets: %v", err)
	}
}

// settle lets everything that is due happen, without faults.
func (l *life) settle() {
	l.t.Helper()
	for _, by := range []time.Duration{0, time.Second, time.Second, 10 * time.Minute, 10 * time.Minute, time.Second} {
		l.advance(by)
		for {
			n, err := l.guest.Clean(context.Background())
			if err != nil {
				l.t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
	}
}

// mustBeSound checks that nothing is out there which isn't recorded, that one instant key at most is handed out from now on, and that nothing shows
// a key other than the one that it was given for.
func (l *life) mustBeSound() {
	l.t.Helper()
	state, now := l.sim.State(), l.now()
	recorded := map[string]bool{}
	usable := 0
	rows, err := l.store.Pool().Query(context.Background(), `SELECT kind, coalesce(seam_id, ''), coalesce(session_id, ''), ending_at IS NULL, uses, coalesce(expires_at, 'epoch') FROM handed_out`)
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
		if shown := state.Shown(h.secret, now); len(shown) > 0 && !slices.Equal(shown, []string{h.credential}) || len(shown) > 0 && h.credential != current {
			l.t.Errorf("what was given for mobile key %s shows %v; the stay has %s", h.credential, shown, current)
		}
	}
}

// TestGivingAndTakingBackUnderDeaths has a stay live through changes while calls to Seam fail and processes die at every step of giving and taking
// back. STAYKEY_GUEST_DEATHS makes it longer.
func TestGivingAndTakingBackUnderDeaths(t *testing.T) {
	t.Parallel()
	rounds := chaos.Size("STAYKEY_GUEST_DEATHS", 60)
	worlds := []simulator.Options{{}, {KeepSessionOfKey: true, ListRevokedSessions: true}, {AnySession: true, InstantKeyLife: 40 * time.Minute}, {ForgetExpiredKeys: true, InstantKeyLife: 40 * time.Minute, ReadLag: 100 * time.Millisecond}}
	for n, world := range worlds {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, lossyTimeout, world)
			r.listing("g1")
			l := &life{rig: r, booking: r.booking("A")}
			l.out = l.in.Add(300 * 24 * time.Hour)
			l.issued(l.booking)
			for i := range max(1, rounds/len(worlds)) {
				l.once(rand.IntN(8))
				if i%5 == 4 {
					l.settle()
					l.mustBeSound()
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
			chaos.Record(t, chaos.Result{Rig: "guests' keys", Kills: l.deaths, Faults: l.faults})
		})
	}
}
