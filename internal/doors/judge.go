package doors

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// seeDoor takes over what an answer says of a door. What it doesn't say is unchanged. asked is whether an admin has
// asked for the reading.
func seeDoor(d *store.Door, e seam.Entrance, known histories, asked bool, now time.Time) {
	d.SeenAt = now
	if e.DisplayName != "" {
		d.Name = &e.DisplayName
	}
	d.MobileKeys = cmp.Or(e.CanUseMobileKey, d.MobileKeys)
	problems := maps.Clone(d.Problems)
	if problems == nil {
		problems = map[string]time.Time{}
	}
	for problem, is := range map[string]*bool{
		stay.DoorOffline: e.Offline(), stay.DoorBatteryLow: e.BatteryLow(), stay.DoorPrivacyMode: e.PrivacyMode(),
	} {
		if is == nil {
			continue
		}
		since, next := known[d.EntranceID][problem].after(problem, *is, asked, problems[problem], now)
		if known.set(d.EntranceID, problem, next, now); since.IsZero() {
			delete(problems, problem)
		} else {
			problems[problem] = since
		}
	}
	d.Problems = problems
}

// group is what is known of an access group.
type group struct {
	store.DoorGroup
	listed bool // this reading has a list of its doors
}

// due reports whether Seam must be asked which doors the group opens: once since the morning; once more, after the
// read lag, where its last list lacked something; and every hour while the group opens no door.
func (g *group) due(morning, now time.Time, readLag time.Duration) bool {
	switch {
	case g.AskedAt == nil || g.AskedAt.Before(morning):
		return true
	case g.NoDoorAt != nil:
		return now.Sub(*g.AskedAt) >= follow
	}
	doubt := g.doubt()
	return doubt != nil && now.Sub(*doubt) > readLag && g.AskedAt.Sub(*doubt) <= readLag
}

// doubt is when a list of the group's doors first lacked something; nil: the last one lacked nothing.
func (g *group) doubt() *time.Time {
	first := g.SuspectedAt
	for _, since := range g.Missing {
		if first == nil || since.Before(*first) {
			first = &since
		}
	}
	return first
}

// see takes over a list of the group's doors. A door that it lacks is taken off when a second list, a read lag later,
// lacks it too: lists lag, and may end early.
func (g *group) see(listed []seam.Entrance, now time.Time, readLag time.Duration) {
	g.AskedAt, g.listed = &now, true
	var ids []string
	for _, e := range listed {
		ids = append(ids, e.ACSEntranceID)
	}
	missing := map[string]time.Time{}
	for _, id := range g.EntranceIDs {
		if slices.Contains(ids, id) {
			continue
		}
		since, again := g.Missing[id]
		if again && now.Sub(since) > readLag {
			continue
		}
		if !again {
			since = now
		}
		missing[id] = since
		ids = append(ids, id)
	}
	slices.Sort(ids)
	g.EntranceIDs, g.Missing = slices.Compact(ids), missing
}

// judge decides whether the group opens a door with mobile keys. That it opens none counts when two readings, a read
// lag apart, agree. A door about which Seam says nothing leaves it undecided, and so does a group that was not shown.
func (g *group) judge(doors map[string]*store.Door, now time.Time, readLag time.Duration) {
	if len(g.EntranceIDs) == 0 && !g.listed {
		return
	}
	unknown := false
	for _, id := range g.EntranceIDs {
		d := doors[id]
		switch {
		case d == nil || d.MobileKeys == nil:
			unknown = true
		case *d.MobileKeys:
			g.SuspectedAt, g.NoDoorAt = nil, nil
			return
		}
	}
	switch {
	case unknown || g.NoDoorAt != nil:
	case g.SuspectedAt == nil:
		g.SuspectedAt = &now
	case g.listed && now.Sub(*g.SuspectedAt) > readLag:
		g.NoDoorAt = g.SuspectedAt
	}
}
