package web

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/stay"
)

// calendarView is the page of the calendar.
type calendarView struct {
	admin.Calendar
	Title          string
	Query, Source  string
	From           string // that is asked for; "" for today
	Month          bool
	Sources        []string
	Rows           []calendarRow
	Previous, Next string // addresses
	ThisDay        string
	TwoWeeks       string // addresses of the two lengths
	OneMonth       string
	First, More    string      // addresses of further listings
	Empty          bool        // no listing exists
	Undated        undatedNote // of the stays whose check-in or check-out isn't known
}

// calendarRow is a listing of the calendar.
type calendarRow struct {
	admin.CalendarRow
	Bars     []calendarBar
	Property string // see [properties]; "" on a page of one property
}

// calendarBar is a stay of the calendar. A month of 500 listings has thousands: what the template needs is worked out
// once, since each of its actions costs more than the text that it writes.
type calendarBar struct {
	Class, Link string
	Guest       string // the guest's name, or else what is known of the guest
	More        string // when the stay is and how its key is, after the name
	Alerts      bool   // a person is needed
}

// urgentWords say why a bar has the loud color.
const urgentWords lang.Text = "Can't get in, now or within 24 hours"

func newCalendarBar(b admin.CalendarBar, in *lang.Locale, now time.Time) calendarBar {
	class := "bar " + b.Status + " s" + strconv.Itoa(b.Start) + " w" + strconv.Itoa(b.Half)
	if b.Earlier {
		class += " earlier"
	}
	if b.Later {
		class += " later"
	}
	if b.Undated {
		class += " undated"
	}
	if b.Urgent {
		class += " urgent"
	}
	more := ", " + barTimes(b, in, now) + ": " + in.T(keyWord(b.Status))
	if b.Reason != "" && (b.Status == stay.KeyAttention || b.Status == stay.KeyWaiting) {
		more += ". " + in.T(wordsOf(b.Reason).Problem)
	}
	if b.Urgent {
		more = strings.TrimSuffix(more, ".") + ". " + in.T(urgentWords) + "."
	}
	return calendarBar{
		Class: class, Link: escapedPath([]string{"reservations", b.Source, b.ReservationID}),
		Guest: guestOf(in, b.GuestName, b.GuestEmail), More: more,
		Alerts: b.Urgent || b.Status == stay.KeyAttention,
	}
}

// barTimes writes when a stay is, or what its PMS sent of that.
func barTimes(b admin.CalendarBar, in *lang.Locale, now time.Time) string {
	if !b.Undated {
		return dayAt(in, &b.CheckIn, b.Zone, now) + " – " + dayAt(in, &b.CheckOut, b.Zone, now)
	}
	return cmp.Or(sentAt(in, b.CheckInText, now), "?") + " – " + cmp.Or(sentAt(in, b.CheckOutText, now), "?") + " " +
		in.T("(as the PMS sent it)")
}

// Tip is the text of the bar's tooltip.
func (b calendarBar) Tip() string { return b.Guest + b.More }

// calendarRows is how many listings a page of the calendar has.
const calendarRows = 500

// monthSpan is the value of span for a month.
const monthSpan = "month"

func (s dayPages) calendar(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	query := admin.CalendarQuery{
		Paging: admin.Paging{Limit: calendarRows, Cursor: q.Get("cursor")}, Source: q.Get("source"), Query: q.Get("q"),
		From: q.Get("from"), Month: q.Get("span") == monthSpan,
	}
	c, err := s.Admin.Days.Calendar(r.Context(), query)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	in := localeOf(r)
	v := calendarView{
		Calendar: c, Query: query.Query, Source: query.Source, From: query.From, Month: query.Month,
		Sources: s.Admin.Sources.Visible(r.Context()), Title: in.Period(c.Days[0], c.Days[len(c.Days)-1]),
		Empty: len(c.Rows) == 0 && query.Query == "" && query.Source == "" && query.Cursor == "",
	}
	if query.Query == "" { // who looks for a listing doesn't ask for the stays of others
		sources := admin.ReservationQuery{Source: admin.Values(query.Source)}
		if v.Undated, err = s.undated(r, sources, url.Values{"source": {query.Source}}); err != nil {
			s.refuse(w, r, s.problemOf(r, err))
			return
		}
	}

	v.Rows = calendarRowsOf(c.Rows, in, s.Now(), propertiesOf(v.Sources, v.Source, zonesOf(c.Rows)))
	v.links(q)
	s.render(w, r, http.StatusOK, "calendar", page{Title: in.T("Calendar"), Active: "calendar", Body: v})
}

func calendarRowsOf(rows []admin.CalendarRow, in *lang.Locale, now time.Time, of properties) []calendarRow {
	shown := make([]calendarRow, len(rows))
	for i, row := range rows {
		shown[i] = calendarRow{CalendarRow: row, Bars: make([]calendarBar, len(row.Bars))}
		if !row.NoRoom {
			shown[i].Property = of.Name(row.Source, row.Zone)
		}
		for j, bar := range row.Bars {
			shown[i].Bars[j] = newCalendarBar(bar, in, now)
			if name := of.Name(bar.Source, bar.Zone); row.NoRoom && name != "" {
				shown[i].Bars[j].More += " · " + name
			}
		}
	}
	return shown
}

// zonesOf are the time zones of listings, and of stays without one.
func zonesOf(rows []admin.CalendarRow) []*time.Location {
	var zones []*time.Location
	for _, row := range rows {
		if !row.NoRoom {
			zones = append(zones, row.Zone)
			continue
		}
		for _, bar := range row.Bars {
			zones = append(zones, bar.Zone)
		}
	}
	return zones
}

func (v *calendarView) links(q url.Values) {
	first, last := v.Days[0], v.Days[len(v.Days)-1]
	step := first.AddDate(0, 0, -admin.CalendarDays)
	if v.Month {
		step = first.AddDate(0, -1, 0)
	}
	v.Previous, v.Next = calendarLink(q, "from", step.Format(time.DateOnly)),
		calendarLink(q, "from", last.AddDate(0, 0, 1).Format(time.DateOnly))
	if v.From != "" {
		v.ThisDay = calendarLink(q, "from", "")
	}
	v.TwoWeeks, v.OneMonth = calendarLink(q, "span", ""), calendarLink(q, "span", monthSpan)
	v.First, v.More = pageLinks("/calendar", q, v.Calendar.Next)
}

// calendarLink is the address of the calendar with one parameter changed, from its first listing.
func calendarLink(q url.Values, name, value string) string {
	next := url.Values{}
	for _, kept := range []string{"from", "span", "source", "q"} {
		next.Set(kept, q.Get(kept))
	}
	next.Set(name, value)
	return nextLink("/calendar", next, "")
}

// calendarDay is a column of the calendar.
type calendarDay struct {
	time.Time
	Half    int // its left edge, in half days
	Today   bool
	Weekend bool
}

// Columns are the days of the calendar.
func (v calendarView) Columns() []calendarDay {
	columns := make([]calendarDay, len(v.Days))
	for i, day := range v.Days {
		columns[i] = calendarDay{
			Time: day, Half: 2 * i, Today: day.Equal(v.Today),
			Weekend: day.Weekday() == time.Saturday || day.Weekday() == time.Sunday,
		}
	}
	return columns
}

// Link is the page of the listing.
func (r calendarRow) Link() string { return escapedPath([]string{"listings", r.Source, r.ListingID}) }
