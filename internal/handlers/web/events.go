package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/stay"
)

// eventPages show the inbox and apply events again.
type eventPages struct{ *core }

// eventRow is an event as pages show it.
type eventRow struct {
	admin.Event
	Zone *time.Location // of the property; nil: not known, times are in UTC
}

// Link is the page of the event.
func (e eventRow) Link() string { return "/events/" + e.EventID.String() }

// StayLink is the page of the reservation that it is about, "" for none. An event that changed nothing may be about one
// that doesn't exist here: its link is the list of that reservation's events.
func (e eventRow) StayLink() string {
	if e.ReservationID == nil {
		return ""
	}
	if e.Status == stay.EventRejected || e.Status == stay.EventIgnored {
		return "/events?" + url.Values{"source": {e.Source}, "reservation_id": {*e.ReservationID}}.Encode()
	}
	return escapedPath([]string{"reservations", e.Source, *e.ReservationID})
}

// ListingLink is the page of the listing that it is about, "" for none.
func (e eventRow) ListingLink() string {
	if e.ListingID == nil {
		return ""
	}
	return escapedPath([]string{"listings", e.Source, *e.ListingID})
}

// eventList is the page of the inbox.
type eventList struct {
	admin.EventQuery
	Filtered    bool // a filter is set
	Sources     []string
	Statuses    []string
	Rejected    []eventRow // shown first, unless the list is filtered
	Rows        []eventRow
	Next, First string
	Replay      string // the page that asks before all of these are replayed
	Empty       bool
	Views       viewBar
}

var eventStatuses = []string{
	stay.EventRejected, stay.EventAccepted, stay.EventApplied, stay.EventSuperseded,
	stay.EventIgnored,
}

const rejectedFirst = 5

func (s eventPages) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	query := admin.EventQuery{Paging: paging(q)}
	admin.ReadFilters(q, &query)
	query.WithoutTests = !query.Narrowed()
	found, err := s.Admin.Events.List(r.Context(), query)
	var rejected admin.Page[admin.Event]
	if err == nil && !query.Narrowed() && query.Cursor == "" {
		rejected, err = s.Admin.Events.List(r.Context(), admin.EventQuery{
			Paging: admin.Paging{Limit: rejectedFirst},
			Status: []string{stay.EventRejected},
		})
	}
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	l := eventList{
		EventQuery: query, Sources: s.Admin.Sources.Visible(r.Context()), Statuses: eventStatuses,
		Filtered: isFiltered(q),
		Rows:     s.eventRows(found.Items), Rejected: s.eventRows(rejected.Items), Empty: len(found.Items) == 0 &&
			!query.Narrowed(),
	}
	if l.Views, err = s.viewBar(r, "events", q); err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	l.First, l.Next = pageLinks("/events", q, found.Next)
	if query.Narrowed() && replayable(query) && len(found.Items) > 0 {
		l.Replay = nextLink("/events/replay", q, "")
	}
	s.render(w, r, http.StatusOK, "events", page{Title: localeOf(r).T("Events"), Active: "events", Body: l})
}

// replayable reports whether a replay can use the query: it takes only one value per filter.
func replayable(q admin.EventQuery) bool {
	return len(q.Source) <= 1 && len(q.Status) <= 1 && len(q.Type) <= 1 && !slices.Equal(q.Status,
		[]string{stay.EventAccepted})
}

func (s *core) eventRows(events []admin.Event) []eventRow {
	rows := make([]eventRow, len(events))
	for i, e := range events {
		rows[i] = eventRow{Event: e, Zone: s.Admin.Events.Zone(e)}
	}
	return rows
}

// eventView is the page of one event.
type eventView struct {
	eventRow
	Raw     string // the body, indented if it is JSON
	Pruned  bool   // the body has been removed
	Changes []string
}

func (s eventPages) show(w http.ResponseWriter, r *http.Request) {
	e, err := s.Admin.Events.Get(r.Context(), chi.URLParam(r, "event_id"))
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	v := eventView{eventRow: eventRow{Event: e, Zone: s.Admin.Events.Zone(e)}, Pruned: e.Body == nil}
	if e.Body != nil {
		v.Raw = indented(e.Body)
	}
	for _, c := range s.Admin.Events.ChangesOf(r.Context(), e) {
		encoded, err := json.MarshalIndent(c, "", "  ")
		if err == nil {
			v.Changes = append(v.Changes, string(encoded))
		}
	}
	s.render(w, r, http.StatusOK, "event",
		page{Title: localeOf(r).T("Event {type}", e.Type), Active: "events", Body: v})
}

func indented(body []byte) string {
	var b strings.Builder
	var raw json.RawMessage
	if json.Unmarshal(body, &raw) == nil {
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if encoder.Encode(raw) == nil {
			return b.String()
		}
	}
	return strings.ToValidUTF8(string(body), "�")
}

// replayView asks before events are replayed, and shows what that would change.
type replayView struct {
	admin.Replayed
	DryRun bool
	Rows   []eventRow
	Query  string // the filter, for the form's hidden field
	Back   string
	Next   string // the address that continues with older events; "" for none
	Done   bool
	in     *lang.Locale
}

func (s eventPages) askToReplay(w http.ResponseWriter, r *http.Request) {
	s.replayWith(w, r, r.URL.Query(), true)
}

func (s eventPages) replay(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.PostFormValue("query"))
	if err != nil {
		s.refuse(w, r, handlers.Unfit("query", "is not a valid filter"))
		return
	}
	if p := handlers.StorableValues("query.", q); p != nil {
		s.refuse(w, r, p)
		return
	}
	s.replayWith(w, r, q, false)
}

func (s eventPages) replayWith(w http.ResponseWriter, r *http.Request, q url.Values, dry bool) {
	in := admin.ReplayRequest{
		Source: q.Get("source"), Status: q.Get("status"), Type: q.Get("type"), ReservationID: q.Get("reservation_id"),
		ListingID: q.Get("listing_id"), EventIDs: admin.Values(q.Get("event_id")), DryRun: dry, Cursor: q.Get("cursor"),
	}
	if p := handlers.MayDo(admin.ActorOf(r.Context()).Token, http.MethodPost); p != nil {
		s.refuse(w, r, p)
		return
	}
	replayed, err := s.Admin.Events.Replay(r.Context(), in)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	v := replayView{
		Replayed: replayed, DryRun: dry, Rows: s.eventRows(replayed.Events), Query: q.Encode(), Done: !dry,
		in:   localeOf(r),
		Back: nextLink("/events", q, ""),
	}
	if replayed.Next != "" {
		v.Next = nextLink("/events/replay", q, replayed.Next)
	}
	if len(in.EventIDs) == 1 {
		v.Back = "/events/" + url.PathEscape(in.EventIDs[0])
		if !dry {
			http.Redirect(w, r, v.Back, http.StatusSeeOther)
			return
		}
	}
	s.render(w, r, http.StatusOK, "replay", page{Title: localeOf(r).T("Replay events"), Active: "events", Body: v})
}

// DifferenceLine words what a replay would change, for templates.
func (v replayView) DifferenceLine(f admin.FieldDifference) string {
	from, to := v.in.T("nothing"), v.in.T("nothing")
	if f.From != nil {
		from = *f.From
	}
	if f.To != nil {
		to = *f.To
	}
	return v.in.T("{field}: {from} → {to}", codeWords(v.in, f.Field), from, to)
}
