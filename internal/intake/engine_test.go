package intake_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/logs/logtest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (w *world) event(e store.Event) store.Event {
	w.t.Helper()
	got, err := w.store.Events.Get(context.Background(), e.EventID)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) insert(e store.Event) store.Event {
	w.t.Helper()
	e.EventID, e.Status, e.ReceivedAt = uuid.New(), stay.EventAccepted, w.now
	if e.Source == "" {
		e.Source = "default"
	}
	if _, err := w.store.Events.Insert(context.Background(), []store.Event{e}); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// later posts a body a minute after the one before it, and applies it.
func (w *world) later(body []byte) store.Event {
	w.t.Helper()
	w.now = w.now.Add(time.Minute)
	e := w.insert(store.Event{Body: body, Request: []byte(`{}`)})
	w.drain()
	return e
}

// step is a body that is posted, the status that its event gets, and what the reservation r is then.
type step struct {
	body         []byte
	status, want string
}

// follows posts bodies one after another.
func (w *world) follows(steps []step) {
	w.t.Helper()
	for i, c := range steps {
		if got := w.event(w.later(c.body)); got.Status != c.status || w.stays("r") != c.want {
			w.t.Errorf("event %d: %s (%s), %s; want %s, %s", i, got.Status, deref(got.Reason), w.stays("r"),
				c.status, c.want)
		}
	}
}

// An import is dated by its timestamps, whatever the source's format: later than what was posted before, earlier than
// what is posted after.
func TestImportsHaveTheirTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	imported := func(body string) store.Event {
		return w.insert(store.Event{
			Type: "reservation.updated", Body: []byte(body),
			Request: []byte(`{"format":"staykey"}`),
		})
	}
	w.put("default", update("r", 1, "old")) // posted: 08:01
	w.drain()
	w.becomes(imported(update("r", 30, "new")), stay.EventApplied, "") // the file was true at 08:30
	w.want("r confirmed new", "r")
	w.becomes(imported(update("r", 20, "older")), stay.EventSuperseded, "")
	imported(update("q", 30, "new"))
	w.drain()
	w.put("default", update("q", 1, "old")) // a webhook of 08:01 that arrives late
	w.drain()
	w.want("q confirmed new", "q")
}

// A guest that a PMS reports separately, in any order and in any batches: the reservation has the guest's latest
// address.
func TestGuestsInAnyOrder(t *testing.T) {
	t.Parallel()
	const (
		booked = `{"reservation":{"reservation_id":"r","listing_id":"l","status":"confirmed","guest_id":"g","check_in":"2030-11-01T15:00:00Z","check_out":"2030-11-04T11:00:00Z","version":"2024-10-20T07:01:00Z"}}`
		first  = `{"guest":{"guest_id":"g","guest_email":"old@example.com","guest_name":"Jane","version":"2024-10-20T07:02:00Z"}}`
		last   = `{"guest":{"guest_id":"g","guest_email":"jane@example.com","version":"2024-10-20T07:03:00Z"}}`
	)
	for _, order := range [][]string{
		{booked, first, last},
		{booked, last, first},
		{first, booked, last},
		{last, booked, first},
		{first, last, booked},
		{last, first, booked},
	} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprint(order[0][2:6], order[1][2:6], order[2][2:6], together), func(t *testing.T) {
				t.Parallel()
				w := foreign(t, passThrough)
				for _, output := range order {
					w.post(output)
					if !together {
						w.drain()
					}
				}
				w.drain()
				if r := w.reservation("r").Reservation; deref(r.GuestEmail) != "jane@example.com" {
					t.Errorf("e-mail %q", deref(r.GuestEmail))
				}
			})
		}
	}
}

// A guest's event fills in what the reservation doesn't say, even if it is older than the reservation.
func TestOlderGuestsOfLaterReservations(t *testing.T) {
	t.Parallel()
	const (
		booked = `{"reservation":{"reservation_id":"r","listing_id":"l","status":"confirmed","guest_id":"g","guest_name":"J. Doe","check_in":"2030-11-01T15:00:00Z","check_out":"2030-11-04T11:00:00Z","version":"2024-10-20T07:05:00Z"}}`
		guest  = `{"guest":{"guest_id":"g","guest_email":"jane@example.com","guest_name":"Jane","version":"2024-10-20T07:02:00Z"}}`
	)
	for _, order := range [][]string{{booked, guest}, {guest, booked}} {
		w := foreign(t, passThrough)
		for _, output := range order {
			w.post(output)
			w.drain()
		}
		if r := w.reservation("r").Reservation; deref(r.GuestEmail) != "jane@example.com" ||
			deref(r.GuestName) != "J. Doe" {
			t.Errorf("%s first: e-mail %q, name %q", order[0][2:7], deref(r.GuestEmail), deref(r.GuestName))
		}
	}
}

// Listings that are merged one after another: their stays end up at the last one, however often the change is fanned
// out in between.
func TestMergedTwice(t *testing.T) {
	t.Parallel()
	for _, between := range []bool{false, true} {
		w := foreign(t, passThrough)
		for _, l := range []string{"a", "b", "c"} {
			w.post(fmt.Sprintf(
				`{"listing":{"listing_id":%q,"seam_access_group_ids":["g%s"],"version":"2024-10-20T07:00:00Z"}}`, l, l))
		}
		w.post(
			`{"reservation":{"reservation_id":"r","listing_id":"a","status":"confirmed","check_in":"2024-11-01T15:00:00Z","check_out":"2024-11-04T11:00:00Z"}}`)
		w.drain()
		w.post(`{"merge":{"from":"a","into":"b","version":"2024-10-20T07:10:00Z"}}`)
		if between {
			w.drain()
		}
		w.post(`{"merge":{"from":"b","into":"c","version":"2024-10-20T07:20:00Z"}}`)
		w.drain()
		w.want("r confirmed c", "r")
	}
}

// The items of an event are applied one by one. Items that can't be read are noted at the event and its reservation,
// and a replay tries them again.
func TestItemsOneByOne(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	booked := func(id, status, out string) string {
		return fmt.Sprintf(
			`{"reservation":{"reservation_id":%q,"listing_id":"l","status":%q,"check_in":"2024-11-01T15:00:00Z","check_out":%q}}`, id, status, out)
	}
	w.post(booked("r1", "confirmed", "2024-11-04T11:00:00Z"), booked("r3", "confirmed", "2024-11-04T11:00:00Z"))
	w.drain()
	w.now = w.now.Add(time.Minute)
	e := w.post(booked("r1", "cancelled", "2024-11-04T11:00:00Z"), booked("r2", "confirmed", "2024-11-04T11:00:00Z"),
		booked("r3", "confirmed", "the fourth"))
	w.becomes(e, stay.EventApplied, "applied, except for [2].reservation.check_out")
	w.want("r1 cancelled l, r2 confirmed l, r3 confirmed l", "r1", "r2", "r3")
	if notes := w.event(e).ReadNotes(); len(notes.Rejected) != 1 || notes.Rejected[0].ReservationID != "r3" {
		t.Errorf("the event keeps %+v", notes)
	}
	notes := intake.ReadNotes(w.reservation("r3").Reservation.Notes)
	if len(notes) == 0 || notes[0].EventID != e.EventID.String() ||
		!strings.Contains(notes[0].Problem, "could not be read") {
		t.Errorf("the reservation's notes: %+v", notes)
	}
	items, err := w.store.Reservations.Timeline(context.Background(), stay.Ref{Source: "default", ReservationID: "r3"},
		0, 10)
	if err != nil || len(items) != 2 || items[0].Summary != "posted rejected" {
		t.Errorf("the timeline: %+v %v", items, err)
	}
	for _, id := range []string{"r1", "r2", "r3"} { // the event is found by each of them
		list, err := w.store.Events.List(context.Background(), store.EventFilter{
			ReservationID: id,
			Source:        []string{"default"},
		}, 0, 1)
		if err != nil || len(list) != 1 || list[0].EventID != e.EventID {
			t.Errorf("events of %s: %v %+v", id, err, list)
		}
	}
	// If it is the only item, the event is rejected, but still tied to its reservation.
	e = w.post(booked("r3", "confirmed", "the fifth"))
	w.becomes(e, stay.EventRejected, "check_out")
	if got := w.event(e); deref(got.ReservationID) != "r3" {
		t.Errorf("the rejected event is about %q", deref(got.ReservationID))
	}
	w.post(booked("r3", "confirmed", "2024-11-05T11:00:00Z"))
	w.drain()
	if notes := w.reservation("r3").Reservation.Notes; notes != nil {
		t.Errorf("after the item was understood, notes are left: %s", notes)
	}
}

// An unknown status changes nothing, and shows on a reservation that has a key.
func TestAnUnknownStatusIsVisible(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.post(room("B", "", "L", "confirmed", 1))
	w.becomes(w.post(room("B", "", "L", "other", 2)), stay.EventIgnored, "(other)")
	w.want("B confirmed L", "B")
	if notes := intake.ReadNotes(w.reservation("B").Reservation.Notes); len(notes) != 1 || notes[0].Field != "status" {
		t.Errorf("notes %+v", notes)
	}
}

// With a PMS that gives its events neither an id nor a time, a repeated body can't bring a cancelled stay back; edits
// back and forth are applied while the stay is confirmed.
func TestRepeatedBodies(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	booked := func(status, listing string) []byte {
		return fmt.Appendf(nil,
			`{"type":"posted","says":[{"reservation":{"reservation_id":"r","listing_id":%q,"status":%q,"check_in":"2024-11-01T15:00:00Z","check_out":"2024-11-04T11:00:00Z"}}]}`, listing, status)
	}
	w.follows([]step{
		{booked("confirmed", "a"), stay.EventApplied, "r confirmed a"},
		{booked("confirmed", "b"), stay.EventApplied, "r confirmed b"},
		{booked("confirmed", "a"), stay.EventApplied, "r confirmed a"},
		{booked("cancelled", "a"), stay.EventApplied, "r cancelled a"},
		{booked("confirmed", "a"), stay.EventIgnored, "r cancelled a"},
		{booked("confirmed", "b"), stay.EventIgnored, "r cancelled a"},
		{booked("confirmed", "c"), stay.EventApplied, "r confirmed c"},
	})
}

// A repeated item of a list is recognized alone, among others, and however its list is spaced; another item is not.
func TestRepeatedItems(t *testing.T) {
	t.Parallel()
	booked := func(id, status, listing string) string {
		return fmt.Sprintf(
			`{"reservation":{"reservation_id":%q,"listing_id":%q,"status":%q,"check_in":"2024-11-01T15:00:00Z","check_out":"2024-11-04T11:00:00Z"}}`, id, listing, status)
	}
	a, b, c := booked("r", "confirmed", "a"), booked("s", "confirmed", "b"), booked("r", "confirmed", "c")
	gone := booked("r", "cancelled", "a")
	for _, form := range []struct{ program, list string }{
		{passThrough, `{"type":"posted","says":[%s]}`},
		{`.body | (if type == "array" then .[] else . end)`, `[%s]`},
	} {
		for _, step := range []struct {
			why   string
			posts []string
			want  string
		}{
			{"alone, after a list", []string{a + "," + b, gone, a}, "r cancelled a"},
			{"in a list, after one alone", []string{a, gone, b + "," + a}, "r cancelled a"},
			{"in another order", []string{a + "," + b, gone, b + "," + a}, "r cancelled a"},
			{"another item", []string{a + "," + b, gone, c + "," + b}, "r confirmed c"},
			{"spaced", []string{a, gone, strings.ReplaceAll(a, ",", " , ")}, "r cancelled a"},
		} {
			w := foreign(t, form.program)
			for _, items := range step.posts {
				w.later(fmt.Appendf(nil, form.list, items))
			}
			if got := w.stays("r"); got != step.want {
				t.Errorf("%s, %s: %s, want %s", form.list, step.why, got, step.want)
			}
		}
	}
	// A body that is an item, and later one of a list.
	w := foreign(t, `.body | (if type == "array" then .[] else . end)`)
	for _, body := range []string{a, "[" + gone + "]", "[" + b + "," + a + "]"} {
		w.later([]byte(body))
	}
	w.want("r cancelled a, s confirmed b", "r", "s")
}

// The same if the PMS's time is ahead, as a local time without a zone is in half of the world: the time of receipt
// counts.
func TestRepeatedBodiesOfAClockAhead(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	booked := func(status, version string) []byte {
		return fmt.Appendf(nil,
			`{"type":"posted","says":[{"reservation":{"reservation_id":"r","listing_id":"l","status":%q,"check_in":"2024-11-01T15:00:00Z","check_out":"2024-11-04T11:00:00Z","version":%q}}]}`, status, version)
	}
	w.follows([]step{
		{booked("confirmed", "2024-10-20 11:01:00"), stay.EventApplied, "r confirmed l"},
		{booked("cancelled", "2024-10-20 11:02:00"), stay.EventApplied, "r cancelled l"},
		{booked("confirmed", "2024-10-20 11:01:00"), stay.EventIgnored, "r cancelled l"},
		{booked("confirmed", "2024-10-20 11:04:00"), stay.EventApplied, "r confirmed l"},
	})
}

// A PMS's time can't be compared with a time of receipt: a cancel that is received after an event without a time
// counts, whatever time it has. With times of the PMS's own, also of a clock ahead, a late cancel is superseded.
func TestCancelsAfterEventsWithoutATime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ before, want string }{
		{"", "r cancelled l"},
		{"2024-10-20 07:30:00", "r confirmed l"},
		{"2024-10-20 23:30:00", "r confirmed l"}, // it counts from its receipt, by the PMS's clock
	} {
		w := foreign(t, passThrough)
		w.now = w.now.Add(1234 * time.Microsecond)
		for _, says := range [][2]string{{"confirmed", c.before}, {"cancelled", "2024-10-20 07:00:00"}} {
			w.now = w.now.Add(time.Minute)
			w.insert(store.Event{Body: fmt.Appendf(nil,
				`{"type":"posted","says":[{"reservation":{"reservation_id":"r","listing_id":"l","status":%q,"check_in":"2024-11-01T15:00:00Z","check_out":"2024-11-04T11:00:00Z","version":%q}}]}`, says[0], says[1]), Request: []byte(`{}`)})
			w.drain()
		}
		if got := w.stays("r"); got != c.want {
			t.Errorf("after an event of %q: %s, want %s", c.before, got, c.want)
		}
	}
}

// The query distinguishes events without a body, and documents that were fetched are never a repetition, even if
// their webhooks look the same: a stay that is booked again gets its key.
func TestNewsThatLooksRepeated(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const says = `{"reservation": {"reservation_id": "r", "listing_id": "l", "status": (%s), "check_in": "2030-11-01T15:00:00Z", "check_out": "2030-11-04T11:00:00Z"}}`

	w := foreign(t, `module {"accepts": ["query"]}; `+fmt.Sprintf(says, ".query.status"))
	for _, c := range []struct{ why, query, status, want string }{
		{"booked", `{"status": "confirmed", "n": "1"}`, stay.EventApplied, "r confirmed l"},
		{"cancelled", `{"status": "cancelled", "n": "2"}`, stay.EventApplied, "r cancelled l"},
		{
			"the first query again, in another order",
			`{"n": "1", "status": "confirmed"}`, stay.EventIgnored, "r cancelled l",
		},
		{"booked again, with another query", `{"status": "confirmed", "n": "3"}`, stay.EventApplied, "r confirmed l"},
	} {
		w.now = w.now.Add(time.Minute)
		e := w.insert(store.Event{Body: []byte{}, Request: []byte(`{"kind": "query", "query": ` + c.query + `}`)})
		w.drain()
		if got := w.event(e); got.Status != c.status || w.stays("r") != c.want {
			t.Errorf("%s: %s (%s), %s; want %s, %s", c.why, got.Status, deref(got.Reason), w.stays("r"),
				c.status, c.want)
		}
	}

	w = foreign(t, `if .fetched then `+fmt.Sprintf(says, ".fetched.booking[0]")+
		` else {"fetch": {"kind": "booking", "id": "r"}} end`)
	for _, status := range []string{pms.Confirmed, pms.Cancelled, pms.Confirmed} {
		w.now = w.now.Add(time.Minute)
		e := w.insert(store.Event{Body: []byte(`{}`), Request: []byte(`{}`)})
		w.drain()
		waiting, err := w.store.Fetches.Get(ctx, e.EventID)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.Fetches.Fetched(ctx, waiting, []byte(`{"booking": ["`+status+`"]}`)); err != nil {
			t.Fatal(err)
		}
		w.becomes(e, stay.EventApplied, "")
		w.want("r "+status+" l", "r")
	}
}

// A stay that its PMS reports as checked in has begun: at the time of the report, and never later than planned; later
// events that don't mention it don't change that.
func TestCheckedIn(t *testing.T) {
	t.Parallel()
	const planned, out = "2024-10-20T15:00:00Z", "2024-10-23T11:00:00Z"
	booked := func(minute int, class, in, more string) string {
		return fmt.Sprintf(
			`{"reservation":{"reservation_id":"r","listing_id":"l","status":%q,"check_in":%q,"check_out":%q,"version":"2024-10-20T07:%02d:00Z"%s}}`, class, in, out, minute, more)
	}
	for name, c := range map[string]struct {
		events []string
		want   string
	}{
		"not yet": {[]string{booked(1, "confirmed", planned, "")}, "2024-10-20T15:00:00Z"},
		"at the time of the report": {[]string{
			booked(1, "confirmed", planned, ""),
			booked(2, "checked_in", planned, ""),
		}, "2024-10-20T07:02:00Z"},
		"kept by later events": {[]string{
			booked(2, "checked_in", planned, ""),
			booked(3, "confirmed", planned, ""),
		}, "2024-10-20T07:02:00Z"},
		"the first report counts": {[]string{
			booked(2, "checked_in", planned, ""),
			booked(3, "checked_in", planned, ""),
		}, "2024-10-20T07:02:00Z"},
		"never later than planned": {
			[]string{booked(2, "checked_in", "2024-10-20T06:00:00Z", "")},
			"2024-10-20T06:00:00Z",
		},
		"moved to other days": {[]string{
			booked(2, "checked_in", planned, ""),
			booked(3, "confirmed", "2024-10-22T15:00:00Z", ""),
		}, "2024-10-22T15:00:00Z"},
		"cancelled, and then booked again": {[]string{
			booked(2, "checked_in", planned, ""),
			booked(3, "cancelled", planned, ""), booked(4, "confirmed", planned, ""),
		}, "2024-10-20T15:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := foreign(t, passThrough)
			for _, e := range c.events {
				w.post(e)
			}
			w.drain()
			if in := w.reservation("r").Reservation.CheckIn; in == nil || !in.Equal(instant(c.want)) {
				t.Errorf("check-in %v, want %s", in, c.want)
			}
		})
	}
}

func instant(s string) time.Time {
	t, err := pms.ParseInstant(s)
	if err != nil {
		panic(err)
	}
	return t
}

// A large event is not read together with many others: a batch is bounded by bytes, and has at least one event.
func TestClaimsAreBoundedByBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pad := strings.Repeat("x", 1<<20-2000)
	const n = 12
	for i := range n {
		body := strings.Replace(update(fmt.Sprint("r", i), 1, "l"), `"data"`, `"pad":"`+pad+`","data"`, 1)
		w.insert(store.Event{Type: "reservation.updated", Body: []byte(body)})
	}
	var batches []int
	for total := 0; total < n; {
		tx := storetest.Begin(t, w.store)
		got, err := store.ClaimEvents(t.Context(), tx, store.Claim{
			Events: 250, Bytes: 4 << 20, Now: w.now,
			LockWait: time.Minute,
		})
		if err != nil || len(got.Events) == 0 {
			t.Fatalf("%d events, %v", len(got.Events), err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		total += len(got.Events)
		batches = append(batches, len(got.Events))
	}
	for _, size := range batches {
		if size > 5 {
			t.Errorf("batches of %v events of 1 MiB", batches)
		}
	}
}

// A row that somebody has locked and forgotten holds up the events about it, in their order, and no others; the log
// says who holds the lock.
func TestALockedRowHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	for table, lock := range map[string]string{
		"reservations": `SELECT FROM reservations WHERE reservation_id = 'locked' FOR UPDATE`,
		"listings":     `SELECT FROM listings WHERE listing_id = 'of locked' FOR UPDATE`,
		"mobile_keys":  `SELECT FROM mobile_keys WHERE reservation_id = 'locked' FOR UPDATE`,
	} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			w := newWorldWithLocks(t)
			book := &logtest.Buffer{}
			w.applier = intake.NewApplier(w.store, slog.New(slog.NewTextHandler(book, nil)), w.options())
			w.put("default", update("locked", 1, "of locked"))
			w.drain()
			forgotten := storetest.Begin(t, w.store)
			if _, err := forgotten.Exec(t.Context(), lock); err != nil {
				t.Fatal(err)
			}
			// Among others, five events about the locked object, over several turns.
			var waiting []store.Event
			for i := range 5 {
				waiting = append(waiting, w.put("default", update("locked", 10+i, "of locked")))
			}
			for i := range 20 {
				w.put("default", update(fmt.Sprint("free", i), 1, "l"))
			}
			w.drain()
			for i := range 20 {
				w.want(fmt.Sprintf("free%d confirmed l", i), fmt.Sprint("free", i))
			}
			for _, e := range waiting {
				if got := w.event(e); got.Status != stay.EventAccepted ||
					!strings.Contains(deref(got.Reason), "locked") {
					t.Errorf("%s: %s", got.Status, deref(got.Reason))
				}
			}
			pid := fmt.Sprint("blocked_by.pid=", forgotten.Conn().PgConn().PID())
			for !strings.Contains(book.String(), pid) { // tried repeatedly until the blocker is seen
				w.now = w.now.Add(time.Minute)
				w.drain()
			}
			if !strings.Contains(book.String(), "in relation") ||
				!strings.Contains(book.String(), "reservation/default/locked") {
				t.Errorf("the log doesn't name the row:\n%s", book.String())
			}
			if err := forgotten.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.now = w.now.Add(time.Minute)
			w.drain()
			for _, e := range waiting {
				if got := w.event(e); got.Status != stay.EventApplied {
					t.Errorf("once it is free: %s: %s", got.Status, deref(got.Reason))
				}
			}
		})
	}
}

// However often an event had to wait, it is tried again within five seconds: its lock may be released at any time.
func TestAPostponedEventIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	w := newWorldWithLocks(t)
	w.applier = intake.NewApplier(w.store, slog.New(slog.DiscardHandler), w.options())
	w.put("default", update("locked", 1, "l"))
	w.drain()
	forgotten := storetest.Begin(t, w.store)
	if _, err := forgotten.Exec(t.Context(),
		`SELECT FROM reservations WHERE reservation_id = 'locked' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	w.put("default", update("locked", 2, "l"))
	last := 0
	for range 8 {
		w.drain()
		var tries int
		var next time.Time
		if err := w.store.Pool().QueryRow(t.Context(), `SELECT tries, not_before FROM event_queue`).Scan(&tries,
			&next); err != nil {
			t.Fatal(err)
		}
		if wait := next.Sub(w.now); tries != last+1 || wait <= 0 || wait > 5*time.Second {
			t.Errorf("try %d, the next in %s", tries, wait)
		}
		last, w.now = tries, next
	}
}

// An event that waits alone for a lock is reported with who holds it, too.
func TestALockedRowIsReportedForALoneEvent(t *testing.T) {
	t.Parallel()
	w := newWorldWithLocks(t)
	book := &logtest.Buffer{}
	w.applier = intake.NewApplier(w.store, slog.New(slog.NewTextHandler(book, nil)), w.options())
	w.put("default", update("locked", 1, "l"))
	w.drain()
	forgotten := storetest.Begin(t, w.store)
	if _, err := forgotten.Exec(t.Context(),
		`SELECT FROM reservations WHERE reservation_id = 'locked' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	w.put("default", update("locked", 2, "l"))
	pid := fmt.Sprint("blocked_by.pid=", forgotten.Conn().PgConn().PID())
	for !strings.Contains(book.String(), pid) { // it is tried repeatedly until somebody is seen
		w.drain()
		w.now = w.now.Add(time.Minute)
	}
}

func listingOf(id string, at int, group string) string {
	return fmt.Sprintf(
		`{"type":"listing.updated","timestamp":"2024-10-20T08:%02d:00Z","data":{"listing_id":%q,"seam_access_group_ids":[%q]}}`, at, id, group)
}

// A listing's change reaches the stays that are not locked, and the others once they are free.
func TestFanOutPassesOverWhatIsLocked(t *testing.T) {
	t.Parallel()
	w := newWorldWithLocks(t)
	w.put("default", listingOf("l", 1, "g1"))
	for i := range 5 {
		w.put("default", update(fmt.Sprint("r", i), 2, "l"))
	}
	w.drain()
	forgotten := storetest.Begin(t, w.store)
	if _, err := forgotten.Exec(t.Context(),
		`SELECT FROM reservations WHERE reservation_id = 'r2' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	w.put("default", listingOf("l", 3, "g2"))
	w.drain()
	notUpdated := func() (n int) {
		if err := w.store.Pool().QueryRow(t.Context(),
			`SELECT count(*) FROM reservations r JOIN listings l USING (source, listing_id) WHERE r.listing_generation < l.generation`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := notUpdated(); n != 1 {
		t.Errorf("%d stays were not updated, want the locked one", n)
	}
	if err := forgotten.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.drain()
	if n := notUpdated(); n != 0 {
		t.Errorf("%d stays were not updated", n)
	}
}

// If a worker is writing to the only stay that is left, its change is not postponed: the stay is reached as soon as
// the write is committed.
func TestFanOutWaitsForTheLastStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("default", update("r", 2, "l"))
	w.drain()
	begin := func() pgx.Tx {
		tx := storetest.Begin(t, w.store)
		return tx
	}
	worker, fanOut := begin(), begin()
	if _, err := worker.Exec(t.Context(),
		`SELECT FROM mobile_keys WHERE reservation_id = 'r' FOR NO KEY UPDATE`); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		reached int
		err     error
	}
	answers := make(chan answer, 1)
	go func() {
		stays, err := store.LockStaysOfGeneration(context.Background(), fanOut,
			stay.ListingRef{Source: "default", ListingID: "l"}, 100, w.now, 10)
		answers <- answer{len(stays), err}
	}()
	pid := int(fanOut.Conn().PgConn().PID())
	until.True(t, "the stay to be waited for", func() bool {
		select {
		case a := <-answers:
			t.Fatalf("it was not waited for: %+v", a)
		default:
		}
		blockers, err := w.store.Blockers(t.Context(), pid)
		return err == nil && len(blockers) == 1
	})
	if err := worker.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := <-answers; a.err != nil || a.reached != 1 {
		t.Errorf("reached %d stays: %v", a.reached, a.err)
	}
}

// A new policy reaches the stays that are not locked, and doesn't hold up events for the others.
func TestFollowingPassesOverWhatIsLocked(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"a stay":    `SELECT FROM reservations WHERE reservation_id = 'r2' FOR UPDATE`,
		"a listing": `SELECT FROM listings WHERE listing_id = 'l2' FOR UPDATE`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldWithLocks(t)
			for i := range 5 {
				w.put("default", update(fmt.Sprint("r", i), 2, fmt.Sprint("l", i)))
			}
			w.drain()
			w.source.Policy.TimeZone = "Europe/Berlin"
			p := store.SourcePolicy{Source: "default", Fingerprint: w.source.Policy.Fingerprint()}
			if _, err := w.store.Policies.Decide(t.Context(), []store.SourcePolicy{p}); err != nil {
				t.Fatal(err)
			}
			forgotten := storetest.Begin(t, w.store)
			if _, err := forgotten.Exec(t.Context(), lock); err != nil {
				t.Fatal(err)
			}
			w.put("default", update("new", 3, "l"))
			w.drain()
			w.want("new confirmed l", "new")
			notUpdated := func() (n int) {
				if err := w.store.Pool().QueryRow(t.Context(),
					`SELECT count(*) FROM reservations WHERE policy IS DISTINCT FROM $1`,
					p.Fingerprint).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			if n := notUpdated(); n != 1 {
				t.Errorf("%d stays have not followed, want the locked one", n)
			}
			if err := forgotten.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.drain()
			if n := notUpdated(); n != 0 {
				t.Errorf("%d stays have not followed", n)
			}
		})
	}
}

// A stay of several rooms has the present room's listing, and moves automatically when the next room's time comes.
func TestSegments(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.source.Policy.TimeZone = "UTC"
	const booked = `{"reservation":{"reservation_id":"r","status":"confirmed","check_in":"2024-10-20T15:00:00Z","check_out":"2024-10-23T11:00:00Z",
		"segments":[{"listing_id":"a"},{"listing_id":"b","from":"2024-10-21T15:00:00Z"},{"listing_id":null,"from":"2024-10-22T12:00:00Z"},{"listing_id":"c","from":"2024-10-22T15:00:00Z"}]}}`
	w.becomes(w.post(booked), stay.EventApplied, "")
	for _, c := range []struct{ at, want string }{
		{"2024-10-20T16:00:00Z", "r confirmed a"},
		{"2024-10-21T14:59:59Z", "r confirmed a"},
		{"2024-10-21T15:00:00Z", "r confirmed b"},
		{"2024-10-22T13:00:00Z", "r confirmed b"}, // the next room isn't assigned: the guest keeps the previous one
		{"2024-10-22T15:00:00Z", "r confirmed c"},
		{"2024-10-23T12:00:00Z", "r confirmed c"},
	} {
		w.now = instant(c.at)
		w.drain()
		if got := w.stays("r"); got != c.want {
			t.Errorf("at %s: %s, want %s", c.at, got, c.want)
		}
	}
	if due := w.reservation("r").Reservation.SegmentDue; due != nil {
		t.Errorf("it moves again at %v", due)
	}
}

// A stay of several rooms has the times of its property. If the property's time zone changes, the stay follows, both
// in its present room and in the times of its moves; even while its first room is not assigned and it has no listing
// of its own.
func TestSegmentsFollowTheirListings(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.now = instant("2024-10-21T14:30:00Z")
	zone := func(listing, zone string) {
		t.Helper()
		w.becomes(w.post(`{"listing": {"listing_id": "`+listing+`", "time_zone": "`+zone+`"}}`), stay.EventApplied, "")
	}
	booked := func(id, first, second string) {
		w.becomes(w.post(`{"reservation":{"reservation_id":"`+id+`","status":"confirmed","listing_id":`+first+
			`,"check_in":"2024-10-20","check_out":"2024-10-23",
			"segments":[{"listing_id":`+first+`},{"listing_id":"`+second+`","from":"2024-10-21"}]}}`),
			stay.EventApplied, "")
	}
	for _, listing := range []string{"a", "b", "old"} {
		zone(listing, "America/New_York")
	}
	booked("assigned", `"a"`, "b")
	booked("unassigned", `null`, "b")
	booked("nowhere", `null`, "new")
	w.becomes(w.post(`{"merge": {"from": "old", "into": "b"}}`), stay.EventApplied, "")
	booked("merged", `null`, "old")
	check := func(id, want, starts string) {
		t.Helper()
		r := w.reservation(id).Reservation
		got := "-"
		if r.CheckIn != nil {
			got = pms.FormatInstant(*r.CheckIn)
		}
		if stays := w.stays(id); stays != want || got != starts {
			t.Errorf("%s from %s, want %s from %s", stays, got, want, starts)
		}
	}
	check("assigned", "assigned confirmed a", "2024-10-20T19:00:00.000Z")
	check("unassigned", "unassigned confirmed -", "2024-10-20T19:00:00.000Z")
	check("merged", "merged confirmed -", "2024-10-20T19:00:00.000Z")
	check("nowhere", "nowhere confirmed -", "-")
	zone("a", "Europe/Madrid") // where it is already time for the second room
	zone("b", "Europe/Madrid")
	zone("new", "Europe/Madrid")
	check("assigned", "assigned confirmed b", "2024-10-20T13:00:00.000Z")
	check("unassigned", "unassigned confirmed b", "2024-10-20T13:00:00.000Z")
	check("merged", "merged confirmed b", "2024-10-20T13:00:00.000Z")
	check("nowhere", "nowhere confirmed new", "2024-10-20T13:00:00.000Z")
	zone("b", "America/New_York") // and where it is not
	check("assigned", "assigned confirmed a", "2024-10-20T13:00:00.000Z")
}

// A mapping that runs out of time is postponed with its order kept, and tried again later; the events after it
// continue. It is rejected only after several tries.
func TestMappingsThatTakeTooLong(t *testing.T) {
	t.Parallel()
	w := foreign(t,
		`module {"type": ["type"]}; if .body.type == "slow" then reduce range(5000) as $n (0; . + 1) | empty else empty end, .body.says[]`)
	patient, hurried := w.source.Format, *w.source.Format
	hurried.LongestRun = time.Nanosecond
	slow := func(id string) store.Event {
		return w.insert(store.Event{
			Type: "slow", Request: []byte(`{}`),
			Body: []byte(`{"type": "slow", "says": [` + room(id, "", "L", "confirmed", 1) + `]}`),
		})
	}
	tries := func(e store.Event) int {
		got := w.event(e)
		if got.Status != stay.EventAccepted {
			t.Fatalf("%s %s", got.Status, deref(got.Reason))
		}
		return got.Tries
	}

	w.source.Format = &hurried
	first := slow("first")
	quick := w.post(room("quick", "", "L", "confirmed", 1))
	w.becomes(quick, stay.EventApplied, "")
	if n := tries(first); n != 1 {
		t.Errorf("the slow one has been tried %d times", n)
	}
	w.source.Format = patient
	w.becomes(first, stay.EventAccepted, "") // it is not due yet
	w.now = w.now.Add(time.Minute)
	w.becomes(first, stay.EventApplied, "")

	w.source.Format = &hurried
	last := slow("last")
	for n := range 3 {
		w.drain()
		if got := tries(last); got != n+1 {
			t.Errorf("tried %d times, want %d", got, n+1)
		}
		w.now = w.now.Add(time.Minute)
	}
	w.becomes(last, stay.EventRejected, "took too long")
	w.want("first confirmed L, quick confirmed L, last none", "first", "quick", "last")
}
