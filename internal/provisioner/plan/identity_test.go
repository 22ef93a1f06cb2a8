package plan

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

func TestIdentityPerStay(t *testing.T) {
	t.Parallel()
	in, out := noon.Add(time.Hour), noon.Add(24*time.Hour)
	made := func(identityKey string) []record.User {
		return []record.User{rows.User(store.ACSUser{
			ID: 1, ACSSystemID: "sys", UserIdentityID: "i", UserIdentityKey: identityKey, GuestKey: "guest",
			ACSUserID: ptr("u"), CredentialID: ptr("c"),
			AccessGroupIDs: []string{"a"}, StartsAt: &in, EndsAt: &out, MadeAt: &noon,
		})}
	}
	for name, c := range map[string]struct {
		reason   string
		perStay  bool
		now      time.Time
		users    []record.User
		replace  string                   // the mobile key to replace, requested by an admin
		identity *seam.CreateUserIdentity // created by the plan
	}{
		"new": {
			"the guest's address would be shared with other stays", true, noon, nil, "",
			&seam.CreateUserIdentity{Key: "own"},
		},
		"new, per guest": {
			"the same address is the same identity", false, noon, nil, "",
			&seam.CreateUserIdentity{Key: "guest", EmailAddress: "jane@example.com"},
		},
		"own already": {"there is nothing to do", true, noon, made("own"), "", nil},
		"shared, to come": {
			"nobody can have used it yet", true, noon, made("guest"), "",
			&seam.CreateUserIdentity{Key: "own"},
		},
		"shared, begun": {"the guest may have it on a phone", true, in, made("guest"), "", nil},
		"shared, reissued": {
			"the key is replaced anyway", true, in, made("guest"), "c",
			&seam.CreateUserIdentity{Key: "own"},
		},
		"own, and per guest":   {"a key is not replaced for this", false, noon, made("own"), "", nil},
		"shared and per guest": {"there is nothing to do", false, noon, made("guest"), "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy := pms.DefaultPolicy()
			policy.ACSSystemID, policy.OwnIdentity = "sys", c.perStay
			d := Desire(Situation{
				Reservation: Reservation{
					ReservationID: "R", Status: pms.Confirmed, ListingID: "L",
					GuestEmail: "Jane@example.com", CheckIn: &in, CheckOut: &out,
				},
				Listing: &Listing{Groups: []string{"a"}}, Policy: policy,
				Now:      c.now,
				GuestKey: func(string) string { return "guest" },
				Group:    func(string) (string, bool) { return "sys", true },
			})
			d.OwnKey, d.Replace = "own", c.replace
			steps := Plan(d, c.users, false)
			if c.identity == nil {
				if len(steps) > 0 {
					t.Fatalf("%s, but the plan is %v", c.reason, steps)
				}
				return
			}
			if len(steps) == 0 || steps[0].Body != *c.identity {
				t.Fatalf("%s, but the plan is %v", c.reason, steps)
			}
			if last := steps[len(steps)-1]; c.users != nil && last.Kind != DeleteUser {
				t.Errorf("the old ACS user must be deleted last, but the last step is %v", last)
			}
		})
	}
}
