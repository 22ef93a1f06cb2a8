package fetch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// A PMS's documents come from caches that can lag its webhooks. If they have no time of their own, one that was
// requested just after a cancel must not bring the stay back: it is requested again once it can be trusted, and then it
// counts.
func TestAStaleDocumentUndoesNoCancel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format, document    string // {status} is what the PMS says by then
		room                string // what the reservation's id has after the booking's once its rooms are known
		booked, cancel      [2]string
		change              [2]string // query and body
		confirmed, canceled string
	}{
		"beds24": {
			format:    "beds24",
			document:  `{"data": [{"id": 7, "roomId": 3, "unitId": 1, "status": "{status}", "arrival": "2031-07-01", "departure": "2031-07-04", "modifiedTime": "2031-06-01T08:00:00Z"}]}`,
			booked:    [2]string{`{"bookid": "7", "status": "new"}`, ``},
			cancel:    [2]string{`{"bookid": "7", "status": "cancel"}`, ``},
			change:    [2]string{`{"bookid": "7", "status": "modify"}`, ``},
			confirmed: "confirmed", canceled: "cancelled",
		},
		"cloudbeds": {
			format:   "cloudbeds",
			document: `{"success": true, "data": {"reservationID": "7", "status": "{status}", "startDate": "2031-07-01", "endDate": "2031-07-04", "assigned": [{"roomID": "3-1", "subReservationID": "7"}], "unassigned": []}}`,
			booked: [2]string{
				`{}`,
				`{"event": "reservation/created", "reservationID": "7", "propertyID": 9, "timestamp": 1700000000.1}`,
			},
			cancel: [2]string{
				`{}`,
				`{"event": "reservation/status_changed", "reservationID": "7", "propertyID": 9, "status": "canceled", "timestamp": 1700000001.1}`,
			},
			change: [2]string{
				`{}`,
				`{"event": "reservation/dates_changed", "reservationID": "7", "propertyID": 9, "timestamp": 1700000002.1}`,
			},
			confirmed: "confirmed", canceled: "canceled",
		},
		"cloudbeds, rooms that come with the document": {
			format: "cloudbeds",
			document: `{"success": true, "data": {"reservationID": "7", "status": "{status}", "startDate": "2031-07-01", "endDate": "2031-07-04",
				"assigned": [{"roomID": "3-1", "subReservationID": "7-1"}, {"roomID": "3-2", "subReservationID": "7-2"}], "unassigned": []}}`,
			room: "_7-1",
			cancel: [2]string{
				`{}`,
				`{"event": "reservation/deleted", "reservationID": "7", "propertyID": 9, "timestamp": 1700000001.1}`,
			},
			change: [2]string{
				`{}`,
				`{"event": "reservation/dates_changed", "reservationID": "7", "propertyID": 9, "timestamp": 1700000002.1}`,
			},
			confirmed: "confirmed", canceled: "canceled",
		},
	} {
		for _, booked := range []bool{false, true} { // again, by the time it can be believed
			t.Run(name+map[bool]string{false: ", cancelled", true: ", booked again"}[booked], func(t *testing.T) {
				t.Parallel()
				var status atomic.Value
				status.Store(c.confirmed)
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, strings.ReplaceAll(c.document, "{status}", status.Load().(string)))
				}))
				t.Cleanup(server.Close)
				r := newRig(t, time.Millisecond, map[string]pms.Source{"s": presetAt(t, c.format, server.URL)})
				says := func(webhook [2]string) uuid.UUID {
					kind := "query"
					if webhook[1] != "" {
						kind = "json"
					}
					e := store.Event{
						EventID: uuid.New(), Source: "s", Status: stay.EventAccepted, ReceivedAt: time.Now().UTC(),
						Request: []byte(`{"kind": "` + kind + `", "query": ` + webhook[0] + `}`),
						Body:    []byte(webhook[1]),
					}
					if _, err := r.store.Events.Insert(t.Context(), []store.Event{e}); err != nil {
						t.Fatal(err)
					}
					r.drain()
					return e.EventID
				}
				fetched := func(id uuid.UUID) {
					if err := r.fetcher.work(t.Context(), id); err != nil {
						t.Fatal(err)
					}
					r.drain()
				}
				is := func(want string) {
					t.Helper()
					got := pms.Cancelled
					for _, room := range []string{"", c.room} {
						if v, err := r.store.Reservations.View(t.Context(),
							stay.Ref{Source: "s", ReservationID: "7" + room}); err == nil &&
							v.Reservation.Status == pms.Confirmed {
							got = pms.Confirmed
						}
					}
					if got != want {
						t.Fatalf("%s, want %s", got, want)
					}
				}
				if c.booked[0] != "" {
					fetched(says(c.booked))
					is(pms.Confirmed)
				}
				says(c.cancel)
				is(pms.Cancelled)
				id := says(c.change)
				fetched(id)
				is(pms.Cancelled)
				if e := r.event(id); e.Status != stay.EventAccepted ||
					!strings.Contains(*e.Reason, "may be older than a cancel") {
					t.Fatalf("%s %v, want that it waits", e.Status, e.Reason)
				}
				if _, err := r.store.Pool().Exec(t.Context(),
					`UPDATE reservations SET updated_at = updated_at - interval '31 seconds'`); err != nil {
					t.Fatal(err)
				}
				if !booked {
					status.Store(c.canceled)
				}
				fetched(id)
				is(map[bool]string{false: pms.Cancelled, true: pms.Confirmed}[booked])
				if e := r.event(id); e.Status != stay.EventApplied {
					t.Errorf("%s %v, want applied", e.Status, e.Reason)
				}
			})
		}
	}
}

// replica is a PMS whose documents a test changes, and a service that asks it.
type replica struct {
	*rig
	document atomic.Value // of string
	asked    atomic.Int32
}

func newReplica(t *testing.T, format string) *replica {
	t.Helper()
	p := &replica{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		_, _ = io.WriteString(w, p.document.Load().(string))
	}))
	t.Cleanup(server.Close)
	p.rig = newRig(t, time.Millisecond, map[string]pms.Source{"s": presetAt(t, format, server.URL)})
	return p
}

// says posts a webhook.
func (p *replica) says(body string) uuid.UUID {
	p.t.Helper()
	e := store.Event{
		EventID: uuid.New(), Source: "s", Status: stay.EventAccepted, ReceivedAt: time.Now().UTC(),
		Request: []byte(`{}`), Body: []byte(body),
	}
	if _, err := p.store.Events.Insert(p.t.Context(), []store.Event{e}); err != nil {
		p.t.Fatal(err)
	}
	p.drain()
	return e.EventID
}

// fetches fetches for an event now, and applies it.
func (p *replica) fetches(id uuid.UUID, document string) {
	p.t.Helper()
	p.document.Store(document)
	if err := p.fetcher.work(p.t.Context(), id); err != nil {
		p.t.Fatal(err)
	}
	p.drain()
}

// later lets time pass since everything that has happened.
func (p *replica) later(seconds int) {
	p.t.Helper()
	for _, statement := range []string{
		`UPDATE reservations SET updated_at = updated_at - make_interval(secs => $1), version_at = version_at - make_interval(secs => $1), version_receipt = version_receipt - make_interval(secs => $1)`,
		`UPDATE events SET received_at = received_at - make_interval(secs => $1)`,
	} {
		if _, err := p.store.Pool().Exec(p.t.Context(), statement, seconds); err != nil {
			p.t.Fatal(err)
		}
	}
}

// is checks a reservation's status and local check-out, and an event's status and reason.
func (p *replica) is(reservation, want string, id uuid.UUID, status, reason string) {
	p.t.Helper()
	got := "none"
	if v, err := p.store.Reservations.View(p.t.Context(),
		stay.Ref{Source: "s", ReservationID: reservation}); err == nil {
		got = v.Reservation.Status
		if out := v.Reservation.CheckOutText; out != nil {
			got += " until " + *out
		}
	}
	if got != want {
		p.t.Fatalf("the reservation is %s, want %s", got, want)
	}
	e := p.event(id)
	why := ""
	if e.Reason != nil {
		why = *e.Reason
	}
	list, err := p.store.Events.List(p.t.Context(), store.EventFilter{}, 0, 100)
	listed := slices.DeleteFunc(list, func(e store.Event) bool { return e.EventID != id })
	if err != nil || len(listed) != 1 || listed[0].Status != status {
		p.t.Errorf("the event is listed as %+v, %v", listed, err)
	}
	if e.Status != status || !strings.Contains(why, reason) || (reason == "" && why != "") {
		p.t.Fatalf("the event is %s (%s), want %s (%s)", e.Status, why, status, reason)
	}
}

// A document that comes from a lagging replica may move a stay back. It counts at first, since most
// often it is right, and is fetched again once no document can be that old.
func TestAStaleDocumentMovesNoStayForLong(t *testing.T) {
	t.Parallel()
	document := func(end string) string {
		return `{"success": true, "data": {"reservationID": "7", "status": "confirmed", "startDate": "2031-07-01", "endDate": "` + end + `", "assigned": [{"roomID": "3-1", "subReservationID": "7"}], "unassigned": []}}`
	}
	webhook := func(n int) string {
		return fmt.Sprintf(
			`{"event": "reservation/guest_requests_changed", "reservationID": "7", "propertyID": 9, "timestamp": %d.5}`,
			1700000000+n)
	}
	p := newReplica(t, "cloudbeds")
	p.fetches(p.says(webhook(1)), document("2031-07-04"))
	p.later(60)
	shortened := p.says(webhook(2))
	p.fetches(shortened, document("2031-07-02"))
	p.is("7", "confirmed until 2031-07-02", shortened, stay.EventApplied, "")
	note := p.says(webhook(3))
	p.fetches(note, document("2031-07-04"))
	p.is("7", "confirmed until 2031-07-04", note, stay.EventApplied,
		"the PMS's documents may be older than the change before; fetched again at")
	p.later(60)
	p.fetches(note, document("2031-07-02"))
	p.is("7", "confirmed until 2031-07-02", note, stay.EventApplied, "")
}

// A document that doesn't show what its webhook is about is fetched again: soon, and when no document can be older.
func TestADocumentBehindItsWebhook(t *testing.T) {
	t.Parallel()
	document := func(end string) string {
		return `{"success": true, "data": {"reservationID": "7", "status": "confirmed", "startDate": "2031-07-01", "endDate": "` + end + `", "assigned": [{"roomID": "3-1", "subReservationID": "7"}], "unassigned": []}}`
	}
	for _, last := range []string{"2031-07-02", "2031-07-04"} { // it may also have changed again since
		p := newReplica(t, "cloudbeds")
		id := p.says(
			`{"event": "reservation/dates_changed", "reservationID": "7", "propertyID": 9, "startDate": "2031-07-01", "endDate": "2031-07-02", "timestamp": 1700000000.5}`)
		p.fetches(id, document("2031-07-04"))
		p.is("7", "confirmed until 2031-07-04", id, stay.EventApplied,
			"the PMS's document doesn't show yet what the webhook is about; fetched again at")
		p.later(6)
		p.fetches(id, document("2031-07-04"))
		p.is("7", "confirmed until 2031-07-04", id, stay.EventApplied, "fetched again at")
		p.later(30)
		p.fetches(id, document(last))
		p.is("7", "confirmed until "+last, id, stay.EventApplied, "")
	}
}

// An event that was applied stays applied, whatever comes of the second look at its documents.
func TestASecondLookThatFails(t *testing.T) {
	t.Parallel()
	p := newReplica(t, "cloudbeds")
	id := p.says(
		`{"event": "reservation/dates_changed", "reservationID": "7", "propertyID": 9, "startDate": "2031-07-01", "endDate": "2031-07-02", "timestamp": 1700000000.5}`)
	p.fetches(id,
		`{"success": true, "data": {"reservationID": "7", "status": "confirmed", "startDate": "2031-07-01", "endDate": "2031-07-04", "assigned": [{"roomID": "3-1", "subReservationID": "7"}], "unassigned": []}}`)
	p.document.Store(`{"success": false, "message": "closed for repairs"}`)
	snoozed := new(river.JobSnoozeError)
	if err := p.fetcher.work(t.Context(), id); !errors.As(err, &snoozed) {
		t.Fatal(err)
	}
	p.is("7", "confirmed until 2031-07-04", id, stay.EventApplied, "closed for repairs")
	if _, err := p.store.Pool().Exec(t.Context(),
		`UPDATE event_fetches SET asked_at = asked_at - interval '48 hours'`); err != nil {
		t.Fatal(err)
	}
	if err := p.fetcher.work(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.is("7", "confirmed until 2031-07-04", id, stay.EventApplied, "")
}

// An order that Mews' answer lacks may be one that a replica doesn't have yet, or belong to a
// service other than a stay.
func TestOrdersThatAreNotThereYet(t *testing.T) {
	t.Parallel()
	const (
		webhook = `{"Events": [{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "r"}}, {"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "s"}}]}`
		order   = `{"Id": "%s", "State": "Confirmed", "AssignedResourceId": "m", "ScheduledStartUtc": "2031-07-01T15:00:00Z", "ScheduledEndUtc": "2031-07-04T09:00:00Z", "UpdatedUtc": "2026-07-01T09:00:00Z"}`
		until   = "confirmed until 2031-07-04T09:00:00Z"
	)
	none := `{"Reservations": []}`
	one, two := `{"Reservations": [`+fmt.Sprintf(order, "r")+`]}`, `{"Reservations": [`+fmt.Sprintf(order, "r")+`, `+
		fmt.Sprintf(order, "s")+`]}`
	p := newReplica(t, "mews")
	id := p.says(webhook)
	p.fetches(id, none)
	p.is("r", "none", id, stay.EventAccepted, "the PMS's answer lacks orders that the webhook names; fetched again at")
	p.later(6)
	p.fetches(id, one)
	p.is("r", until, id, stay.EventApplied, "fetched again at")
	p.is("s", "none", id, stay.EventApplied, "fetched again at")
	p.later(30)
	p.fetches(id, two)
	p.is("s", until, id, stay.EventApplied, "")

	id = p.says(`{"Events": [{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "dinner"}}]}`)
	p.fetches(id, none)
	p.later(31)
	p.fetches(id, none)
	p.is("dinner", "none", id, stay.EventIgnored, "orders of services other than stays")
}

// A stay that is booked again after a cancel that has no time of its own gets its key, whatever time the PMS's document
// has: once the document can't be older than the cancel.
func TestBookedAgain(t *testing.T) {
	t.Parallel()
	const lead = `{"lead": {"uid": "u", "type": "BOOKING", "status": "BOOKED", "propertyUid": "p", "checkInLocalDateTime": "2031-07-01T15:00", "checkOutLocalDateTime": "2031-07-04T11:00", "updatedUtcDateTime": "2026-07-01T09:00:00Z"}}`
	const until = " until 2031-07-04T11:00"
	p := newReplica(t, "hostfully")
	p.fetches(p.says(`{"event_type": "NEW_BOOKING", "lead_uid": "u"}`), lead)
	cancel := p.says(`{"event_type": "BOOKING_CANCELLED", "lead_uid": "u"}`)
	p.is("u", "cancelled"+until, cancel, stay.EventApplied, "")
	again := p.says(`{"event_type": "BOOKING_UPDATED", "lead_uid": "u"}`)
	p.fetches(again, lead)
	p.is("u", "cancelled"+until, again, stay.EventAccepted, "may be older than a cancel")
	p.later(31)
	p.fetches(again, lead)
	p.is("u", "confirmed"+until, again, stay.EventApplied, "")
}

// An event that waits for documents, and one whose documents never come, is found by the reservation that its webhook
// named: in lists, in the reservation's timeline, and in the log.
func TestEventsAreTiedToTheirReservations(t *testing.T) {
	t.Parallel()
	const room = `{"success": true, "data": {"reservationID": "7", "status": "confirmed", "startDate": "2031-07-01", "endDate": "2031-07-04", "assigned": [{"roomID": "3-%[1]d", "subReservationID": "7-%[1]d"}, {"roomID": "4-1", "subReservationID": "7-9"}], "unassigned": []}}`
	const webhook = `{"event": "reservation/guest_requests_changed", "reservationID": "%s", "propertyID": 9, "timestamp": 1700000000.5}`
	p := newReplica(t, "cloudbeds")
	p.fetches(p.says(fmt.Sprintf(webhook, "7")), fmt.Sprintf(room, 1))
	p.later(60)
	found := func(id uuid.UUID, status string, reservations ...string) {
		t.Helper()
		for _, r := range reservations {
			list, err := p.store.Events.List(t.Context(), store.EventFilter{ReservationID: r, Status: []string{status}},
				0,
				10)
			if err != nil || len(list) == 0 || list[0].EventID != id || list[0].ReservationID == nil {
				t.Errorf("%s events of %s: %v, %+v", status, r, err, list)
			}
		}
	}
	lastOf := func(reservation string) string {
		t.Helper()
		items, err := p.store.Reservations.Timeline(t.Context(), stay.Ref{Source: "s", ReservationID: reservation}, 0,
			1)
		if err != nil || len(items) == 0 {
			t.Fatalf("%v, %d items", err, len(items))
		}
		return items[0].Summary + ": " + fmt.Sprint(items[0].Detail["reason"])
	}
	waits := p.says(fmt.Sprintf(webhook, "7"))
	unknown := p.says(fmt.Sprintf(webhook, "8"))
	found(waits, stay.EventAccepted, "7_7-1", "7_7-9")
	found(unknown, stay.EventAccepted, "8")

	p.document.Store(`{"success": false, "message": "closed for repairs"}`)
	for _, id := range []uuid.UUID{waits, unknown} {
		_ = p.fetcher.work(t.Context(), id)
	}
	if got := lastOf("7_7-1"); !strings.Contains(got, "waits for documents of the PMS") ||
		!strings.Contains(got, "closed for repairs") {
		t.Errorf("the timeline: %s", got)
	}
	if e := p.event(waits); e.ReservationID == nil || *e.ReservationID != "7_7-1" {
		t.Errorf("the event is about %v", e.ReservationID)
	}
	if _, err := p.store.Pool().Exec(t.Context(),
		`UPDATE event_fetches SET asked_at = asked_at - interval '48 hours'`); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uuid.UUID{waits, unknown} {
		if err := p.fetcher.work(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	found(waits, stay.EventRejected, "7_7-1", "7_7-9")
	found(unknown, stay.EventRejected, "8")
	for _, r := range []string{"7_7-1", "7_7-9"} {
		if got := lastOf(r); !strings.Contains(got, "rejected: its documents could not be fetched") {
			t.Errorf("the timeline of %s: %s", r, got)
		}
	}
	if log := p.log.String(); !strings.Contains(log, `reservation_ids="[7_7-1 7_7-9]"`) ||
		!strings.Contains(log, "reservation_ids=[8]") {
		t.Errorf("the log: %s", log)
	}
}

// A document that can't be read is rejected with the reservation that its webhook named.
func TestAnUnreadDocumentIsTiedToItsReservation(t *testing.T) {
	t.Parallel()
	p := newReplica(t, "hostfully")
	const webhook = `{"event_type": "BOOKING_UPDATED", "lead_uid": "u"}`
	const lead = `{"lead": {"uid": %s, "type": "BOOKING", "status": "BOOKED", "propertyUid": "p", "checkInLocalDateTime": "2031-07-01T15:00", "checkOutLocalDateTime": "2031-07-04T11:00"}}`
	p.fetches(p.says(webhook), fmt.Sprintf(lead, `"u"`))
	id := p.says(webhook)
	p.fetches(id, fmt.Sprintf(lead, `["u"]`))
	p.is("u", "confirmed until 2031-07-04T11:00", id, stay.EventRejected, "reservation_id")
	if e := p.event(id); e.ReservationID == nil || *e.ReservationID != "u" {
		t.Errorf("the event is about %v", e.ReservationID)
	}
	items, err := p.store.Reservations.Timeline(t.Context(), stay.Ref{Source: "s", ReservationID: "u"}, 0, 10)
	if err != nil || len(items) == 0 || !strings.Contains(items[0].Summary, "rejected") {
		t.Errorf("%v, the timeline: %+v", err, items)
	}
}

// presetAt is a source of a preset whose PMS is at an address.
func presetAt(t *testing.T, name, url string) pms.Source {
	t.Helper()
	format, err := pms.LoadFormat(name)
	if err != nil {
		t.Fatal(err)
	}
	settings := pms.FetchSettings{FetchManifest: *format.Fetch, Credentials: pms.Credentials{Token: "x"}}
	settings.URL, settings.PerSecond = url, 1000
	policy := pms.DefaultPolicy()
	policy.TimeZone = "Europe/Berlin" // any will do
	return pms.Source{Name: "s", Format: format, Fetch: &settings, Statuses: pms.DefaultStatuses(), Policy: policy}
}
