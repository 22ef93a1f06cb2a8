package notify

import (
	"time"

	"github.com/staykey/staykey/internal/stay"
)

// What a message says: the body of an event, as docs/events-out.md and docs/event.schema.json describe it.

// Envelope is the body of every message: Standard Webhooks.
type Envelope struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      any    `json:"data"`
}

// Data is what a message contains about a stay. It has no field that could identify a guest, and no link, code or token
// that opens anything.
type Data struct {
	Source            string    `json:"source"`
	ReservationID     string    `json:"reservation_id"`
	ListingID         *string   `json:"listing_id"`
	ReservationStatus string    `json:"reservation_status"`
	KeyStatus         string    `json:"key_status"`
	Reason            *string   `json:"reason"`
	AccessSchedule    *Schedule `json:"access_schedule"`
	AccessGroupIDs    []string  `json:"acs_access_group_ids"`
	Gates             []Gate    `json:"gates"` // those that are not open
	Sequence          int64     `json:"sequence"`
	URL               *string   `json:"url"`
	FirstUsed         *DoorUse  `json:"first_used,omitempty"` // of mobile_key.first_used
	Denied            *DoorUse  `json:"denied,omitempty"`     // of mobile_key.denied
	Doors             []Door    `json:"doors,omitempty"`      // of mobile_key.at_risk
}

// Door is a door that may not open for the guest. Its name is in REST: names are in no message.
type Door struct {
	EntranceID *string `json:"acs_entrance_id"` // nil: none of the group's doors
	GroupID    string  `json:"acs_access_group_id"`
	Problem    string  `json:"problem"`
	Since      string  `json:"since"`
}

// DoorUse is a guest's use of a door.
type DoorUse struct {
	At         string  `json:"at"`
	EntranceID *string `json:"acs_entrance_id"`
	Reason     *string `json:"reason,omitempty"` // of a refusal, in Seam's words
}

// Gate is a gate that is not open. Messages don't include who set it and on what evidence.
type Gate struct {
	Name  string `json:"name"`
	Holds string `json:"holds"`
	State string `json:"state"`
}

// Schedule is when a key opens doors.
type Schedule struct {
	StartsAt string `json:"starts_at"`
	EndsAt   string `json:"ends_at"`
}

func body(e *event, p situation, url string, sequence int64) []byte {
	d := Data{
		Source: p.Source, ReservationID: p.ReservationID, ListingID: p.ListingID,
		ReservationStatus: p.ReservationStatus, KeyStatus: p.KeyStatus,
		Reason: p.Reason, AccessGroupIDs: append([]string{}, p.AccessGroupIDs...), Gates: []Gate{}, Sequence: sequence,
	}
	for _, g := range p.Closed {
		d.Gates = append(d.Gates, Gate{g.Name, g.Holds, g.State})
	}
	if p.StartsAt != nil && p.EndsAt != nil {
		d.AccessSchedule = &Schedule{instant(*p.StartsAt), instant(*p.EndsAt)}
	}
	if url != "" {
		d.URL = &url
	}
	happened := p.ChangedAt
	if e.kind == TypeAtRisk {
		d.Doors, happened = doorsOf(p.DoorsAtRisk)
	}
	switch use := p.DoorUse; e.kind {
	case TypeFirstUsed:
		happened = *use.FirstUsedAt
		d.FirstUsed = &DoorUse{At: instant(happened), EntranceID: use.FirstUsedEntrance}
	case TypeDenied:
		happened = *use.DeniedAt
		d.Denied = &DoorUse{At: instant(happened), EntranceID: use.DeniedEntrance, Reason: use.DeniedReason}
	}
	return encode(Envelope{Type: e.kind, Timestamp: instant(happened), Data: d})
}

// doorsOf are the doors of a message, and when the last of their problems was found.
func doorsOf(problems []stay.DoorProblem) (doors []Door, last time.Time) {
	for _, p := range problems {
		d := Door{GroupID: p.GroupID, Problem: p.Problem, Since: instant(p.Since)}
		if p.EntranceID != "" {
			d.EntranceID = &p.EntranceID
		}
		doors = append(doors, d)
		if p.Since.After(last) {
			last = p.Since
		}
	}
	return doors, last
}

// instant formats a time as the whole API does: RFC 3339, UTC, milliseconds.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
