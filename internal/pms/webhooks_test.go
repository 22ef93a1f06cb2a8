package pms_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

// Webhooks that only name a document, and those that take a key away without one, are understood whatever else they
// hold: generated from each like the tests of reservations.
func TestEveryFieldOfAWebhook(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format, body string
		about        []string // without which it means nothing
		want         string   // a fetch of this id, or a cancel of it
	}{
		{"cloudbeds", `{"event": "reservation/created", "reservationID": "7", "propertyID": 9, "propertyID_str": "9", "startDate": "2026-08-01", "timestamp": 1766005022.07, "version": "1.0"}`, []string{"event", "reservationID"}, "fetch 7"},
		{"cloudbeds", `{"event": "reservation/status_changed", "reservationID": "7", "propertyID": 9, "propertyID_str": "9", "status": "canceled", "timestamp": 1766005022.07}`, []string{"event", "reservationID", "status"}, "cancelled 7"},
		{"cloudbeds", `{"event": "reservation/deleted", "reservationID": "7", "propertyID": 9, "timestamp": 1766005022.07}`, []string{"event", "reservationID"}, "cancelled 7"},
		{"cloudbeds", `{"event": "guest/details_changed", "guestId": 7, "guestId_str": "7", "propertyId": 9, "propertyId_str": "9", "timestamp": 1766005022.07}`, []string{"event"}, "fetch 7"},
		{"guesty", `{"event": "reservation.updated.v2", "meta": {"eventId": "e", "publishedAt": "2026-07-28T09:00:00.000Z"}, "data": {"reservationId": "7", "unitId": "u", "status": "canceled", "checkIn": "2026-08-20T13:00:00.000Z"}}`, []string{"event", "data", "data.reservationId", "data.status"}, "cancelled 7"},
		{"guesty", `{"event": "reservation.updated.v2", "meta": {"eventId": "e", "publishedAt": "2026-07-28T09:00:00.000Z"}, "data": {"reservationId": "7", "unitId": "u", "status": "confirmed", "checkIn": "2026-08-20T13:00:00.000Z"}}`, []string{"event", "data", "data.reservationId"}, "fetch 7"},
		{"apaleo", `{"topic": "Reservation", "type": "canceled", "id": "e", "accountId": "A", "propertyId": "P", "timestamp": 1692268510605, "data": {"entityId": "7"}}`, []string{"topic", "type", "data", "data.entityId"}, "cancelled 7"},
		{"apaleo", `{"topic": "Reservation", "type": "amended", "id": "e", "accountId": "A", "propertyId": "P", "timestamp": 1692268510605, "data": {"entityId": "7"}}`, []string{"topic", "type", "data", "data.entityId"}, "fetch 7"},
		{"hostfully", `{"agency_uid": "a", "event_type": "BOOKING_CANCELLED", "property_uid": "p", "lead_uid": "7"}`, []string{"event_type", "lead_uid"}, "cancelled 7"},
		{"hostfully", `{"agency_uid": "a", "event_type": "BOOKING_UPDATED", "property_uid": "p", "lead_uid": "7"}`, []string{"event_type", "lead_uid"}, "fetch 7"},
		{"ownerrez", `{"id": 1, "user_id": 2, "action": "entity_delete", "entity_type": "booking", "entity_id": 7, "entity": {"id": 7, "guest_id": 3, "status": "active"}}`, []string{"action", "entity_type", "entity_id"}, "cancelled 7"},
		{"ownerrez", `{"id": 1, "user_id": 2, "action": "entity_update", "entity_type": "guest", "entity_id": 7, "entity": {"id": 7, "first_name": "A"}}`, []string{"action", "entity_type", "entity_id"}, "fetch 7"},
		{"mews", `{"EnterpriseId": "e", "IntegrationId": "i", "Events": [{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "7"}}, {"Discriminator": "CustomerUpdated", "Value": {"Id": "c"}}]}`, []string{"Events", "Events.0", "Events.0.Discriminator", "Events.0.Value", "Events.0.Value.Id"}, "fetch 7"},
		{"smoobu", `{"action": "cancelReservation", "user": 1, "data": {"id": 7, "type": "cancellation", "is-blocked-booking": false, "apartment": {"id": 2}}}`, []string{"action", "data", "data.id"}, "cancelled 7"},
		{"uplisting", `{"id": 7, "property_id": 2, "reason": "guest cancelled", "status": "cancelled", "timestamp": "2026-07-28T09:00:00Z"}`, []string{"id", "status"}, "cancelled 7"},
	} {
		t.Run(c.format+" "+c.want, func(t *testing.T) {
			t.Parallel()
			whole, err := pms.DecodeJSON([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			format := source(t, c.format)
			for _, at := range append(nodes("", whole), "nothing") {
				if slices.Contains(c.about, at) {
					continue
				}
				for _, odd := range oddities {
					body, err := json.Marshal(with(whole, strings.Split(at, "."), odd))
					if err != nil {
						t.Fatal(err)
					}
					e, err := format.Map(context.Background(), pms.Mapping{Body: body})
					if got := effects(e); err != nil || !slices.Contains(got, c.want) {
						t.Errorf("%s is %#v: %v, %v, want %s; %+v", at, odd, err, got, c.want, e.Rejected)
					}
				}
			}
		})
	}
}

// effects are what an event fetches and cancels.
func effects(e pms.Event) (list []string) {
	for _, f := range e.Fetches {
		for _, id := range f.IDs {
			list = append(list, "fetch "+id)
		}
	}
	for _, c := range e.Changes {
		if c.Reservation != nil {
			list = append(list, fmt.Sprint(c.Reservation.Status, " ", c.Reservation.ReservationID))
		}
	}
	return list
}
