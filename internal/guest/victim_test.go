package guest_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// order is what a process does until it dies, or is done.
type order struct {
	DSN, Seam, Link string
	Ref             stay.Ref
	Now             time.Time
	Do              string
	Dies            point.Name // where it dies, the At-th time that it gets there; "" for nowhere
	At              int
}

// What an order may be about. Each also takes back what is due.
const (
	doOpen    = "open"
	doSession = "session"
	doRenew   = "renew"
)

// result is how an order ended.
type result struct {
	Secret string // what the guest was given
	Wrong  string // an error that no guest should get
	died   bool
}

// TestMain has this program carry out an order instead of the tests, in a process that is meant to be killed.
func TestMain(m *testing.M) {
	var o order
	if !storetest.IsVictim(&o) {
		os.Exit(storetest.Main(m))
	}
	db, err := store.Open(context.Background(), o.DSN)
	if err != nil {
		panic(err)
	}
	began := time.Now()
	s, done := o.service(db, func() time.Time { return o.Now.Add(time.Since(began)) }, storetest.Die)
	defer done()
	got := o.carryOut(s)
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		panic(err)
	}
	o.clean(s)
}

// service is a replica's guest's side, whose calls are lost soon, and which dies where the order says.
func (o order) service(db *store.Store, now func() time.Time, die func()) (s *guest.Service, done func()) {
	client, err := seam.New(seam.Config{Endpoint: o.Seam, APIKey: "k", Timeout: lossyTimeout, Now: now})
	if err != nil {
		panic(err)
	}
	source := pms.Source{Name: "default", GuestLinks: true, Policy: pms.DefaultPolicy()}
	source.Policy.OwnIdentity = true
	options := optionsOf(func(string) pms.Source { return source }, now)
	options.Reached = storetest.DiesAt(o.Dies, o.At, die)
	return guest.New(db, client, slog.New(slog.DiscardHandler), options), client.Close
}

func (o order) carryOut(s *guest.Service) (got result) {
	ctx := context.Background()
	var err error
	switch o.Do {
	case doOpen:
		var opened guest.Opened
		opened, err = s.Open(ctx, o.Link)
		got.Secret = opened.InstantKeyURL
	case doSession:
		var session guest.Session
		session, err = s.AppSession(ctx, o.Ref)
		got.Secret = session.Token
	case doRenew:
		_ = s.Renew(ctx, guest.Stay{Ref: o.Ref, Status: pms.Confirmed}, testAudit("renew"))
	}
	notReady, limit := new(guest.NotReadyError), new(guest.LimitError)
	switch {
	case err == nil:
	case errors.Is(err, guest.ErrUnavailable), errors.Is(err, guest.ErrBusy), errors.As(err, &notReady),
		errors.As(err, &limit):
		got.Secret = ""
	default:
		got.Secret, got.Wrong = "", err.Error()
	}
	return got
}

func (o order) clean(s *guest.Service) {
	for range 3 { // a failed look is repeated later
		_, _ = s.Clean(context.Background())
	}
}

// mortal carries an order out in this process: where it dies, its connections to the database end, so nothing after
// that is written.
func (l *life) mortal(o order) (got result) {
	l.t.Helper()
	db, err := store.Open(context.Background(), l.dsn)
	if err != nil {
		l.t.Fatal(err)
	}
	s, done := o.service(db, l.now, func() {
		got.died = true
		db.Close()
	})
	defer done()
	defer db.Close()
	carried := o.carryOut(s)
	o.clean(s)
	carried.died = got.died
	return carried
}

// send has a process of its own carry an order out. One that doesn't die where the order says is killed at any moment,
// unless it is done before.
func (l *life) send(o order) (got result) {
	l.t.Helper()
	o.DSN = storetest.VictimDSN(l.t, l.dsn)
	out, died := l.victims.Send(l.t, l.store.Pool(), rand.Int64N, o)
	_ = json.Unmarshal(out, &got) // nothing, if it was killed before
	got.died = died
	return got
}
