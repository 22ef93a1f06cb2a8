package record

import (
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// Schedule is when an ACS user opens doors, as Seam may have it: the widest hours that any change may have set, while
// its result is unknown.
type Schedule struct {
	StartsAt *time.Time // nil: not known
	EndsAt   *time.Time // like StartsAt
}

// ScheduleSent is part of the mark of a change of schedule: until the result is known, the wider hours count.
func (s *Schedule) ScheduleSent(starts, ends time.Time) { s.widen(starts, ends) }

// widen makes the recorded hours cover others too.
func (s *Schedule) widen(starts, ends time.Time) {
	if s.StartsAt == nil || starts.Before(*s.StartsAt) {
		s.StartsAt = &starts
	}
	if s.EndsAt == nil || ends.After(*s.EndsAt) {
		s.EndsAt = &ends
	}
}

// ScheduleSet records that Seam has accepted a schedule. What an earlier, lost change may have set is overwritten.
func (s *Schedule) ScheduleSet(starts, ends time.Time) { s.StartsAt, s.EndsAt = &starts, &ends }

// Rounded is how much an access system may round a schedule: a smaller difference counts as the schedule that was
// sent.
const Rounded = time.Minute

// ReadSchedule records the schedule that Seam shows. A missing one proves nothing, because Seam doesn't always show
// it; hasSchedule is false then.
func (s *Schedule) ReadSchedule(from seam.ACSUser) (hasSchedule bool) {
	shown := from.AccessSchedule
	if shown == nil {
		return false
	}
	starts, ends := seam.ParseTime(shown.StartsAt), seam.ParseTime(shown.EndsAt)
	if starts.IsZero() && ends.IsZero() {
		return false
	}
	s.StartsAt, s.EndsAt = asRead(s.StartsAt, starts), asRead(s.EndsAt, ends)
	return true
}

// asRead is a time as Seam shows it, or as it was sent if Seam has only rounded it.
func asRead(recorded *time.Time, read time.Time) *time.Time {
	switch {
	case read.IsZero():
		return nil
	case recorded != nil && recorded.Sub(read).Abs() < Rounded:
		return recorded
	default:
		return &read
	}
}

// HasNoSchedule records that Seam, which should show a schedule, shows none: it may have none any more, and it is set
// again.
func (s *Schedule) HasNoSchedule() { s.StartsAt, s.EndsAt = nil, nil }

// HasSchedule reports whether Seam shows a schedule.
func HasSchedule(from seam.ACSUser) bool { return new(Schedule).ReadSchedule(from) }

// ShowsSchedule reports whether Seam shows the recorded schedule, or none.
func (s *Schedule) ShowsSchedule(from seam.ACSUser) bool {
	read := *s
	return !read.ReadSchedule(from) || read.SameSchedule(*s)
}

// SameSchedule reports whether two records have the same hours.
func (s *Schedule) SameSchedule(other Schedule) bool {
	same := func(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }
	return same(s.StartsAt, other.StartsAt) && same(s.EndsAt, other.EndsAt)
}

// hasBegun reports whether access has started.
func (s *Schedule) hasBegun(now time.Time) bool { return s.StartsAt != nil && !s.StartsAt.After(now) }
