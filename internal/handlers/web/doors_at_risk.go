package web

import (
	"context"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// riskRow is a door that may not open, and some of the stays that need it.
type riskRow struct {
	stay.DoorProblem
	Guests int
	Links  []riskStay
}

type riskStay struct{ Title, Link string }

// riskLinks is how many stays a door shows.
const riskLinks = 5

func (s *core) riskRows(ctx context.Context, source string) ([]riskRow, error) {
	found, err := s.Admin.Doors.AtRisk(ctx, source)
	rows := make([]riskRow, len(found))
	if len(found) == 0 {
		return rows, err
	}
	groups := s.Admin.Groups.All(ctx)
	for i, d := range found {
		nameDoors(groups, &d.DoorProblem)
		rows[i] = riskRow{DoorProblem: d.DoorProblem, Guests: len(d.Stays)}
		for _, ref := range d.Stays[:min(len(d.Stays), riskLinks)] {
			rows[i].Links = append(rows[i].Links, riskStay{ref.ReservationID, reservationLink(ref)})
		}
	}
	return rows, err
}

// nameRisk gives access groups and systems among what may not open the names that Seam has for them.
func nameRisk(groups admin.AccessGroups, risk *stay.DoorRisk) {
	if risk == nil {
		return
	}
	for i := range risk.Doors {
		nameDoors(groups, &risk.Doors[i])
	}
}

func nameDoors(groups admin.AccessGroups, p *stay.DoorProblem) {
	switch {
	case p.Name != "" || p.EntranceID != "":
	case p.GroupID != "":
		group, _ := groups.Named(p.GroupID)
		p.Name = group.Name
	default:
		p.Name = groups.SystemName(p.SystemID)
	}
}

func reservationLink(ref stay.Ref) string {
	return escapedPath([]string{"reservations", ref.Source, ref.ReservationID})
}
