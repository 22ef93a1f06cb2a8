package admin

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/staykey/staykey/internal/stay"
)

// addDoorRisks fills in which doors of listings may not open. Of access groups that a listing's source may not open,
// nothing is shown.
func (s Listings) addDoorRisks(ctx context.Context, listings []Listing) error {
	var groups []string
	for _, l := range listings {
		groups = append(groups, l.Groups()...)
	}
	if len(groups) == 0 {
		return nil
	}

	problems, err := s.store.Doors.Problems(ctx, groups)
	if err != nil || len(problems) == 0 {
		return err
	}
	risky := map[string][]string{} // by source
	for _, l := range listings {
		for _, g := range l.Groups() {
			if len(problems[g]) > 0 {
				risky[l.Source] = append(risky[l.Source], g)
			}
		}
	}
	denied, err := s.denied(ctx, risky)
	if err != nil {
		return err
	}

	for i, l := range listings {
		var found []stay.DoorProblem
		for _, g := range l.Groups() {
			if !denied[sourceGroup{l.Source, g}] {
				found = append(found, problems[g]...)
			}
		}
		slices.SortFunc(found, stay.DoorProblem.Compare)
		listings[i].DoorRisk = stay.NewDoorRisk(found)
	}
	return nil
}

// sourceGroup is an access group, as a source uses it.
type sourceGroup struct{ source, group string }

// denied returns those of the sources' access groups that the source may not open.
func (s Listings) denied(ctx context.Context, groups map[string][]string) (map[sourceGroup]bool, error) {
	denied := map[sourceGroup]bool{}
	for source, groups := range groups {
		list, err := s.provisioner.NotAllowed(ctx, source, groups)
		if err != nil {
			return nil, err
		}
		for _, g := range list {
			denied[sourceGroup{source, g}] = true
		}
	}
	return denied, nil
}

// DoorAtRisk is a door that may not open, and the stays whose guests have it.
type DoorAtRisk struct {
	stay.DoorProblem
	Stays []stay.Ref // sorted; in house, or arriving within a day
}

// doorsShown is how many stays are looked at for doors at risk, those that are at risk for longest.
const doorsShown = 1000

// Doors reports doors that may not open.
type Doors struct{ *core }

// AtRisk returns the doors of the actor's stays that may not open, those with the most stays first. An access
// system most of whose doors are offline is one of them.
func (s Doors) AtRisk(ctx context.Context, source string) ([]DoorAtRisk, error) {
	risks, err := s.store.Doors.Risks(ctx, s.sourcesFor(ctx, source), doorsShown)
	if err != nil {
		return nil, err
	}
	found := map[[2]string]*DoorAtRisk{}
	for _, ref := range slices.SortedFunc(maps.Keys(risks), stay.Ref.Compare) {
		for _, p := range risks[ref] {
			if p.SystemID != "" { // one problem, of the access system
				p = stay.DoorProblem{SystemID: p.SystemID, Problem: stay.DoorsOffline, Since: p.Since}
			}
			what := [2]string{cmp.Or(p.EntranceID, p.GroupID, p.SystemID), p.Problem}
			if found[what] == nil {
				found[what] = &DoorAtRisk{DoorProblem: p}
			}
			if d := found[what]; len(d.Stays) == 0 || d.Stays[len(d.Stays)-1] != ref {
				d.Stays = append(d.Stays, ref)
			}
		}
	}
	return slices.SortedFunc(values(found), func(a, b DoorAtRisk) int {
		return cmp.Or(cmp.Compare(len(b.Stays), len(a.Stays)), a.DoorProblem.Compare(b.DoorProblem))
	}), nil
}

func values(found map[[2]string]*DoorAtRisk) func(yield func(DoorAtRisk) bool) {
	return func(yield func(DoorAtRisk) bool) {
		for _, d := range found {
			if !yield(*d) {
				return
			}
		}
	}
}
