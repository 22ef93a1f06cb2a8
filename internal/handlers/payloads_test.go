package handlers_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// These are shapes that PMSs were publicly reported to send, over HTTP and to the reservation that comes of them.

// tells posts a webhook to a preset, applies it and returns its event.
func (a *app) tells(preset, body string) map[string]any {
	a.t.Helper()
	r := a.send(http.MethodPost, "/webhooks/"+preset+"/"+urlToken, "application/json", body)
	if r.status != 202 {
		a.t.Fatalf("%s is answered %d: %s", body, r.status, r.rawBody)
	}
	a.apply()
	return a.get("/v1/events/" + r.body["event_id"].(string)).body
}

// reserved describes a reservation as REST shows it: status, listing, check-in and check-out.
func (a *app) reserved(preset, id string) string {
	a.t.Helper()
	r := a.get("/v1/reservations/" + preset + "/" + id)
	if r.status == 404 {
		return "none"
	}
	word := func(field string) string {
		s, _ := r.body[field].(string)
		return strings.TrimSuffix(s, ":00.000Z")
	}
	return strings.TrimSpace(fmt.Sprint(word("status"), " ", word("listing_id"), " ", word("check_in"), " ",
		word("check_out")))
}

// noted are the fields that an event or a reservation says could not be read.
func noted(body map[string]any) string {
	var fields []string
	list, _ := body["notes"].([]any)
	for _, n := range list {
		fields = append(fields, n.(map[string]any)["field"].(string))
	}
	return strings.Join(fields, " ")
}

// A cancellation is applied whatever else is wrong with it, and its notes say what was dropped.
func TestCancelsOfPMSs(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, preset := range []string{"hostaway", "beds24", "uplisting", "smoobu", "guesty"} {
		a.withPreset(preset)
	}
	hostaway := func(id int, status, fields string) string {
		return fmt.Sprintf(
			`{"object":"reservation","event":"reservation.updated","data":{"id":%d,"listingMapId":401,"status":%q,%s}}`,
			id, status, fields)
	}
	for i, c := range []struct{ why, fields, note string }{
		{"an hour in a text", `"checkInTime":"16"`, ""},
		{"an hour in words", `"checkInTime":"soon","arrivalDate":"2034-11-01"`, "reservation.check_in.time"},
		{"a zero time of change, as MySQL has it", `"updatedOn":"0000-00-00 00:00:00"`, ""},
		{"a time of change in words", `"updatedOn":"yesterday"`, "reservation.version"},
		{"zero dates, as MySQL has them", `"arrivalDate":"0000-00-00","departureDate":"0000-00-00"`, ""},
		{"a day in words", `"arrivalDate":"soon"`, "reservation.check_in"},
		{
			"a departure before the arrival",
			`"arrivalDate":"2034-11-02","departureDate":"2034-11-01"`, "reservation.check_out",
		},
		{
			"a departure before the arrival, on one day",
			`"arrivalDate":"2034-11-02","departureDate":"2034-11-02","checkInTime":16,"checkOutTime":10`,
			"reservation.check_out",
		},
		{"a phone number that isn't a text", `"phone":true`, "reservation.guest_phone"},
		{"a name that is an object", `"guestName":{"first":"A"}`, "reservation.guest_name"},
		{"a listing that is an object", `"listingMapId":{}`, "reservation.listing_id"},
	} {
		id := 7100 + i
		a.tells("hostaway", hostaway(id, "new",
			`"arrivalDate":"2034-11-01","departureDate":"2034-11-04","checkInTime":16,"checkOutTime":10`))
		if got := a.reserved("hostaway", fmt.Sprint(id)); !strings.HasPrefix(got, "confirmed 401") {
			t.Fatalf("before the cancel: %s", got)
		}
		e := a.tells("hostaway", hostaway(id, "cancelled", c.fields))
		if e["status"] != "applied" || e["reservation_id"] != fmt.Sprint(id) || noted(e) != c.note {
			t.Errorf("%s: %s: %v, notes %q, want %q", c.why, c.fields, e, noted(e), c.note)
		}
		if got := a.reserved("hostaway", fmt.Sprint(id)); !strings.HasPrefix(got, "cancelled") {
			t.Errorf("%s: %s: the reservation is %s", c.why, c.fields, got)
		}
	}
	for _, c := range []struct{ why, preset, before, cancel string }{
		{
			"an hour in words, in a note",
			"beds24",
			`{"booking":{"id":1,"roomId":2,"unitId":1,"status":"confirmed","arrival":"2034-11-01","departure":"2034-11-04"},"infoItems":[]}`,
			`{"booking":{"id":1,"roomId":2,"unitId":1,"status":"cancelled","arrival":"2034-11-01","departure":"2034-11-04"},"infoItems":[{"code":"ACCESS_STARTTIME","text":"three-ish"}]}`,
		},
		{
			"an hour in words, and a booking that was destroyed",
			"uplisting",
			`{"id":1,"property_id":2,"status":"confirmed","check_in":"2034-11-01","check_out":"2034-11-04"}`,
			`{"id":1,"property_id":2,"reason":"destroyed","check_in":"2034-11-01","check_out":"2034-11-04","arrival_time":"after 3"}`,
		},
		{
			"a departure on the day of arrival",
			"smoobu",
			`{"action":"newReservation","data":{"id":1,"type":"reservation","arrival":"2034-11-01","departure":"2034-11-04","apartment":{"id":2}}}`,
			`{"action":"cancelReservation","data":{"id":1,"type":"cancellation","arrival":"2034-11-01","departure":"2034-11-01","check-in":"16:00","check-out":"10:00","apartment":{"id":2}}}`,
		},
		{
			"an hour in words, and no departure",
			"guesty",
			`{"event":"reservation.new","reservation":{"_id":"1","listingId":"2","status":"confirmed","checkIn":"2034-11-01T15:00:00Z","checkOut":"2034-11-04T11:00:00Z"}}`,
			`{"event":"reservation.updated","reservation":{"_id":"1","listingId":"2","status":"canceled","checkInDateLocalized":"2034-11-01","plannedArrival":"after 4","checkIn":"2034-11-01T15:00:00Z"}}`,
		},
		{
			"only an id",
			"guesty",
			`{"event":"reservation.new","reservation":{"_id":"2","listingId":"2","status":"confirmed","checkIn":"2034-11-01T15:00:00Z","checkOut":"2034-11-04T11:00:00Z"}}`,
			`{"event":"reservation.updated.v2","data":{"reservationId":"2","status":"canceled"}}`,
		},
	} {
		id, _ := a.tells(c.preset, c.before)["reservation_id"].(string)
		if got := a.reserved(c.preset, id); !strings.HasPrefix(got, "confirmed") {
			t.Errorf("%s, %s: before the cancel it is %s", c.preset, c.why, got)
		}
		if e := a.tells(c.preset, c.cancel); e["status"] != "applied" || !strings.HasPrefix(a.reserved(c.preset, id),
			"cancelled") {
			t.Errorf("%s, %s: %v, the reservation is %s", c.preset, c.why, e, a.reserved(c.preset, id))
		}
	}
}

// An hour, a zone, a phone number or a name in an unknown form never loses a reservation.
func TestHintsOfPMSs(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, preset := range []string{"hostaway", "guesty", "smoobu", "uplisting", "beds24", "hospitable", "lodgify"} {
		a.withPreset(preset)
	}
	hostaway := func(fields string) string {
		return `{"object":"reservation","data":{"id":1,"listingMapId":2,"status":"new","arrivalDate":"2034-07-01","departureDate":"2034-07-04",` + fields + `}}`
	}
	guesty := func(fields string) string {
		return `{"event":"reservation.new","reservation":{"_id":"1","listingId":"2","status":"confirmed","checkIn":"2034-07-01T13:00:00.000Z","checkOut":"2034-07-04T09:00:00.000Z",
			"checkInDateLocalized":"2034-07-01","checkOutDateLocalized":"2034-07-04",` + fields + `}}`
	}
	hospitable := func(fields string) string {
		return `{"action":"reservation.created","data":{"id":"1","properties":[{"id":"2"}],"reservation_status":{"current":{"category":"accepted"}},` + fields + `}}`
	}
	// in Berlin, in summer; 15:00 there is 13:00 of UTC
	for _, c := range []struct{ why, preset, body, starts, note string }{
		{"an hour in a text", "hostaway", hostaway(`"checkInTime":"15"`), "13:00", ""},
		{"an hour with a decimal point", "hostaway", hostaway(`"checkInTime":15.0`), "13:00", ""},
		{"half an hour as a decimal", "hostaway", hostaway(`"checkInTime":15.5`), "13:30", ""},
		{"an hour in words", "hostaway", hostaway(`"checkInTime":"late"`), "13:00", "reservation.check_in.time"},
		{
			"a 12-hour clock",
			"guesty", guesty(`"plannedArrival":"3:00 PM","listing":{"timezone":"Europe/Berlin"}`), "13:00", "",
		},
		{
			"a full time instead of an hour",
			"guesty", guesty(`"plannedArrival":"2034-07-01T12:00:00.000Z","listing":{"timezone":"Europe/Berlin"}`),
			"12:00", "",
		},
		{
			"an arrival later than the official one",
			"guesty", guesty(`"plannedArrival":"22:00","listing":{"timezone":"Europe/Berlin"}`), "13:00", "",
		},
		{
			"a time zone that doesn't exist",
			"guesty", guesty(`"plannedArrival":"12:00","listing":{"timezone":"Mars Standard Time"}`), "13:00",
			"reservation.check_in.time_zone",
		},
		{
			"Windows' name for Paris's time zone",
			"guesty", guesty(`"plannedArrival":"12:00","listing":{"timezone":"Romance Standard Time"}`), "10:00", "",
		},
		{"no time zone: the hours can't be compared", "guesty", guesty(`"plannedArrival":"12:00"`), "13:00", ""},
		{
			"an e-mail address that is an object",
			"guesty", guesty(`"guest":{"emails":[{"a":1}]}`), "13:00", "reservation.guest_email",
		},
		{
			"a range of hours",
			"smoobu",
			`{"action":"newReservation","data":{"id":1,"type":"reservation","arrival":"2034-07-01","departure":"2034-07-04","check-in":"16:00 - 20:00","apartment":{"id":2}}}`, "14:00", "",
		},
		{
			"an hour without minutes",
			"smoobu",
			`{"action":"newReservation","data":{"id":1,"type":"reservation","arrival":"2034-07-01","departure":"2034-07-04","check-in":"16","apartment":{"id":2}}}`, "14:00", "",
		},
		{
			"a 12-hour clock, and a status that means confirmed",
			"uplisting",
			`{"id":1,"property_id":2,"status":"needs_check_in","check_in":"2034-07-01","check_out":"2034-07-04","arrival_time":"3PM"}`, "13:00", "",
		},
		{
			"an hour in a note",
			"beds24",
			`{"booking":{"id":1,"roomId":2,"status":"confirmed","arrival":"2034-07-01","departure":"2034-07-04"},"infoItems":[{"code":"ACCESS_STARTTIME","text":"3pm"}]}`, "13:00", "",
		},
		{
			"a phone number that is an object",
			"hospitable", hospitable(
				`"check_in":"2034-07-01T15:00:00+0200","check_out":"2034-07-04T11:00:00+0200","guest":{"phone_numbers":[{"a":1}]}`), "13:00", "reservation.guest_phone",
		},
		{
			"a name that is a list",
			"lodgify",
			`{"action":"booking_change","booking":{"id":1,"property_id":2,"status":"Booked","date_arrival":"2034-07-01T00:00:00","date_departure":"2034-07-04"},"guest":{"name":[1]}}`, "13:00", "reservation.guest_name",
		},
	} {
		e := a.tells(c.preset, c.body)
		if got := a.reserved(c.preset, "1"); e["status"] != "applied" ||
			!strings.HasPrefix(got, "confirmed 2 2034-07-01T"+c.starts) {
			t.Errorf("%s, %s: %v, the reservation is %s", c.preset, c.why, e["reason"], got)
		}
		if noted(e) != c.note || noted(a.get("/v1/reservations/"+c.preset+"/1").body) != c.note {
			t.Errorf("%s, %s: the event notes %q, the reservation %q, want %q", c.preset, c.why, noted(e),
				noted(a.get("/v1/reservations/"+c.preset+"/1").body), c.note)
		}
	}
	if e := a.tells("guesty",
		`{"event":"listing.updated","listing":{"_id":"9","timezone":"Europe/Lisbon","defaultCheckInTime":"24:00"}}`,
	); e["status"] != "applied" ||
		noted(e) != "listing.check_in_time" {
		t.Errorf("%v", e)
	}
	if l := a.get("/v1/listings/guesty/9").body; l["time_zone"] != "Europe/Lisbon" {
		t.Errorf("%v", l)
	}
	if e := a.tells("guesty",
		`{"event":"listing.updated","listing":{"_id":"8","timezone":"W. Europe Standard Time"}}`,
	); e["status"] != "applied" ||
		noted(e) != "" {
		t.Errorf("%v", e)
	}
	if l := a.get("/v1/listings/guesty/8").body; l["time_zone"] != "Europe/Berlin" {
		t.Errorf("%v", l)
	}
}

// The items of an event are judged one by one, and what is rejected is reported.
func TestOneBadItemOfAPMS(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("lodgify")
	booking := func(id int, arrival string) string {
		return fmt.Sprintf(
			`{"action":"booking_change","booking":{"id":%d,"property_id":2,"status":"Booked","date_arrival":%q,"date_departure":"2034-11-04"}}`, id, arrival)
	}
	e := a.tells("lodgify", `[`+booking(1, "2034-11-01")+`,`+booking(2, "bad")+`]`)
	rejected, _ := e["rejected"].([]any)
	if e["status"] != "applied" || len(rejected) != 1 || rejected[0].(map[string]any)["reservation_id"] != "2" {
		t.Errorf("%v", e)
	}
	if one, two := a.reserved("lodgify", "1"), a.reserved("lodgify", "2"); !strings.HasPrefix(one, "confirmed") ||
		two != "none" {
		t.Errorf("1 is %s, 2 is %s", one, two)
	}
	alone := a.tells("lodgify", booking(3, "bad"))
	if alone["status"] != "rejected" || alone["reservation_id"] != "3" {
		t.Errorf("%v", alone)
	}
	if items := a.get("/v1/events?reservation_id=3").body["items"].([]any); len(items) != 1 {
		t.Errorf("the rejected event is not found by its reservation: %v", items)
	}
}

// A booking gets a second room and loses it again: the first room's reservation doesn't change.
func TestASecondRoomOfAPMS(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("hospitable")
	booking := func(rooms string, minute int) string {
		return fmt.Sprintf(
			`{"action":"reservation.changed","created":"2024-10-08T07:%02d:00Z","data":{"id":"inh","properties":[%s],"reservation_status":{"current":{"category":"accepted"}},
			"guest":{"id":"g","email":"inh@example.com"},"check_in":"2034-11-01T15:00:00Z","check_out":"2034-11-04T11:00:00Z"}}`, minute, rooms)
	}
	const p1, p2 = `{"id":"P1"}`, `{"id":"P2"}`
	for i, c := range []struct{ why, rooms, first, second string }{
		{"one room", p1, "confirmed P1", "none"},
		{"a second one is added", p1 + "," + p2, "confirmed P1", "confirmed P2"},
		{"the same in another order", p2 + "," + p1, "confirmed P1", "confirmed P2"},
		{"the second one is removed", p1, "confirmed P1", "cancelled P2"},
		{"it is added again", p1 + "," + p2, "confirmed P1", "confirmed P2"},
		{"the first one is removed", p2, "cancelled P1", "confirmed P2"},
	} {
		a.tells("hospitable", booking(c.rooms, i))
		first, second := a.reserved("hospitable", "inh"), a.reserved("hospitable", "inh_P2")
		if !strings.HasPrefix(first, c.first) || !strings.HasPrefix(second, c.second) {
			t.Errorf("%s: with %s the first is %s, the second %s", c.why, c.rooms, first, second)
		}
	}
	// A booking that moves to another property is the same reservation.
	moved := func(room string, minute int) string {
		return strings.Replace(booking(room, minute), `"inh"`, `"mov"`, 1)
	}
	a.tells("hospitable", moved(p1, 1))
	a.tells("hospitable", moved(`{"id":"P3"}`, 2))
	if got := a.reserved("hospitable", "mov"); !strings.HasPrefix(got, "confirmed P3") {
		t.Errorf("moved: %s", got)
	}
}

// A stay that the PMS reports as checked in has begun, until the PMS withdraws that.
func TestACheckedInStayOfAPMS(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("uplisting")
	soon := time.Now().Add(48 * time.Hour).UTC().Format("2006-01-02")
	later := time.Now().Add(96 * time.Hour).UTC().Format("2006-01-02")
	booking := func(status string) string {
		return fmt.Sprintf(`{"id":1,"property_id":2,"status":%q,"check_in":%q,"check_out":%q}`, status, soon, later)
	}
	a.tells("uplisting", booking("confirmed"))
	if got := a.reserved("uplisting", "1"); !strings.HasPrefix(got, "confirmed 2 "+soon) {
		t.Fatal(got)
	}
	a.tells("uplisting", booking("checked_in"))
	in, err := time.Parse(time.RFC3339, a.get("/v1/reservations/uplisting/1").body["check_in"].(string))
	if err != nil || time.Until(in) > 0 {
		t.Errorf("checked in, access starts at %s: %v", in, err)
	}
}

// A stay that its PMS ends on the day of arrival is over. The event is not rejected.
func TestADepartureOnTheDayOfArrivalOfAPMS(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("hostaway")
	booking := func(departure string) string {
		return fmt.Sprintf(
			`{"object":"reservation","data":{"id":7200,"listingMapId":401,"status":"new","arrivalDate":"2024-11-01","departureDate":%q,"checkInTime":1,"checkOutTime":0}}`, departure)
	}
	a.tells("hostaway", booking("2034-11-03"))
	e := a.tells("hostaway", booking("2024-11-01"))
	if got := a.reserved("hostaway", "7200"); e["status"] != "applied" ||
		got != "confirmed 401 2024-11-01T00:00 2024-10-31T23:00" {
		t.Errorf("%v, the reservation is %s", e, got)
	}
}

// A block, an inquiry and an unknown status neither create a key nor take one away.
func TestWhatIsNoStayOfAPMS(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("smoobu")
	booking := func(id int, fields string) string {
		return fmt.Sprintf(
			`{"action":"updateReservation","data":{"id":%d,"arrival":"2034-11-01","departure":"2034-11-04","apartment":{"id":2},%s}}`, id, fields)
	}
	for i, fields := range []string{`"is-blocked-booking":1`, `"is-blocked-booking":"true"`, `"type":"brand new"`} {
		if e := a.tells("smoobu", booking(i, fields)); e["status"] != "ignored" ||
			a.reserved("smoobu", fmt.Sprint(i)) != "none" {
			t.Errorf("%s: %v", fields, e)
		}
		a.tells("smoobu", booking(10+i, `"type":"reservation"`))
		a.tells("smoobu", booking(10+i, fields))
		if got := a.reserved("smoobu", fmt.Sprint(10+i)); !strings.HasPrefix(got, "confirmed") {
			t.Errorf("%s on a stay: %s", fields, got)
		}
		if got := noted(a.get("/v1/reservations/smoobu/" + fmt.Sprint(10+i)).body); got != "status" {
			t.Errorf("%s on a stay: the reservation notes %q", fields, got)
		}
	}
}

// A status that clearly ends a stay does so in any spelling. Other statuses are never guessed.
func TestAnEndOfAStayInAnotherSpelling(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for preset, booking := range map[string]string{
		"hostaway":   `{"object":"reservation","data":{"id":%d,"listingMapId":2,"status":%q,"arrivalDate":"2034-11-01","departureDate":"2034-11-04"}}`,
		"beds24":     `{"booking":{"id":%d,"roomId":2,"unitId":1,"status":%q,"arrival":"2034-11-01","departure":"2034-11-04"}}`,
		"uplisting":  `{"id":%d,"property_id":2,"status":%q,"check_in":"2034-11-01","check_out":"2034-11-04"}`,
		"guesty":     `{"event":"reservation.updated","reservation":{"_id":%d,"listingId":"2","status":%q,"checkIn":"2034-11-01T15:00:00Z","checkOut":"2034-11-04T11:00:00Z"}}`,
		"lodgify":    `{"action":"booking_change","booking":{"id":%d,"property_id":2,"status":%q,"date_arrival":"2034-11-01T00:00:00","date_departure":"2034-11-04T00:00:00"}}`,
		"ownerrez":   `{"action":"entity_update","entity_type":"booking","entity_id":%d,"entity":{"property_id":2,"status":%q,"arrival":"2034-11-01","departure":"2034-11-04"}}`,
		"hospitable": `{"action":"reservation.changed","data":{"id":%d,"reservation_status":{"current":{"category":%q}},"properties":[{"id":"2"}],"check_in":"2034-11-01T15:00:00Z","check_out":"2034-11-04T11:00:00Z"}}`,
	} {
		a.withPreset(preset)
		booked := map[string]string{
			"hostaway": "new", "lodgify": "Booked", "ownerrez": "active",
			"hospitable": "accepted",
		}[preset]
		for i, c := range []struct{ why, status, want string }{
			{"a capital letter", "Cancelled", "cancelled"},
			{"American spelling", "canceled", "cancelled"},
			{"capital letters and spaces", " CANCELED ", "cancelled"},
			{"a hyphen", "No-Show", "cancelled"},
			{"two words", "no show", "cancelled"},
			{"a guest who has left", "Checked Out", "cancelled"},
			{"it only contains the word", "not cancelled", "confirmed"},
			{"the guest only asks for it", "cancellation requested", "confirmed"},
		} {
			a.tells(preset, fmt.Sprintf(booking, i+1, cmp.Or(booked, "confirmed")))
			a.tells(preset, fmt.Sprintf(booking, i+1, c.status))
			if got := a.reserved(preset, fmt.Sprint(i+1)); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s, %s: %q makes it %s, want %s", preset, c.why, c.status, got, c.want)
			}
		}
	}
}

// The part of a webhook that needs no document isn't delayed by one: a cancellation is applied even while the PMS can't
// be reached.
func TestACancelOfAPMSWaitsForNoDocument(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, preset := range []string{"beds24", "cloudbeds"} {
		a.withPreset(preset)
	}
	a.tells("beds24",
		`{"booking":{"id":1,"roomId":2,"unitId":1,"status":"confirmed","arrival":"2034-11-01","departure":"2034-11-04"}}`)
	r := a.send(http.MethodGet, "/webhooks/beds24/"+urlToken+"?bookid=1&status=cancel", "", "")
	a.apply()
	if e := a.get("/v1/events/" + r.body["event_id"].(string)).body; e["status"] != "applied" ||
		!strings.HasPrefix(a.reserved("beds24", "1"), "cancelled") {
		t.Errorf("%v, the reservation is %s", e, a.reserved("beds24", "1"))
	}
	e := a.tells("cloudbeds",
		`{"event":"reservation/status_changed","reservationID":"B","propertyID":1,"status":"canceled","timestamp":1766005381.8}`)
	if e["status"] != "applied" || !strings.HasPrefix(a.reserved("cloudbeds", "B"), "cancelled") {
		t.Errorf("%v, the reservation is %s", e, a.reserved("cloudbeds", "B"))
	}
}

// An unknown status shows at a reservation that has a key.
func TestAnUnknownStatusOfAPMSIsSeen(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("uplisting")
	for _, status := range []string{"confirmed", "brand_new"} {
		a.tells("uplisting", fmt.Sprintf(
			`{"id":1,"property_id":2,"status":%q,"check_in":"2034-11-01","check_out":"2034-11-04"}`, status))
	}
	if got := noted(a.get("/v1/reservations/uplisting/1").body); got != "status" {
		t.Errorf("the reservation notes %q", got)
	}
}

// tellsWith is tells for a webhook that waits for documents, with what the PMS answers.
func (a *app) tellsWith(preset, body, documents string) map[string]any {
	a.t.Helper()
	e := a.tells(preset, body)
	if e["reason"] != "needs_fetch" {
		a.t.Fatalf("%s waits for no document: %v", body, e)
	}
	waiting, err := a.store.Fetches.Get(context.Background(), uuid.MustParse(e["event_id"].(string)))
	if err == nil {
		err = a.store.Fetches.Fetched(context.Background(), waiting, json.RawMessage(documents))
	}
	if err != nil {
		a.t.Fatal(err)
	}
	a.apply()
	return a.get("/v1/events/" + e["event_id"].(string)).body
}

// A room of a Cloudbeds booking keeps its reservation when another is added, assigned, removed, or can't be identified;
// a booking that is cancelled and restored has a key again.
func TestRoomsOfCloudbeds(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("cloudbeds")
	const first, second, waiting = `{"roomID":"5-1","subReservationID":"B"}`,
		`{"roomID":"5-2","subReservationID":"B-1"}`, `{"subReservationID":"B-1"}`
	for _, c := range []struct{ why, status, rooms, first, second string }{
		{"one room", "confirmed", `"assigned":[` + first + `]`, "confirmed 5-1", "none"},
		{
			"a second room, not assigned yet",
			"confirmed", `"assigned":[` + first + `],"unassigned":[` + waiting + `]`,
			"confirmed 5-1", "confirmed  2034",
		},
		{
			"the second one is assigned, and listed first",
			"confirmed", `"assigned":[` + second + "," + first + `]`, "confirmed 5-1", "confirmed 5-2",
		},
		{"the rooms are left out", "confirmed", `"guestList":[]`, "confirmed 5-1", "confirmed 5-2"},
		{"the rooms can't be read", "confirmed", `"assigned":"?"`, "confirmed 5-1", "confirmed 5-2"},
		{"the first one is removed", "confirmed", `"assigned":[` + second + `]`, "cancelled 5-1", "confirmed 5-2"},
		{"the booking is cancelled", "canceled", `"assigned":[` + second + `]`, "cancelled 5-1", "cancelled 5-2"},
		{
			"the booking is restored",
			"confirmed", `"assigned":[` + second + "," + first + `]`, "confirmed 5-1", "confirmed 5-2",
		},
	} {
		e := a.tellsWith("cloudbeds", `{"event":"reservation/dates_changed","reservationID":"B","propertyID":1}`,
			fmt.Sprintf(
				`{"reservation":[{"success":true,"data":{"reservationID":"B","status":%q,"startDate":"2034-11-01","endDate":"2034-11-04",%s}}]}`, c.status, c.rooms))
		one, two := a.reserved("cloudbeds", "B"), a.reserved("cloudbeds", "B_B-1")
		if e["status"] != "applied" || !strings.HasPrefix(one, c.first) || !strings.HasPrefix(two, c.second) {
			t.Errorf("%s: %s (%v): the first is %s, the second %s", c.why, c.rooms, e, one, two)
		}
	}
}

// If OwnerRez doesn't have the guest, the booking lacks only the address.
func TestAnOwnerRezBookingWithoutItsGuest(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("ownerrez")
	const booking = `{"action":"entity_update","entity_type":"booking","entity_id":7,"entity":{"property_id":2,"status":"active","guest_id":3,"arrival":"2034-11-01","departure":"2034-11-04","check_in":"16:00"}}`
	e := a.tellsWith("ownerrez", booking, `{"guest":[]}`)
	if got := a.reserved("ownerrez", "7"); e["status"] != "applied" ||
		got != "confirmed 2 2034-11-01T15:00 2034-11-04T10:00" {
		t.Errorf("%v, the reservation is %s", e, got)
	}
}

// A repeated delivery of Lodgify's doesn't bring a cancelled stay back. A stay that is booked again, with another body,
// gets its key.
func TestLodgifyRepeatsItself(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("lodgify")
	booking := func(status, departure string) string {
		return fmt.Sprintf(
			`[{"action":"booking_change","booking":{"id":5,"property_id":2,"status":%q,"date_arrival":"2034-11-01","date_departure":%q}}]`, status, departure)
	}
	for _, c := range []struct{ why, status, departure, becomes, want string }{
		{"booked", "Booked", "2034-11-04", "applied", "confirmed"},
		{"a day longer", "Booked", "2034-11-05", "applied", "confirmed"},
		{"a day shorter, as it was", "Booked", "2034-11-04", "applied", "confirmed"},
		{"cancelled", "Declined", "2034-11-04", "applied", "cancelled"},
		{"the first body again", "Booked", "2034-11-04", "ignored", "cancelled"},
		{"the second body again", "Booked", "2034-11-05", "ignored", "cancelled"},
		{"booked again, with another body", "Booked", "2034-11-06", "applied", "confirmed"},
	} {
		e := a.tells("lodgify", booking(c.status, c.departure))
		if got := a.reserved("lodgify", "5"); e["status"] != c.becomes || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %v, the reservation is %s", c.why, e, got)
		}
	}
}

// An event of a preset whose guest arrives soon overtakes a backlog.
func TestAnEventOfAPMSIsUrgent(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.withPreset("hostaway")
	for id, days := range []int{0, 20} {
		day := time.Now().AddDate(0, 0, days)
		r := a.send(http.MethodPost, "/webhooks/hostaway/"+urlToken, "application/json", fmt.Sprintf(
			`{"object":"reservation","data":{"id":%d,"listingMapId":401,"status":"new","arrivalDate":%q,"departureDate":%q}}`,
			id, day.Format("2006-01-02"), day.AddDate(0, 0, 3).Format("2006-01-02")))
		var urgent bool
		if err := a.store.Pool().QueryRow(t.Context(), `SELECT urgent FROM events WHERE event_id = $1`,
			r.body["event_id"]).Scan(&urgent); err != nil || urgent != (days == 0) {
			t.Errorf("in %d days: urgent %v %v", days, urgent, err)
		}
	}
}

// An event that is answered with 422 is logged with its subject: its sender may not read answers.
func TestRefusedEventsAreLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer // each record is written at once, after its request
	a := newAppLogging(t, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	r := a.post(hook{
		id:   "wrong",
		body: `{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"R-1","listing_id":"L","check_in":"soon","check_out":"2024-11-04"}}`,
	})
	r.mustBeProblem(t, 422)
	for _, want := range []string{"level=WARN", "source=default", "reservation_id=R-1", "data.check_in"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, log.String())
		}
	}
}

// An event that is answered with 422 is in its reservation's timeline and among its events, also if it is sent again.
func TestRefusedEventsAreTiedToTheirReservation(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	const stay = `{"type":"reservation.updated","timestamp":"2024-10-20T09:0%d:00.000Z","data":{"reservation_id":"R-1","listing_id":"L","check_in":"2024-11-01T15:00:00Z","check_out":%q}}`
	a.post(hook{id: "right", body: fmt.Sprintf(stay, 0, "2024-11-04T11:00:00Z")})
	a.apply()
	a.post(hook{id: "wrong", body: fmt.Sprintf(stay, 1, "the fourth")}).mustBeProblem(t, 422)
	a.post(hook{id: "wrong", body: fmt.Sprintf(stay, 2, "the fifth")}).mustBeProblem(t, 422)
	refused := 0
	items, _ := a.get("/v1/reservations/default/R-1/timeline").body["items"].([]any)
	for _, item := range items {
		if summary := item.(map[string]any)["summary"].(string); summary == "reservation.updated rejected" {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d refused events in the timeline: %v", refused, items)
	}
	if list, _ := a.get("/v1/events?reservation_id=R-1&status=rejected").body["items"].([]any); len(list) != 1 {
		t.Errorf("rejected events of the reservation: %v", list)
	}
}
