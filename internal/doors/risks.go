package doors

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// report stores which stays are at risk, where that has changed. A stay that somebody keeps locked is left for the
// next turn.
func (c *Checker) report(ctx context.Context) error {
	now := c.now()
	problems, err := c.store.Doors.Problems(ctx, nil)
	if err != nil {
		return err
	}

	before, err := c.store.Doors.Risks(ctx, nil, 0)
	if err != nil {
		return err
	}

	var stays []store.StayAtDoors
	if len(problems) > 0 {
		groups := slices.Sorted(maps.Keys(problems))
		if stays, err = c.store.Doors.Stays(ctx, now, now.Add(atRiskWithin), groups); err != nil {
			return err
		}
	}
	outages, err := c.store.Doors.Offline(ctx, outageOf)
	if err != nil {
		return err
	}

	present := map[stay.Ref][]stay.DoorProblem{}
	for _, s := range stays {
		if found := concerning(s, problems, now); len(found) > 0 {
			present[s.Ref] = blame(found, before[s.Ref], outages)
		}
	}
	return c.record(ctx, before, present, now)
}

// outageOf is how many doors at least must be offline for an access system to count as offline.
const outageOf = 3

// blame marks the doors that are offline with most others of their access system: that is one problem, of the system,
// and not reported for each stay. A door that was reported before stays reported.
func blame(found, before []stay.DoorProblem, outages map[string]string) []stay.DoorProblem {
	for i, p := range found {
		reported := slices.ContainsFunc(before, func(b stay.DoorProblem) bool {
			return b.Compare(p) == 0 && b.SystemID == ""
		})
		if p.Problem == stay.DoorOffline && !reported {
			found[i].SystemID = outages[p.EntranceID]
		}
	}
	return found
}

// record stores what has changed.
func (c *Checker) record(ctx context.Context, before, present map[stay.Ref][]stay.DoorProblem, now time.Time) error {
	all := map[stay.Ref]bool{}
	for ref := range before {
		all[ref] = true
	}
	for ref := range present {
		all[ref] = true
	}
	var failed error
	for _, ref := range slices.SortedFunc(maps.Keys(all), stay.Ref.Compare) {
		if same(before[ref], present[ref]) {
			continue
		}
		if err := c.store.Doors.SetRisk(ctx, ref, present[ref], now); err != nil {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// concerning are the problems that may keep a stay's key from opening its doors. Privacy mode is normally the guest's
// own: before the stay it counts only when the guest is about to arrive, and after that only if it was on before.
func concerning(s store.StayAtDoors, problems map[string][]stay.DoorProblem, now time.Time) []stay.DoorProblem {
	var found []stay.DoorProblem
	for _, group := range s.GroupIDs {
		for _, p := range problems[group] {
			if p.Problem == stay.DoorPrivacyMode && (now.Before(s.CheckIn.Add(-ahead)) || !p.Since.Before(s.CheckIn)) {
				continue
			}
			found = append(found, p)
		}
	}
	slices.SortFunc(found, stay.DoorProblem.Compare)
	if risk := stay.NewDoorRisk(found); risk != nil {
		return risk.Doors
	}
	return nil
}

// same reports whether two lists have the same problems, whatever the doors' names are.
func same(a, b []stay.DoorProblem) bool {
	return slices.EqualFunc(a, b, func(x, y stay.DoorProblem) bool {
		return x.Compare(y) == 0 && x.SystemID == y.SystemID
	})
}
