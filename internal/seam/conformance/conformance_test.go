package conformance

import (
	"context"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
)

// suite is a Seam to try: a client, and an access system with a group.
type suite struct {
	c      *seam.Client
	system string
	group  string
}

func TestSimulator(t *testing.T) {
	t.Parallel()
	sim, err := simulator.New(simulator.Options{SecondUser: simulator.Refuse, PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	sim.AddSystem("11111111-1111-1111-1111-111111111111", "Building A", "555555-5555", "666666-6666")
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	run(t, seam.Config{Endpoint: server.URL, APIKey: "any"})
}

func TestSandbox(t *testing.T) {
	key := os.Getenv("SEAM_SANDBOX_API_KEY")
	if key == "" {
		t.Log("SEAM_SANDBOX_API_KEY is not set: only the simulator is tried")
		return
	}
	run(t, seam.Config{APIKey: key})
}

func run(t *testing.T, config seam.Config) {
	t.Helper()
	c, err := seam.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	groups, err := c.AccessGroups(context.Background(), "")
	if err != nil || len(groups) == 0 {
		t.Fatalf("the workspace must have an access group: %v", err)
	}
	s := suite{c: c, system: groups[0].ACSSystemID, group: groups[0].ACSAccessGroupID}
	for name, test := range map[string]func(*testing.T, suite){
		"a key names its workspace":               testWorkspace,
		"a group tells its access system":         testGroup,
		"identities are unique by key and e-mail": testIdentity,
		"a stay from identity to mobile key":      testStay,
		"what is refused":                         testRefusals,
		"instant keys and client sessions":        testHandedOut,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

func testWorkspace(t *testing.T, s suite) {
	if id, err := s.c.WorkspaceID(context.Background()); err != nil || id == "" {
		t.Errorf("got %q %v", id, err)
	}
}

func testGroup(t *testing.T, s suite) {
	ctx := context.Background()
	g, err := s.c.AccessGroup(ctx, s.group)
	if err != nil || g.ACSSystemID != s.system {
		t.Errorf("got %+v %v", g, err)
	}
	if _, err := s.c.AccessGroup(ctx, uuid.NewString()); seam.KindOf(err) != seam.NotFound {
		t.Errorf("an unknown group: %v", err)
	}
	if sys, err := s.c.System(ctx, s.system); err != nil || sys.ACSSystemID != s.system {
		t.Errorf("system: %+v %v", sys, err)
	}
}

// identity makes a user identity that the test deletes.
func (s suite) identity(t *testing.T, email string) seam.UserIdentity {
	t.Helper()
	i, err := s.c.CreateUserIdentity(context.Background(), seam.CreateUserIdentity{Key: "conformance_" +
		uuid.NewString(), EmailAddress: email})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.c.DeleteUserIdentity(context.Background(), i.UserIdentityID); err != nil &&
			seam.KindOf(err) != seam.NotFound {
			t.Errorf("clean up: %v", err)
		}
	})
	return i
}

func testIdentity(t *testing.T, s suite) {
	ctx := context.Background()
	email := "conformance-" + uuid.NewString()[:8] + "@example.com"
	i := s.identity(t, email)
	byKey, err := s.c.UserIdentityByKey(ctx, i.Key)
	if err != nil || byKey.UserIdentityID != i.UserIdentityID || !strings.EqualFold(byKey.EmailAddress, email) {
		t.Errorf("by key: %+v %v", byKey, err)
	}
	found, err := s.c.SearchUserIdentities(ctx, email)
	if err != nil || !slices.ContainsFunc(found,
		func(f seam.UserIdentity) bool { return f.UserIdentityID == i.UserIdentityID }) {
		t.Errorf("by e-mail: %+v %v", found, err)
	}
	for name, again := range map[string]seam.CreateUserIdentity{
		"the same key":    {Key: i.Key},
		"the same e-mail": {Key: "conformance_" + uuid.NewString(), EmailAddress: email},
	} {
		if _, err := s.c.CreateUserIdentity(ctx, again); seam.KindOf(err) != seam.Invalid {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	if _, err := s.c.UserIdentityByKey(ctx, "conformance_none"); seam.KindOf(err) != seam.NotFound {
		t.Errorf("an unknown key: %v", err)
	}
}

func testStay(t *testing.T, s suite) {
	ctx := context.Background()
	i := s.identity(t, "")
	starts := time.Now().UTC().Add(48 * time.Hour).Truncate(time.Millisecond)
	u, err := s.c.CreateACSUser(ctx, seam.CreateACSUser{
		ACSSystemID: s.system, UserIdentityID: i.UserIdentityID, FullName: "conformance",
		ACSAccessGroupIDs: []string{s.group},
		AccessSchedule:    seam.NewSchedule(starts, starts.Add(72*time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.c.CreateCredential(ctx, seam.MobileKeyOf(u.ACSUserID))
	if err != nil || !key.IsMobileKey() {
		t.Fatalf("mobile key: %+v %v", key, err)
	}
	ends := starts.Add(96 * time.Hour)
	if err := s.c.UpdateACSUser(ctx, seam.UpdateACSUser{ACSUserID: u.ACSUserID, AccessSchedule: seam.NewSchedule(starts,
		ends)}); err != nil {
		t.Error(err)
	}
	got, err := s.c.ACSUser(ctx, u.ACSUserID)
	if err != nil || got.FullName != "conformance" || got.UserIdentityID != i.UserIdentityID ||
		got.AccessSchedule == nil ||
		!seam.ParseTime(got.AccessSchedule.StartsAt).Equal(starts) ||
		!seam.ParseTime(got.AccessSchedule.EndsAt).Equal(ends) || got.Subscribed() {
		t.Errorf("read back: %+v %v", got, err)
	}
	listed, err := s.c.ACSUsers(ctx, s.system, i.UserIdentityID)
	if err != nil || len(listed) != 1 || listed[0].ACSUserID != u.ACSUserID {
		t.Errorf("listed by identity: %+v %v", listed, err)
	}
	groups, err := s.c.AccessGroups(ctx, u.ACSUserID)
	if err != nil || len(groups) != 1 || groups[0].ACSAccessGroupID != s.group {
		t.Errorf("groups: %+v %v", groups, err)
	}
	for range 2 { // a membership is a set: repeating changes nothing
		if err := s.c.AddToAccessGroup(ctx, seam.GroupMembership{
			ACSUserID:        u.ACSUserID,
			ACSAccessGroupID: s.group,
		}); err != nil {
			t.Errorf("add: %v", err)
		}
	}
	keys, err := s.c.Credentials(ctx, u.ACSUserID)
	if err != nil || !slices.ContainsFunc(keys,
		func(c seam.Credential) bool { return c.ACSCredentialID == key.ACSCredentialID && c.IsMobileKey() }) {
		t.Errorf("credentials: %+v %v", keys, err)
	}
	if err := s.c.RemoveFromAccessGroup(ctx, seam.GroupMembership{
		ACSUserID:        u.ACSUserID,
		ACSAccessGroupID: s.group,
	}); err != nil {
		t.Errorf("remove: %v", err)
	}
	if err := s.c.DeleteACSUser(ctx, u.ACSUserID); err != nil {
		t.Error(err)
	}
	if gone, err := s.c.ACSUser(ctx, u.ACSUserID); seam.KindOf(err) != seam.NotFound && !gone.BeingDeleted() {
		t.Errorf("deleted, and still there: %+v %v", gone, err)
	}
	if _, err := s.c.Credential(ctx, key.ACSCredentialID); err == nil {
		t.Error("the credential has survived its user")
	}
}

func testRefusals(t *testing.T, s suite) {
	ctx := context.Background()
	i := s.identity(t, "")
	past := time.Now().Add(-time.Hour)
	_, err := s.c.CreateACSUser(ctx, seam.CreateACSUser{
		ACSSystemID: s.system, UserIdentityID: i.UserIdentityID, FullName: "conformance", ACSAccessGroupIDs: []string{},
		AccessSchedule: seam.NewSchedule(past.Add(-time.Hour), past),
	})
	if seam.KindOf(err) != seam.Invalid {
		t.Errorf("a stay that is over: got %v, want a refusal", err)
	}
	if _, err := s.c.ACSUser(ctx, uuid.NewString()); seam.KindOf(err) != seam.NotFound {
		t.Errorf("an unknown ACS user: %v", err)
	}
	if err := s.c.DeleteACSUser(ctx, uuid.NewString()); seam.KindOf(err) != seam.NotFound {
		t.Errorf("deleting an unknown ACS user: %v", err)
	}
	if _, err := s.c.CreateUserIdentity(ctx, seam.CreateUserIdentity{
		Key:          "conformance_x",
		EmailAddress: "not an address",
	}); seam.KindOf(err) != seam.Invalid {
		t.Errorf("an address that is none: got %v, want a refusal", err)
	}
}
