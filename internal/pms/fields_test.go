package pms_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

// These tests are generated from the PMSs' own payloads: every field of each is left out, made null, made of another
// type, or made an odd text, in a reservation that gives a key and in one that takes it away.

// subject is a payload that is about one reservation.
type subject struct {
	name    string // of the webhook among the payloads
	fetched string // of the document that it led to; "" for none
	id      string // of the reservation

	give, take map[string]any // what makes it a reservation that gives a key, or takes it away, by path

	// about are the paths that identify the reservation and its result. Without them nothing can be concluded.
	about []string
	// never are changes that make it a block, an inquiry, or something with a status that the format doesn't know.
	never []map[string]any
	// room and dates are the paths of what a key can't be without.
	room, dates []string
}

var subjects = []subject{
	{
		name: "hospitable/reservation.created.json", id: "6f58fd0a-a9cb-3746-9219-384a156ff7bb",
		take: map[string]any{"data.reservation_status.current.category": "cancelled"},
		never: []map[string]any{
			{"data.reservation_status.current.category": "request"},
			{"data.reservation_status.current.category": "brand new"},
		},
		about: []string{
			"action", "data", "data.id", "data.reservation_status", "data.reservation_status.current",
			"data.reservation_status.current.category",
		},
		room:  []string{"data.properties", "data.properties.0", "data.properties.0.id"},
		dates: []string{"data.check_in", "data.check_out"},
	},
	{
		name: "hostaway/reservation.updated.json", id: "13", give: map[string]any{
			"data.checkInTime":  json.Number("16"),
			"data.checkOutTime": json.Number("10"),
		},
		take: map[string]any{"data.status": "cancelled"},
		never: []map[string]any{
			{"data.status": "inquiry"},
			{"data.status": "awaitingPayment"},
			{"data.status": "brand new"},
		},
		about: []string{"object", "data", "data.id", "data.status"}, room: []string{"data.listingMapId"},
		dates: []string{"data.arrivalDate", "data.departureDate"},
	},
	{
		name: "guesty/reservation.new.json", id: "62c000000000000000000001",
		take:  map[string]any{"reservation.status": "canceled"},
		never: []map[string]any{{"reservation.status": "inquiry"}, {"reservation.status": "brand new"}},
		about: []string{"event", "reservation", "reservation._id", "reservation.status"},
		room:  []string{"reservation.listingId"},
		dates: []string{"reservation.checkIn", "reservation.checkOut"},
	},
	{
		name: "guesty/reservation.updated.v2.UNVERIFIED.json", fetched: "guesty/reservation.updated.v2.UNVERIFIED.fetched_reservation.json",
		id:   "62c000000000000000000001",
		take: map[string]any{"status": "declined"}, never: []map[string]any{
			{"status": "inquiry"},
			{"status": "brand new"},
		},
		about: []string{"_id", "status"}, room: []string{"listingId"}, dates: []string{"checkIn", "checkOut"},
	},
	{
		name: "lodgify/booking_new_status_booked.json", id: "123456",
		take:  map[string]any{"booking.status": "Declined"},
		never: []map[string]any{{"booking.status": "Tentative"}, {"booking.status": "brand new"}},
		about: []string{"action", "booking", "booking.id", "booking.status"}, room: []string{"booking.property_id"},
		dates: []string{"booking.date_arrival", "booking.date_departure"},
	},
	{
		name: "beds24/v2_booking_webhook.json", id: "12345678", take: map[string]any{"booking.status": "cancelled"},
		never: []map[string]any{
			{"booking.status": "black"},
			{"booking.status": "inquiry"},
			{"booking.status": "brand new"},
		},
		about: []string{"booking", "booking.id", "booking.status"}, room: []string{"booking.roomId", "booking.unitId"},
		dates: []string{"booking.arrival", "booking.departure"},
	},
	{
		name: "smoobu/updateReservation.json", id: "10000001", take: map[string]any{"action": "cancelReservation"},
		never: []map[string]any{
			{"data.is-blocked-booking": true},
			{"data.is-blocked-booking": json.Number("1")},
			{"data.type": "brand new"},
		},
		about: []string{"action", "data", "data.id", "data.type", "data.is-blocked-booking"},
		room:  []string{"data.apartment", "data.apartment.id"},
		dates: []string{"data.arrival", "data.departure"},
	},
	{
		name: "uplisting/booking_updated.json", id: "1", take: map[string]any{"status": "cancelled"},
		never: []map[string]any{{"status": "inquiry"}, {"status": "brand new"}},
		about: []string{"id", "status"},
		room:  []string{"property_id", "mutli_unit_id"}, dates: []string{"check_in", "check_out"},
	},
	{
		name:    "ownerrez/entity_update.booking.json",
		fetched: "ownerrez/entity_update.booking.fetched_guest.json",
		id:      "16870000",
		take:    map[string]any{"entity.status": "canceled"},
		never: []map[string]any{
			{"entity.is_block": true},
			{"entity.type": "block"},
			{"entity.status": "pending"},
			{"entity.status": "brand new"},
		},
		about: []string{
			"action", "entity", "entity_type", "entity_id", "entity.status", "entity.is_block",
			"entity.type",
		}, room: []string{"entity.property_id"},
		dates: []string{"entity.arrival", "entity.departure"},
	},
	{
		name:    "cloudbeds/reservation_created.json",
		fetched: "cloudbeds/reservation_created.fetched_reservation.json",
		id:      "7061304400000",
		take:    map[string]any{"data.status": "canceled"},
		never:   []map[string]any{{"data.status": "not_confirmed"}, {"data.status": "brand new"}},
		about:   []string{"data", "data.reservationID", "data.status", "data.assigned.0.roomStatus"},
		room: []string{
			"data.assigned", "data.assigned.0", "data.assigned.0.roomID",
			"data.assigned.0.subReservationID",
		},
		dates: []string{"data.startDate", "data.endDate", "data.assigned.0.startDate", "data.assigned.0.endDate"},
	},
	{
		name: "mews/general_webhook.json", fetched: "mews/general_webhook.fetched_reservations.json",
		id:   "0f515589-99b4-423d-b83a-b237009f0509",
		take: map[string]any{"Reservations.0.State": "Canceled"},
		never: []map[string]any{
			{"Reservations.0.State": "Inquired"},
			{"Reservations.0.State": "Optional"},
			{"Reservations.0.State": "brand new"},
		},
		about: []string{"Reservations", "Reservations.0", "Reservations.0.Id", "Reservations.0.State"},
		room:  []string{"Reservations.0.AssignedResourceId"},
		dates: []string{"Reservations.0.ScheduledStartUtc", "Reservations.0.ScheduledEndUtc"},
	},
	{
		name:    "apaleo/reservation_created.json",
		fetched: "apaleo/reservation_created.fetched_reservation.json",
		id:      "XPGMSXGF-1",
		take:    map[string]any{"status": "Canceled"},
		never:   []map[string]any{{"status": "brand new"}},
		about:   []string{"id", "status"}, room: []string{"unit", "unit.id"}, dates: []string{"arrival", "departure"},
	},
	{
		name: "hostfully/NEW_BOOKING.json", fetched: "hostfully/NEW_BOOKING.fetched_lead.json",
		id:   "3f1c0000-0000-4000-8000-000000000003",
		take: map[string]any{"lead.status": "CANCELLED_BY_TRAVELER"},
		never: []map[string]any{
			{"lead.type": "BLOCK"},
			{"lead.type": "INQUIRY"},
			{"lead.status": "NEW"},
			{"lead.status": "brand new"},
			{"lead.type": "brand new"},
		},
		about: []string{"lead", "lead.uid", "lead.status", "lead.type"}, room: []string{"lead.propertyUid"},
		dates: []string{"lead.checkInLocalDateTime", "lead.checkOutLocalDateTime"},
	},
}

// oddities are what a field becomes; absent stands for none at all.
type absent struct{}

var oddities = []any{
	absent{},
	nil, json.Number("7"), true, "", "odd ☃ \ufffd text", "0000-00-00 00:00:00", "a\x00b" + strings.Repeat("x", 600),
	[]any{},
	[]any{json.Number("7")},
	map[string]any{"a": "b"},
}

// nodes returns the dotted paths of all values in a value.
func nodes(prefix string, v any) []string {
	var list []string
	add := func(name string, v any) {
		at := strings.TrimPrefix(prefix+"."+name, ".")
		list = append(append(list, at), nodes(at, v)...)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			add(name, v[name])
		}
	case []any:
		for i, item := range v {
			add(fmt.Sprint(i), item)
		}
	}
	return list
}

// with returns a copy of a value with the value at a path replaced.
func with(v any, at []string, now any) any {
	if len(at) == 0 {
		return own(now)
	}
	switch v := v.(type) {
	case map[string]any:
		changed := maps.Clone(v)
		if _, gone := now.(absent); gone && len(at) == 1 {
			delete(changed, at[0])
		} else {
			changed[at[0]] = with(v[at[0]], at[1:], now)
		}
		return changed
	case []any:
		changed := slices.Clone(v)
		var i int
		_, _ = fmt.Sscan(at[0], &i)
		if _, gone := now.(absent); gone && len(at) == 1 {
			return slices.Delete(changed, i, i+1)
		}
		changed[i] = with(v[i], at[1:], now)
		return changed
	}
	return v
}

// own copies an oddity, which tests in parallel share: jq may write into its input.
func own(v any) any {
	switch v := v.(type) {
	case map[string]any:
		copied := map[string]any{}
		for name, value := range v {
			copied[name] = own(value)
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i, value := range v {
			copied[i] = own(value)
		}
		return copied
	}
	return v
}

// mapping is the subject with its document as given, which is the webhook's body where nothing was fetched.
func (s subject) mapping(t testing.TB, of any) pms.Mapping {
	t.Helper()
	m := payload(t, s.name)
	switch {
	case s.fetched == "" || s.fetched == "ownerrez/entity_update.booking.fetched_guest.json":
		body, err := json.Marshal(of)
		if err != nil {
			t.Fatal(err)
		}
		m.Body = body
		if s.fetched != "" {
			m.Fetched = map[string]any{"guest": []any{document(t, s.fetched)}}
		}
	default:
		m.Fetched = map[string]any{}
		for kind, name := range documentsOf(t, s.name) {
			m.Fetched[kind] = []any{document(t, name)}
		}
		m.Fetched[isFetched.FindStringSubmatch(s.fetched)[2]] = []any{of}
	}
	return m
}

// document is what the subject's fields are of.
func (s subject) document(t testing.TB, change map[string]any) any {
	name := s.name
	if s.fetched != "" && s.fetched != "ownerrez/entity_update.booking.fetched_guest.json" {
		name = s.fetched
	}
	v := document(t, name)
	for at, now := range change {
		v = with(v, strings.Split(at, "."), now)
	}
	return v
}

// of finds the reservation of the subject among changes.
func (s subject) of(e pms.Event) *pms.Reservation {
	for _, c := range e.Changes {
		if c.Reservation != nil && c.Reservation.BookingID == s.id {
			return c.Reservation
		}
	}
	return nil
}

func TestEveryFieldOfAReservation(t *testing.T) {
	t.Parallel()
	for _, s := range subjects {
		t.Run(path.Dir(s.name)+"/"+path.Base(s.name), func(t *testing.T) {
			t.Parallel()
			format := source(t, path.Dir(s.name))
			whole := s.document(t, s.give)
			e, err := format.Map(context.Background(), s.mapping(t, whole))
			want := s.of(e)
			if err != nil || want == nil || want.Status != pms.Confirmed || want.ListingID == nil ||
				want.CheckIn == nil || want.CheckOut == nil || len(e.Changes[0].Notes) > 0 {
				t.Fatalf("the payload itself: %v, %+v", err, e)
			}
			for _, at := range nodes("", whole) {
				for _, odd := range oddities {
					e, err := format.Map(context.Background(), s.mapping(t, with(whole, strings.Split(at, "."), odd)))
					// A document without what it is about is asked for again.
					nothing := s.fetched != "" && slices.Contains(s.about, at) && len(e.Invalid) == 1 &&
						e.Invalid[0].Field == "fetched"
					if err != nil || (len(e.Invalid) > 0 && !nothing) {
						t.Errorf("%s is %#v: %v %v", at, odd, err, e.Invalid)
						continue
					}
					got := s.of(e)
					switch {
					case slices.Contains(s.about, at):
					case slices.Contains(s.room, at), slices.Contains(s.dates, at):
						if got == nil && (len(e.Rejected) != 1 || e.Rejected[0].BookingID != s.id) {
							t.Errorf("%s is %#v: neither read nor rejected: %+v", at, odd, e)
						}
					case got == nil || got.Status != pms.Confirmed || got.ListingID == nil ||
						*got.ListingID != *want.ListingID || got.CheckIn == nil || got.CheckOut == nil:
						t.Errorf("%s is %#v: the reservation is lost: %+v", at, odd, e)
					}
				}
			}
		})
	}
}

func TestEveryFieldOfACancel(t *testing.T) {
	t.Parallel()
	for _, s := range subjects {
		t.Run(path.Dir(s.name)+"/"+path.Base(s.name), func(t *testing.T) {
			t.Parallel()
			format := source(t, path.Dir(s.name))
			whole := s.document(t, s.give)
			for at, now := range s.take {
				whole = with(whole, strings.Split(at, "."), now)
			}
			for _, at := range append(nodes("", whole), "nothing") {
				if slices.Contains(s.about, at) {
					continue
				}
				for _, odd := range oddities {
					e, err := format.Map(context.Background(), s.mapping(t, with(whole, strings.Split(at, "."), odd)))
					if got := s.of(e); err != nil || got == nil || got.Status != pms.Cancelled || len(e.Rejected) > 0 {
						t.Errorf("%s is %#v: the cancel is lost: %v %+v", at, odd, err, e)
					}
				}
			}
		})
	}
}

// A calendar block, an inquiry and an unknown status never create a key, whatever else is odd.
func TestNoKeyForWhatIsNoStay(t *testing.T) {
	t.Parallel()
	for _, s := range subjects {
		t.Run(path.Dir(s.name)+"/"+path.Base(s.name), func(t *testing.T) {
			t.Parallel()
			format := source(t, path.Dir(s.name))
			for _, change := range s.never {
				whole := s.document(t, s.give)
				for at, now := range change {
					whole = with(whole, strings.Split(at, "."), now)
				}
				for _, at := range append(nodes("", whole), "nothing") {
					if slices.Contains(s.about, at) {
						continue
					}
					e, err := format.Map(context.Background(), s.mapping(t, with(whole, strings.Split(at, "."), "odd")))
					if got := s.of(e); err != nil || (got != nil && got.Status != "") {
						t.Errorf("%v, %s is odd: %v %+v", change, at, err, got)
					}
				}
			}
		})
	}
}

// FuzzFields changes one field of a PMS's payload to anything. An event that takes a key away still does, and one that
// is not a stay never creates one.
func FuzzFields(f *testing.F) {
	for i := range subjects {
		for j, odd := range []string{
			`null`, `"4 PM"`, `{"date": [1]}`, `"\ud83d"`, `1e400`, `-0.5`,
			`"2026-01-01T24:00"`, `[[{}]]`,
		} {
			f.Add(i, 7*j, odd)
		}
	}
	formats := map[string]pms.Source{}
	for _, name := range pms.Presets() {
		formats[name] = source(f, name)
	}
	f.Fuzz(func(t *testing.T, which, node int, text string) {
		if which < 0 || which >= len(subjects) || node < 0 {
			return
		}
		odd, err := pms.DecodeJSON([]byte(text))
		if err != nil {
			odd = text
		}
		s := subjects[which]
		format := formats[path.Dir(s.name)]
		for _, change := range append(slices.Clone(s.never), s.take) {
			whole := s.document(t, s.give)
			for at, now := range change {
				whole = with(whole, strings.Split(at, "."), now)
			}
			all := nodes("", whole)
			at := all[node%len(all)]
			if slices.Contains(s.about, at) {
				return
			}
			e, err := format.Map(context.Background(), s.mapping(t, with(whole, strings.Split(at, "."), odd)))
			if err != nil {
				t.Fatalf("%s is %q: %v", at, text, err)
			}
			got := s.of(e)
			if maps.Equal(change, s.take) {
				if got == nil || got.Status != pms.Cancelled {
					t.Fatalf("%s is %q: the cancel is lost: %+v", at, text, e)
				}
			} else if got != nil && got.Status != "" {
				t.Fatalf("%v, %s is %q: %+v", change, at, text, got)
			}
		}
	})
}
