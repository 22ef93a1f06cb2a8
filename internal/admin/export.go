package admin

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// MostExported bounds how many reservations one table has.
const MostExported = 10_000

// Count counts what [Reservations.List] lists on all its pages, up to most.
func (s Reservations) Count(ctx context.Context, q ReservationQuery, most int) (int, error) {
	if err := checkEnums(q); err != nil {
		return 0, err
	}
	f, err := s.filter(ctx, q)
	if err != nil {
		return 0, err
	}
	if f, _, err = s.store.Reservations.ByAddress(ctx, f, ""); err != nil {
		return 0, err
	}
	f.Order, _ = q.order()
	return s.store.Reservations.Count(ctx, f, most)
}

// Export is a table of reservations that may be written.
type Export struct {
	reservations Reservations
	query        ReservationQuery
}

// Export begins a table of all reservations that a query lists. It refuses more than [MostExported], so
// that nobody takes a part for the whole, and records who exports how many, because the table has guests' data.
func (s Reservations) Export(ctx context.Context, q ReservationQuery) (Export, error) {
	n, err := s.Count(ctx, q, MostExported+1)
	if err != nil {
		return Export{}, err
	}
	if n > MostExported {
		return Export{}, refuse(Conflict,
			fmt.Sprintf("These are more than %d reservations: narrow the filters, for example by check-in.",
				MostExported))
	}
	entry := ActorOf(ctx).Audit(auditExport, "")
	if len(q.Source) == 1 {
		entry = entry.About(q.Source[0], "", "")
	}
	entry.After = map[string]any{"reservations": n}
	for name, text := range auditedFilters(q) {
		entry.After[name] = text
	}
	return Export{s, q}, s.record(ctx, entry)
}

// Write writes the table as CSV, page by page. Times are local to the property. One that isn't known is as the PMS sent
// it, and without a time zone if none is known.
func (e Export) Write(ctx context.Context, to io.Writer) error {
	w, err := newSheet(to, "source", "reservation_id", "status", "guest_name", "guest_email", "guest_phone",
		"listing_id", "listing", "check_in", "check_out",
		"time_zone", "key_status", "key_reason", "notes")
	if err != nil {
		return err
	}

	q := e.query
	q.Paging = Paging{Limit: 500}
	for {
		found, err := e.reservations.List(ctx, q)
		if err != nil {
			return err
		}
		stays, err := e.reservations.Stays(ctx, found.Items)
		if err != nil {
			return err
		}
		for _, one := range stays {
			if err := writeStay(w, one); err != nil {
				return err
			}
		}

		w.Flush()
		if q.Cursor = found.Next; q.Cursor == "" || w.Error() != nil {
			return w.Error()
		}
	}
}

func noteTexts(notes []StayNote) []string {
	texts := make([]string, len(notes))
	for i, n := range notes {
		texts[i] = n.Body
	}
	return texts
}

// sentAs is a check-in or check-out of which only what the PMS sent is known, which is local to the property; "" for
// none.
func sentAs(text *string) string {
	m, err := pms.ParseStoredMoment(stay.Text(text))
	if err != nil {
		return ""
	}
	at, err := m.Resolve(time.UTC, pms.DefaultCheckInTime)
	switch {
	case err != nil:
		return ""
	case m.HasTime():
		return at.Format("2006-01-02 15:04")
	}
	return at.Format(time.DateOnly)
}

func writeStay(w *csv.Writer, one Stay) error {
	r := one.Reservation
	zone, name := one.Zone, ""
	switch {
	case zone != nil:
		name = zone.String()
	case r.CheckIn != nil || r.CheckOut != nil:
		zone, name = time.UTC, time.UTC.String()
	}
	local := func(at *time.Time, sent *string) string {
		if at == nil {
			return sentAs(sent)
		}
		return at.In(zone).Format("2006-01-02 15:04")
	}
	return writeSheet(w, r.Source, r.ReservationID, r.Status, stay.Text(r.GuestName), stay.Text(r.GuestEmail),
		stay.Text(r.GuestPhone),
		stay.Text(r.ListingID), one.ListingName,
		local(r.CheckIn, r.CheckInText), local(r.CheckOut, r.CheckOutText), name,
		one.Key.Status, stay.Text(one.Key.Reason),
		strings.Join(noteTexts(one.StaffNotes), "; "))
}

// Found is what a search finds, a few of each kind.
type Found struct {
	Reservations Page[Stay]
	Listings     Page[Listing]
	Events       Page[Event] // about the reservation or the listing of this id
}

// Search looks for a text in reservations, listings and events, and returns at most so many of each.
func (s Reservations) Search(ctx context.Context, text string, most int) (Found, error) {
	var f Found
	if text = strings.TrimSpace(text); text == "" {
		return f, nil
	}

	paging := Paging{Limit: most}
	views, err := s.List(ctx, ReservationQuery{Paging: paging, Query: text})
	if err != nil {
		return f, err
	}
	f.Reservations.Next = views.Next
	if f.Reservations.Items, err = s.Stays(ctx, views.Items); err != nil {
		return f, err
	}

	if f.Listings, err = Listings(s).List(ctx, ListingQuery{Paging: paging, Query: text}); err != nil {
		return f, err
	}

	if pms.CheckID(text) != nil { // no id of anything
		return f, nil
	}

	if f.Events, err = Events(s).List(ctx, EventQuery{Paging: paging, ReservationID: text}); err == nil &&
		len(f.Events.Items) == 0 {
		f.Events, err = Events(s).List(ctx, EventQuery{Paging: paging, ListingID: text})
	}
	return f, err
}

// ArrivalsSheet returns all arrivals of a day, at most so many, for a sheet to print.
func (s Days) ArrivalsSheet(ctx context.Context, q DayQuery, most int) (Day, error) {
	q.Part, q.Paging = DayArrivals, Paging{Limit: most}
	return s.Get(ctx, q)
}
