package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
)

// reservationPages show lists of reservations, and act on many at once.
type reservationPages struct{ *core }

// reservationList is the page of reservations.
type reservationList struct {
	admin.ReservationQuery
	Sources  []string
	Chips    []chip      // of key statuses
	When     string      // [allDates], [undatedStays], or "" for stays that are not over
	Undated  undatedNote // of the stays that this list leaves out because their check-in or check-out isn't known
	Rows     []stayRow
	Listings []listingRow // whose name or id the search finds: their stays have the id only
	More     string       // the address of all listings that the search finds; "" where Listings are all
	Total    string       // number of reservations on all pages
	Next     string       // the address of the next page; "" for none
	First    string       // the address of the first page; "" where this is it
	Export   string       // address of the CSV file
	Filtered bool
	Empty    bool // no reservation exists
	Views    viewBar
	Bulk     bulkForm
	Done     *doneNote
}

// chip is a filter that one click turns on or off.
type chip struct {
	Title lang.Text
	Link  string
	On    bool
}

// arrivals are the choices of [reservationList.When] that are days at the property: from and to, exclusive.
var arrivals = map[string][2]string{
	"today": {"today", "today+1"}, "tomorrow": {"today+1", "today+2"}, "week": {"today", "today+7"},
}

// allDates lists all stays, not only those that are not over.
const allDates = "all"

// undatedStays lists the stays whose check-in or check-out isn't known: no range of days has them.
const undatedStays = "undated"

// totalCounted is how far the reservations on all pages are counted; searchCounted, those that a text finds: each of
// them is compared with it.
const (
	totalCounted  = 1000
	searchCounted = 100
)

// query reads the filters of the list. Without filters it lists stays that are not over, by check-in; a
// search covers all stays, newest change first. So are stays without times listed.
func (s reservationPages) query(q url.Values) admin.ReservationQuery {
	query := admin.ReservationQuery{Paging: paging(q)}
	admin.ReadFilters(q, &query)
	query.Undated = q.Get("when") == undatedStays
	if query.Sort == "" && query.Query == "" && query.UpdatedSince == "" && !query.Undated {
		query.Sort = "check_in"
	}
	days, relative := arrivals[q.Get("when")]
	if relative && query.CheckInFrom+query.CheckInTo == "" {
		query.CheckInFrom, query.CheckInTo = days[0], days[1]
	}
	if query.Undated {
		return query
	}
	if q.Get("when") != allDates &&
		query.Query+query.CheckInFrom+query.CheckInTo+query.CheckOutFrom+query.CheckOutTo+query.UpdatedSince == "" {
		// today, in the time zone where the day begins last
		query.CheckOutFrom = s.Now().UTC().Add(-12 * time.Hour).Format(time.DateOnly)
	}
	return query
}

func (s reservationPages) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	q.Del("done")
	s.show(w, r, http.StatusOK, q, bulkForm{})
}

// show shows the list for a query, with the state of the form for bulk actions.
func (s reservationPages) show(w http.ResponseWriter, r *http.Request, status int, q url.Values, bulk bulkForm) {
	query, in := s.query(q), localeOf(r)
	found, err := s.Admin.Reservations.List(r.Context(), query)
	var rows []stayRow
	if err == nil {
		rows, err = s.stayRows(r.Context(), in, found.Items)
	}
	l := reservationList{
		ReservationQuery: query, Sources: s.Admin.Sources.Visible(r.Context()), Chips: statusChips(q, query.KeyStatus),
		When: q.Get("when"), Rows: rows,
		Export: nextLink("/reservations.csv", q, ""), Filtered: isFiltered(q),
	}

	if err == nil {
		l.Total, err = s.total(r, query)
	}
	if err == nil && query.Query != "" && query.Cursor == "" {
		l.Listings, l.More, err = s.listingsFound(r, query)
	}
	if err == nil && !query.Undated && query.CheckInFrom+query.CheckInTo+query.CheckOutFrom+query.CheckOutTo != "" {
		l.Undated, err = s.undated(r, query, q)
	}
	if err == nil && len(rows) == 0 && !l.Filtered {
		l.Empty, err = s.hasNone(r)
	}
	l.Bulk, l.Bulk.Back = bulk, nextLink("/reservations", q, q.Get("cursor"))
	if err == nil {
		l.Views, err = s.viewBar(r, "reservations", q)
	}
	if err == nil {
		l.Done, err = s.doneNote(r, l.Bulk.Back)
	}
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	// as entered, not the defaults or the dates that relative days stand for
	l.CheckInFrom, l.CheckInTo, l.CheckOutFrom = q.Get("check_in_from"), q.Get("check_in_to"), q.Get("check_out_from")
	l.First, l.Next = pageLinks("/reservations", q, found.Next)
	s.render(w, r, status, "reservations", page{
		Title: in.T("Reservations"), Active: "reservations",
		Search: query.Query, Body: l,
	})
}

// total describes how many reservations match a query, on all pages.
func (s reservationPages) total(r *http.Request, query admin.ReservationQuery) (string, error) {
	in := localeOf(r)
	most := totalCounted
	if query.Query != "" {
		most = searchCounted
	}
	n, err := s.Admin.Reservations.Count(r.Context(), query, most+1)
	if n > most {
		return in.T("more than {n} reservations|more than {n} reservations", most), err
	}
	return in.T("{n} reservation|{n} reservations", n), err
}

// listingsFound are the listings that a search finds, whose stays the person may be looking for. more is the address
// of the list of all of them, "" if no other is found.
func (s reservationPages) listingsFound(r *http.Request, query admin.ReservationQuery) (rows []listingRow,
	more string, err error,
) {
	found, err := s.Admin.Listings.List(r.Context(), admin.ListingQuery{
		Paging: admin.Paging{Limit: searchShown}, Source: query.Source, Query: query.Query, Deleted: "false",
	})
	for _, l := range found.Items {
		rows = append(rows, listingRow{Listing: l})
	}
	if found.Next != "" {
		more = nextLink("/listings", url.Values{
			"q": {query.Query}, "source": {strings.Join(query.Source, ",")}, "deleted": {"false"},
		}, "")
	}
	return rows, more, err
}

// undatedNote is about stays that a list or the calendar leaves out because their check-in or check-out isn't known.
type undatedNote struct {
	Count int    // up to totalCounted
	Link  string // the address of their list
}

// Capped reports whether there may be more than were counted.
func (n undatedNote) Capped() bool { return n.Count >= totalCounted }

// times are the parameters that narrow lists by check-in and check-out.
var times = []string{"check_in_from", "check_in_to", "check_out_from", "check_out_to"}

// undated counts the stays that a query would list if their check-in and check-out were known. q is its address.
func (s *core) undated(r *http.Request, query admin.ReservationQuery, q url.Values) (undatedNote, error) {
	query.Undated, query.Paging = true, admin.Paging{}
	query.CheckInFrom, query.CheckInTo, query.CheckOutFrom, query.CheckOutTo = "", "", "", ""
	n, err := s.Admin.Reservations.Count(r.Context(), query, totalCounted)

	theirs := url.Values{}
	for name, values := range q {
		if !slices.Contains(times, name) {
			theirs[name] = values
		}
	}
	theirs.Set("when", undatedStays)
	return undatedNote{n, nextLink("/reservations", theirs, "")}, err
}

// hasNone reports whether no reservation exists.
func (s reservationPages) hasNone(r *http.Request) (bool, error) {
	n, err := s.Admin.Reservations.Count(r.Context(), admin.ReservationQuery{}, 1)
	return n == 0, err
}

// statusChips are the filters by key status. Several can be on.
func statusChips(q url.Values, on []string) []chip {
	chips := make([]chip, len(keyStatuses))
	for i, status := range keyStatuses {
		others := slices.DeleteFunc(slices.Clone(on), func(s string) bool { return s == status })
		active := len(others) < len(on)
		if !active {
			others = append(others, status)
		}
		next := url.Values{}
		for name, values := range q {
			next[name] = values
		}
		next.Set("key_status", strings.Join(others, ","))
		chips[i] = chip{keyWord(status), nextLink("/reservations", next, ""), active}
	}
	return chips
}

// export is the whole list as CSV.
func (s reservationPages) export(w http.ResponseWriter, r *http.Request) {
	export, err := s.Admin.Reservations.Export(r.Context(), s.query(r.URL.Query()))
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	sheetHeaders(w, "reservations.csv")
	if err := export.Write(r.Context(), w); err != nil {
		s.Log.Warn("export of reservations ended early", "error", err)
		panic(http.ErrAbortHandler) // so that a truncated file isn't taken for a complete one
	}
}

// searchResults is the page of a search in reservations, listings and events.
type searchResults struct {
	Query        string
	Stays        []stayRow
	MoreStays    string // addresses of the whole lists; "" where these are all
	Listings     []listingRow
	MoreListings string
	Properties   properties // of the listings
	Events       []eventRow
}

const searchShown = 8

func (s reservationPages) search(w http.ResponseWriter, r *http.Request) {
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	found, err := s.Admin.Reservations.Search(r.Context(), query, searchShown)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	in := localeOf(r)
	results := searchResults{
		Query: query, Stays: rowsOf(in, found.Reservations.Items),
		Events:     s.eventRows(found.Events.Items),
		Properties: propertiesOf(s.Admin.Sources.Visible(r.Context()), "", nil),
	}
	for _, l := range found.Listings.Items {
		results.Listings = append(results.Listings, listingRow{Listing: l})
	}
	more := func(path, next string) string {
		if next == "" {
			return ""
		}
		return nextLink(path, url.Values{"q": {query}}, "")
	}
	results.MoreStays, results.MoreListings = more("/reservations", found.Reservations.Next), more("/listings",
		found.Listings.Next)
	s.render(w, r, http.StatusOK, "search", page{Title: in.T("Search"), Search: query, Body: results})
}

// arrivalsSheet is a day's arrivals, to print.
type arrivalsSheet struct {
	Title, Source string
	Back          string
	Rows          []stayRow
	Left          int // arrivals that are not on the sheet
}

const mostPrinted = 500

func (s dayPages) arrivals(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	day, err := s.Admin.Days.ArrivalsSheet(r.Context(), admin.DayQuery{Source: q.Get("source"), Date: q.Get("date")},
		mostPrinted)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	in := localeOf(r)
	sheet := arrivalsSheet{
		Title: dayTitle(in, day), Source: q.Get("source"), Back: dayLink(q),
		Rows: rowsOf(in, day.Stays.Items),
	}
	nameProperties(s.Admin.Sources.Visible(r.Context()), sheet.Source, pointersTo(sheet.Rows)...)
	sheet.Left = day.Counts[admin.DayArrivals] - len(sheet.Rows)
	s.render(w, r, http.StatusOK, "arrivals", page{Title: in.T("Arrivals"), Active: "today", Body: sheet})
}
