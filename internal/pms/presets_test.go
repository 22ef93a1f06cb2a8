package pms_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

// words shows what an event says, one word for each thing that matters.
func words(e pms.Event) string {
	var list []string
	for _, c := range e.Changes {
		switch {
		case c.Reservation != nil:
			list = append(list, reservationInWords(*c.Reservation))
		case c.Guest != nil:
			email := "-"
			if c.Guest.Email != nil {
				email = *c.Guest.Email
			}
			list = append(list, "guest "+c.Guest.GuestID+" "+email)
		}
	}
	for _, f := range e.Fetches {
		optional := ""
		if f.Optional {
			optional = "?"
		}
		list = append(list, "fetch "+f.Kind+optional+" "+strings.Join(f.IDs, "+"))
	}
	for _, r := range e.Rejected {
		list = append(list, "rejected "+r.BookingID)
	}
	if e.Recheck != "" {
		list = append(list, "recheck")
	}
	if e.Ignored {
		list = append(list, "ignored")
	}
	return strings.Join(list, ", ")
}

func reservationInWords(r pms.Reservation) string {
	s := r.BookingID + "/" + r.Unit + " " + r.StatusClass
	if r.NoRoom {
		s += " no room"
	} else if r.ListingID != nil {
		s += " in " + *r.ListingID
	}
	if r.CheckedIn {
		s += " begun"
		if !r.CheckedInAt.IsZero() {
			s += " at " + r.CheckedInAt.Format("15:04")
		}
	}
	for _, g := range r.Segments {
		s += fmt.Sprintf(" [%s %s %s]", *g.ListingID, g.From, g.Until)
	}
	return s
}

// TestPresetsMean has, preset by preset, what their statuses, rooms and guests mean.
func TestPresetsMean(t *testing.T) {
	t.Parallel()
	const dates = `"checkIn": "2030-01-01T15:00:00Z", "checkOut": "2030-01-03T11:00:00Z"`
	for _, c := range []struct{ why, format, body, fetched, want string }{
		// Uplisting's words for the days of arrival and departure.
		{
			"the day of arrival",
			"uplisting", `{"id": 1, "property_id": 2, "status": "needs_check_in"}`, "", "1/ confirmed in 2",
		},
		{
			"the day of departure",
			"uplisting", `{"id": 1, "property_id": 2, "status": "needs_check_out"}`, "", "1/ checked_in in 2 begun",
		},
		{
			"in the house",
			"uplisting", `{"id": 1, "property_id": 2, "status": "checked_in"}`, "", "1/ checked_in in 2 begun",
		},
		{
			"left, and a room number of zero",
			"uplisting", `{"id": 1, "property_id": 2, "mutli_unit_id": 0, "status": "checked_out"}`, "",
			"1/ checked_out",
		},
		// Second statuses.
		{
			"a no-show whose first status is confirmed",
			"beds24", `{"booking": {"id": 1, "roomId": 2, "unitId": 1, "status": "confirmed", "subStatus": "noShow"}}`,
			"",
			"1/ no_show in 2/1",
		},
		{
			"waiting for a place",
			"beds24",
			`{"booking": {"id": 1, "roomId": 2, "unitId": 1, "status": "confirmed", "subStatus": "waitlist"}}`,
			"", "1/ pending in 2/1",
		},
		{
			"not paid yet",
			"beds24",
			`{"booking": {"id": 1, "roomId": 2, "unitId": 1, "status": "confirmed", "subStatus": "nonPayment2"}}`, "",
			"1/ pending in 2/1",
		},
		{
			"cancelled, whatever the second status",
			"beds24",
			`{"booking": {"id": 1, "roomId": 2, "unitId": 1, "status": "cancelled", "subStatus": "nonPayment2"}}`, "",
			"1/ cancelled in 2/1",
		},
		{
			"a unit of zero is no room yet",
			"beds24", `{"booking": {"id": 1, "roomId": 2, "unitId": 0, "status": "confirmed"}}`, "",
			"1/ confirmed no room",
		},
		{
			"in the house",
			"beds24", `{"booking": {"id": 1, "roomId": 2, "unitId": 3, "status": "checkedin"}}`, "",
			"1/ checked_in in 2/3 begun",
		},
		{
			"a reason of a cancel",
			"mews", `{}`,
			`{"reservations": [{"Reservations": [{"Id": "r", "State": "Canceled", "CancellationReason": "NoShow"}]}]}`,
			"r/ no_show no room",
		},
		// Stays that have begun.
		{
			"it began at its actual start",
			"mews", `{}`,
			`{"reservations": [{"Reservations": [{"Id": "r", "State": "Started", "AssignedResourceId": "m", "ActualStartUtc": "2030-01-01T09:30:00Z", "StartUtc": "2030-01-01T09:30:00Z", "ScheduledStartUtc": "2030-01-01T14:00:00Z"}]}]}`, "r/ checked_in in m begun at 09:30",
		},
		{
			"it began at its start",
			"mews", `{}`,
			`{"reservations": [{"Reservations": [{"Id": "r", "State": "Started", "AssignedResourceId": "m", "StartUtc": "2030-01-01T09:40:00Z"}]}]}`, "r/ checked_in in m begun at 09:40",
		},
		{
			"it began at its check-in",
			"apaleo", `{}`,
			`{"reservation": [{"id": "A-1", "status": "InHouse", "unit": {"id": "m"}, "checkInTime": "2030-01-01T10:15:00Z"}]}`, "A-1/ checked_in in m begun at 10:15",
		},
		{
			"it began, nobody knows when",
			"apaleo", `{}`, `{"reservation": [{"id": "A-1", "status": "InHouse", "unit": {"id": "m"}}]}`,
			"A-1/ checked_in in m begun",
		},
		{
			"it began, nobody knows when",
			"guesty",
			`{"event": "reservation.updated", "reservation": {"_id": "r", "listingId": "l", "status": "checked_in", ` +
				dates + `}}`, "", "r/ checked_in in l begun",
		},
		{
			"it began, nobody knows when",
			"hostfully", `{}`,
			`{"lead": [{"lead": {"uid": "u", "type": "BOOKING", "status": "STAY", "propertyUid": "p"}}]}`,
			"u/ checked_in in p begun",
		},
		// Hostfully's leads, which are not bookings.
		{
			"a hold that ran out",
			"hostfully", `{}`, `{"lead": [{"lead": {"uid": "u", "type": "BOOKING", "status": "HOLD_EXPIRED"}}]}`,
			"u/ cancelled",
		},
		{
			"a hold that was closed",
			"hostfully", `{}`, `{"lead": [{"lead": {"uid": "u", "type": "BOOKING", "status": "CLOSED_HOLD"}}]}`,
			"u/ cancelled",
		},
		{
			"a quote",
			"hostfully", `{}`, `{"lead": [{"lead": {"uid": "u", "type": "BOOKING", "status": "QUOTE_SENT"}}]}`,
			"u/ inquiry",
		},
		{
			"an inquiry, whatever its status",
			"hostfully", `{}`, `{"lead": [{"lead": {"uid": "u", "type": "INQUIRY", "status": "BOOKED"}}]}`,
			"u/ inquiry",
		},
		{
			"blocked dates, whatever their status",
			"hostfully", `{}`, `{"lead": [{"lead": {"uid": "u", "type": "BLOCK", "status": "BOOKED"}}]}`, "u/ block",
		},
		// Lodgify: open is taken back, or was never booked.
		{
			"it had been booked",
			"lodgify", `{"action": "booking_status_change_open", "booking": {"id": 1, "status": "Open"}}`, "",
			"1/ cancelled",
		},
		{
			"it was never booked",
			"lodgify", `{"action": "booking_new_any_status", "booking": {"id": 1, "status": "Open"}}`, "", "1/ inquiry",
		},
		// Tests and blocks.
		{
			"a test, in a list",
			"hospitable",
			`{"action": "reservation.changed", "triggers": ["test"], "data": {"id": "r", "properties": [{"id": "p"}], "reservation_status": {"current": {"category": "accepted"}}}}`, "", "ignored",
		},
		{
			"blocked dates, as a text",
			"smoobu",
			`{"action": "updateReservation", "data": {"id": 1, "type": "reservation", "is-blocked-booking": "1"}}`, "",
			"1/ block",
		},
		{
			"a cancel frees blocked dates, too",
			"smoobu",
			`{"action": "cancelReservation", "data": {"id": 1, "type": "reservation", "is-blocked-booking": 1}}`,
			"", "1/ cancelled",
		},
		{
			"a status that begins like a cancel",
			"hostfully", `{}`, `{"lead": [{"lead": {"uid": "u", "type": "BOOKING", "status": "CANCELLED_BY_GUEST"}}]}`,
			"u/ cancelled",
		},
		{
			"a deletion",
			"apaleo", `{"topic": "Reservation", "type": "Deleted", "data": {"entityId": "A-1"}}`, "", "A-1/ cancelled",
		},
		{
			"an empty room number",
			"uplisting", `{"id": 1, "property_id": 2, "mutli_unit_id": "", "status": "confirmed"}`, "",
			"1/ confirmed in 2",
		},
		{
			"an id as a decimal",
			"cloudbeds", `{"event": "reservation/deleted", "reservationID": 70613.0}`, "", "70613/ cancelled",
		},
		// Rooms of a booking.
		{
			"one room",
			"hospitable",
			`{"action": "reservation.changed", "data": {"id": "r", "properties": [{"id": "p"}], "reservation_status": {"current": {"category": "accepted"}}}}`, "", "r/p confirmed in p",
		},
		{
			"a room that can't be read is rejected, and the other is kept",
			"hospitable",
			`{"action": "reservation.changed", "data": {"id": "r", "properties": [{"id": "p"}, {"id": {}}], "reservation_status": {"current": {"category": "accepted"}}}}`, "", "r/p confirmed in p, rejected r",
		},
		{
			"a cancel needs no rooms",
			"hospitable",
			`{"action": "reservation.changed", "data": {"id": "r", "properties": [{"id": "p"}, {"id": {}}], "reservation_status": {"current": {"category": "cancelled"}}}}`, "", "r/ cancelled",
		},
		{
			"a cancel by its old field",
			"hospitable",
			`{"action": "reservation.changed", "data": {"id": "r", "properties": [], "status": "cancelled", "reservation_status": null}}`, "", "r/ cancelled",
		},
		{
			"a room that isn't assigned yet",
			"cloudbeds", `{}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "confirmed", "assigned": [{"roomID": "5-1", "subReservationID": "B-1"}], "unassigned": [{"subReservationID": "B-2"}]}}]}`, "B/B-1 confirmed in 5-1, B/B-2 confirmed no room",
		},
		{
			"each room has its own status",
			"cloudbeds", `{}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "checked_in", "assigned": [{"roomID": "5-1", "subReservationID": "B-1", "roomStatus": "checked_out"}, {"roomID": "5-2", "subReservationID": "B-2", "roomStatus": "checked_in"}]}}]}`, "B/B-1 checked_out in 5-1, B/B-2 checked_in in 5-2 begun",
		},
		{
			"a room that was cancelled",
			"cloudbeds", `{}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "confirmed", "assigned": [{"roomID": "5-1", "subReservationID": "B-1", "roomStatus": "canceled"}, {"roomID": "5-2", "subReservationID": "B-2"}]}}]}`, "B/B-1 cancelled in 5-1, B/B-2 confirmed in 5-2",
		},
		{
			"a booking that isn't confirmed has no confirmed room",
			"cloudbeds", `{}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "not_confirmed", "assigned": [{"roomID": "5-1", "subReservationID": "B-1", "roomStatus": "confirmed"}]}}]}`, "B/B-1 pending in 5-1",
		},
		{
			"a cancel is about all rooms",
			"cloudbeds", `{}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "canceled", "assigned": [{"roomID": "5-1", "subReservationID": "B-1"}, {"roomID": "5-2", "subReservationID": "B-2"}]}}]}`, "B/ cancelled",
		},
		{
			"a guest who has left needs no rooms",
			"cloudbeds", `{}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "checked_out", "assigned": [{"roomID": "5-1", "subReservationID": {}}]}}]}`, "B/ checked_out",
		},
		{
			"no room is assigned",
			"cloudbeds", `{}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "confirmed", "assigned": [], "unassigned": [], "guestList": []}}]}`, "B/ confirmed no room",
		},
		{
			"rooms are left out: they are unchanged",
			"cloudbeds", `{}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "confirmed", "guestList": []}}]}`,
			"B/ confirmed",
		},
		// Moves in the middle of a stay.
		{
			"the old room is over, the present one has begun",
			"cloudbeds", `{}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "checked_in", "assigned": [{"roomID": "5-1", "subReservationID": "B-1", "roomStatus": "checked_out", "startDate": "2030-01-01", "endDate": "2030-01-03"}, {"roomID": "5-2", "subReservationID": "B-1", "roomStatus": "checked_in", "startDate": "2030-01-03", "endDate": "2030-01-05"}]}}]}`,
			"B/B-1 checked_in in 5-1 begun [5-1 2030-01-01 2030-01-03] [5-2 2030-01-03 2030-01-05]",
		},
		{
			"rooms in another order",
			"cloudbeds", `{}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "confirmed", "assigned": [{"roomID": "5-2", "subReservationID": "B-1", "startDate": "2030-01-03", "endDate": "2030-01-05"}, {"roomID": "5-1", "subReservationID": "B-1", "startDate": "2030-01-01", "endDate": "2030-01-03"}]}}]}`, "B/B-1 confirmed in 5-2 [5-1 2030-01-01 2030-01-03] [5-2 2030-01-03 2030-01-05]",
		},
		{
			"units with hours",
			"apaleo", `{}`,
			`{"reservation": [{"id": "A-1", "status": "Confirmed", "unit": {"id": "m"}, "assignedUnits": [{"unit": {"id": "m"}, "timeRanges": [{"from": "2030-01-01T15:00:00Z", "to": "2030-01-02T11:00:00Z"}]}, {"unit": {"id": "n"}, "timeRanges": [{"from": "2030-01-02T11:00:00Z", "to": "2030-01-04T11:00:00Z"}]}]}]}`,
			"A-1/ confirmed in m [m 2030-01-01T15:00:00Z 2030-01-02T11:00:00Z] [n 2030-01-02T11:00:00Z 2030-01-04T11:00:00Z]",
		},
		{
			"no unit yet",
			"apaleo", `{}`, `{"reservation": [{"id": "A-1", "status": "Confirmed"}]}`, "A-1/ confirmed no room",
		},
		{
			"a unit that can't be read",
			"apaleo", `{}`, `{"reservation": [{"id": "A-1", "status": "Confirmed", "unit": [1]}]}`, "rejected A-1",
		},
		{
			"units of a listing",
			"guesty", `{}`, `{"reservation": [{"_id": "r", "listingId": "l", "status": "confirmed", ` + dates +
				`, "stay": [{"unitId": "m", "checkIn": "2030-01-01T15:00:00Z", "checkOut": "2030-01-02T11:00:00Z"}, {"unitId": "n", "checkIn": "2030-01-02T11:00:00Z", "checkOut": "2030-01-03T11:00:00Z"}]}]}`,
			"r/ confirmed in l [m 2030-01-01T15:00:00Z 2030-01-02T11:00:00Z] [n 2030-01-02T11:00:00Z 2030-01-03T11:00:00Z]",
		},
		// What takes a key away waits for no document.
		{
			"a cancel",
			"guesty", `{"event": "reservation.updated.v2", "data": {"reservationId": "r", "status": "canceled"}}`, "",
			"r/ cancelled",
		},
		{
			"anything else needs the document",
			"guesty",
			`{"event": "reservation.updated.v2", "data": {"reservation": {"id": "r"}, "status": "confirmed"}}`,
			"", "fetch reservation r",
		},
		{
			"a cancel",
			"cloudbeds",
			`{"event": "reservation/status_changed", "reservationID": "B", "propertyID": 1, "status": "canceled"}`, "",
			"B/ cancelled",
		},
		{
			"a no-show",
			"cloudbeds",
			`{"event": "reservation/status_changed", "reservationID": "B", "propertyID": 1, "status": "no_show"}`, "",
			"B/ no_show",
		},
		{
			"anything else needs the document",
			"cloudbeds",
			`{"event": "reservation/status_changed", "reservationID": "B", "propertyID": 1, "status": "checked_in"}`,
			"", "fetch reservation B",
		},
		{"a cancel", "beds24", "?status=cancel", "", "1/ cancelled"},
		{"anything else needs the document", "beds24", "?status=modify", "", "fetch booking 1"},
		// Guests who change.
		{
			"a guest of no reservation",
			"cloudbeds", `{"event": "guest/details_changed", "guestId": 1, "propertyId": 9}`, "", "fetch guest 1",
		},
		{
			"a guest of a reservation",
			"cloudbeds", `{"event": "guest/details_changed", "guestId": 1, "propertyId": 9, "reservationId": "B"}`, "",
			"fetch reservation B",
		},
		{
			"a guest of a reservation is added",
			"cloudbeds", `{"event": "guest/assigned", "guestId": 1, "propertyId": 9, "reservationId": "B"}`, "",
			"fetch reservation B",
		},
		{
			"a guest of a reservation is removed",
			"cloudbeds", `{"event": "guest/removed", "guestId": 1, "propertyId": 9, "reservationId": "B"}`, "",
			"fetch reservation B",
		},
		{
			"an event without a name",
			"cloudbeds", `{"event": null, "reservationId": "B", "propertyId": 9}`, "", "fetch reservation B",
		},
		{
			"a new guest has no stay yet",
			"cloudbeds", `{"event": "guest/created", "guestId": 1, "propertyId": 9}`, "", "ignored",
		},
		{
			"the guest's new address",
			"cloudbeds", `{"event": "guest/details_changed", "guestId": 1, "propertyId": 9}`,
			`{"guest": [{"success": true, "data": {"firstName": "J", "email": "new@example.com"}}]}`,
			"guest 1 new@example.com",
		},
		{
			"the address of the guest of that id, of several",
			"cloudbeds", `{"event": "guest/details_changed", "guestId": 1, "propertyId": 9}`,
			`{"guest": [{"success": true, "data": {"guestEmail": "other@example.com", "guestList": {"1": {"guestID": "1", "guestEmail": "new@example.com"}}}}]}`, "guest 1 new@example.com",
		},
		{
			"a guest",
			"ownerrez", `{"action": "entity_update", "entity_type": "guest", "entity_id": 7}`, "", "fetch guest 7",
		},
		{
			"the default address, of several",
			"ownerrez", `{"action": "entity_update", "entity_type": "guest", "entity_id": 7}`,
			`{"guest": [{"email_addresses": [{"address": "old@example.com"}, {"address": "new@example.com", "is_default": true}]}]}`, "guest 7 new@example.com",
		},
		{
			"a deleted guest",
			"ownerrez", `{"action": "entity_delete", "entity_type": "guest", "entity_id": 7}`, "", "ignored",
		},
		{
			"a booking can do without its guest",
			"ownerrez",
			`{"action": "entity_update", "entity_type": "booking", "entity_id": 7, "entity": {"property_id": 2, "status": "active", "guest_id": 3}}`, "", "fetch guest? 3",
		},
		{
			"the guest is not found",
			"ownerrez",
			`{"action": "entity_update", "entity_type": "booking", "entity_id": 7, "entity": {"property_id": 2, "status": "active", "guest_id": 3}}`, `{"guest": []}`, "7/ confirmed in 2",
		},
		{
			"the address is in the webhook",
			"guesty", `{"event": "guest.updated", "guest": {"_id": "g", "emails": [{"address": "new@example.com"}]}}`,
			"",
			"guest g new@example.com",
		},
		// Mews: orders and customers of one webhook, and customers who were merged.
		{
			"the order can do without its customer",
			"mews",
			`{"Events": [{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "r"}}, {"Discriminator": "CustomerUpdated", "Value": {"Id": "x"}}]}`, "", "fetch reservations r, fetch updated_customers? x",
		},
		{
			"the order's customer is not the one who changed",
			"mews", `{}`,
			`{"reservations": [{"Reservations": [{"Id": "r", "State": "Confirmed", "AccountId": "c", "AssignedResourceId": "m"}]}], "updated_customers": [{"Customers": [{"Id": "x", "Email": "x@example.com"}]}]}`, "fetch customers? c",
		},
		{
			"the order's customer is not found",
			"mews", `{}`,
			`{"reservations": [{"Reservations": [{"Id": "r", "State": "Confirmed", "AccountId": "c", "AssignedResourceId": "m"}]}], "customers": [], "updated_customers": [{"Customers": [{"Id": "x", "Email": "x@example.com"}]}]}`, "r/ confirmed in m, guest x x@example.com",
		},
		{
			"a customer who was merged",
			"mews", `{}`,
			`{"customers": [{"Customers": [{"Id": "x", "Email": "x@example.com", "MergeTargetId": "y"}]}]}`,
			"fetch merged_customers? y",
		},
		{
			"the customer it was merged into",
			"mews", `{}`,
			`{"customers": [{"Customers": [{"Id": "x", "Email": "x@example.com", "MergeTargetId": "y"}]}], "merged_customers": [{"Customers": [{"Id": "y", "Email": "y@example.com"}]}]}`, "guest x y@example.com",
		},
		{"no order", "mews", `{}`, `{"reservations": [{"Reservations": []}]}`, "ignored"},
		// Documents of lagging replicas.
		{
			"an order that isn't there yet",
			"mews", `{"Events": [{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "r"}}]}`,
			`{"reservations": [{"Reservations": []}]}`, "recheck, ignored",
		},
		{
			"one of two orders isn't there yet",
			"mews",
			`{"Events": [{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "r"}}, {"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "s"}}]}`, `{"reservations": [{"Reservations": [{"Id": "s", "State": "Confirmed"}]}]}`, "s/ confirmed no room, recheck",
		},
		{
			"the order is there",
			"mews", `{"Events": [{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "s"}}]}`,
			`{"reservations": [{"Reservations": [{"Id": "s", "State": "Confirmed"}]}]}`, "s/ confirmed no room",
		},
		{
			"an order without an id",
			"mews",
			`{"Events": [{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "s"}}, {"Discriminator": "ServiceOrderUpdated", "Value": null}]}`, `{"reservations": [{"Reservations": [{"Id": "s", "State": "Confirmed"}]}]}`, "s/ confirmed no room, rejected ",
		},
		{
			"older dates than the webhook's",
			"cloudbeds",
			`{"event": "reservation/dates_changed", "reservationID": "B", "startDate": "2030-01-01", "endDate": "2030-01-02"}`, `{"reservation": [{"data": {"reservationID": "B", "status": "confirmed", "startDate": "2030-01-01", "endDate": "2030-01-03"}}]}`, "B/ confirmed, recheck",
		},
		{
			"the same dates as the webhook's",
			"cloudbeds",
			`{"event": "reservation/dates_changed", "reservationID": "B", "startDate": "2030-01-01", "endDate": "2030-01-03"}`, `{"reservation": [{"data": {"reservationID": "B", "status": "confirmed", "startDate": "2030-01-01", "endDate": "2030-01-03"}}]}`, "B/ confirmed",
		},
		{
			"an older status than the webhook's",
			"cloudbeds", `{"event": "reservation/status_changed", "reservationID": "B", "status": "checked_in"}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "confirmed"}}]}`, "B/ confirmed, recheck",
		},
		{
			"the same status as the webhook's",
			"cloudbeds", `{"event": "reservation/status_changed", "reservationID": "B", "status": "checked_in"}`,
			`{"reservation": [{"data": {"reservationID": "B", "status": "checked_in"}}]}`, "B/ checked_in begun",
		},
		{
			"an id that is a number, and an order without one",
			"mews",
			`{"Events": [{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": 5}}, {"Discriminator": "ServiceOrderUpdated", "Value": null}]}`, "", "fetch reservations 5, rejected ",
		},
		{
			"a customer whose id is an object",
			"mews", `{"Events": [{"Discriminator": "CustomerUpdated", "Value": {"Id": {}}}]}`, "", "rejected ",
		},
	} {
		m := pms.Mapping{Body: []byte(c.body)}
		if status, ok := strings.CutPrefix(c.body, "?status="); ok {
			m = pms.Mapping{Request: pms.Request{
				Kind:  "query",
				Query: map[string]string{"bookid": "1", "status": status},
			}}
		}
		if c.fetched != "" {
			documents, err := pms.DecodeJSON([]byte(c.fetched))
			if err != nil {
				t.Fatal(err)
			}
			m.Fetched = documents.(map[string]any)
		}
		e, err := source(t, c.format).Map(context.Background(), m)
		if got := words(e); err != nil || len(e.Invalid) > 0 || got != c.want {
			t.Errorf("%s, %s: %s %s: %v %v\ngot  %s\nwant %s", c.format, c.why, c.body, c.fetched, err, e.Invalid, got,
				c.want)
		}
	}
}

// A format that was given documents and finds nothing in them doesn't pass that over.
func TestDocumentsThatSayNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ why, format, kind, document string }{
		{"an empty list", "beds24", "booking", `{"success": true, "data": []}`},
		{"a refusal inside a 200", "cloudbeds", "reservation", `{"success": false}`},
		{"an empty object", "apaleo", "reservation", `{}`},
		{"no lead", "hostfully", "lead", `{}`},
		{"an error inside a 200", "mews", "reservations", `{"Message": "busy"}`},
		{"no customers", "mews", "customers", `{}`},
	} {
		document, err := pms.DecodeJSON([]byte(c.document))
		if err != nil {
			t.Fatal(err)
		}
		e, err := source(t, c.format).Map(context.Background(),
			pms.Mapping{Body: []byte(`{}`), Fetched: map[string]any{c.kind: []any{document}}})
		if err != nil || e.Ignored || len(e.Changes) > 0 || len(e.Invalid)+len(e.Rejected) == 0 {
			t.Errorf("%s, %s: %v %+v", c.format, c.why, err, e)
		}
	}
}

// An event that doesn't tell all rooms of a booking leaves the others alone; a cancel takes them all.
func TestRoomsThatAreNotTold(t *testing.T) {
	t.Parallel()
	const accepted, cancelled = `"reservation_status": {"current": {"category": "accepted"}}`,
		`"reservation_status": {"current": {"category": "cancelled"}}`
	for _, c := range []struct {
		why, format, data string
		rest              bool
	}{
		{"all rooms", "hospitable", accepted + `, "properties": [{"id": "p"}]`, true},
		{"a room without an id", "hospitable", accepted + `, "properties": [{"id": "p"}, {"id": null}]`, false},
		{"an empty list of rooms", "hospitable", accepted + `, "properties": []`, false},
		{"rooms that aren't a list", "hospitable", accepted + `, "properties": "p"`, false},
		{"no rooms", "hospitable", accepted, false},
		{"a cancel needs no rooms", "hospitable", cancelled, true},
		{"a cancel, whatever its rooms", "hospitable", cancelled + `, "properties": [{"id": null}]`, true},
		{
			"all rooms",
			"cloudbeds", `"status": "confirmed", "assigned": [{"roomID": "1", "subReservationID": "a"}]`, true,
		},
		{
			"a room without its own id",
			"cloudbeds",
			`"status": "confirmed", "assigned": [{"roomID": "1", "subReservationID": "a"}, {"roomID": "2"}]`,
			false,
		},
		{"no room yet", "cloudbeds", `"status": "confirmed", "assigned": [], "unassigned": []`, true},
		{"rooms that aren't a list", "cloudbeds", `"status": "confirmed", "assigned": "none"`, false},
		{"no rooms", "cloudbeds", `"status": "confirmed"`, false},
		{"a cancel needs no rooms", "cloudbeds", `"status": "canceled"`, true},
		{"a no-show, whatever its rooms", "cloudbeds", `"status": "no_show", "assigned": [{"roomID": "2"}]`, true},
	} {
		m := pms.Mapping{Body: []byte(`{"action": "reservation.changed", "data": {"id": "r", ` + c.data + `}}`)}
		if c.format == "cloudbeds" {
			document, err := pms.DecodeJSON([]byte(`{"data": {"reservationID": "r", ` + c.data + `}}`))
			if err != nil {
				t.Fatal(err)
			}
			m = pms.Mapping{Body: []byte(`{}`), Fetched: map[string]any{"reservation": []any{document}}}
		}
		e, err := source(t, c.format).Map(context.Background(), m)
		if err != nil || len(e.Changes) == 0 {
			t.Fatalf("%s, %s: %v %+v", c.format, c.why, err, e)
		}
		for _, change := range e.Changes {
			if change.Reservation.Rest != c.rest {
				t.Errorf("%s, %s: %q is about the whole booking: %v, want %v", c.format, c.why,
					change.Reservation.Unit, change.Reservation.Rest, c.rest)
			}
		}
	}
}
