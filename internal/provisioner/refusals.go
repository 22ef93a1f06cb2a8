package provisioner

import (
	"fmt"
	"slices"

	"github.com/staykey/staykey/internal/provisioner/plan"
)

// refusals are the steps that Seam has refused in an attempt, and what follows from them for the other steps: one
// refused step must not hold up those that don't depend on it, and must never lock a guest out.
type refusals struct {
	users *users
	all   []refusal // in order
}

// refusal is a step that Seam has refused, and its answer.
type refusal struct {
	step plan.Step
	user int64 // the row
	err  error
}

// locksOut reports whether a step would take away the guest's way in while Seam refuses the new one. After a refusal
// of a step that a guest may need to get in, no ACS user of a stay that still lasts is deleted; after a refusal of a
// door, no other door is closed.
func (r *refusals) locksOut(s plan.Step) bool {
	return slices.ContainsFunc(r.all, func(x refusal) bool {
		return s.Kind == plan.DeleteUser && x.step.Kind.Opens() ||
			s.Kind == plan.RemoveGroup && x.step.Kind == plan.AddGroup
	})
}

// doubles reports whether a step belongs to the creation of a second ACS user or mobile key, because Seam refuses to
// delete what is left of the one that it replaces.
func (r *refusals) doubles(s plan.Step) bool {
	if s.Kind == plan.CreateKey && slices.ContainsFunc(r.all, func(x refusal) bool {
		return x.step.Kind == plan.ReplaceKey && x.step.User == s.User
	}) {
		return true
	}
	creates := s.User < 0 || r.users.rows[s.User].ACSUserID == nil
	return creates && slices.ContainsFunc(r.all, func(x refusal) bool { return x.step.Kind == plan.DeleteUser })
}

// add records that Seam has refused a step.
func (r *refusals) add(s plan.Step, err error) {
	x := refusal{step: s, err: err}
	if s.User >= 0 && s.User < len(r.users.rows) {
		x.user = r.users.rows[s.User].ID
	}
	r.all = append(r.all, x)
}

// has reports whether Seam has refused a step of the same kind, for the same row and with the same body.
func (r *refusals) has(s plan.Step) bool {
	return slices.ContainsFunc(r.all, func(x refusal) bool {
		return x.step.Kind == s.Kind && s.User >= 0 && r.users.rows[s.User].ID == x.user &&
			fmt.Sprint(x.step.Body) == fmt.Sprint(s.Body)
	})
}
