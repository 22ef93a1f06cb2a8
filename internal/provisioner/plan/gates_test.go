package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// gated is a stay with one gate, an hour before access begins.
func gated(rule pms.Gate, state string, opened bool) Situation {
	checkIn, checkOut := noon.Add(time.Hour), noon.Add(49*time.Hour)
	listing := "L1"
	return Situation{
		Generation: 1,
		Reservation: Reservation{
			Source: "default", ReservationID: "R1", Status: pms.Confirmed, ListingID: listing, CheckIn: &checkIn,
			CheckOut: &checkOut, GuestEmail: "jane@example.com",
		},
		Listing: &Listing{Groups: []string{"a"}},
		Policy:  pms.Policy{KeepAfter: time.Hour, Gates: []pms.Gate{rule}},
		Gates:   map[string]stay.GateReports{rule.Name: {PMS: &stay.GateReport{State: state, Opened: opened}}},
		Now:     noon, DefaultSystem: "s1", GuestKey: func(address string) string { return address },
		Group: func(string) (string, bool) { return "s1", true },
	}
}

// keyOf is a key exactly as a stay asks for it.
func keyOf(s Situation) record.User {
	d := Desire(s)
	return rows.User(store.ACSUser{
		ID: 1, ACSSystemID: "s1", UserIdentityID: "i1", UserIdentityKey: d.GuestKey, GuestKey: d.GuestKey,
		ACSUserID: ptr("u1"), MadeAt: &noon, CredentialID: ptr("c1"),
		StartsAt: &d.Starts, EndsAt: &d.Ends, AccessGroupIDs: []string{"a"}, GroupsRead: true, Settled: true,
	})
}

func TestGates(t *testing.T) {
	t.Parallel()
	key := pms.Gate{Name: "paid", Holds: stay.HoldsKey}
	link := pms.Gate{Name: "paid", Holds: stay.HoldsLink}
	revoking := func(g pms.Gate) pms.Gate { g.Revoke = true; return g }
	begun := func(s *Situation) { s.Now = s.Reservation.CheckIn.Add(time.Minute) }
	for name, c := range map[string]struct {
		reason  string
		rule    pms.Gate
		state   string
		opened  bool
		has     bool
		change  func(*Situation)
		steps   []Kind // nil: none
		status  string
		because string
	}{
		"open": {
			"an open gate holds nothing", key, stay.GateOpen, true, false, nil,
			[]Kind{CreateIdentity, CreateUser, CreateKey},
			stay.KeyProvisioning, "",
		},
		"closed": {
			"nothing is created", key, stay.GateClosed, false, false, nil, nil,
			stay.KeyWaiting, stay.ReasonGateClosed,
		},
		"unknown": {
			"unknown counts as closed", key, stay.GateUnknown, false, false, nil, nil,
			stay.KeyWaiting, stay.ReasonGateClosed,
		},
		"again": {
			"the key stays", key, stay.GateClosed, true, true, nil, nil,
			stay.KeyAttention, stay.ReasonGateClosed,
		},
		"again, revoke": {
			"the key goes", revoking(key), stay.GateClosed, true, true, nil,
			[]Kind{DeleteUser},
			"", "",
		},
		"again, revoke, begun": {
			"a guest who may be inside keeps the key", revoking(key), stay.GateClosed,
			true, true, begun, nil, stay.KeyAttention, stay.ReasonGateClosed,
		},
		"link": {
			"the key is created", link, stay.GateClosed, false, false, nil,
			[]Kind{CreateIdentity, CreateUser, CreateKey},
			stay.KeyProvisioning, "",
		},
		"link, with a key": {
			"nothing is wrong", link, stay.GateClosed, false, true, nil, nil,
			stay.KeyIssued, "",
		},
		"link again": {
			"somebody should know", link, stay.GateClosed, true, true, nil, nil,
			stay.KeyAttention, stay.ReasonGateClosed,
		},
		"link again, no key": {
			"the key is created, and then somebody should know", link, stay.GateClosed,
			true, false, nil,
			[]Kind{CreateIdentity, CreateUser, CreateKey},
			stay.KeyProvisioning, "",
		},
		"link again, revoke, no key": {
			"a key that was taken away is not created when the stay begins",
			revoking(link), stay.GateClosed, true, false, begun, nil, stay.KeyWaiting, stay.ReasonGateClosed,
		},
		"link again, revoke, begun": {
			"a guest who may be inside keeps the key", revoking(link), stay.GateClosed,
			true, true, begun, nil, stay.KeyAttention, stay.ReasonGateClosed,
		},
		"link, revoke, never open, no key": {
			"the key is created", revoking(link), stay.GateClosed, false, false, nil,
			[]Kind{CreateIdentity, CreateUser, CreateKey},
			stay.KeyProvisioning, "",
		},
		"link again, revoke": {
			"the key goes", revoking(link), stay.GateClosed, true, true, nil,
			[]Kind{DeleteUser},
			"", "",
		},
		"cancelled": {
			"a gate never delays a cancel", key, stay.GateClosed, true, true,
			func(s *Situation) { s.Reservation.Status = pms.Cancelled },
			[]Kind{DeleteUser},
			"", "",
		},
		"shorter": {"a gate never delays a shortening", key, stay.GateClosed, true, true, func(s *Situation) {
			s.Reservation.CheckOut = ptr(s.Reservation.CheckOut.Add(-24 * time.Hour))
		}, []Kind{SetSchedule}, "", ""},
		"another room": {
			"the old door closes", key, stay.GateClosed, true, true,
			func(s *Situation) { s.Listing.Groups = []string{"b"} },
			[]Kind{AddGroup, RemoveGroup},
			"", "",
		},
		"another guest": {
			"the old guest's key goes, and the new one waits", key, stay.GateClosed, true, true,
			func(s *Situation) {
				s.Reservation.GuestEmail = "joe@example.com"
			},
			[]Kind{DeleteUser},
			"", "",
		},
		"link again, another guest, no room": {
			"the key of a former guest is not what the gate is about", link,
			stay.GateClosed, true, true, func(s *Situation) {
				s.Reservation.GuestEmail, s.Reservation.ListingID, s.Listing = "joe@example.com", "", nil
			},
			[]Kind{RemoveGroup},
			"", "",
		},
		"link again, another guest, no room or doors": {
			"nothing is created without a room", link, stay.GateClosed,
			true, true, func(s *Situation) {
				s.Reservation.GuestEmail, s.Reservation.ListingID, s.Listing = "joe@example.com", "", nil
			}, nil, stay.KeyWaiting, stay.ReasonNoRoom,
		},
		"no room": {
			"the old door closes", key, stay.GateClosed, true, true,
			func(s *Situation) { s.Reservation.ListingID, s.Listing = "", nil },
			[]Kind{RemoveGroup},
			"", "",
		},
		"listing deleted": {
			"the nearer cause is named", key, stay.GateClosed, true, true,
			func(s *Situation) { s.Listing.Deleted = true }, nil, stay.KeyAttention, stay.ReasonListingDeleted,
		},
		"identity per stay": {
			"nothing new is created to move to", key, stay.GateClosed, true, true,
			func(s *Situation) { s.Policy.OwnIdentity = true }, nil, stay.KeyAttention, stay.ReasonGateClosed,
		},
		"before the horizon": {
			"the gate is what somebody can act on", key, stay.GateClosed, false, false,
			func(s *Situation) { s.Policy.Horizon = time.Minute }, nil, stay.KeyWaiting, stay.ReasonGateClosed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := gated(c.rule, c.state, c.opened)
			var users []record.User
			if c.has {
				users = append(users, keyOf(s))
			}
			if strings.HasSuffix(name, "no room or doors") {
				users[0].AccessGroupIDs = nil
			}
			if c.change != nil {
				c.change(&s)
			}
			d := Desire(s)
			d.OwnKey = "own"
			var kinds []Kind
			for _, step := range Plan(d, users, false) {
				kinds = append(kinds, step.Kind)
			}
			if !slices.Equal(kinds, c.steps) {
				t.Fatalf("%s: steps %v, want %v", c.reason, kinds, c.steps)
			}
			if c.status == "" {
				return
			}
			d = d.WithFirstKeyWaiting(users)
			state := State{Desired: d, Now: s.Now}
			if i := Standing(d, users); i >= 0 {
				state.User = &users[i]
			}
			j := Judge(state)
			if j.Status != c.status || j.Reason != c.because {
				t.Errorf("%s: %s/%s (%s), want %s/%s", c.reason, j.Status, j.Reason, j.Message, c.status, c.because)
			}
			if j.Reason == stay.ReasonGateClosed && !strings.Contains(j.Message, `"paid"`) {
				t.Errorf("the message doesn't name the gate: %s", j.Message)
			}
		})
	}
}

// What somebody deleted at Seam is restored when an admin asks for it, unless a gate lets nothing be created.
func TestGatesAndWhatWasDeleted(t *testing.T) {
	t.Parallel()
	restored := []Kind{DeleteUser, CreateIdentity, CreateUser, CreateKey}
	for name, c := range map[string]struct {
		reason string
		rule   pms.Gate
		revive bool
		steps  []Kind
	}{
		"link, nobody asks": {
			"somebody deleted it on purpose",
			pms.Gate{Name: "paid", Holds: stay.HoldsLink},
			false, nil,
		},
		"link": {
			"the gate withholds no key",
			pms.Gate{Name: "paid", Holds: stay.HoldsLink},
			true, restored,
		},
		"key": {"nothing is created", pms.Gate{Name: "paid", Holds: stay.HoldsKey}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := gated(c.rule, stay.GateClosed, true)
			u := keyOf(s)
			u.FoundGone(noon)
			d := Desire(s)
			d.OwnKey = "own"
			var kinds []Kind
			for _, step := range Plan(d, []record.User{u}, c.revive) {
				kinds = append(kinds, step.Kind)
			}
			if !slices.Equal(kinds, c.steps) {
				t.Errorf("%s: steps %v, want %v", c.reason, kinds, c.steps)
			}
		})
	}
}

// Under a closed gate that holds the key nothing new is created in any situation, and what must be removed is removed
// as without the gate.
func TestClosedGatesOnlyTakeAway(t *testing.T) {
	t.Parallel()
	checkOften(t, func(t *rapid.T) {
		s := gated(pms.Gate{Name: "paid", Holds: stay.HoldsKey, Revoke: rapid.Bool().Draw(t, "revoke")},
			stay.GateClosed, rapid.Bool().Draw(t, "opened"))
		s.Now = noon.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "now")) * time.Hour)
		s.Policy.OwnIdentity = rapid.Bool().Draw(t, "own identity")
		s.GuestKey = func(string) string { return "jane" }
		users, revive := drawUsers(t), rapid.Bool().Draw(t, "revive")
		d := Desire(s)
		d.OwnKey = "own"
		for _, step := range Plan(d, users, revive) {
			if step.Kind == CreateIdentity || step.Kind == CreateUser {
				t.Fatalf("%s, although the gate is closed", step)
			}
			if step.Kind == CreateKey && users[step.User].ACSUserID == nil {
				t.Fatalf("%s, although there is no ACS user", step)
			}
		}
		// Nothing is left of another guest, or on another system.
		for i, u := range users {
			foreign := u.GuestKey != "jane" || u.ACSSystemID != "s1"
			if !foreign || u.ACSUserID == nil || u.DeletedAt != nil ||
				i == onlyWayIn(users, Standing(d.WithFirstKeyWaiting(users), users)) {
				continue
			}
			if !slices.ContainsFunc(Plan(d, users, revive), func(step Step) bool {
				return step.Kind == DeleteUser &&
					step.User == i
			}) {
				t.Fatalf("the ACS user of %q on %s stays", u.GuestKey, u.ACSSystemID)
			}
		}
	})
}
