package rest

import (
	"context"

	"github.com/staykey/staykey/internal/admin"
)

// Summary is the state of the whole service.
type Summary struct {
	Reservations       map[string]int     `json:"reservations" doc:"By status. May be some seconds old if counting takes long."`
	MobileKeys         map[string]int     `json:"mobile_keys" doc:"By key status. May be some seconds old."`
	OldestWaiting      *Reservation       `json:"oldest_waiting"`
	ArrivalsWithoutKey []Reservation      `json:"arrivals_without_key" nullable:"false" doc:"Stays without an issued key that begin within STAYKEY_DUE_WITHIN (24 hours) or have begun; where check-in or check-out is null, by the days that the PMS sent. Nearest first, at most 50."`
	EventBacklog       int                `json:"event_backlog" doc:"Events not yet applied, counted up to 10,000."`
	OldestEventAt      *string            `json:"oldest_event_at" format:"date-time" doc:"Since when the first of them has been waiting. An event that is replayed, or whose documents were fetched, waits from then on."`
	Provisioning       admin.Provisioning `json:"provisioning"`
}

func (s *API) summary(ctx context.Context, _ *struct{}) (*Output[Summary], error) {
	found, err := s.Admin.Overview.Summary(ctx)
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	out := Summary{
		Reservations: found.Reservations, MobileKeys: found.MobileKeys, ArrivalsWithoutKey: []Reservation{},
		EventBacklog: found.Backlog.Events, OldestEventAt: stampOrNull(found.Backlog.OldestAt),
		Provisioning: found.Provisioning,
	}
	if found.OldestWaiting != nil {
		r := showReservation(*found.OldestWaiting)
		out.OldestWaiting = &r
	}
	for _, v := range found.ArrivalsWithoutKey {
		out.ArrivalsWithoutKey = append(out.ArrivalsWithoutKey, showReservation(v))
	}
	return &Output[Summary]{out}, nil
}
