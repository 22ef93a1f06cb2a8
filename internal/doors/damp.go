package doors

import (
	"maps"
	"time"

	"github.com/staykey/staykey/internal/stay"
)

const (
	// confirmAfter is how long a lock must be offline before it is reported: until then it is read once more. Locks
	// lose their connection for moments, and mobile keys open them all the same.
	confirmAfter = 10 * time.Minute
	// doubtFor is how long a lock is read more often because it seemed offline.
	doubtFor = time.Hour
	// calm is how long a problem that came back within this time must be gone before it counts as over. So a lock that
	// flaps is reported once a day at most. Privacy mode doesn't flap: guests switch it on and off every day.
	calm = 24 * time.Hour
)

// history is what is known of a problem of a door besides since when it is reported.
type history struct {
	Seen  time.Time `json:"seen,omitzero"`  // first seen, and not reported yet
	Good  time.Time `json:"good,omitzero"`  // first reading without it while it is still reported
	Ended time.Time `json:"ended,omitzero"` // when it was last no longer reported
	Flaps bool      `json:"flaps,omitzero"` // it is reported, and had ended less than calm before that
}

// histories are those of the doors of an access system, by entrance and problem.
type histories map[string]map[string]history

// confirm is how long a problem must last before it is reported.
func confirm(problem string) time.Duration {
	if problem == stay.DoorOffline {
		return confirmAfter
	}
	return 0
}

// after decides what a reading changes: since when the problem is reported, zero for not at all. reported is since when
// it has been so far. An admin who asks for a reading has the problem ended at once if it is gone.
func (h history) after(problem string, is, asked bool, reported, now time.Time) (since time.Time, next history) {
	switch {
	case is && !reported.IsZero():
		h.Good = time.Time{}
		return reported, h
	case is:
		if h.Seen.IsZero() {
			h.Seen = now
		}
		if now.Sub(h.Seen) < confirm(problem) {
			return time.Time{}, h
		}
		flaps := problem != stay.DoorPrivacyMode && !h.Ended.IsZero() && h.Seen.Sub(h.Ended) < calm
		return h.Seen, history{Flaps: flaps}
	case reported.IsZero():
		return time.Time{}, history{Ended: h.Ended}
	}
	if h.Good.IsZero() {
		h.Good = now
	}
	if h.Flaps && !asked && now.Sub(h.Good) < calm {
		return reported, h
	}
	return time.Time{}, history{Ended: now}
}

// matters reports whether the history is still needed.
func (h history) matters(now time.Time) bool {
	return h.Flaps || !h.Seen.IsZero() || !h.Good.IsZero() || !h.Ended.IsZero() && now.Sub(h.Ended) < calm
}

// set keeps a history as long as it is needed.
func (h histories) set(entrance, problem string, next history, now time.Time) {
	if !next.matters(now) {
		if delete(h[entrance], problem); len(h[entrance]) == 0 {
			delete(h, entrance)
		}
		return
	}
	if h[entrance] == nil {
		h[entrance] = map[string]history{}
	}
	h[entrance][problem] = next
}

// clone is a copy that can be changed.
func (h histories) clone() histories {
	c := histories{}
	for entrance, problems := range h {
		c[entrance] = maps.Clone(problems)
	}
	return c
}

// doubtful reports whether a problem has been seen that is not confirmed yet.
func (h histories) doubtful(now time.Time) bool {
	for _, problems := range h {
		for _, p := range problems {
			if !p.Seen.IsZero() && now.Sub(p.Seen) < doubtFor {
				return true
			}
		}
	}
	return false
}
