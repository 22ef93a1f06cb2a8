package provisioner_test

import (
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// access is what Seam has for one stay, in the contract's terms.
type access struct {
	System   string
	Identity string // e-mail, or "own"
	Starts   time.Time
	Ends     time.Time
	Groups   []string
	Keys     int
}

// holds lists what Seam holds under a full name.
func (r *rig) holds(id string) []access {
	state := r.sim.State()
	var list []access
	for _, u := range state.UsersNamed(id) {
		h := access{
			System: u.SystemID, Identity: "own", Groups: slices.Sorted(slices.Values(u.GroupIDs)),
			Keys: len(state.MobileKeys(u.ID)),
		}
		if email := state.Identities[u.IdentityID].Email; email != "" {
			h.Identity = email
		}
		if u.Schedule != nil {
			h.Starts, h.Ends = u.Schedule.StartsAt, u.Schedule.EndsAt
		}
		list = append(list, h)
	}
	return list
}

// wants is what the contract's section 4 requires for a stay.
func (s stay) wants(systemID string, groups ...string) access {
	h := access{
		System: systemID, Identity: s.email, Starts: s.in, Ends: s.out,
		Groups: slices.Sorted(slices.Values(groups)), Keys: 1,
	}
	if s.email == "" {
		h.Identity = "own"
	}
	return h
}

func (r *rig) mustHold(id string, want ...access) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.holds(id)); diff != "" {
		r.t.Errorf("Seam holds for %s (-want +got):\n%s", id, diff)
	}
}

// mustBeSound checks what must be true at every moment, not only at the end.
func (r *rig) mustBeSound() {
	r.t.Helper()
	want := simulator.Peaks{
		UsersOfOneStay: min(1, r.sim.Peaks().UsersOfOneStay),
		KeysOfOneUser:  min(1, r.sim.Peaks().KeysOfOneUser),
		CodesOfOneUser: min(1, r.sim.Peaks().CodesOfOneUser),
	}
	if diff := cmp.Diff(want, r.sim.Peaks()); diff != "" {
		r.t.Errorf("the worst moment (-want +got):\n%s", diff)
	}
}

// changing lists the changing calls that Seam received, in order.
func (r *rig) changing() []string {
	var paths []string
	for _, c := range r.sim.Records() {
		switch c.Path {
		case seam.PathIdentityCreate, seam.PathIdentityDelete, seam.PathIdentityAddUser, seam.PathUserCreate,
			seam.PathUserUpdate, seam.PathUserDelete,
			seam.PathUserUnsuspend, seam.PathGroupAdd, seam.PathGroupRemove, seam.PathCredentialCreate,
			seam.PathCredentialDelete:
			paths = append(paths, c.Path)
		}
	}
	return paths
}

func (r *rig) mustCall(want ...string) {
	r.t.Helper()
	got := make([]string, 0)
	for _, c := range r.sim.Records() {
		got = append(got, c.Path)
	}
	if want == nil {
		want = []string{}
	}
	// The two reads of a read-back are made at the same time, in any order.
	for i := range len(got) - 1 {
		if got[i] == "/acs/access_groups/list" && got[i+1] == "/acs/users/get" {
			got[i], got[i+1] = got[i+1], got[i]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("requests to Seam (-want +got):\n%s", diff)
	}
}

// mustBeOne checks that Seam holds exactly the stay's one ACS user with its one key, and none after a cancel.
func (r *rig) mustBeOne(s stay) {
	r.t.Helper()
	if got := r.holds(s.id); len(got) != 1 || got[0].Keys != 1 {
		r.tell(s)
		r.t.Errorf("Seam holds %+v for one stay", got)
	}
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.rest(s)
	if got := r.holds(s.id); len(got) != 0 {
		r.tell(s)
		r.t.Errorf("the stay is revoked, but Seam still holds %+v", got)
	}
	r.mustBeSound()
}

// called counts the calls of a path.
func (r *rig) called(path string) int {
	n := 0
	for _, c := range r.sim.Records() {
		if c.Path == path {
			n++
		}
	}
	return n
}

// live are the ids of a stay's ACS users on the first access system that have a key and are not being removed.
func (r *rig) live(s stay) (ids []string) {
	state := r.sim.State()
	for _, u := range state.UsersNamed(s.id) {
		if u.SystemID == system && u.GoneAt.IsZero() && len(state.MobileKeys(u.ID)) == 1 {
			ids = append(ids, u.ID)
		}
	}
	return ids
}

// Removals that are refused, or take long.

// deletes counts the requests to delete an ACS user.
func (r *rig) deletes() (n int) {
	for _, path := range r.changing() {
		if path == seam.PathUserDelete {
			n++
		}
	}
	return n
}
