package guest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

func TestALinkGivesTheStaysKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.listing("g1")
	a, b := r.issued(r.booking("A")), r.issued(r.booking("B"))
	first := r.mustOpen(a)
	if again := r.mustOpen(a); again.InstantKeyURL != first.InstantKeyURL {
		t.Error("an instant key that is good was not used again")
	}
	other := r.mustOpen(b)
	if other.InstantKeyURL == first.InstantKeyURL || len(r.sim.State().InstantKeys) != 2 {
		t.Errorf("two stays have %d instant keys", len(r.sim.State().InstantKeys))
	}
	if page := first.Page; page.Property != "Garden suite" || page.CheckIn.Location().String() != "Europe/Madrid" ||
		page.Readiness != guest.Ready {
		t.Errorf("the page says %+v", page)
	}
	links, err := r.guest.Links(context.Background(), []guest.Stay{
		guest.StayOf(r.view(a).Reservation),
		guest.StayOf(r.view(b).Reservation),
	})
	if err != nil || links[a.ref()].Openings != 2 || links[a.ref()].OpenedAt == nil || links[b.ref()].Openings != 1 {
		t.Errorf("links %+v %v", links, err)
	}
}

func TestLookingMakesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.listing("g1")
	a := r.issued(r.booking("A"))
	link, calls := r.link(a), r.sim.Calls()
	for range 3 {
		if page, err := r.guest.Look(context.Background(), link); err != nil || page.Readiness != guest.Ready {
			t.Errorf("got %+v %v", page, err)
		}
	}
	if r.sim.Calls() != calls || r.rows() != 0 {
		t.Errorf("looking made %d calls and %d rows", r.sim.Calls()-calls, r.rows())
	}
}

func TestAnExpiredInstantKeyIsReplaced(t *testing.T) {
	t.Parallel()
	for _, forget := range []bool{false, true} {
		r := newRig(t, simulator.Options{InstantKeyLife: time.Hour, ForgetExpiredKeys: forget})
		r.listing("g1")
		a := r.issued(r.booking("A"))
		first := r.mustOpen(a)
		r.advance(59 * time.Minute)
		second := r.mustOpen(a)
		if second.InstantKeyURL == first.InstantKeyURL {
			t.Error("an instant key was handed out that is over in a minute")
		}
		r.cancel(a)
		r.until(a, stay.KeyRevoked)
		r.mustBeClean()
	}
}

// Somebody deletes the instant key in Seam's console: the guest gets another one.
func TestAnInstantKeyThatIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.listing("g1")
	a := r.issued(r.booking("A"))
	first := r.mustOpen(a)
	r.sim.Change(func(s *simulator.State) { clear(s.InstantKeys) })
	if second := r.mustOpen(a); second.InstantKeyURL == first.InstantKeyURL {
		t.Error("the same URL again")
	}
}

func TestTheLimitOfALink(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.listing("g1")
	a := r.issued(r.booking("A"))
	for range guest.OpeningsAnHour {
		r.mustOpen(a)
	}
	limit := new(guest.LimitError)
	if _, err := r.open(r.link(a)); !errors.As(err, &limit) || limit.After <= 0 || limit.After > time.Hour {
		t.Errorf("the eleventh time: %v", err)
	}
	r.advance(limit.After + time.Minute)
	r.mustOpen(a)
}

func TestLinksThatAreNoGood(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.listing("g1")
	look := func(link string) error {
		_, err := r.guest.Look(context.Background(), link)
		_, opened := r.open(link)
		if !errors.Is(opened, err) {
			t.Errorf("looking says %v, opening %v", err, opened)
		}
		return err
	}
	for _, unknown := range []string{
		"", "x", "0123456789012345678901", "012345678901234567890\x00",
		"../../v1/reservations..",
	} {
		if err := look(unknown); !errors.Is(err, guest.ErrUnknown) {
			t.Errorf("%q: %v", unknown, err)
		}
	}
	a := r.issued(r.booking("A"))
	link := r.link(a)
	if len(link) != 22 {
		t.Errorf("the link's id is %q", link)
	}
	r.cancel(a)
	r.until(a, stay.KeyRevoked)
	if err := look(link); !errors.Is(err, guest.ErrGone) {
		t.Errorf("cancelled: %v", err)
	}
	r.issued(a)
	if r.link(a) != link {
		t.Error("a reservation that is confirmed again has another link")
	}
	r.mustOpen(a)
	a.email = "joe@example.com"
	r.issued(a)
	if err := look(link); !errors.Is(err, guest.ErrGone) {
		t.Errorf("another guest's: %v", err)
	}
	second := r.link(a)
	if second == link {
		t.Error("another guest has the same link")
	}
	r.mustOpen(a)
	if err := r.guest.Renew(context.Background(), guest.StayOf(r.view(a).Reservation),
		store.Audit{Author: "test", Token: "test", Via: store.AuditREST, Action: "renew_link"}); err != nil {
		t.Fatal(err)
	}
	if err := look(second); !errors.Is(err, guest.ErrGone) {
		t.Errorf("renewed: %v", err)
	}
	r.mustOpen(a)
	third := r.link(a)
	r.advance(10 * 24 * time.Hour)
	if err := look(third); !errors.Is(err, guest.ErrGone) {
		t.Errorf("over: %v", err)
	}
	r.source.GuestLinks = false
	if err := look(third); !errors.Is(err, guest.ErrUnknown) {
		t.Errorf("switched off: %v", err)
	}
}

// A stay whose attempt gave up on a busy Postgres keeps its lease, and its status, for longer than a test waits. So
// nothing in the rig gives up: neither its own statements nor those of the processes that die in it.
func TestNothingInTheRigGivesUpOnABusyPostgres(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	for who, dsn := range map[string]string{"the rig": r.dsn, "a process that dies": storetest.VictimDSN(t, r.dsn)} {
		db, err := store.Open(context.Background(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, name := range []string{"lock_timeout", "statement_timeout"} {
			var value time.Duration
			err := db.Pool().QueryRow(context.Background(), `SELECT current_setting($1)::interval`, name).Scan(&value)
			if err != nil || value < until.Patience {
				t.Errorf("%s of %s is %s: %v", name, who, value, err)
			}
		}
		if within := db.Within(time.Second); within < until.Patience {
			t.Errorf("%s gives a second's work only %s", who, within)
		}
	}
}
