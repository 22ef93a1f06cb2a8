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
		{
			"cloudbeds",
			`{"event": "reservation/created", "reservationID": "7", "propertyID": 9, "propertyID_str": "9", "startDate": "2026-08-01", "timestamp": 1766005022.07, "version": "1.0"}`,
			[]string{"event", "reservationID"},
			"fetch 7",
		},
		{
			"cloudbeds",
			`{"event": "reservation/status_changed", "reservationID": "7", "propertyID": 9, "propertyID_str": "9", "status": "canceled", "timestamp": 1766005022.07}`,
			[]string{"event", "reservationID", "status"},
			"cancelled 7",
		},
		{
			"cloudbeds",
			`{"event": "reservation/deleted", "reservationID": "7", "propertyID": 9, "timestamp": 1766005022.07}`,
			[]string{"event", "reservationID"},
			"cancelled 7",
		},
		{
			"cloudbeds",
			`{"event": "guest/details_changed", "guestId": 7, "guestId_str": "7", "propertyId": 9, "propertyId_str": "9", "timestamp": 1766005022.07}`,
			[]string{"event"},
			"fetch 7",
		},
		{
			"guesty",
			`{"event": "reservation.updated.v2", "meta": {"eventId": "e", "publishedAt": "2026-07-28T09:00:00.000Z"}, "data": {"reservationId": "7", "unitId": "u", "status": "canceled", "checkIn": "2026-08-20T13:00:00.000Z"}}`,
			[]string{"event", "data", "data.reservationId", "data.status"},
			"cancelled 7",
		},
		{
			"guesty",
			`{"event": "reservation.updated.v2", "meta": {"eventId": "e", "publishedAt": "2026-07-28T09:00:00.000Z"}, "data": {"reservationId": "7", "unitId": "u", "status": "confirmed", "checkIn": "2026-08-20T13:00:00.000Z"}}`,
			[]string{"event", "data", "data.reservationId"},
			"fetch 7",
		},
		{
			"apaleo",
			`{"topic": "Reservation", "type": "canceled", "id": "e", "accountId": "A", "propertyId": "P", "timestamp": 1692268510605, "data": {"entityId": "7"}}`,
			[]string{"topic", "type", "data", "data.entityId"},
			"cancelled 7",
		},
		{
			"apaleo",
			`{"topic": "Reservation", "type": "amended", "id": "e", "accountId": "A", "propertyId": "P", "timestamp": 1692268510605, "data": {"entityId": "7"}}`,
			[]string{"topic", "type", "data", "data.entityId"},
			"fetch 7",
		},
		{
			"hostfully", `{"agency_uid": "a", "event_type": "BOOKING_CANCELLED", "property_uid": "p", "lead_uid": "7"}`,
			[]string{"event_type", "lead_uid"},
			"cancelled 7",
		},
		{
			"hostfully", `{"agency_uid": "a", "event_type": "BOOKING_UPDATED", "property_uid": "p", "lead_uid": "7"}`,
			[]string{"event_type", "lead_uid"},
			"fetch 7",
		},
		{
			"ownerrez",
			`{"id": 1, "user_id": 2, "action": "entity_delete", "entity_type": "booking", "entity_id": 7, "entity": {"id": 7, "guest_id": 3, "status": "active"}}`,
			[]string{"action", "entity_type", "entity_id"},
			"cancelled 7",
		},
		{
			"ownerrez",
			`{"id": 1, "user_id": 2, "action": "entity_update", "entity_type": "guest", "entity_id": 7, "entity": {"id": 7, "first_name": "A"}}`,
			[]string{"action", "entity_type", "entity_id"},
			"fetch 7",
		},
		{
			"mews",
			`{"EnterpriseId": "e", "IntegrationId": "i", "Events": [{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "7"}}, {"Discriminator": "CustomerUpdated", "Value": {"Id": "c"}}]}`,
			[]string{"Events", "Events.0", "Events.0.Discriminator", "Events.0.Value", "Events.0.Value.Id"},
			"fetch 7",
		},
		{
			"smoobu",
			`{"action": "cancelReservation", "user": 1, "data": {"id": 7, "type": "cancellation", "is-blocked-booking": false, "apartment": {"id": 2}}}`,
			[]string{"action", "data", "data.id"},
			"cancelled 7",
		},
		{
			"uplisting",
			`{"id": 7, "property_id": 2, "reason": "guest cancelled", "status": "cancelled", "timestamp": "2026-07-28T09:00:00Z"}`,
			[]string{"id", "status"},
			"cancelled 7",
		},
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

// effects are what an event fetches and changes.
func effects(e pms.Event) (list []string) {
	for _, f := range e.Fetches {
		for _, id := range f.IDs {
			list = append(list, "fetch "+id)
		}
	}
	for _, c := range e.Changes {
		switch {
		case c.Reservation != nil:
			list = append(list, fmt.Sprint(c.Reservation.Status, " ", c.Reservation.ReservationID))
		case c.Guest != nil:
			list = append(list, "guest "+c.Guest.GuestID)
		case c.Listing != nil && c.Listing.Deleted:
			list = append(list, "listing "+c.Listing.ListingID+" deleted")
		case c.Listing != nil:
			list = append(list, "listing "+c.Listing.ListingID)
		case c.Merge != nil:
			list = append(list, "merge "+c.Merge.From+" "+c.Merge.Into)
		}
	}
	return list
}

// Events about guests and listings, and the documents about guests that go with a reservation, lose no more than the
// field that is odd: generated from each like the tests of reservations.
func TestEveryFieldOfGuestsAndListings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format, what, body, kind, document string // document is the one that is changed, if any
		others                             string // documents that are not
		about                              []string
		want                               string // what remains whatever field is odd
	}{
		{
			"guesty", "a guest",
			`{"event": "guest.updated", "guest": {"_id": "g", "email": "a@example.com", "emails": ["b@example.com"], "fullName": "A B", "firstName": "A", "phone": "+34600111222", "phones": ["+34600111222"]}}`, "", "", "",
			[]string{"event", "guest", "guest._id"},
			"guest g",
		},
		{
			"guesty", "a listing",
			`{"event": "listing.updated", "listing": {"_id": "l", "nickname": "N", "title": "T", "timezone": "Europe/Madrid", "defaultCheckInTime": "16:00", "defaultCheckOutTime": "10:00"}}`, "", "", "",
			[]string{"event", "listing", "listing._id"},
			"listing l",
		},
		{
			"guesty", "a removed listing",
			`{"event": "listing.removed", "listing": {"_id": "l", "nickname": "N", "timezone": "Europe/Madrid"}}`, "",
			"", "",
			[]string{"event", "listing", "listing._id"},
			"listing l deleted",
		},
		{
			"hospitable", "a property",
			`{"id": "e", "action": "property.changed", "created": "2026-07-01T09:00:00Z", "data": {"id": "p", "name": "N", "check-in": "16:00", "check-out": "10:00", "timezone": "+0200", "address": {"city": "X"}}}`, "", "", "",
			[]string{"action", "data", "data.id"},
			"listing p",
		},
		{
			"hospitable", "a deleted property",
			`{"id": "e", "action": "property.deleted", "created": "2026-07-01T09:00:00Z", "data": {"id": "p"}}`, "", "",
			"",
			[]string{"action", "data", "data.id"},
			"listing p deleted",
		},
		{
			"hospitable", "a merged property",
			`{"id": "e", "action": "property.merged", "created": "2026-07-01T09:00:00Z", "data": {"previous_id": "p", "new_id": "q"}}`, "", "", "",
			[]string{"action", "data", "data.previous_id", "data.new_id"},
			"merge p q",
		},
		{
			"hostfully", "a deleted property",
			`{"agency_uid": "a", "event_type": "DELETED_PROPERTY", "property_uid": "p"}`, "", "", "",
			[]string{"event_type", "property_uid"},
			"listing p deleted",
		},
		{
			"ownerrez", "a guest", `{"action": "entity_update", "entity_type": "guest", "entity_id": 7}`, "guest",
			`{"id": 7, "first_name": "A", "last_name": "B", "email_addresses": [{"address": "a@example.com", "is_default": true}], "phones": [{"number": "+34600111222"}]}`, "", nil, "guest 7",
		},
		{
			"ownerrez", "the guest of a booking",
			`{"action": "entity_update", "entity_type": "booking", "entity_id": 7, "entity": {"property_id": 2, "status": "active", "guest_id": 3}}`, "guest", `{"id": 3, "first_name": "A", "email_addresses": [{"address": "a@example.com", "is_default": true}], "phones": [{"number": "+34600111222"}]}`, "", nil, "confirmed 7",
		},
		{
			"cloudbeds", "a guest", `{"event": "guest/details_changed", "guestId": 7, "propertyId": 9}`, "guest",
			`{"success": true, "data": {"firstName": "A", "lastName": "B", "email": "a@example.com", "phone": "+34600111222", "cellPhone": ""}}`, "", nil, "guest 7",
		},
		{
			"mews", "the customers of orders", `{}`, "customers",
			`{"Customers": [{"Id": "c", "FirstName": "A", "LastName": "B", "Email": "a@example.com", "HasOtaEmail": false, "Phone": "+34600111222", "MergeTargetId": null, "UpdatedUtc": "2026-07-01T09:00:00Z"}], "Cursor": "x"}`, `{"reservations": [{"Reservations": [{"Id": "r", "State": "Confirmed", "AccountId": "c", "AssignedResourceId": "m"}]}]}`,
			[]string{"Customers", "Customers.0", "Customers.0.Id"},
			"confirmed r",
		},
		{
			"mews", "updated customers", `{}`, "customers",
			`{"Customers": [{"Id": "c", "FirstName": "A", "Email": "a@example.com", "HasOtaEmail": false, "Phone": "+34600111222", "UpdatedUtc": "2026-07-01T09:00:00Z"}, {"Id": "d", "Email": "d@example.com"}], "Cursor": "x"}`, "",
			[]string{"Customers", "Customers.1", "Customers.1.Id"},
			"guest d",
		},
		{
			"beds24", "a booking of version 1", `{}`, "booking",
			`{"success": true, "data": [{"id": 7, "roomId": 2, "unitId": 1, "status": "cancelled", "subStatus": "none", "arrival": "2030-01-01", "departure": "2030-01-03", "firstName": "A", "lastName": "B", "email": "a@example.com", "mobile": "+34600111222", "lang": "de", "modifiedTime": "2026-07-01T09:00:00Z", "infoItems": [{"code": "ACCESS_STARTTIME", "text": "16:00"}]}]}`, "",
			[]string{"data", "data.0", "data.0.id", "data.0.status"},
			"cancelled 7",
		},
		{
			"beds24", "a confirmed booking of version 1", `{}`, "booking",
			`{"success": true, "data": [{"id": 7, "roomId": 2, "unitId": 1, "status": "confirmed", "arrival": "2030-01-01", "departure": "2030-01-03", "firstName": "A", "email": "a@example.com", "phone": "+34600111222", "lang": "de", "infoItems": [{"code": "ACCESS_ENDTIME", "text": "10:00"}]}]}`, "",
			[]string{
				"data", "data.0", "data.0.id", "data.0.status", "data.0.roomId", "data.0.unitId", "data.0.arrival",
				"data.0.departure",
			},
			"confirmed 7",
		},
	} {
		t.Run(c.format+" "+c.what, func(t *testing.T) {
			t.Parallel()
			text := c.body
			if c.kind != "" {
				text = c.document
			}
			whole, err := pms.DecodeJSON([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			format := source(t, c.format)
			for _, at := range append(nodes("", whole), "nothing") {
				if slices.Contains(c.about, at) {
					continue
				}
				for _, odd := range oddities {
					changed := with(whole, strings.Split(at, "."), odd)
					m := pms.Mapping{Body: []byte(c.body)}
					if c.kind == "" {
						if m.Body, err = json.Marshal(changed); err != nil {
							t.Fatal(err)
						}
					} else {
						m.Fetched = map[string]any{}
						if c.others != "" {
							others, err := pms.DecodeJSON([]byte(c.others))
							if err != nil {
								t.Fatal(err)
							}
							m.Fetched = others.(map[string]any)
						}
						m.Fetched[c.kind] = []any{changed}
					}
					e, err := format.Map(context.Background(), m)
					if got := effects(e); err != nil || len(e.Invalid) > 0 || !slices.Contains(got, c.want) {
						t.Errorf("%s is %#v: %v, %v, %v, want %s; %+v", at, odd, err, e.Invalid, got, c.want,
							e.Rejected)
					}
				}
			}
		})
	}
}
