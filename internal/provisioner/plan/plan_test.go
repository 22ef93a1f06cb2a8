package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

var (
	noon   = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	groups = []string{"a", "b", "c"}
)

// checkOften draws far more than rapid does by default: a plan costs microseconds.
func checkOften(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	for range 200 {
		rapid.Check(t, property)
	}
}

func ptr[T any](v T) *T { return &v }

// drawUsers draws any state in which a reservation can be found.
func drawUsers(t *rapid.T) []record.User {
	var users []record.User
	for i := range rapid.IntRange(0, 3).Draw(t, "users") {
		u := rows.User(store.ACSUser{
			ID: int64(i + 1), ACSSystemID: rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "system"),
			UserIdentityID: fmt.Sprintf("i%d", i),
			GuestKey:       rapid.SampledFrom([]string{"", "jane", "joe"}).Draw(t, "guest"),
			AccessGroupIDs: rapid.SliceOfDistinct(rapid.SampledFrom(groups), rapid.ID).Draw(t, "groups"),
		})
		u.UserIdentityKey = rapid.SampledFrom([]string{"own", u.GuestKey}).Draw(t, "identity")
		if rapid.Bool().Draw(t, "made") {
			u.ACSUserID, u.MadeAt = ptr(fmt.Sprintf("u%d", i)), &noon
			u.StartsAt, u.EndsAt = ptr(noon.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "starts"))*time.Hour)),
				ptr(noon.Add(time.Duration(rapid.IntRange(-5, 50).Draw(t, "ends"))*time.Hour))
			if rapid.Bool().Draw(t, "key") {
				u.CredentialID = ptr(fmt.Sprintf("c%d", i))
			}
			if rapid.Bool().Draw(t, "surplus") {
				u.SurplusKeys, u.Surplus = []string{"x"}, []record.SurplusUser{{ID: "y"}}
			}
			u.Unlinked = rapid.Bool().Draw(t, "unlinked")
			u.Unsure = rapid.IntRange(0, 4).Draw(t, "unsure") == 0
			switch rapid.IntRange(0, 6).Draw(t, "fate") {
			case 3:
				u.MissingAt = ptr(noon)
			case 0:
				u.RemovedAt = ptr(noon)
			case 4:
				u.RemovedAt, u.ContestedAt = ptr(noon), ptr(noon) // displaced
			case 1:
				u.SuspendedAt = ptr(noon)
			case 2:
				u.DeletedAt = ptr(noon)
			}
		}
		users = append(users, u)
	}
	return users
}

func drawSituation(t *rapid.T) Situation {
	s := Situation{Now: noon, Generation: 1, Policy: pms.DefaultPolicy()}
	s.Policy.OwnIdentity = rapid.Bool().Draw(t, "an identity per stay")
	s.GuestKey = func(address string) string { return map[string]string{"jane@x": "jane", "joe@x": "joe"}[address] }
	s.Group = func(id string) (string, bool) {
		return rapid.SampledFrom([]string{"s1", "s1", "s2"}).Draw(t, "system of "+id),
			rapid.IntRange(0, 9).Draw(t, "known "+id) > 0
	}
	known := map[string]struct {
		system string
		known  bool
	}{}
	draw := s.Group
	s.Group = func(id string) (string, bool) {
		if _, ok := known[id]; !ok {
			system, is := draw(id)
			known[id] = struct {
				system string
				known  bool
			}{system, is}
		}
		return known[id].system, known[id].known
	}
	in := noon.Add(time.Duration(rapid.IntRange(-60, 20).Draw(t, "in")) * time.Hour)
	out := in.Add(time.Duration(rapid.IntRange(-1, 40).Draw(t, "nights")) * time.Hour)
	s.Reservation = Reservation{
		Source: "default", ReservationID: "R",
		Status: rapid.SampledFrom([]string{pms.Confirmed, pms.Confirmed, pms.Cancelled}).Draw(t, "status"),
	}
	if rapid.IntRange(0, 9).Draw(t, "times") > 0 {
		s.Reservation.CheckIn, s.Reservation.CheckOut = &in, &out
	}
	if rapid.IntRange(0, 9).Draw(t, "revoked") == 0 {
		s.Decisions.Revoked = "an admin"
	}
	if rapid.IntRange(0, 4).Draw(t, "window") == 0 {
		s.Decisions.Access = func(time.Time, time.Time) (from, until time.Time) {
			return in.Add(-2 * time.Hour), out.Add(3 * time.Hour)
		}
	}
	s.Decisions.ReplaceKey = rapid.SampledFrom([]string{"", "", "c0", "c1"}).Draw(t, "replaced")
	s.Reservation.GuestEmail = rapid.SampledFrom([]string{"", "jane@x", "joe@x"}).Draw(t, "email")
	if rapid.IntRange(0, 9).Draw(t, "room") > 0 {
		s.Reservation.ListingID = "L"
		if rapid.IntRange(0, 9).Draw(t, "listing") > 0 {
			s.Listing = &Listing{
				Deleted: rapid.IntRange(0, 9).Draw(t, "deleted") == 0,
				Groups:  rapid.SliceOfDistinct(rapid.SampledFrom(groups), rapid.ID).Draw(t, "listing's groups"),
			}
		}
	}
	return s
}

// perform does what a step says, like a Seam that never fails.
func perform(d Desired, users *[]record.User, s Step) {
	if s.Kind == CreateIdentity {
		if s.User < 0 {
			*users = append(*users, rows.User(store.ACSUser{
				ID: int64(len(*users) + 1), ACSSystemID: d.SystemID, GuestKey: d.GuestKey,
				UserIdentityKey: s.Body.(seam.CreateUserIdentity).Key, UserIdentityID: "new",
			}))
		}
		return
	}
	u := &(*users)[s.User]
	switch s.Kind {
	case CreateUser:
		body := s.Body.(seam.CreateACSUser)
		u.MarkCreate(d.Starts, d.Ends, d.Groups, d.Generation, noon)
		u.Created("made", d.Starts, d.Ends, body.ACSAccessGroupIDs, noon)
	case CreateKey:
		u.KeyCreated("made", nil, noon)
	case DeleteUser:
		u.DeleteSent(noon)
		u.DeleteKnown()
	case DeleteSurplusUser:
		u.SurplusDeleted("y", time.Now())
	default:
		u.ChangeSent(1, noon)
		performChange(d, u, s)
		u.ChangeKnown(noon)
	}
}

func performChange(d Desired, u *record.User, s Step) {
	switch s.Kind {
	case ReplaceKey, DeleteKey:
		u.KeyDeleted(s.Body.(seam.CredentialID).ACSCredentialID)
	case LinkUser:
		u.Unlinked = false
	case Unsuspend:
		u.Unsuspended(d.Generation)
	case SetSchedule:
		u.StartsAt, u.EndsAt = ptr(d.Starts), ptr(d.Ends)
	case AddGroup:
		u.AccessGroupIDs = append(u.AccessGroupIDs, s.Body.(seam.GroupMembership).ACSAccessGroupID)
	case RemoveGroup:
		u.AccessGroupIDs = slices.DeleteFunc(u.AccessGroupIDs,
			func(g string) bool { return g == s.Body.(seam.GroupMembership).ACSAccessGroupID })
	}
}

// From any start the plan ends; then nothing is left to plan and what is desired is true.
func TestPlanConverges(t *testing.T) {
	t.Parallel()
	checkOften(t, func(t *rapid.T) {
		d, users := Desire(drawSituation(t)), drawUsers(t)
		revive := rapid.Bool().Draw(t, "revive")
		opened := 0
		for range 50 {
			steps := Plan(d, users, revive)
			if len(steps) == 0 {
				break
			}
			opened++
			perform(d, &users, steps[0])
		}
		if left := Plan(d, users, revive); len(left) != 0 {
			t.Fatalf("no end: %v", left)
		}
		if d.Create && (d.Starts.IsZero() || !d.Ends.After(d.Starts) || d.SystemID == "" || len(d.Groups) == 0) {
			t.Fatalf("a new ACS user without a schedule, a system or a door: %+v", d)
		}
		live := 0
		for i, u := range users {
			if u.DeletedAt != nil || u.ACSUserID == nil {
				continue
			}
			// the record of a user that somebody deleted is kept, and its guest has another way in
			if u.RemovedAt == nil {
				live++
			}
			if d.Goal == Gone {
				t.Errorf("user %d is left of a stay that should have none", i)
			}
			if d.Goal == Over && u.EndsAt != nil && u.EndsAt.After(d.Ends) {
				t.Errorf("user %d opens doors longer than the stay lasted", i)
			}
		}
		if d.Goal != Have {
			return
		}
		if live > 1 {
			t.Errorf("%d ACS users", live)
		}
		i := Standing(d, users)
		if i < 0 || users[i].ACSUserID == nil {
			if d.Create {
				t.Error("no ACS user")
			}
			return
		}
		u := users[i]
		if u.Phase() == record.Displaced {
			mustBeNarrow(t, d, u)
		}
		if u.RemovedAt != nil || u.SuspendedAt != nil {
			if revive && d.Create {
				t.Error("what was wanted back is not back")
			}
			return
		}
		if u.CredentialID == nil || u.Unlinked || len(u.SurplusKeys) > 0 ||
			slices.ContainsFunc(u.Surplus, func(s record.SurplusUser) bool { return s.DeletedAt == nil }) {
			t.Errorf("the key is incomplete: %+v", u)
		}
		if d.Create && (!stay.SameInstant(u.StartsAt, &d.Starts) || !stay.SameInstant(u.EndsAt, &d.Ends)) {
			t.Error("another schedule")
		}
		if !d.KeepGroups && (d.Create || u.ACSSystemID == d.SystemID) && !opensExactly(d, u.AccessGroupIDs) {
			t.Errorf("groups %v, want %v of the listing's %v", u.AccessGroupIDs, d.Groups, d.Listed)
		}
	})
}

// mustBeNarrow checks that an ACS user whose identity is another's opens nothing that the stay doesn't have.
func mustBeNarrow(t *rapid.T, d Desired, u record.User) {
	if !d.Starts.IsZero() && d.Ends.After(d.Starts) && (u.StartsAt.Before(d.Starts) || u.EndsAt.After(d.Ends)) {
		t.Errorf("displaced: open from %s to %s, want within %s to %s", u.StartsAt, u.EndsAt, d.Starts, d.Ends)
	}
	for _, g := range u.AccessGroupIDs {
		if !keepsGroups(d, u) && !slices.Contains(d.Listed, g) {
			t.Errorf("displaced: group %s is open, and the listing has %v", g, d.Listed)
		}
	}
}

// Doors open before others close, and an ACS user is deleted only after its replacement.
func TestPlanOpensBeforeItCloses(t *testing.T) {
	t.Parallel()
	checkOften(t, func(t *rapid.T) {
		d, users := Desire(drawSituation(t)), drawUsers(t)
		closed := false
		for _, s := range Plan(d, users, rapid.Bool().Draw(t, "revive")) {
			if s.Kind == DeleteUser && users[s.User].IsOut() {
				continue // it serves nobody any more
			}
			switch s.Kind {
			case RemoveGroup, DeleteUser:
				closed = true
			case AddGroup, CreateUser, SetSchedule:
				if closed {
					t.Fatalf("%s follows a step that closes doors", s)
				}
			}
		}
	})
}

// opensExactly reports whether an ACS user has all groups that it should have, and none that the listing doesn't have.
func opensExactly(d Desired, groups []string) bool {
	for _, g := range d.Groups {
		if !slices.Contains(groups, g) {
			return false
		}
	}
	for _, g := range groups {
		if !slices.Contains(d.Listed, g) {
			return false
		}
	}
	return true
}

// Somebody deleted the ACS user that replaces an older one: the older one is kept while it is the same guest's way
// in.
func TestOnlyWayIn(t *testing.T) {
	t.Parallel()
	user := func(id int64, system, guest string, removed *time.Time) record.User {
		return rows.User(store.ACSUser{
			ID: id, ACSSystemID: system, UserIdentityID: "i", GuestKey: guest, ACSUserID: ptr(fmt.Sprint("u", id)),
			CredentialID: ptr("c"),
			MadeAt:       &noon, RemovedAt: removed,
		})
	}
	suspended := func(u record.User) record.User {
		u.SuspendedAt = &noon
		return u
	}
	for name, c := range map[string]struct {
		reason string
		users  []record.User
		revive bool
		want   []int // the ACS users that are deleted
	}{
		"same guest": {"it is the guest's only way in", []record.User{
			user(1, "s2", "jane", nil),
			user(2, "s1", "jane", &noon),
		}, false, nil},
		"two of them": {"a guest needs one: the newest", []record.User{
			user(1, "s2", "jane", nil),
			user(2, "s3", "jane", nil),
			user(3, "s1", "jane", &noon),
		}, false, []int{0}},
		"two of them, the newest suspended": {"a guest needs one that opens doors", []record.User{
			user(1, "s2", "jane", nil),
			suspended(user(2, "s3", "jane", nil)),
			user(3, "s1", "jane", &noon),
		}, false, []int{1}},
		"another guest": {"it is not this guest's", []record.User{
			user(1, "s2", "joe", nil),
			user(2, "s1", "jane", &noon),
		}, false, []int{0}},
		"gone as well": {"nothing gets lost", []record.User{
			user(1, "s2", "jane", &noon),
			user(2, "s1", "jane", &noon),
		}, false, []int{0}},
		"wanted back": {"the new one is created again first", []record.User{
			user(1, "s2", "jane", nil),
			user(2, "s1", "jane", &noon),
		}, true, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := Desired{
				Goal: Have, Generation: 1, Create: true, SystemID: "s1", GuestKey: "jane", OwnKey: "own", Starts: noon,
				Ends: noon.Add(time.Hour), Groups: []string{"a"}, Listed: []string{"a"},
			}
			var gone []int
			for _, step := range Plan(d, c.users, c.revive) {
				if step.Kind == DeleteUser {
					gone = append(gone, step.User)
				}
			}
			if !slices.Equal(gone, c.want) {
				t.Errorf("%v are deleted, want %v: %s", gone, c.want, c.reason)
			}
		})
	}
}

// If nothing that exists fits, the newest slot is used. What exists comes first, however old it is: a newer row may
// only be kept to look for the result of a lost create.
func TestStandingExistsFirst(t *testing.T) {
	t.Parallel()
	made := func() record.User {
		return rows.User(store.ACSUser{ACSSystemID: "s1", ACSUserID: ptr("u"), MadeAt: &noon})
	}
	lost := rows.User(store.ACSUser{ACSSystemID: "s1", MarkedAt: &noon, LostAt: &noon})
	removed, removing, elsewhere := made(), made(), made()
	removed.RemovedAt, removing.DeletedAt, elsewhere.ACSSystemID = &noon, &noon, "s2"
	for _, c := range []struct {
		reason string
		users  []record.User
		want   int
	}{
		{"nothing exists: the newest slot is used", []record.User{lost, lost}, 1},
		{"a second ACS user would be created", []record.User{made(), lost}, 0},
		{"two exist: the newest may be what the guest has", []record.User{made(), made()}, 1},
		{"somebody deleted the old one", []record.User{removed, lost}, 1},
		{"the old one is being deleted", []record.User{removing, lost}, 1},
		{"the old one is on another access system", []record.User{elsewhere, lost}, 1},
		{"nothing fits", []record.User{elsewhere, removing}, -1},
	} {
		if got := Standing(Desired{Goal: Have, SystemID: "s1", Create: true}, c.users); got != c.want {
			t.Errorf("%s: got %d, want %d", c.reason, got, c.want)
		}
	}
}

// Links are last: no change of doors or hours, and no key, waits for one.
func TestLinksAreLast(t *testing.T) {
	t.Parallel()
	checkOften(t, func(t *rapid.T) {
		d, users := Desire(drawSituation(t)), drawUsers(t)
		linked := map[int]bool{}
		for _, s := range Plan(d, users, rapid.Bool().Draw(t, "revive")) {
			if linked[s.User] {
				t.Fatalf("%s follows the link of the same ACS user", s)
			}
			linked[s.User] = s.Kind == LinkUser
		}
	})
}

// A key is issued only when all of its doors were read back.
func TestNoKeyIsIssuedBeforeItsDoorsAreRead(t *testing.T) {
	t.Parallel()
	u := rows.User(store.ACSUser{
		ACSUserID: ptr("u"), MadeAt: &noon, CredentialID: ptr("c"), CredentialMarkedAt: &noon, Settled: true,
		GroupsRead: true, AccessGroupIDs: []string{"a"},
	})
	state := State{Desired: Desired{Starts: noon.Add(time.Hour), Ends: noon.Add(2 * time.Hour)}, User: &u, Now: noon}
	if v := Judge(state); v.Status != stay.KeyIssued {
		t.Errorf("every door was read, and the key is %+v", v)
	}
	u.GroupsRead = false
	if v := Judge(state); v.Status != stay.KeyProvisioning {
		t.Errorf("the doors were not read, and the key is %+v", v)
	}
}
