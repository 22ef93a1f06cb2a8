package record

import (
	"slices"
	"time"
)

// What a lost create left in addition to the recorded ACS user. It is recorded from when it is found until Seam no
// longer has it, also if the stay ends:
//
//	AddSurplus ──▶ found ── SurplusDeleteSent ──▶ deleted ── SurplusNotSeen (once) ──▶ missing ── DropSurplus ──▶
//	                 ▲          SurplusDeleted     │  ▲  ▲                                │
//	                 └───────── Refused ───────────┘  │  └────────── SurplusSeen ─────────┘
//	                                                  └── SurplusDeleteSent (the last one had no effect)

// Leftovers are ACS users at Seam besides the recorded one.
type Leftovers struct {
	Surplus []SurplusUser // what a lost create left in addition, until Seam no longer has it
	// acs_user_ids of other people's ACS users that were found in place of this one, or with its name: reported once,
	// and never changed
	Others []string
}

// SurplusUser is an ACS user that a lost create left in addition to the recorded one, with the same identity, name and
// hours.
type SurplusUser struct {
	ID        string     // Seam's acs_user_id
	DeletedAt *time.Time // our last delete that Seam accepted, or whose result is unknown
	MissingAt *time.Time // neither get nor list showed it then
	Tries     int        // deletes without effect, in a row
}

// AddSurplus records an ACS user that a lost create left, and reports whether that is new.
func (l *Leftovers) AddSurplus(id string) bool {
	if slices.ContainsFunc(l.Surplus, func(s SurplusUser) bool { return s.ID == id }) {
		return false
	}
	l.Surplus = append(slices.Clone(l.Surplus), SurplusUser{ID: id})
	return true
}

// deleteSent marks a delete that is about to be sent. An earlier one had no effect.
func (l *Leftovers) deleteSent(id string, now time.Time) {
	l.changeSurplus(id, func(s *SurplusUser) {
		if s.DeletedAt != nil {
			s.Tries++
		}
		s.DeletedAt, s.MissingAt = &now, nil
	})
}

// SurplusDeleted records a delete that may have had an effect at the given time.
func (l *Leftovers) SurplusDeleted(id string, at time.Time) {
	l.changeSurplus(id, func(s *SurplusUser) { s.DeletedAt, s.MissingAt = &at, nil })
}

// SurplusNotSeen records that neither get nor list showed it, and returns when that was first so.
func (l *Leftovers) SurplusNotSeen(id string, now time.Time) (since time.Time) {
	l.changeSurplus(id, func(s *SurplusUser) {
		if s.MissingAt == nil {
			s.MissingAt = &now
		}
		since = *s.MissingAt
	})
	return since
}

// SurplusSeen records that Seam shows it: it no longer counts as missing.
func (l *Leftovers) SurplusSeen(id string) {
	l.changeSurplus(id, func(s *SurplusUser) { s.MissingAt = nil })
}

// DropSurplus records that it is gone.
func (l *Leftovers) DropSurplus(id string) {
	l.Surplus = slices.DeleteFunc(slices.Clone(l.Surplus), func(s SurplusUser) bool { return s.ID == id })
}

// NameOther records an ACS user of other people that was found in place of this one, or with its name, and reports
// whether that is new. It is never changed nor deleted.
func (l *Leftovers) NameOther(id string) bool {
	if slices.Contains(l.Others, id) {
		return false
	}
	l.Others = append(slices.Clone(l.Others), id)
	return true
}

// DropOther records that an ACS user which isn't the stay's is gone.
func (l *Leftovers) DropOther(id string) {
	l.Others = slices.DeleteFunc(slices.Clone(l.Others), func(x string) bool { return x == id })
}

// changeSurplus changes a copy: what [User.Refused] restores shares the list.
func (l *Leftovers) changeSurplus(id string, change func(*SurplusUser)) {
	l.Surplus = slices.Clone(l.Surplus)
	for i := range l.Surplus {
		if l.Surplus[i].ID == id {
			change(&l.Surplus[i])
		}
	}
}
