package fetch

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
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
			format:    "cloudbeds",
			document:  `{"success": true, "data": {"reservationID": "7", "status": "{status}", "startDate": "2031-07-01", "endDate": "2031-07-04", "assigned": [{"roomID": "3-1", "subReservationID": "7"}], "unassigned": []}}`,
			booked:    [2]string{`{}`, `{"event": "reservation/created", "reservationID": "7", "propertyID": 9, "timestamp": 1700000000.1}`},
			cancel:    [2]string{`{}`, `{"event": "reservation/status_changed", "reservationID": "7", "propertyID": 9, "status": "canceled", "timestamp": 1700000001.1}`},
			change:    [2]string{`{}`, `{"event": "reservation/dates_changed", "reservationID": "7", "propertyID": 9, "timestamp": 1700000002.1}`},
			confirmed: "confirmed", canceled: "canceled",
		},
		"cloudbeds, rooms that come with the document": {
			format: "cloudbeds",
			document: `{"success": true, "data": {"reservationID": "7", "status": "{status}", "startDate": "2031-07-01", "endDate": "2031-07-04",
				"assigned": [{"roomID": "3-1", "subReservationID": "7-1"}, {"roomID": "3-2", "subReservationID": "7-2"}], "unassigned": []}}`,
			room:      "_7-1",
			cancel:    [2]string{`{}`, `{"event": "reservation/deleted", "reservationID": "7", "propertyID": 9, "timestamp": 1700000001.1}`},
			change:    [2]string{`{}`, `{"event": "reservation/dates_changed", "reservationID": "7", "propertyID": 9, "timestamp": 1700000002.1}`},
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
						EventID: uuid.New(), Source: "s", Status: store.EventAccepted, ReceivedAt: time.Now().UTC(),
						Request: []byte(`{"kind": "` + kind + `", "query": ` + webhook[0] + `}`), Body: []byte(webhook[1]),
					}
					if _, err := r.store.InsertEvents(t.Context(), []store.Event{e}); err != nil {
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
						if v, err := r.store.View(t.Context(), store.Ref{Source: "s", ReservationID: "7" + room}); err == nil && v.Reservation.Status == pms.Confirmed {
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
				if e := r.event(id); e.Status != store.EventAccepted || !strings.Contains(*e.Reason, "may be older than a cancel") {
					t.Fatalf("%s %v, want that it waits", e.Status, e.Reason)
				}
				if _, err := r.store.Pool().Exec(t.Context(), `UPDATE reservations SET updated_at = updated_at - interval '31 seconds'`); err != nil {
					t.Fatal(err)
				}
				if !booked {
					status.Store(c.canceled)
				}
				fetched(id)
				is(map[bool]string{false: pms.Cancelled, true: pms.Confirmed}[booked])
				if e := r.event(id); e.Status != store.EventApplied {
					t.Errorf("%s %v, want applied", e.Status, e.Reason)
				}
			})
		}
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
