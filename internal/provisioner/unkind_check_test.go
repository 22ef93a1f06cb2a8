package provisioner_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// meddle changes a stay's objects at Seam, as another person would.
func (w *unkind) meddle(s *unkindStay) {
	what := one(w, "delete user", "deleted externally", "delete key", "second key", "delete code", "second code",
		"other digits", "suspend", "unlink", "leave group", "pending", "system error", "user error", "warning",
		"being deleted", "key error")
	w.tell("%s: somebody else: %s", s.id, what)
	w.mu.Lock()
	s.keysByOthers = s.keysByOthers || what == "second key"
	s.codesByOthers = s.codesByOthers || what == "second code"
	s.groupsByOthers = s.groupsByOthers || what == "leave group"
	w.mu.Unlock()
	w.sim.Change(func(st *simulator.State) {
		for _, u := range st.UsersNamed(s.id) {
			if u.GoneAt.IsZero() {
				w.meddleWith(st, u, what)
			}
		}
		if what == "system error" {
			id := one(w, system, systemB)
			sys := st.Systems[id]
			sys.ErrorCode = one(w, "", "", "provider_service_unavailable", "salto_ks_certification_expired",
				"acs_system_disconnected", "something_new")
			st.Systems[id] = sys
		}
	})
}

func (w *unkind) meddleWith(st *simulator.State, u simulator.User, what string) {
	keys := st.MobileKeys(u.ID)
	switch what {
	case "delete user":
		for _, k := range keys {
			delete(st.Credentials, k.ID)
		}
		delete(st.Users, u.ID)
		return
	case "deleted externally":
		u.ErrorCode = "deleted_externally"
	case "delete key":
		if len(keys) > 0 {
			delete(st.Credentials, keys[0].ID)
		}
	case "second key":
		if len(keys) > 0 {
			id := uuid.NewString()
			st.Credentials[id] = simulator.Credential{
				ID: id, UserID: u.ID, AccessMethod: "mobile_key",
				MultiPhone: true, CreatedAt: w.now(),
			}
		}
	case "delete code", "second code", "other digits":
		w.meddleWithCode(st, u, what)
	case "suspend":
		u.Suspended = true
	case "unlink":
		if len(keys) > 0 { // nobody can find the result of a lost create once it is unlinked
			u.IdentityID = ""
		}
	case "leave group":
		if len(u.GroupIDs) > 0 {
			u.GroupIDs = slices.Clone(u.GroupIDs[1:])
		}
	case "pending":
		u.Pending = append(slices.Clone(u.Pending), simulator.Pending{
			Code: one(w, userMutations...), Until: w.now().Add(time.Duration(w.random.IntN(3000)) * time.Hour),
		})
	case "user error":
		u.ErrorCode = one(w, userErrors...)
	case "warning":
		u.WarningCode = one(w, userWarnings...)
	case "being deleted":
		u.WarningCode = "being_deleted"
	case "key error":
		for _, k := range keys {
			k.ErrorCode = one(w, "", "something_new", strings.Repeat("é", 900), "a\x00b")
			st.Credentials[k.ID] = k
		}
	}
	st.Users[u.ID] = u
}

// userErrors are the errors of an ACS user that don't make it another one.
var userErrors = slices.DeleteFunc(append(simulator.Codes("acs_user", "errors"), "something_new"), func(c string) bool {
	return c == "deleted_externally" || c == notDeleted
})

// userWarnings are the warnings of an ACS user that don't make it another one.
var userWarnings = slices.DeleteFunc(append(simulator.Codes("acs_user", "warnings"), "something_new"),
	func(c string) bool { return c == "being_deleted" })

// userMutations are what Seam may have pending of an ACS user that is not being deleted.
var userMutations = slices.DeleteFunc(append(simulator.Codes("acs_user", "pending_mutations"), "something_new"),
	func(c string) bool { return c == "deleting" })

// notDeleted is Seam's error on an ACS user that Salto KS has refused to delete.
const notDeleted = "failed_to_delete_on_acs_system"

// isGoing reports whether Seam itself says that an ACS user is gone, is going, or can't be removed.
func isGoing(u simulator.User) bool {
	return !u.GoneAt.IsZero() || u.WarningCode == "being_deleted" || u.ErrorCode == "deleted_externally" ||
		u.ErrorCode == notDeleted
}

// changeIdentities edits or merges the guests' user identities, at a moment of silence: between a look at an identity,
// as stale as reads may be, and a create, nothing could prevent it.
func (w *unkind) changeIdentities() {
	defer w.silence()()
	state := w.sim.State()
	for _, i := range state.Identities {
		if i.Email == "" || strings.HasPrefix(i.Email, "bob") {
			continue
		}
		switch w.random.IntN(3) {
		case 0:
			w.tell("identity %s of %s becomes Bob's", i.ID, i.Email)
			w.exemptAll(state, i.ID)
			w.sim.EditIdentity(i.ID, fmt.Sprintf("bob%d@example.com", w.random.IntN(1000)))
		case 1:
			survivor := simulator.Identity{ID: uuid.NewString(), Email: "private-" + i.Email, CreatedAt: w.now()}
			w.tell("identity %s of %s is merged into %s", i.ID, i.Email, survivor.ID)
			w.exemptAll(state, i.ID)
			w.mu.Lock()
			for _, s := range w.stays {
				if s.emails[pms.GuestAddress(i.Email)] {
					s.emails[survivor.Email] = true
				}
			}
			w.mu.Unlock()
			w.sim.Change(func(st *simulator.State) { st.Identities[survivor.ID] = survivor })
			w.sim.MergeIdentities(survivor.ID, i.ID)
		}
		return
	}
}

// silence waits for a moment when no worker is active and no call is still to take effect. The function that it
// returns lets the read lag pass, after which every read shows what was done meanwhile.
func (w *unkind) silence() func() {
	w.rest()
	for w.sim.LateCalls() > 0 {
		w.passTime(time.Second)
		w.rest()
	}
	return func() { w.passTime(unkindLag) }
}

// addWalkIn has the hotel add an ACS user by hand, on the identity of a stay's guest, at a moment of silence: one that
// comes right after a lost create looks like its result, if answers leave out every name and every hour.
func (w *unkind) addWalkIn(s *unkindStay) {
	defer w.silence()()
	state := w.sim.State()
	for _, u := range state.UsersNamed(s.id) {
		if u.IdentityID == "" {
			continue
		}
		walkIn := simulator.User{
			ID: uuid.NewString(), SystemID: u.SystemID, IdentityID: u.IdentityID, FullName: "walk-in",
			Schedule: &simulator.Schedule{StartsAt: w.now()}, GroupIDs: []string{"lobby"}, CreatedAt: w.now(),
		}
		w.tell("%s: a walk-in %s on its identity", s.id, walkIn.ID)
		w.mu.Lock()
		w.walkIns[walkIn.ID] = walkIn
		w.mu.Unlock()
		w.sim.Change(func(st *simulator.State) { st.Users[walkIn.ID] = walkIn })
		return
	}
}

// exemptAll exempts the ACS users of an identity, no matter who owns it from now on.
func (w *unkind) exemptAll(state *simulator.State, identityID string) {
	returning := w.sim.Returning()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range slices.AppendSeq(returning, maps.Values(state.Users)) {
		if u.IdentityID == identityID {
			w.exempt[u.ID] = true
		}
	}
}

// see checks the workspace at every moment.
func (w *unkind) see(state *simulator.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seeWalkIns(state)
	type slot struct{ name, system string }
	users := map[slot]int{}
	for _, u := range state.Users {
		if _, isWalkIn := w.walkIns[u.ID]; isWalkIn || isGoing(u) || w.refused[u.ID] {
			continue
		}
		at := slices.IndexFunc(w.stays, func(s *unkindStay) bool { return s.id == u.FullName })
		if at < 0 {
			w.violation(nil, "an ACS user without an owner: %+v", u)
			continue
		}
		s := w.stays[at]
		users[slot{s.id, u.SystemID}]++
		if users[slot{s.id, u.SystemID}] > 1 && !s.guestChanged {
			w.violation(s, "%s has a second ACS user on access system %s", s.id, u.SystemID)
		}
		w.seeUser(state, s, u)
	}
}

// seeWalkIns checks that nobody has changed or deleted what other people made on a guest's identity, nor put a key
// there.
func (w *unkind) seeWalkIns(state *simulator.State) {
	for id, was := range w.walkIns {
		is := state.Users[id]
		// Of these Seam decides, not the service.
		is.IdentityID, is.Pending, is.ErrorCode, is.WarningCode = was.IdentityID, nil, "", ""
		if diff := cmp.Diff(was, is, byTheMinute, cmpopts.EquateEmpty()); diff != "" {
			w.violation(nil, "the walk-in %s was changed:\n%s", id, diff)
		}
		for _, c := range state.Credentials {
			if c.UserID == id {
				w.violation(nil, "the walk-in %s has got a credential: %+v", id, c)
			}
		}
	}
}

func (w *unkind) seeUser(state *simulator.State, s *unkindStay, u simulator.User) {
	if len(state.MobileKeys(u.ID)) > 1 && !s.keysByOthers {
		w.violation(s, "%s has a second mobile key", s.id)
	}
	w.seeCodes(state, s, u)
	for _, g := range u.GroupIDs {
		if !s.groups[g] {
			w.violation(s, "%s opens a door that was never wanted: %s", s.id, g)
		}
	}
	if u.Schedule == nil || !s.windows[windowOf(u.Schedule.StartsAt, u.Schedule.EndsAt)] {
		w.violation(s, "%s has access at a time that was never wanted: %v", s.id, u.Schedule)
	}
	if sealed := s.gatesModel.sealed; sealed != nil && !sealed[u.ID] {
		w.violation(s, "%s has got an ACS user, although a gate is closed", s.id)
	}
	if email := pms.GuestAddress(state.Identities[u.IdentityID].Email); email != "" && !s.emails[email] &&
		!w.exempt[u.ID] {
		w.violation(s, "the key of %s is in the app of %s", s.id, email)
	}
}

// violation reports what must never happen. The caller holds the lock.
func (w *unkind) violation(s *unkindStay, format string, args ...any) {
	if !w.broken {
		w.t.Errorf("at %s: %s", w.now().Format("05.000"), fmt.Sprintf(format, args...))
	}
	w.broken = true
	if s != nil {
		s.suspect = true
	}
}

func (w *unkind) brokenYet() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// check ends a storm: Seam behaves again. Every stay must reach the right state or a reason, and the right state once
// an admin has it reconciled.
func (w *unkind) check() {
	w.tell("-- calm")
	for _, s := range w.stays {
		if s.held {
			w.holdOrRelease(s)
		}
	}
	w.sim.Configure(func(o *simulator.Options) {
		*o = simulator.Options{SecondUser: w.second, Watch: o.Watch, HangFor: unkindHang}
	})
	w.rest()
	w.sim.Change(func(st *simulator.State) {
		for id, sys := range st.Systems {
			sys.ErrorCode = ""
			st.Systems[id] = sys
		}
		for id, u := range st.Users {
			if u.WarningCode == "being_deleted" { // now it is gone
				w.meddleWith(st, u, "delete user")
				continue
			}
			u.Pending, u.WarningCode = nil, ""
			if u.ErrorCode != "deleted_externally" && u.ErrorCode != notDeleted {
				u.ErrorCode = ""
			}
			st.Users[id] = u
		}
		w.allowDeletes(st)
		for id, c := range st.Credentials {
			c.ErrorCode, c.WarningCode = "", ""
			st.Credentials[id] = c
		}
	})
	w.sweep()
	w.settle("after a storm", func(s *unkindStay, v store.View) string {
		if s.groupsByOthers {
			return ""
		}
		if wrong := w.wrong(s, v); wrong != "" && (v.Key.Status != store.KeyAttention &&
			v.Key.Status != store.KeyWaiting || str(v.Key.Reason) == "" || str(v.Key.Message) == "") {
			return wrong
		}
		return ""
	})
	for _, s := range w.stays {
		if s.booked {
			reconcile(w.rig, &s.stay)
		}
	}
	w.settle("after a reconcile", w.wrongToo)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.stays {
		holding, _, _, _ := s.closedGates()
		// Nothing is made for a new guest, nor in place of what somebody deleted. A stay that is over isn't compared
		// with Seam, only emptied a day later.
		later := s.listing == "" || s.cancelled || holding || !w.now().Before(s.out)
		s.keysByOthers, s.groupsByOthers, s.guestChanged = s.keysByOthers && later, false, s.guestChanged && later
		s.codesByOthers = s.codesByOthers && !s.cancelled // unlike a second key, one that somebody made by hand stays
	}
}

// allowDeletes has Salto KS no longer report what it refused to delete. What is next to another ACS user of its stay is
// still to be deleted, and isn't counted until then.
func (w *unkind) allowDeletes(st *simulator.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	type slot struct{ name, system string }
	users := map[slot]int{}
	for _, u := range st.Users {
		users[slot{u.FullName, u.SystemID}]++
	}
	for id, u := range st.Users {
		isAlone := users[slot{u.FullName, u.SystemID}] == 1
		if isAlone {
			delete(w.refused, id)
		}
		if u.ErrorCode != notDeleted {
			continue
		}
		w.refused[id] = !isAlone
		w.allowInSealed(u)
		u.ErrorCode = ""
		st.Users[id] = u
		for keyID, key := range st.Credentials { // they came back with it, as they were
			if key.UserID == id {
				key.ErrorCode, key.WarningCode = "", ""
				st.Credentials[keyID] = key
			}
		}
	}
}

// allowInSealed lets a stay with a closed gate have an ACS user that is not new, but was shown nowhere until Salto KS
// refused to delete it.
func (w *unkind) allowInSealed(u simulator.User) {
	for _, s := range w.stays {
		if s.id == u.FullName && s.gatesModel.sealed != nil {
			s.gatesModel.sealed[u.ID] = true
		}
	}
}

// sweep lets time pass until everything that is recorded has been compared with Seam.
func (w *unkind) sweep() {
	for range 2 { // one may have begun before
		began := w.now()
		w.passTime(20 * time.Minute)
		waitFor(w.t, "a sweep", func() bool {
			w.advance(time.Second)
			var at time.Time
			err := w.store.Pool().QueryRow(context.Background(),
				`SELECT coalesce((result->>'at')::timestamptz, '-infinity') FROM tasks WHERE name = 'sweep'`).Scan(&at)
			return err == nil && at.After(began)
		})
	}
}

// settle lets time pass until no stay is wrong.
func (w *unkind) settle(when string, wrong func(*unkindStay, store.View) string) {
	var last []string
	for n := range 80 {
		w.rest() // no attempt has looked for what shows up now, and creates something next to it
		w.sim.Change(w.allowDeletes)
		w.prov.Wake()
		w.rest()
		w.restOfNotices()
		last = nil
		for _, s := range w.stays {
			if !s.booked {
				continue
			}
			v := w.view(s.stay)
			if v.Key.ObservedGeneration != v.Key.Generation {
				last = append(last, fmt.Sprintf("%s: generation %d, observed %d, %s %s %q %q, next %v at %v", s.id,
					v.Key.Generation, v.Key.ObservedGeneration,
					v.Key.Status, str(v.Key.Reason), str(v.Key.Message), str(v.Key.LastError), v.Key.NextReconcileAt,
					w.now()))
			} else if why := wrong(s, v); why != "" {
				last = append(last, fmt.Sprintf("%s: %s", s.id, why))
			}
		}
		if len(last) == 0 {
			return
		}
		if n < 60 {
			w.passTime(time.Duration(1+n) * 2 * time.Second)
		} else { // what Seam had pending is asked for every six hours while check-in is far
			w.passTime(30 * time.Minute)
		}
	}
	w.t.Errorf("stuck %s:\n%s", when, strings.Join(last, "\n"))
	for _, s := range w.stays {
		if slices.ContainsFunc(last, func(l string) bool { return strings.HasPrefix(l, s.id+":") }) {
			s.suspect = true
			return
		}
	}
}

// wrong describes what differs from the last event, "" if nothing does.
func (w *unkind) wrong(s *unkindStay, v store.View) string {
	got := w.liveOf(s)
	is := fmt.Sprintf("%s %s %q", v.Key.Status, str(v.Key.Reason), str(v.Key.LastError))
	switch {
	case s.cancelled:
		if v.Key.Status != store.KeyRevoked || len(got) > 0 {
			return fmt.Sprintf("cancelled, but %s, and Seam holds %+v", is, got)
		}
		return ""
	case !w.now().Before(s.out):
		if v.Key.Status != store.KeyExpired {
			return "over, but " + is
		}
		for _, h := range got {
			if h.Ends.After(s.out) {
				return fmt.Sprintf("over, and open until %s", h.Ends)
			}
		}
		return ""
	}
	if wrong, done := w.wrongUnderGates(s, v, got, is); done {
		return wrong
	}
	if s.listing == "" {
		// Nothing is made without a room, nor is a key replaced that is in somebody else's app: it opens
		// nothing, and a person sees why it needs attention.
		isGivenAway := len(got) == 1 && got[0].Identity != "own" && !s.emails[pms.GuestAddress(got[0].Identity)]
		if v.Key.Status != store.KeyWaiting && str(v.Key.Reason) != "removed_at_seam" &&
			(!isGivenAway || v.Key.Status != store.KeyAttention || v.Key.Reason == nil) {
			return "without a room, but " + is
		}
		if len(got) > 1 || (len(got) == 1 && len(got[0].Groups) > 0) {
			return fmt.Sprintf("without a room, and Seam holds %+v", got)
		}
		return ""
	}
	if v.Key.Status != store.KeyIssued && v.Key.Status != store.KeyActive {
		return "not issued, but " + is
	}
	return w.wrongAtSeam(s, got)
}

var (
	ignoreIdentity = cmpopts.IgnoreFields(access{}, "Identity")
	byTheMinute    = cmp.Transformer("minute", func(t time.Time) int64 { return t.Unix() / 60 })
)

// liveOf is what a stay has at Seam that isn't being deleted, nor deleted in Salto KS.
func (w *unkind) liveOf(s *unkindStay) []access {
	var live []access
	state := w.sim.State()
	for i, u := range state.UsersNamed(s.id) {
		if u.GoneAt.IsZero() && u.ErrorCode != "deleted_externally" {
			live = append(live, w.holds(s.id)[i])
		}
	}
	return live
}

// tellCalls logs the last calls to Seam that name a stay, or one of its ACS users or identities.
func (w *unkind) tellCalls(s *unkindStay) {
	names := []string{`"` + s.id + `"`}
	for _, u := range w.sim.State().UsersNamed(s.id) {
		names = append(names, u.ID, u.IdentityID)
	}
	var lines []string
	for _, c := range w.sim.Records() {
		body := fmt.Sprintf("%q", c.Body)
		if slices.ContainsFunc(names, func(name string) bool { return name != "" && strings.Contains(body, name) }) {
			lines = append(lines, fmt.Sprintf("%s %s %d %.300s", c.At.Format("15:04:05.000"), c.Path, c.Status, body))
		}
	}
	w.t.Logf("the calls about %s, now %s:\n%s", s.id, w.sim.Now().Format("15:04:05.000"),
		strings.Join(lines[max(0, len(lines)-60):], "\n"))
}
