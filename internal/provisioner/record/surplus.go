package record

import (
	"slices"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// What a lost create left in addition to the recorded ACS user. It is recorded from when it is found until Seam no
// longer has it, also if the stay ends:
//
//	AddSurplus ──▶ found ── SurplusDeleteSent ──▶ deleted ── SurplusNotSeen (once) ──▶ missing ── DropSurplus ──▶
//	                 ▲          SurplusDeleted     │  ▲  ▲                                │
//	                 └───────── Refused ───────────┘  │  └────────── SurplusSeen ─────────┘
//	                                                  └── SurplusDeleteSent (the last one had no effect)

// AddSurplus records an ACS user that a lost create left, and reports whether that is new.
func (u *User) AddSurplus(id string) bool {
	if slices.ContainsFunc(u.Surplus, func(s store.SurplusUser) bool { return s.ID == id }) {
		return false
	}
	u.Surplus = append(slices.Clone(u.Surplus), store.SurplusUser{ID: id})
	return true
}

// SurplusDeleteSent marks a delete that is about to be sent. An earlier one had no effect.
func (u *User) SurplusDeleteSent(id string, now time.Time) {
	u.remember()
	u.changeSurplus(id, func(s *store.SurplusUser) {
		if s.DeletedAt != nil {
			s.Tries++
		}
		s.DeletedAt, s.MissingAt = &now, nil
	})
}

// SurplusDeleted records a delete that may have had an effect at the given time.
func (u *User) SurplusDeleted(id string, at time.Time) {
	u.changeSurplus(id, func(s *store.SurplusUser) { s.DeletedAt, s.MissingAt = &at, nil })
}

// SurplusNotSeen records that neither get nor list showed it, and returns when that was first so.
func (u *User) SurplusNotSeen(id string, now time.Time) (since time.Time) {
	u.changeSurplus(id, func(s *store.SurplusUser) {
		if s.MissingAt == nil {
			s.MissingAt = &now
		}
		since = *s.MissingAt
	})
	return since
}

// SurplusSeen records that Seam shows it: it no longer counts as missing.
func (u *User) SurplusSeen(id string) {
	u.changeSurplus(id, func(s *store.SurplusUser) { s.MissingAt = nil })
}

// DropSurplus records that it is gone.
func (u *User) DropSurplus(id string) {
	u.Surplus = slices.DeleteFunc(slices.Clone(u.Surplus), func(s store.SurplusUser) bool { return s.ID == id })
}

// NameOther records an ACS user of other people that was found in place of this one, or with its name, and reports
// whether that is new. It is never changed nor deleted.
func (u *User) NameOther(id string) bool {
	if slices.Contains(u.Others, id) {
		return false
	}
	u.Others = append(slices.Clone(u.Others), id)
	return true
}

// DropOther records that one of them is gone.
func (u *User) DropOther(id string) {
	u.Others = slices.DeleteFunc(slices.Clone(u.Others), func(x string) bool { return x == id })
}

// AnsweredWithOthers reports whether the row's create was answered with an ACS user of other people, so that nothing
// but that is known of it.
func (u *User) AnsweredWithOthers() bool { return u.ACSUserID == nil && len(u.Others) > 0 }

// changeSurplus changes a copy: what [User.Refused] restores shares the list.
func (u *User) changeSurplus(id string, change func(*store.SurplusUser)) {
	u.Surplus = slices.Clone(u.Surplus)
	for i := range u.Surplus {
		if u.Surplus[i].ID == id {
			change(&u.Surplus[i])
		}
	}
}
