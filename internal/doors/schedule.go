package doors

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

const (
	// morningHour is when doors are read each day, in the property's time zone: early enough to replace a battery.
	morningHour = 8
	// ahead is how long before an arrival its doors are read again.
	ahead = 2 * time.Hour
	// seldom is how far apart readings for arrivals are at least.
	seldom = 30 * time.Minute
	// follow is how often the doors of a stay that is at risk are read.
	follow = time.Hour
	// retryAfter is when a failed reading is repeated.
	retryAfter = 10 * time.Minute
)

// reading is when an access system was read.
type reading struct {
	At        time.Time `json:"at,omitzero"`
	NotBefore time.Time `json:"not_before,omitzero"` // after a failure
	History   histories `json:"history,omitempty"`   // of its doors' problems
}

// system is an access system in use.
type system struct {
	id        string
	groups    []string         // that keys open, sorted
	zones     []*time.Location // of its properties
	arrivesBy time.Time        // the last arrival that is near; zero for none
	atRisk    bool             // a stay's doors are at risk
}

// systems are the access systems in use, in the order of their ids.
func (c *Checker) systems(users []store.DoorUsers, risks map[stay.Ref][]stay.DoorProblem) []system {
	risky := map[string]bool{}
	for _, problems := range risks {
		for _, p := range problems {
			risky[p.GroupID] = true
		}
	}

	found := map[string]*system{}
	for _, u := range users {
		s := found[u.SystemID]
		if s == nil {
			s = &system{id: u.SystemID}
			found[u.SystemID] = s
		}
		if !slices.Contains(s.groups[max(0, len(s.groups)-1):], u.GroupID) { // they come sorted
			s.groups = append(s.groups, u.GroupID)
		}
		zone := c.options.Policy(u.Source).Complete(u.ListingID, u.TimeZone, "", "").Zone
		if zone == nil {
			zone = time.UTC
		}
		if !slices.ContainsFunc(s.zones, func(z *time.Location) bool { return z.String() == zone.String() }) {
			s.zones = append(s.zones, zone)
		}
		if u.ArrivesBy != nil && u.ArrivesBy.After(s.arrivesBy) {
			s.arrivesBy = *u.ArrivesBy
		}
		s.atRisk = s.atRisk || risky[u.GroupID]
	}

	list := make([]system, 0, len(found))
	for _, id := range slices.Sorted(maps.Keys(found)) {
		list = append(list, *found[id])
	}
	return list
}

// morning is the last time that it became morning at one of the system's properties.
func (s system) morning(now time.Time) time.Time {
	var last time.Time
	for _, zone := range s.zones {
		local := now.In(zone)
		at := time.Date(local.Year(), local.Month(), local.Day(), morningHour, 0, 0, 0, zone)
		if at.After(now) {
			at = time.Date(local.Year(), local.Month(), local.Day()-1, morningHour, 0, 0, 0, zone)
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

// due reports whether it is time to read the system's doors.
func (s system) due(last reading, now time.Time) bool {
	since := now.Sub(last.At)
	return last.At.Before(s.morning(now)) ||
		!s.arrivesBy.IsZero() && last.At.Before(s.arrivesBy.Add(-ahead)) && since >= seldom ||
		s.atRisk && since >= follow ||
		last.History.doubtful(now) && since >= confirmAfter
}

func compare(a, b string) int { return cmp.Compare(a, b) }
