package webhook

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// The row of the inbox that a webhook becomes, and whether it overtakes others because a guest arrives soon.

// urgentWithin is how near a check-in must be for its event to overtake a backlog.
const urgentWithin = 24 * time.Hour

// newEvent is the row of a parsed webhook.
func (s *Receiver) newEvent(source, key string, body []byte, parsed pms.Event) store.Event {
	id, err := uuid.NewV7() // sorted by time, which costs the index less than a random id
	if err != nil {
		id = uuid.New()
	}
	e := store.Event{
		EventID: id, Source: source, Type: store.Storable(parsed.Type), Status: stay.EventAccepted,
		ReceivedAt: s.Now().UTC().Truncate(time.Microsecond), Body: body,
	}
	if key != "" {
		e.EventKey = &key
	}
	if !parsed.OccurredAt.IsZero() {
		e.OccurredAt = &parsed.OccurredAt
	}
	switch {
	case len(parsed.Invalid) > 0:
		reason := store.Storable(pms.Reasons(parsed.Invalid))
		e.Status, e.Reason = stay.EventRejected, &reason
	case parsed.Ignored:
		reason := "staykey doesn't use this type"
		e.Status, e.Reason = stay.EventIgnored, &reason
	}
	if c := parsed.Change().Reservation; c != nil && c.ReservationID != "" {
		e.ReservationID = &c.ReservationID
		e.ListingID = c.ListingID
		e.Urgent = e.Status == stay.EventAccepted && c.ArrivesWithin(e.ReceivedAt, urgentWithin)
	}
	if c := parsed.Change().Listing; c != nil && c.ListingID != "" {
		e.ListingID = &c.ListingID
	}
	return e
}

// arrivesSoon reports whether a webhook in a PMS's own format is about a guest who arrives soon, as far as a quick
// mapping shows. It is mapped again when it is applied.
func arrivesSoon(ctx context.Context, source pms.Source, m pms.Mapping) bool {
	if len(m.Body) > glanceBytes {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, glanceWait)
	defer cancel()
	m.Within = glanceWithin
	e, err := source.Map(ctx, m)
	return err == nil && e.ArrivesWithin(m.ReceivedAt, urgentWithin)
}

// Limits of mapping a webhook at acceptance, which only decides whether it is urgent. The sender must not notice it; a
// mapping that takes longer counts as not urgent.
const (
	glanceBytes  = 64 << 10
	glanceWithin = 20 * time.Millisecond // of processor time, so that it also works on a busy machine
	// glanceWait is how long to wait for other programs to finish.
	glanceWait = time.Second
)
