package provisioner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

func (r *rig) erase(address string) (identity string, live []store.Ref, reservations, bodies int) {
	r.t.Helper()
	e, err := r.prov.EraseGuest(context.Background(), address, store.Audit{Author: "Maria", Action: "erase_guest"})
	if err != nil {
		r.t.Fatal(err)
	}
	return e.Identity, e.Live, e.Reservations, e.Bodies
}

// mustNotKnow searches every column of every table for an address. Bytes are read as the text that they hold.
func (r *rig) mustNotKnow(text string) {
	r.t.Helper()
	r.mustHaveNo(text, func(value string) bool { return strings.Contains(strings.ToLower(value), text) })
}

// mustHaveNo checks every value of the database.
func (r *rig) mustHaveNo(what string, isOne func(value string) bool) {
	r.t.Helper()
	ctx, pool := context.Background(), r.store.Pool()
	rows, _ := pool.Query(ctx,
		`SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2`)
	type column struct{ Table, Name, Type string }
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[column])
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range columns {
		value := pgx.Identifier{c.Name}.Sanitize() + "::text"
		if c.Type == "bytea" {
			value = "encode(" + pgx.Identifier{c.Name}.Sanitize() + ", 'escape')"
		}
		rows, _ := pool.Query(ctx, "SELECT coalesce("+value+", '') FROM "+pgx.Identifier{c.Table}.Sanitize())
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			r.t.Fatalf("%+v: %v", c, err)
		}
		for _, found := range texts {
			if isOne(found) {
				r.t.Errorf("%s.%s holds %s: %s", c.Table, c.Name, what, found)
			}
		}
	}
}

func TestEraseGuest(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "lobby")
	s, other := r.stay("R1"), r.stay("R2")
	other.email = "joe@example.com"
	r.book(s)
	r.book(other)
	r.until(s, store.KeyIssued)
	r.until(other, store.KeyIssued)

	if _, live, _, _ := r.erase("Jane@example.com"); len(live) != 1 || live[0].ReservationID != "R1" {
		t.Errorf("a stay that is not over: %v", live)
	}
	r.mustHold(s.id, s.wants(system, "lobby"))

	r.cancel(s)
	r.until(s, store.KeyRevoked)
	identity, live, reservations, _ := r.erase("Jane@example.com")
	if len(live) > 0 || reservations != 1 || !strings.Contains(identity, "is deleted") {
		t.Errorf("erased: %q, %v, %d reservations", identity, live, reservations)
	}
	r.mustNotKnow("jane@example.com")
	for _, i := range r.sim.State().Identities {
		if i.Email == "jane@example.com" {
			t.Error("Seam still has the guest's user identity")
		}
	}
	r.mustHold(other.id, other.wants(system, "lobby"))
	if v := r.view(other); *v.Reservation.GuestEmail != "joe@example.com" {
		t.Error("another guest was erased")
	}
	if identity, _, reservations, _ := r.erase("jane@example.com"); reservations != 0 ||
		!strings.Contains(identity, "Seam has no user identity") {
		t.Errorf("again: %q, %d", identity, reservations)
	}
	r.mustBeSound()
}

// What somebody else uses is kept: an identity with another ACS user, and one that somebody else created.
func TestEraseGuestLeavesWhatOthersUse(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "lobby")
	s := r.stay("R1")
	r.book(s)
	v := r.until(s, store.KeyIssued)
	r.sim.Change(func(st *simulator.State) {
		st.Users["theirs"] = simulator.User{
			ID: "theirs", SystemID: systemB, IdentityID: v.User.UserIdentityID,
			FullName: "theirs", CreatedAt: time.Now(),
		}
	})
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	if identity, _, _, _ := r.erase("jane@example.com"); !strings.Contains(identity,
		"is kept: 1 ACS users that are not ours") {
		t.Errorf("an identity that others use: %q", identity)
	}
	if _, ok := r.sim.State().Identities[v.User.UserIdentityID]; !ok {
		t.Error("it was deleted")
	}
	r.mustNotKnow("jane@example.com")
}

// A list omits another ACS user that is linked to an identity: the identity is not deleted, neither with the guest's
// data nor with a stay's own ACS user.
func TestAnIdentityIsNotDeletedByOneList(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprintf("own %v", own), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "lobby")
			s := r.stay("R1")
			if own {
				s.email = ""
			}
			r.book(s)
			v := r.until(s, store.KeyIssued)
			r.sim.Change(func(st *simulator.State) {
				st.Users["theirs"] = simulator.User{
					ID: "theirs", SystemID: systemB, IdentityID: v.User.UserIdentityID,
					FullName: "theirs", CreatedAt: r.now(),
				}
			})
			r.sim.Configure(func(o *simulator.Options) { o.Hidden = []string{"theirs"} })
			r.cancel(s)
			r.until(s, store.KeyRevoked)
			if identity := ""; !own {
				if identity, _, _, _ = r.erase("jane@example.com"); !strings.Contains(identity,
					"is kept: 1 ACS users that are not ours") {
					t.Errorf("an identity that others use: %q", identity)
				}
			}
			state := r.sim.State()
			if _, ok := state.Identities[v.User.UserIdentityID]; !ok || state.Users["theirs"].ID == "" {
				t.Error("the identity was deleted, and somebody else's ACS user with it")
			}
		})
	}
}

// Seam wrongly answers with a 404 once while a guest is erased: the guest's user identity is deleted all the same, or
// the erasure fails.
func TestOneWrongNotFoundWhileErasing(t *testing.T) {
	t.Parallel()
	for path, fails := range map[string]bool{"/user_identities/get": false, seam.PathIdentityDelete: true} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.cancel(s)
			r.until(s, store.KeyRevoked)
			r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: path})
			if fails {
				_, err := r.prov.EraseGuest(context.Background(), s.email,
					store.Audit{Author: "Maria", Action: "erase_guest"})
				if err == nil {
					t.Error("it is reported as erased")
				}
			}
			if identity, _, _, _ := r.erase(s.email); !strings.Contains(identity, "is deleted") {
				t.Errorf("erased: %q", identity)
			}
			if left := r.sim.State().Identities; len(left) != 0 {
				t.Errorf("user identities are left: %+v", left)
			}
			r.mustNotKnow(s.email)
		})
	}
}
