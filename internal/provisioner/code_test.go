package provisioner_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// withCodes gives every source backup codes.
func withCodes(string) pms.Policy {
	p := pms.DefaultPolicy()
	p.BackupCode = true
	return p
}

// newCodeRig is a rig with backup codes and one listing.
func newCodeRig(t testing.TB, simulated simulator.Options) *rig {
	t.Helper()
	r := newLossyRig(t, fast(), simulated)
	r.policy = withCodes
	r.listing("default", "L", "555555-5555")
	return r
}

// code is what is recorded of a stay's backup code; nil for none.
func (r *rig) code(s stay) *store.BackupCode { return r.view(s).BackupCodeOf }

// digits are those that are recorded.
func (r *rig) digits(c *store.BackupCode) string {
	r.t.Helper()
	if c == nil || c.CredentialID == nil {
		return ""
	}
	digits, _ := domain.NewSealer(r.options.Secret).Open(c.Sealed, *c.CredentialID)
	return digits
}

// untilLater is [rig.untilThat] for what may take hours by the rig's clocks: they move on to when the key is due.
func (r *rig) untilLater(s stay, what string, reached func(store.View) bool) store.View {
	r.t.Helper()
	var v store.View
	waitFor(r.t, s.id+" "+what, func() bool {
		v = r.view(s)
		if v.Key.ObservedGeneration == v.Key.Generation && reached(v) {
			return true
		}
		r.skipTo(v)
		return false
	})
	return v
}

// skipTo moves the clocks on to when a key is due, if that is within hours.
func (r *rig) skipTo(v store.View) {
	now := r.now()
	if at := v.Key.NextReconcileAt; at != nil && at.After(now) && at.Before(now.Add(8*time.Hour)) {
		r.advance(at.Sub(now))
	}
}

// untilCode waits for a stay's code to be known and issued, and returns it as Seam has it.
func (r *rig) untilCode(s stay) simulator.Credential {
	r.t.Helper()
	var code simulator.Credential
	r.untilLater(s, "with a backup code", func(v store.View) bool {
		c := v.BackupCodeOf
		if c == nil || c.CredentialID == nil || c.Waiting || c.Problem != nil {
			return false
		}
		code = r.sim.State().Credentials[*c.CredentialID]
		return code.Code != "" && r.digits(c) == code.Code
	})
	return code
}

// codesAtSeam are a stay's codes, whatever ACS user has them.
func (r *rig) codesAtSeam(s stay) (list []simulator.Credential) {
	state := r.sim.State()
	for _, u := range state.UsersNamed(s.id) {
		list = append(list, state.Codes(u.ID)...)
	}
	return list
}

func (r *rig) mustHaveOneCode(s stay) {
	r.t.Helper()
	if list := r.codesAtSeam(s); len(list) != 1 || list[0].Code != r.digits(r.code(s)) {
		r.tell(s)
		r.t.Errorf("Seam has %d codes for a stay, and %q is recorded: %+v", len(list), r.digits(r.code(s)), list)
	}
}

// A code is made next to the key, and never in its way: the key is issued by the calls that it needs without one.
func TestABackupCodeIsMadeWithTheKey(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{})
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Forget()
	s := r.stay("R1")
	r.book(s)
	code := r.untilCode(s)
	r.rest(s)
	r.mustCall("/user_identities/create", "/acs/users/create", "/acs/credentials/create", "/acs/users/get",
		"/acs/access_groups/list",
		"/acs/credentials/list", "/acs/credentials/create")
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	v := r.view(s)
	if v.Key.Status != store.KeyIssued || *v.User.CredentialID == code.ID || v.Key.Attempts != 1 {
		t.Errorf("the key is %s with credential %s, and the code is %s", v.Key.Status, *v.User.CredentialID, code.ID)
	}

	r.sim.Forget()
	s.out = s.out.Add(24 * time.Hour)
	r.book(s)
	r.until(s, store.KeyIssued)
	r.mustCall("/acs/users/update", "/acs/users/get") // the code has the hours of its ACS user
	r.mustHaveOneCode(s)

	r.cancel(s)
	r.until(s, store.KeyRevoked)
	if list := r.codesAtSeam(s); len(list) > 0 || r.code(s) != nil {
		t.Errorf("after the cancel, Seam has %+v and %+v is recorded", list, r.code(s))
	}
	r.mustBeSound()
}

// The digits are in nothing that is written down in clear.
func TestBackupCodesAreSealed(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{ErrorText: simulator.Guest})
	r.stop()
	logged := r.logTo()
	r.start()
	s := r.stay("R1")
	r.book(s)
	code := r.untilCode(s)
	r.sim.Change(func(st *simulator.State) {
		c := st.Credentials[code.ID]
		c.Code, c.WarningCode = "846201", "requested_code_unavailable"
		st.Credentials[code.ID] = c
	})
	r.recheck(s)
	after := r.untilCode(s)
	if after.Code != "846201" {
		t.Errorf("the code is %q", after.Code)
	}
	r.rest(s)
	for _, digits := range []string{code.Code, after.Code} {
		r.mustHaveNo(digits, func(value string) bool { return simulator.HasDigits(value, digits) })
		if simulator.HasDigits(logged(), digits) {
			t.Errorf("the log has the digits %s", digits)
		}
	}
}

// Salto may make the digits late. Until then the code is asked for now and then, or when Seam says that it is issued.
func TestLateBackupCodes(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{CodeDelay: 40 * time.Minute})
	s := r.stay("R1")
	r.book(s)
	withoutDigits := func(v store.View) bool { // and the attempt has ended, which says when to look again
		return v.Key.Status == store.KeyIssued && v.BackupCodeOf != nil && v.BackupCodeOf.CredentialID != nil &&
			v.BackupCodeOf.DueAt != nil
	}
	v := r.untilThat(s, "issued, with a code without digits", withoutDigits)
	if c := v.BackupCodeOf; !c.Waiting || c.Sealed != nil || v.Key.NextIsRetry || v.Key.LastError != nil {
		t.Errorf("a code that is late: %+v, key %+v", c, v.Key)
	}
	calls := r.called("/acs/credentials/get")
	r.untilCode(s)
	if n := r.called("/acs/credentials/get") - calls; n == 0 || n > 40 {
		t.Errorf("%d calls for a code that was 40 minutes late", n)
	}
	r.mustHaveOneCode(s)

	other := r.stay("R2")
	other.email = "joe@example.com"
	r.book(other)
	v = r.untilThat(other, "issued, with a code without digits", withoutDigits)
	r.sim.Change(func(st *simulator.State) {
		c := st.Credentials[*v.BackupCodeOf.CredentialID]
		c.CodeAt = r.now()
		st.Credentials[c.ID] = c
	})
	n, err := r.store.BackupCodes.LookAt(context.Background(), *v.BackupCodeOf.CredentialID, false, r.now())
	if err != nil || n != 1 && r.view(other).BackupCodeOf.Waiting { // a worker may have looked already
		t.Fatalf("Seam's event makes %d keys due: %v", n, err)
	}
	r.prov.Wake()
	r.untilCode(other)
	if n, err := r.store.BackupCodes.LookAt(context.Background(), *v.BackupCodeOf.CredentialID, false,
		r.now()); n != 0 ||
		err != nil {
		t.Errorf("the echo of a code that is known makes %d keys due: %v", n, err)
	}
}

// What Seam says about a code says nothing about the key.
func TestABackupCodeNeverFailsTheKey(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{RefuseCodes: true})
	s := r.stay("R1")
	r.book(s)
	v := r.untilLater(s, "issued without a code", func(v store.View) bool {
		return v.Key.Status == store.KeyIssued && v.BackupCodeOf != nil && v.BackupCodeOf.Problem != nil
	})
	if c := v.BackupCodeOf; c.CredentialID != nil || *c.Problem != "invalid_input" || v.Key.Reason != nil ||
		v.Key.LastError != nil {
		t.Errorf("a code that is refused: %+v, key %+v", c, v.Key)
	}
	r.sim.Configure(func(o *simulator.Options) { o.RefuseCodes = false })
	code := r.untilCode(s)
	r.sim.Change(func(st *simulator.State) {
		c := st.Credentials[code.ID]
		c.ErrorCode = "something_new"
		st.Credentials[code.ID] = c
	})
	r.recheck(s)
	v = r.untilLater(s, "with an error on the code", func(v store.View) bool { return v.BackupCodeOf.Problem != nil })
	if v.Key.Status != store.KeyIssued || v.Key.Reason != nil {
		t.Errorf("an error on the code makes the key %s", v.Key.Status)
	}
	r.sim.Change(func(st *simulator.State) {
		c := st.Credentials[code.ID]
		c.ErrorCode = ""
		st.Credentials[code.ID] = c
	})
	r.untilCode(s)
	r.mustHaveOneCode(s)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// A create that was refused has made the code all the same, and the next list leaves it out: no second one is made, and
// the code is staykey's: it is removed when its source has no codes any more.
func TestARefusedCodeThatWasMadeIsFound(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]string{400: "invalid_input", 404: "acs_user_not_found", 409: "conflict"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newCodeRig(t, simulator.Options{})
			s := r.stay("R1")
			r.sim.Inject(simulator.Fault{
				Kind: simulator.RefusedAfter, Path: seam.PathCredentialCreate, Status: status, Type: kind, Skip: 1,
			}, simulator.Fault{Kind: simulator.HalfList, Path: "/acs/credentials/list", Skip: 1})
			r.book(s)
			r.untilCode(s)
			r.mustHaveOneCode(s)

			r.policy = func(string) pms.Policy { return pms.DefaultPolicy() }
			r.recheck(s)
			r.untilLater(s, "without a code", func(v store.View) bool { return v.BackupCodeOf == nil })
			if list := r.codesAtSeam(s); len(list) > 0 {
				r.tell(s)
				t.Errorf("Seam has %+v", list)
			}
		})
	}
}

// The source has no codes any more while it isn't known what a create has made, because the answer was lost, or Seam
// has refused it, and lists leave the code out for some minutes. It is looked for until then, and removed.
func TestACodeThatMayExistIsFollowedWhenItIsNotWanted(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]simulator.Fault{
		"lost":    {Kind: simulator.LostAfter},
		"refused": {Kind: simulator.RefusedAfter},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newCodeRig(t, simulator.Options{})
			without := func(string) pms.Policy { return pms.DefaultPolicy() }
			r.policy = without
			s := r.stay("R1")
			issued(r, &s)
			r.advance(10 * time.Minute)
			r.rest(s)

			r.sim.Configure(func(o *simulator.Options) { o.ListLag = 5 * time.Minute })
			fault.Path = seam.PathCredentialCreate
			r.sim.Inject(fault)
			r.policy = withCodes
			r.recheck(s)
			waitFor(t, "the create", func() bool { return r.called(seam.PathCredentialCreate) == 2 })
			r.rested(s)
			r.policy = without
			r.recheck(s)
			r.untilLater(s, "without a code", func(v store.View) bool { return v.BackupCodeOf == nil })
			if list := r.codesAtSeam(s); len(list) > 0 {
				r.tell(s)
				t.Errorf("Seam has %+v", list)
			}
		})
	}
}

// Every call about a code may fail in every way: one code is left, and the key is issued all the same.
func TestFaultsOfBackupCodes(t *testing.T) {
	t.Parallel()
	for _, st := range strikes {
		if st.name == "absurd Retry-After" {
			continue // it pauses all calls, in real time
		}
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			r := newCodeRig(t, simulator.Options{})
			n := 0
			for _, path := range []string{
				seam.PathCredentialCreate, "/acs/credentials/list", "/acs/credentials/get",
				seam.PathCredentialDelete,
			} {
				n++
				s := r.stay(fmt.Sprintf("R%d", n))
				s.email = fmt.Sprintf("g%d@example.com", n)
				f := st.fault
				f.Path, f.Count = path, 2
				if path == seam.PathCredentialCreate {
					f.Skip = 1 // the mobile key's
				}
				r.sim.Inject(f)
				r.book(s)
				r.until(s, store.KeyIssued)
				r.untilCode(s)
				before := *r.view(s).User.CredentialID
				r.mustAct(s, intake.Action{Kind: intake.ActionReissue}) // reads, deletes and creates both
				r.untilLater(s, "with another key and code", func(v store.View) bool {
					c := v.BackupCodeOf
					return v.Key.Status == store.KeyIssued && v.User.CredentialID != nil &&
						*v.User.CredentialID != before && c != nil && c.CredentialID != nil &&
						c.KeyID == *v.User.CredentialID && len(c.Surplus) == 0
				})
				r.untilCode(s)
				r.sim.Heal()
				r.advance(11 * time.Minute) // the late look-ups
				r.prov.Wake()
				r.untilLater(s, "with nothing left to look for", func(v store.View) bool {
					c := v.BackupCodeOf
					return c.LostAt == nil && len(c.Surplus) == 0 && v.Key.UncertainSince == nil &&
						v.Key.Status == store.KeyIssued
				})
				r.untilCode(s)
				r.mustHaveOneCode(s)
				r.untilLater(s, "with one key", func(store.View) bool {
					got := r.holds(s.id)
					return len(got) == 1 &&
						got[0].Keys == 1
				})
				r.cancel(s)
				r.until(s, store.KeyRevoked)
				if list := r.codesAtSeam(s); len(list) > 0 {
					t.Errorf("%s: after the cancel, Seam has %+v", path, list)
				}
			}
		})
	}
}

// A code that somebody deletes is made again, unless the source only reports what others change. One that somebody made
// by hand serves as well, and stays.
func TestBackupCodesAndOtherPeople(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{})
	s := r.stay("R1")
	r.book(s)
	code := r.untilCode(s)
	remove := func(id string) {
		r.sim.Change(func(st *simulator.State) { delete(st.Credentials, id) })
	}
	remove(code.ID)
	if n, err := r.store.Keys.CheckNamed(context.Background(), "", code.ID,
		r.now()); n != 1 || err != nil { // Seam's event
		t.Fatalf("the event about the code makes %d keys due: %v", n, err)
	}
	r.prov.Wake()
	r.untilLater(s, "with another code", func(v store.View) bool {
		c := v.BackupCodeOf
		return c != nil && c.CredentialID != nil && *c.CredentialID != code.ID
	})
	r.untilCode(s)
	r.mustHaveOneCode(s)

	r.policy = func(string) pms.Policy {
		p := withCodes("")
		p.Drift = pms.DriftReport
		return p
	}
	remove(*r.code(s).CredentialID)
	r.recheck(s)
	v := r.untilLater(s, "reported", func(v store.View) bool { return v.BackupCodeOf.Problem != nil })
	if *v.BackupCodeOf.Problem != "removed_at_seam" || v.Key.Status != store.KeyIssued {
		t.Errorf("a code that somebody deleted: %+v, key %s", v.BackupCodeOf, v.Key.Status)
	}

	r.policy = withCodes
	other := r.stay("R2")
	other.email = "joe@example.com"
	r.policy = func(string) pms.Policy { return pms.DefaultPolicy() }
	r.book(other)
	r.until(other, store.KeyIssued)
	r.sim.Change(func(st *simulator.State) {
		u := st.UsersNamed(other.id)[0]
		st.Credentials["by hand"] = simulator.Credential{
			ID: "by hand", UserID: u.ID, AccessMethod: "code",
			Code: "112233", CreatedAt: r.now(),
		}
	})
	r.policy = withCodes
	r.recheck(other)
	if code := r.untilCode(other); code.ID != "by hand" {
		t.Errorf("a second code was made next to one that somebody made: %+v", r.codesAtSeam(other))
	}
	r.policy = func(string) pms.Policy { return pms.DefaultPolicy() }
	r.recheck(other)
	r.untilLater(other, "without a code", func(v store.View) bool { return v.BackupCodeOf == nil })
	if list := r.codesAtSeam(other); len(list) != 1 {
		t.Errorf("somebody's code was deleted: %+v", list)
	}
}

// A source that has no codes any more loses them; the keys stay.
func TestBackupCodesSwitchedOff(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{})
	s := r.stay("R1")
	r.book(s)
	r.untilCode(s)
	before := r.view(s)
	r.policy = func(string) pms.Policy { return pms.DefaultPolicy() }
	r.recheck(s)
	after := r.untilLater(s, "without a code", func(v store.View) bool { return v.BackupCodeOf == nil })
	if list := r.codesAtSeam(s); len(list) > 0 {
		t.Errorf("Seam has %+v", list)
	}
	r.mustKeepIDs(before, after)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// A sweep finds codes that changed or are gone at Seam, and costs nothing while they are unchanged.
func TestTheSweepComparesBackupCodes(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{})
	stays := r.issue(3)
	for _, s := range stays {
		r.untilCode(s)
		r.rest(s)
	}
	r.advance(time.Hour)
	if last := r.sweepNow(); last.Different+last.Missing > 0 {
		t.Fatalf("a sweep of codes that are right: %+v", last)
	}
	first, second := *r.code(stays[0]).CredentialID, *r.code(stays[1]).CredentialID
	r.sim.Change(func(st *simulator.State) {
		c := st.Credentials[first]
		c.Code = "998877"
		st.Credentials[first] = c
		delete(st.Credentials, second)
	})
	if last := r.sweepNow(); last.Different != 2 {
		t.Errorf("a sweep of two codes that differ: %+v", last)
	}
	r.untilLater(stays[0], "with other digits", func(v store.View) bool { return r.digits(v.BackupCodeOf) == "998877" })
	r.untilLater(stays[1], "with another code", func(v store.View) bool {
		c := v.BackupCodeOf
		return c != nil && c.CredentialID != nil && *c.CredentialID != second && r.digits(c) != ""
	})
	for _, s := range stays {
		r.mustHaveOneCode(s)
	}
}

// A code doesn't count as a mobile key: neither where the key is looked for, nor where it is gone.
func TestABackupCodeIsNoKey(t *testing.T) {
	t.Parallel()
	r := newCodeRig(t, simulator.Options{})
	s := r.stay("R1")
	r.book(s)
	code := r.untilCode(s)
	r.sim.Change(func(st *simulator.State) {
		for _, k := range st.MobileKeys(st.UsersNamed(s.id)[0].ID) {
			delete(st.Credentials, k.ID)
		}
	})
	r.recheck(s)
	v := r.untilThat(s, "issued with another key", func(v store.View) bool {
		return v.Key.Status == store.KeyIssued && v.User.CredentialID != nil &&
			len(r.sim.State().MobileKeys(*v.User.ACSUserID)) == 1
	})
	if *v.User.CredentialID == code.ID {
		t.Error("the code counts as the key")
	}
	r.mustHaveOneCode(s)
	if list := r.codesAtSeam(s); !slices.ContainsFunc(list,
		func(c simulator.Credential) bool { return c.ID == code.ID }) {
		t.Errorf("the code was replaced with the key that somebody deleted: %+v", list)
	}
}
