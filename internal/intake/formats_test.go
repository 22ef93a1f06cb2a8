package intake_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// foreign is a world whose source has a format of its own: a body contains the program's output.
func foreign(t *testing.T, program string) *world {
	t.Helper()
	w := newWorld(t)
	format, err := pms.ParseFormat("own.jq", program)
	if err != nil {
		t.Fatal(err)
	}
	format.LongestRun = time.Hour // here a program is limited by its steps, however slow the machine is
	w.source.Format = format
	return w
}

const passThrough = `module {"type": ["type"]}; .body.says[]`

// post posts outputs of the program.
func (w *world) post(outputs ...string) store.Event {
	w.t.Helper()
	key := uuid.NewString()
	e := store.Event{
		EventID: uuid.New(), Source: "default", EventKey: &key, Status: stay.EventAccepted, ReceivedAt: w.now,
		Request: []byte(`{}`),
		Body:    []byte(`{"type": "posted", "says": [` + strings.Join(outputs, ",") + `]}`),
	}
	if _, err := w.store.Events.Insert(context.Background(), []store.Event{e}); err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *world) becomes(e store.Event, status, reason string) {
	w.t.Helper()
	w.drain()
	got, err := w.store.Events.Get(context.Background(), e.EventID)
	if err != nil {
		w.t.Fatal(err)
	}
	reasonText := ""
	if got.Reason != nil {
		reasonText = *got.Reason
	}
	if got.Status != status || !strings.Contains(reasonText, reason) {
		w.t.Errorf("%s: %s %q, want %s %q", e.Body, got.Status, reasonText, status, reason)
	}
}

// stays are the statuses and listings of reservations, "" where there is none.
func (w *world) stays(ids ...string) string {
	w.t.Helper()
	var out []string
	for _, id := range ids {
		v, err := w.store.Reservations.View(context.Background(), stay.Ref{Source: "default", ReservationID: id})
		if err != nil {
			out = append(out, id+" none")
			continue
		}
		listing := "-"
		if v.Reservation.ListingID != nil {
			listing = *v.Reservation.ListingID
		}
		out = append(out, id+" "+v.Reservation.Status+" "+listing)
	}
	return strings.Join(out, ", ")
}

func (w *world) want(want string, ids ...string) {
	w.t.Helper()
	if got := w.stays(ids...); got != want {
		w.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// room is a room of a booking, at a minute of the sender's clock; unit "" means the booking's only one.
func room(booking, unit, listing, status string, minute int) string {
	if unit != "" {
		unit = `"unit": "` + unit + `", "rest": true, `
	}
	if listing != "" {
		listing = `"listing_id": "` + listing + `", `
	}
	return fmt.Sprintf(
		`{"reservation": {"reservation_id": %q, %s%s"status": %q, "pms_status": "as it says", "check_in": "2024-11-01T15:00:00Z", "check_out": "2024-11-04T11:00:00Z", "version": "2024-10-20T08:%02d:00Z"}}`,
		booking, unit, listing, status, minute)
}

// In a booking of several rooms each room is a reservation, and keeps it whatever happens to the others.
func TestRoomsOfABooking(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.becomes(w.post(room("B", "", "", "confirmed", 1)), "applied", "")
	w.want("B confirmed -", "B")
	w.becomes(w.post(room("B", "1", "L1", "confirmed", 2), room("B", "2", "L2", "confirmed", 2)), "applied", "")
	w.want("B confirmed L1, B_1 none, B_2 confirmed L2", "B", "B_1", "B_2")
	w.becomes(w.post(room("B", "1", "L3", "confirmed", 4)), "applied", "")
	w.want("B confirmed L3, B_2 cancelled L2", "B", "B_2")
	w.becomes(w.post(room("B", "1", "L1", "confirmed", 3), room("B", "2", "L2", "confirmed", 3),
		room("B", "3", "L3", "confirmed", 3)), "superseded", "later event of this reservation")
	w.want("B confirmed L3, B_2 cancelled L2, B_3 none", "B", "B_2", "B_3")
	w.becomes(w.post(room("B", "1", "L1", "pending", 5)), "ignored",
		`the status "as it says" (pending) neither creates nor removes a key`)
	w.want("B confirmed L3", "B")
	w.becomes(w.post(room("B", "", "", "cancelled", 6)), "applied", "")
	w.want("B cancelled L3, B_1 none, B_2 cancelled L2", "B", "B_1", "B_2")
}

// The id of a room's reservation depends on what was known of the booking when the room appeared.
func TestNamesOfRooms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason string
		events [][]string // the units of each event, "unit listing"; "" is the whole booking
		legacy bool       // the rows of the first event are from before units were stored
		want   string     // the confirmed reservations with their listings
	}{
		"one room": {"as for a booking without rooms", [][]string{{"1 L1"}}, false, "B L1"},
		"two rooms": {
			"each has a name of its own",
			[][]string{{"1 L1", "2 L2"}},
			false,
			"B_1 L1, B_2 L2",
		},
		"a second room comes": {
			"the first keeps its reservation",
			[][]string{{"1 L1"}, {"1 L1", "2 L2"}},
			false, "B L1, B_2 L2",
		},
		"in another order": {
			"the order of rooms doesn't matter",
			[][]string{{"1 L1"}, {"2 L2", "1 L1"}},
			false, "B L1, B_2 L2",
		},
		"and goes again": {"", [][]string{{"1 L1"}, {"1 L1", "2 L2"}, {"1 L1"}}, false, "B L1"},
		"the first goes": {
			"the second keeps its own",
			[][]string{{"1 L1"}, {"1 L1", "2 L2"}, {"2 L2"}},
			false, "B_2 L2",
		},
		"and comes back": {
			"to its former reservation",
			[][]string{{"1 L1"}, {"2 L2"}, {"1 L1"}},
			false, "B L1",
		},
		"a room is exchanged":     {"the stay moves", [][]string{{"1 L1"}, {"2 L2"}}, false, "B L2"},
		"one of two is exchanged": {"", [][]string{{"1 L1", "2 L2"}, {"1 L1", "3 L3"}}, false, "B_1 L1, B_2 L3"},
		"both are exchanged": {
			"nobody knows which for which",
			[][]string{{"1 L1", "2 L2"}, {"3 L3", "4 L4"}},
			false, "B_3 L3, B_4 L4",
		},
		"a room moves": {
			"the unit counts and not the listing",
			[][]string{{"1 L1"}, {"1 L2", "2 L1"}},
			false, "B L2, B_2 L1",
		},
		"rooms are assigned later": {
			"the booking's reservation takes the first",
			[][]string{{""}, {"1 L1", "2 L2"}},
			false, "B L1, B_2 L2",
		},
		"as a whole, with one room": {
			"an event that names no room is about the only one",
			[][]string{{"1 L1"}, {" L1"}},
			false, "B L1",
		},
		"as a whole, with two rooms": {
			"about the one that matches",
			[][]string{{"1 L1", "2 L2"}, {" L2"}},
			false, "B_2 L2",
		},
		"an exchanged room comes back": {"its name has been taken", [][]string{
			{"2 L2", "3 L3"},
			{"2 L2", "1 L1"},
			{"1 L1", "2 L2", "3 L3"},
		}, false, "B_2 L2, B_3 L1, B_3_2 L3"},
		"before the upgrade, one room": {
			"it takes the unit of its room",
			[][]string{{"1 L1"}, {"2 L2", "1 L1"}},
			true,
			"B L1, B_2 L2",
		},
		"before the upgrade, moved": {
			"or of the first",
			[][]string{{"1 L1"}, {"2 L2", "3 L3"}},
			true,
			"B L2, B_3 L3",
		},
		"before the upgrade, two": {
			"names of rooms tell the units",
			[][]string{{"1 L1", "2 L2"}, {"1 L1", "2 L2", "3 L3"}},
			true, "B_1 L1, B_2 L2, B_3 L3",
		},
	} {
		for _, together := range []bool{false, true} {
			if c.legacy && together {
				continue
			}
			t.Run(fmt.Sprint(name, ", in one batch ", together), func(t *testing.T) {
				t.Parallel()
				w := foreign(t, passThrough)
				for minute, units := range c.events {
					var outputs []string
					for _, u := range units {
						unit, listing, _ := strings.Cut(u, " ")
						outputs = append(outputs, room("B", unit, listing, "confirmed", minute))
					}
					w.post(outputs...)
					if !together {
						w.drain()
					}
					if minute == 0 && c.legacy {
						if _, err := w.store.Pool().Exec(t.Context(),
							`UPDATE reservations SET unit = NULL`); err != nil {
							t.Fatal(err)
						}
					}
				}
				w.drain()
				if got := w.confirmed(); got != c.want {
					t.Errorf("got %s, want %s (%s)", got, c.want, c.reason)
				}
			})
		}
	}
}

// A room that is gone doesn't replace one that stays if an event names no room.
func TestARoomThatIsGoneStaysGone(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.becomes(w.post(room("B", "1", "L1", "confirmed", 1)), "applied", "")
	w.becomes(w.post(room("B", "1", "L1", "confirmed", 2), room("B", "2", "L2", "confirmed", 2)), "applied", "")
	w.becomes(w.post(room("B", "2", "L2", "confirmed", 3)), "applied", "")
	w.becomes(w.post(room("B", "", "L2", "confirmed", 4)), "applied", "")
	w.want("B cancelled L1, B_2 confirmed L2", "B", "B_2")
}

// confirmed are the confirmed reservations with their listings, in the order of their ids.
func (w *world) confirmed() string {
	w.t.Helper()
	views, err := w.store.Reservations.List(context.Background(),
		store.ReservationFilter{Status: []string{pms.Confirmed}},
		store.Cursor{}, 500)
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for _, v := range views {
		listing := "-"
		if v.Reservation.ListingID != nil {
			listing = *v.Reservation.ListingID
		}
		list = append(list, v.Reservation.ReservationID+" "+listing)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// In whatever order and batches the states of a booking arrive, the last one counts: each of its rooms has one
// reservation.
func TestBookingsInAnyOrder(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	states := [][]string{{""}, {"1", "2"}, {"2"}, {"2", "3"}, {"1"}, {"1", "3"}}
	for round := range 12 {
		booking := fmt.Sprintf("B%d", round)
		order := rand.Perm(len(states))
		for _, i := range order {
			var outputs []string
			for _, unit := range states[i] {
				outputs = append(outputs, room(booking, unit, "L", "confirmed", i))
			}
			w.post(outputs...)
			if rand.IntN(2) == 0 {
				w.drain()
			}
		}
		w.drain()
		rows, _ := w.store.Pool().Query(t.Context(), `SELECT coalesce(unit, '') FROM reservations
			WHERE status = 'confirmed' AND (reservation_id = $1 OR booking_id = $1) ORDER BY 1`, booking)
		units, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || !slices.Equal(units, []string{"1", "3"}) {
			t.Errorf("%s in the order %v: confirmed units %q %v", booking, order, units, err)
		}
	}
}

// Fields that a PMS leaves out are kept; a room that is null is removed.
func TestOmittedFieldsEraseNothing(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.post(
		`{"reservation": {"reservation_id": "R", "status": "confirmed", "listing_id": "L", "guest_email": "jane@example.com", "guest_name": "Jane", "check_in": "2024-11-01T15:00:00Z", "check_out": "2024-11-04T11:00:00Z"}}`)
	w.drain()
	w.post(
		`{"reservation": {"reservation_id": "R", "status": "checked_in", "guest_email": "", "guest_name": null, "check_out": "2024-11-05T11:00:00Z"}}`)
	w.drain()
	r := w.reservation("R").Reservation
	if *r.ListingID != "L" || *r.GuestEmail != "jane@example.com" || *r.GuestName != "Jane" || r.CheckIn == nil ||
		r.CheckOut.Day() != 5 || r.Status != pms.Confirmed {
		t.Errorf("%s %s %s %s %s", *r.ListingID, *r.GuestEmail, *r.GuestName, r.CheckOut, r.Status)
	}
	w.post(`{"reservation": {"reservation_id": "R", "status": "confirmed", "listing_id": null}}`)
	w.drain()
	w.want("R confirmed -", "R")
	w.post(`{"listing": {"listing_id": "L", "name": "House", "time_zone": "Europe/Madrid", "check_in_time": "16:00"}}`)
	w.drain()
	w.post(`{"listing": {"listing_id": "L", "name": "Villa"}}`)
	w.drain()
	l, err := w.store.Listings.Get(context.Background(), stay.ListingRef{Source: "default", ListingID: "L"})
	if err != nil || *l.Name != "Villa" || *l.TimeZone != "Europe/Madrid" || *l.CheckInTime != "16:00" {
		t.Errorf("%+v %v", l, err)
	}
}

// Each class of status does what the configuration says, and an unknown status does nothing.
func TestStatuses(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	for class, want := range map[string]string{
		"confirmed": "confirmed", "checked_in": "confirmed", "cancelled": "cancelled", "no_show": "cancelled",
		"checked_out": "cancelled",
		"inquiry":     "none", "pending": "none", "other": "none",
	} {
		w.post(room("new-"+class, "", "L", class, 1))
		w.post(room("old-"+class, "", "L", "confirmed", 1))
		w.drain()
		w.post(room("old-"+class, "", "L", class, 2))
		w.drain()
		if got := w.stays("new-" + class); !strings.Contains(got, " "+want) {
			t.Errorf("%s, want %s", got, want)
		}
		if want == "none" {
			want = "confirmed"
		}
		if got := w.stays("old-" + class); !strings.Contains(got, " "+want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// The stays of a listing that was merged into another continue there, and so do those that still name the old one.
func TestListingsMerge(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.post(
		`{"listing": {"listing_id": "old", "name": "House", "time_zone": "Europe/Madrid", "seam_access_group_ids": ["g1"]}}`)
	w.post(room("R", "", "old", "confirmed", 1))
	w.drain()
	w.becomes(w.post(`{"merge": {"from": "old", "into": "new"}}`), "applied", "")
	w.want("R confirmed new", "R")
	l, err := w.store.Listings.Get(context.Background(), stay.ListingRef{Source: "default", ListingID: "new"})
	if err != nil || l.Groups()[0] != "g1" || *l.TimeZone != "Europe/Madrid" {
		t.Errorf("%+v %v", l, err)
	}
	w.post(room("late", "", "old", "confirmed", 1))
	w.drain()
	w.want("late confirmed new", "late")
	w.becomes(w.post(`{"merge": {"from": "new", "into": "old"}}`), "applied", "")
	w.want("R confirmed old, late confirmed old", "R", "late")
}

// A guest's new address reaches the guest's current stays, and only this source's.
func TestGuestsChange(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	stay := `{"reservation": {"reservation_id": %q, "status": "confirmed", "guest_id": "G", "guest_email": "old@example.com", "listing_id": "L", "check_in": %q, "check_out": %q, "version": "2024-10-20T08:00:00Z"}}`
	soon, later := time.Now().AddDate(0, 0, 3).Format("2006-01-02"), time.Now().AddDate(0, 0, 5).Format("2006-01-02")
	w.post(fmt.Sprintf(stay, "coming", soon+"T15:00:00Z", later+"T11:00:00Z"))
	w.post(fmt.Sprintf(stay, "over", "2024-01-01T15:00:00Z", "2024-01-03T11:00:00Z"))
	w.drain()
	w.becomes(
		w.post(`{"guest": {"guest_id": "G", "guest_email": "new@example.com", "version": "2024-10-20T08:30:00Z"}}`),
		"applied", "")
	if got := w.reservation("coming").Reservation; *got.GuestEmail != "new@example.com" {
		t.Errorf("%s", *got.GuestEmail)
	}
	if got := w.reservation("over").Reservation; *got.GuestEmail != "old@example.com" {
		t.Errorf("%s", *got.GuestEmail)
	}
	w.becomes(
		w.post(`{"guest": {"guest_id": "G", "guest_email": "older@example.com", "version": "2024-10-20T07:30:00Z"}}`),
		"superseded", "")
	w.becomes(w.post(`{"guest": {"guest_id": "nobody", "guest_email": "x@example.com"}}`), "ignored",
		"no current reservation")
}

// Each guest that a PMS names gets a reservation of the same room if that is configured, and loses it when no longer
// named.
func TestEveryGuest(t *testing.T) {
	t.Parallel()
	stay := `{"reservation": {"reservation_id": "R", "status": "confirmed", "listing_id": "L", "check_in": "2024-11-01T15:00:00Z", "check_out": "2024-11-04T11:00:00Z", "guests": [%s], "version": "2024-10-20T08:%02d:00Z"}}`
	joe := `{"guest_id": "joe", "guest_email": "joe@example.com"}`
	t.Run("wanted", func(t *testing.T) {
		t.Parallel()
		w := foreign(t, passThrough)
		w.source.Guests = true
		w.post(fmt.Sprintf(stay, joe+`, {"guest_name": "Ann"}`, 1))
		w.drain()
		w.want("R confirmed L, R_guest-joe confirmed L, R_guest-3 confirmed L", "R", "R_guest-joe", "R_guest-3")
		w.post(fmt.Sprintf(stay, joe, 2))
		w.drain()
		w.want("R confirmed L, R_guest-joe confirmed L, R_guest-3 cancelled L", "R", "R_guest-joe", "R_guest-3")
		w.post(room("R", "", "L", "cancelled", 3))
		w.drain()
		w.want("R cancelled L, R_guest-joe cancelled L", "R", "R_guest-joe")
	})
	t.Run("not wanted", func(t *testing.T) {
		t.Parallel()
		w := foreign(t, passThrough)
		w.post(fmt.Sprintf(stay, joe, 1))
		w.drain()
		w.want("R confirmed L, R_guest-joe none", "R", "R_guest-joe")
	})
}

// An event that a program can't map is kept with its reason and doesn't stop its neighbors; a slow one makes those
// after it wait for the next batch, but no longer.
func TestProgramsThatFail(t *testing.T) {
	t.Parallel()
	w := foreign(t, `.body.says[] | if .slow then [range(1e12)] | {ignore: "never"} else . end`)
	var bad []store.Event
	for range 15 {
		bad = append(bad, w.post(`{"slow": true}`))
	}
	wrong := w.post(`{"reservation": {"reservation_id": "R"}}`)
	good := w.post(room("R", "", "L", "confirmed", 1))
	w.becomes(good, "applied", "")
	w.becomes(wrong, "rejected", "reservation.status: is required")
	for _, e := range bad {
		w.becomes(e, "rejected", "was stopped")
	}
}

// A program that fails over one item of a list loses nothing else, and once it is corrected, a replay applies the rest.
func TestAFailingItem(t *testing.T) {
	t.Parallel()
	const program = `module {"type": ["type"]}; .body.says[] | {reservation: {reservation_id: .id, listing_id: "L", status: .status, guest_name: (.name + ""),
		check_in: "2024-11-01T15:00:00Z", check_out: (.out | %s + "T11:00:00Z")}}`
	w := foreign(t, fmt.Sprintf(program, "."))
	w.post(`{"id": "gone", "status": "confirmed", "out": "2024-11-04"}`,
		`{"id": "bad", "status": "confirmed", "out": "2024-11-04"}`)
	w.drain()
	w.now = w.now.Add(time.Minute)
	e := w.post(`{"id": "gone", "status": "cancelled", "out": 4}`,
		`{"id": "bad", "status": "confirmed", "out": 20241105}`,
		`{"id": "new", "status": "confirmed", "out": "2024-11-06", "name": 7}`, `[]`)
	w.becomes(e, stay.EventApplied, "applied, except for [1].reservation.check_out: the program failed here")
	w.want("gone cancelled L, bad confirmed L, new confirmed L", "gone", "bad", "new")
	notes := w.event(e).ReadNotes()
	if len(notes.Rejected) != 2 || notes.Rejected[0].ReservationID != "bad" ||
		notes.Rejected[1].Where != "[3].reservation" || len(notes.Notes) != 2 {
		t.Errorf("the event keeps %+v", notes)
	}
	if notes := intake.ReadNotes(w.reservation("bad").Reservation.Notes); len(notes) != 1 ||
		notes[0].EventID != e.EventID.String() {
		t.Errorf("the reservation's notes: %+v", notes)
	}
	corrected, err := pms.ParseFormat("own.jq", fmt.Sprintf(program,
		`tostring | if test("-") then . else "2024-11-05" end`))
	if err != nil {
		t.Fatal(err)
	}
	w.source.Format = corrected
	if _, err := w.store.Events.Replay(context.Background(), []store.Event{e},
		store.Audit{Author: "a test", Action: "replay"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.becomes(e, stay.EventApplied, "applied, except for [3].reservation.status: the program failed here")
	if out := w.reservation("bad").Reservation.CheckOut; out == nil || !out.Equal(instant("2024-11-05T11:00:00Z")) {
		t.Errorf("after the replay, the stay ends at %v", out)
	}
}

// An event that needs documents of its PMS waits, visibly, while fetching is not configured.
func TestNeedsFetch(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	e := w.post(`{"fetch": {"kind": "reservation", "id": "1"}}`)
	w.becomes(e, "accepted", "needs_fetch")
	list, err := w.store.Events.List(context.Background(), store.EventFilter{Status: []string{stay.EventAccepted}}, 0,
		10)
	if err != nil || len(list) != 1 || *list[0].Reason != "needs_fetch" {
		t.Errorf("%+v %v", list, err)
	}
	if n, oldest, err := w.store.Events.Backlog(context.Background(), nil); n != 0 || oldest != nil || err != nil {
		t.Errorf("it counts as a backlog: %d %v %v", n, oldest, err)
	}
}

// A change of a listing's time zone moves the stays that were specified in local time.
func TestAListingsZoneMovesItsStays(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.post(`{"listing": {"listing_id": "L", "time_zone": "Europe/Madrid"}}`)
	w.post(
		`{"reservation": {"reservation_id": "R", "status": "confirmed", "listing_id": "L", "check_in": {"date": "2025-03-30", "time": "02:30"}, "check_out": {"date": "2025-10-26", "time": "02:30"}}}`,
		`{"reservation": {"reservation_id": "own", "status": "confirmed", "listing_id": "L", "check_in": {"date": "2025-03-30", "time": "02:30", "time_zone": "Asia/Tokyo"}, "check_out": {"date": "2025-10-26"}}}`)
	w.drain()
	moments := func(id, in, out string) {
		t.Helper()
		r := w.reservation(id).Reservation
		if pms.FormatInstant(*r.CheckIn) != in || pms.FormatInstant(*r.CheckOut) != out {
			t.Errorf("%s: %s to %s, want %s to %s", id, pms.FormatInstant(*r.CheckIn), pms.FormatInstant(*r.CheckOut),
				in, out)
		}
	}
	moments("R", "2025-03-30T01:30:00.000Z", "2025-10-26T00:30:00.000Z") // the missing hour, and the first of two
	w.post(`{"listing": {"listing_id": "L", "time_zone": "America/New_York"}}`)
	w.drain()
	moments("R", "2025-03-30T06:30:00.000Z", "2025-10-26T06:30:00.000Z")
	moments("own", "2025-03-29T17:30:00.000Z", "2025-10-26T15:00:00.000Z")
}

// Events that wait for a source that was removed from the configuration say so.
func TestARemovedSource(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	e := w.post(room("R", "", "L", "confirmed", 1))
	format := w.source.Format
	w.source.Format = nil
	w.becomes(e, "rejected", "no longer has a format")
	w.source.Format = format
	if _, err := w.store.Events.Replay(context.Background(), []store.Event{e},
		store.Audit{Author: "a test", Action: "replay"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.becomes(e, "applied", "")
}

// What a PMS sends is kept as the database takes it: a type with a NUL, ids that are too long together, and reasons
// of any length.
func TestOddTextsAreStored(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.source.Guests = true
	const dates = `"check_in":"2024-11-01T15:00:00Z","check_out":"2024-11-04T11:00:00Z"`
	long := strings.Repeat("x", 200)
	e := w.insert(store.Event{Request: []byte(`{}`), Body: []byte(`{"type":"a\u0000b","says":[
		{"reservation":{"reservation_id":"r","listing_id":"l","status":"confirmed",` + dates +
		`,"guests":[{"guest_id":"` + long + `"},{"guest_id":"g"}]}},
		{"reservation":{"reservation_id":"` + long + `","listing_id":"l","status":"confirmed",` + dates +
		`,"guests":[{"guest_id":"g"}]}}]}`)})
	w.becomes(e, stay.EventApplied, "")
	w.want("r confirmed l, r_guest-g confirmed l, "+long+" confirmed l", "r", "r_guest-g", long)
	if notes := w.event(e).ReadNotes().Notes; len(notes) != 2 || !strings.Contains(notes[0].Problem, "too long") {
		t.Errorf("notes: %+v", notes)
	}

	wrong := slices.Repeat(
		[]string{
			`{"reservation":{"reservation_id":"r","listing_id":"l","status":"confirmed","check_in":"soon","check_out":"later"}}`,
		}, 500)
	e = w.post(wrong...)
	w.becomes(e, stay.EventRejected, "and 9")
	if reason := w.event(e).Reason; len(*reason) > 2000 {
		t.Errorf("a reason of %d bytes", len(*reason))
	}
}
