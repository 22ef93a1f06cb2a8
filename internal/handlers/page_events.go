package handlers

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/store"
)

// eventRow is an event as pages show it.
type eventRow struct{ store.Event }

// Link is the page of the event.
func (e eventRow) Link() string { return "/events/" + e.EventID.String() }

// StayLink is the page of the reservation that it is about, "" for none.
func (e eventRow) StayLink() string {
	if e.ReservationID == nil {
		return ""
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
	Source, Status, Type, ReservationID, ListingID string
	Sources                                        []string
	Statuses                                       []string
	Rejected                                       []eventRow // first, where the list is not narrowed
	Rows                                           []eventRow
	Next, First                                    string
	Replay                                         string // the address that asks before all of these are applied again
	Empty                                          bool
}

var eventStatuses = []string{store.EventRejected, store.EventAccepted, store.EventApplied, store.EventSuperseded, store.EventIgnored}

const rejectedFirst = 5

func (s *server) eventsPage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	l := eventList{
		Source: q.Get("source"), Status: q.Get("status"), Type: strings.TrimSpace(q.Get("type")), ReservationID: strings.TrimSpace(q.Get("reservation_id")),
		ListingID: strings.TrimSpace(q.Get("listing_id")), Sources: s.visibleSources(r.Context()), Statuses: eventStatuses,
	}
	sources := actorOf(r.Context()).Sources
	f := store.EventFilter{Source: l.Source, Status: l.Status, Type: l.Type, ReservationID: l.ReservationID, ListingID: l.ListingID, Sources: sources}
	narrowed := l.Source+l.Status+l.Type+l.ReservationID+l.ListingID != ""
	var below int64
	if p := s.openCursor("events", q.Get("cursor"), &below); p != nil {
		s.refuse(w, r, p)
		return
	}
	found, err := s.Store.Events(r.Context(), f, below, pageRows+1)
	var rejected []store.Event
	if err == nil && !narrowed && below == 0 {
		rejected, err = s.Store.Events(r.Context(), store.EventFilter{Status: store.EventRejected, Sources: sources}, 0, rejectedFirst)
	}
	if err != nil {
		s.refuse(w, r, s.fromStore(err, ""))
		return
	}
	if len(found) > pageRows {
		l.Next = nextLink("/events", q, s.sealCursor("events", found[pageRows-1].Seq))
		found = found[:pageRows]
	}
	if q.Has("cursor") {
		l.First = nextLink("/events", q, nil)
	}
	l.Rows, l.Rejected = eventRows(found), eventRows(rejected)
	l.Empty = len(found) == 0 && !narrowed
	if narrowed && l.Status != store.EventAccepted && len(found) > 0 {
		l.Replay = nextLink("/events/replay", q, nil)
	}
	s.render(w, r, http.StatusOK, "events", page{Title: "Events", Active: "events", Body: l})
}

func eventRows(events []store.Event) []eventRow {
	rows := make([]eventRow, len(events))
	for i, e := range events {
		rows[i] = eventRow{e}
	}
	return rows
}

// eventView is the page of one event.
type eventView struct {
	eventRow
	Raw     string // the body, indented where it is JSON
	Pruned  bool   // the body has been removed
	Changes []string
}

func (s *server) eventPage(w http.ResponseWriter, r *http.Request) {
	e, p := s.event(r.Context(), chi.URLParam(r, "event_id"))
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	d := s.showEventDetail(r.Context(), e)
	v := eventView{eventRow: eventRow{e}, Pruned: d.Body == nil}
	if d.Body != nil {
		v.Raw = indented([]byte(*d.Body))
	}
	for _, c := range d.Changes {
		encoded, err := json.MarshalIndent(c, "", "  ")
		if err == nil {
			v.Changes = append(v.Changes, string(encoded))
		}
	}
	s.render(w, r, http.StatusOK, "event", page{Title: "Event " + e.Type, Active: "events", Body: v})
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

// replayView asks before events are applied again, and shows what that would change.
type replayView struct {
	ReplayReport
	Rows  []replayRow
	Query string // the filter, as the form sends it back
	Back  string
	Next  string // the address that goes on with older events; "" for none
	Done  bool
}

type replayRow struct {
	Event
	Link string
}

func (s *server) replayPage(w http.ResponseWriter, r *http.Request) {
	s.replayWith(w, r, r.URL.Query(), true)
}

func (s *server) doReplayPage(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.PostFormValue("query"))
	if err != nil {
		s.refuse(w, r, unfit("query", "is no filter"))
		return
	}
	if p := storableValues("query.", q); p != nil {
		s.refuse(w, r, p)
		return
	}
	s.replayWith(w, r, q, false)
}

func (s *server) replayWith(w http.ResponseWriter, r *http.Request, q url.Values, dry bool) {
	in := ReplayRequest{
		Source: q.Get("source"), Status: q.Get("status"), Type: q.Get("type"), ReservationID: q.Get("reservation_id"), ListingID: q.Get("listing_id"),
		EventIDs: q["event_id"], DryRun: dry, Cursor: q.Get("cursor"),
	}
	if p := mayDo(actorOf(r.Context()).Token, http.MethodPost); p != nil {
		s.refuse(w, r, p)
		return
	}
	report, p := s.replay(r.Context(), in)
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	v := replayView{ReplayReport: report, Query: q.Encode(), Done: !dry, Back: nextLink("/events", q, nil)}
	if report.NextCursor != nil {
		v.Next = nextLink("/events/replay", q, report.NextCursor)
	}
	if len(in.EventIDs) == 1 {
		v.Back = "/events/" + url.PathEscape(in.EventIDs[0])
		if !dry {
			http.Redirect(w, r, v.Back, http.StatusSeeOther)
			return
		}
	}
	for _, e := range report.Items {
		v.Rows = append(v.Rows, replayRow{e, "/events/" + e.EventID})
	}
	s.render(w, r, http.StatusOK, "replay", page{Title: "Apply events again", Active: "events", Body: v})
}

// sourceView is the page of sources.
type sourceView struct {
	Rows   []sourceRow
	Tested *SourceTest // of the last test
	Of     string
}

type sourceRow struct {
	SourceState
	Last      *time.Time
	ErrorRate int // of the last day, in per cent
	Used      []secretRow
}

type secretRow struct {
	SecretUse
	Last *time.Time
}

func (s *server) sourcesPage(w http.ResponseWriter, r *http.Request) {
	s.showSources(w, r, http.StatusOK, sourceView{})
}

func (s *server) testSourcePage(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "source")
	result, p := s.orderTest(r.Context(), name)
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	s.showSources(w, r, http.StatusOK, sourceView{Tested: &result, Of: name})
}

func (s *server) showSources(w http.ResponseWriter, r *http.Request, status int, v sourceView) {
	states, err := s.sourceStates(r.Context())
	if err != nil {
		s.refuse(w, r, s.fromStore(err, ""))
		return
	}
	at := func(said *string) *time.Time {
		if said == nil {
			return nil
		}
		t, err := time.Parse(time.RFC3339, *said)
		if err != nil {
			return nil
		}
		return &t
	}
	for _, state := range states {
		row := sourceRow{SourceState: state, Last: at(state.LastEventAt)}
		if state.EventsOfLastDay > 0 {
			row.ErrorRate = (100*state.ErrorsOfLastDay + state.EventsOfLastDay - 1) / state.EventsOfLastDay
		}
		for _, use := range state.Secrets {
			row.Used = append(row.Used, secretRow{use, at(use.LastMatchedAt)})
		}
		v.Rows = append(v.Rows, row)
	}
	s.render(w, r, status, "sources", page{Title: "Sources", Active: "sources", Body: v})
}

func (s *server) healthPage(w http.ResponseWriter, r *http.Request) {
	d, p := s.diagnosis(r.Context())
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	s.render(w, r, http.StatusOK, "health", page{Title: "Health", Active: "health", Body: d})
}

// differenceLine words what a replay would change, for templates.
func (v replayView) DifferenceLine(f intake.FieldDifference) string {
	from, to := "nothing", "nothing"
	if f.From != nil {
		from = *f.From
	}
	if f.To != nil {
		to = *f.To
	}
	return strings.ReplaceAll(f.Field, "_", " ") + ": " + from + " → " + to
}
