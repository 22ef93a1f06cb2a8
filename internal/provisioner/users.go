package provisioner

import (
	"slices"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
)

// users are the rows of a stay's ACS users as an attempt knows them: those that exist or may exist at Seam, oldest
// first. Whatever changes a row commits it through the [ledger]; this type only holds them.
type users struct {
	rows []record.User
}

// standing is the index of the ACS user that serves the stay; -1 if there is none, or if none should exist.
func (s *users) standing(d plan.Desired) int {
	if d.Goal != plan.Have {
		return -1
	}
	return plan.Standing(d.WithFirstKeyWaiting(s.rows), s.rows)
}

// indexOf is the index of a row; -1 if it was dropped.
func (s *users) indexOf(u *record.User) int {
	return slices.IndexFunc(s.rows, func(x record.User) bool { return x.ID == u.ID })
}

// drop forgets a row.
func (s *users) drop(i int) { s.rows = slices.Delete(s.rows, i, i+1) }
