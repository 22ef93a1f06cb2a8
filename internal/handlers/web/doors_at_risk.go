package web

import (
	"context"

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
	for i, d := range found {
		if d.EntranceID == "" && d.GroupID == "" && d.Name == "" { // an access system, which Seam has the name of
			d.Name = s.Admin.Doors.AccessGroups(ctx).SystemName(d.SystemID)
		}
		rows[i] = riskRow{DoorProblem: d.DoorProblem, Guests: len(d.Stays)}
		for _, ref := range d.Stays[:min(len(d.Stays), riskLinks)] {
			rows[i].Links = append(rows[i].Links, riskStay{ref.ReservationID, reservationLink(ref)})
		}
	}
	return rows, err
}

func reservationLink(ref stay.Ref) string {
	return escapedPath([]string{"reservations", ref.Source, ref.ReservationID})
}
