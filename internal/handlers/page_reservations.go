package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// keyStatuses are all that a mobile key can have.
var keyStatuses = stay.KeyStatuses()

// reservationList is the page of reservations.
type reservationList struct {
	Query    string
	Source   string
	Status   string // of the reservation
	Key      string // of its key
	Listing  string
	From, To string
	Sources  []string
	Statuses []string
	Rows     []stayRow
	Next     string // the address of the next page; "" for none
	First    string // the address of the first page; "" where this is it
	Narrowed bool
	Empty    bool // there is no reservation at all
}

const pageRows = 50

func (s *server) reservationsPage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	l := reservationList{
		Query: strings.TrimSpace(q.Get("q")), Source: q.Get("source"), Status: q.Get("status"), Key: q.Get("key_status"), Listing: q.Get("listing_id"),
		From: q.Get("check_in_from"), To: q.Get("check_in_to"), Statuses: keyStatuses, Sources: s.visibleSources(r.Context()),
	}
	f := store.ReservationFilter{Query: l.Query, Source: l.Source, Status: l.Status, KeyStatus: l.Key, ListingID: l.Listing, Sources: actorOf(r.Context()).Sources}
	l.Narrowed = l.Query+l.Source+l.Status+l.Key+l.Listing+l.From+l.To != ""
	var after store.Place
	p := s.openCursor("reservations", q.Get("cursor"), &after)
	if p == nil {
		f.CheckInFrom, p = instant("query.check_in_from", l.From)
	}
	if p == nil {
		f.CheckInTo, p = instant("query.check_in_to", l.To)
	}
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	found, err := s.Store.Views(r.Context(), f, after, pageRows+1)
	if err == nil {
		if len(found) > pageRows {
			last := found[pageRows-1]
			l.Next = nextLink("/reservations", q, s.sealCursor("reservations", store.Place{At: last.Key.ChangedAt, Source: last.Reservation.Source, ID: last.Reservation.ReservationID}))
			found = found[:pageRows]
		}
		l.Rows, err = s.stayRows(r.Context(), found)
	}
	if err != nil {
		s.refuse(w, r, s.fromStore(err, ""))
		return
	}
	if q.Has("cursor") {
		l.First = nextLink("/reservations", q, nil)
	}
	l.Empty = len(l.Rows) == 0 && !l.Narrowed
	s.render(w, r, http.StatusOK, "reservations", page{Title: "Reservations", Active: "reservations", Search: l.Query, Body: l})
}

// nextLink is a page's address with another cursor, nil for none.
func nextLink(path string, q url.Values, cursor *string) string {
	next := url.Values{}
	for name, values := range q {
		if name != "cursor" && values[0] != "" {
			next.Set(name, values[0])
		}
	}
	if cursor != nil {
		next.Set("cursor", *cursor)
	}
	if len(next) == 0 {
		return path
	}
	return path + "?" + next.Encode()
}

func (s *server) visibleSources(ctx context.Context) []string {
	var names []string
	for name := range s.Sources() {
		if actorOf(ctx).sees(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// reservationView is the page of one reservation.
type reservationView struct {
	stayRow
	Compared  []comparison
	Target    stay.Target
	Overrides Overrides
	Groups    []groupRow
	Story     []storyItem
	Older     string // the address of older parts of the story
	Plan      []stay.PlannedCall
	PlanAsked bool
	PlanError string
	Actions   []actionChoice
}

// comparison is one thing as it should be and as it is.
type comparison struct {
	What   string
	Should string
	Is     string
	Same   bool
}

func namesOf(r *http.Request) Names {
	return Names{Source: chi.URLParam(r, "source"), ReservationID: chi.URLParam(r, "reservation_id")}
}

func (s *server) reservationPage(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	ref, p := visibleRef(ctx, namesOf(r))
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	v, err := s.Store.View(ctx, ref)
	if err != nil {
		s.refuse(w, r, s.fromStore(err, "there is no such reservation: the PMS has not sent it, or it is older than reservations are kept (STAYKEY_RETAIN_RESERVATIONS)"))
		return
	}
	body, err := s.reservationView(ctx, v, r.URL.Query())
	if err != nil {
		s.refuse(w, r, s.fromStore(err, noReservation))
		return
	}
	s.render(w, r, http.StatusOK, "reservation", page{Title: "Reservation " + ref.ReservationID, Active: "reservations", Body: body})
}

const storyShown = 200

func (s *server) reservationView(ctx context.Context, v store.View, q url.Values) (reservationView, error) {
	ref := v.Reservation.Ref()
	rows, err := s.stayRows(ctx, []store.View{v})
	if err != nil {
		return reservationView{}, err
	}
	b := reservationView{stayRow: rows[0]}
	overrides, err := s.Store.Overrides(ctx, ref)
	if err != nil {
		return b, err
	}
	b.Overrides = showOverrides(overrides, v.Reservation)
	if b.Target, err = s.Explain(ctx, ref); err != nil {
		return b, err
	}
	names := s.groupNames(ctx)
	b.Compared = compare(b.Target, v, names, b.Zone, s.Now())
	if v.User != nil {
		b.Groups = names.rows(v.User.AccessGroupIDs)
	}
	list := "timeline " + ref.Source + "/" + ref.ReservationID
	var below int64
	if p := s.openCursor(list, q.Get("cursor"), &below); p != nil {
		below = 0
	}
	items, err := s.Store.Timeline(ctx, ref, below, storyShown+1)
	if err != nil {
		return b, err
	}
	if len(items) > storyShown {
		b.Older = nextLink(b.Link(), url.Values{}, s.sealCursor(list, items[storyShown-1].ID))
		items = items[:storyShown]
	}
	b.Story = story(items)
	if b.PlanAsked = q.Get("plan") != ""; b.PlanAsked {
		if b.Plan, err = s.Plan(ctx, ref); err != nil {
			s.log.Warn("a plan could not be made for a page", "error", err)
			b.PlanError, err = "Seam could not be asked now: try again in a moment.", nil
		}
	}
	b.Actions = choices(v, b.Overrides, s.Now())
	return b, err
}

// compare sets what should be beside what is, as far as it is known without asking Seam.
func compare(t stay.Target, v store.View, names groupNames, zone *time.Location, now time.Time) []comparison {
	u := v.User
	exists := u != nil && u.ACSUserID != nil && u.RemovedAt == nil
	yes := func(is bool, text string) string {
		if is {
			return text
		}
		return "none"
	}
	when := func(at *time.Time, otherwise string) string {
		if at == nil {
			return otherwise
		}
		return exact(*at, zone, now)
	}
	groupsIn := func(ids []string) string {
		var list []string
		for _, g := range names.rows(ids) {
			name := g.Name
			if g.Missing {
				name += " (missing at Seam)"
			}
			list = append(list, name)
		}
		slices.Sort(list)
		return yes(len(list) > 0, strings.Join(list, ", "))
	}
	var is struct {
		system         string
		starts, ends   *time.Time
		groups         []string
		key, suspended bool
	}
	if exists {
		is.system, is.starts, is.ends, is.groups, is.key, is.suspended = u.ACSSystemID, u.StartsAt, u.EndsAt, u.AccessGroupIDs, u.CredentialID != nil, u.SuspendedAt != nil
	}
	list := []comparison{{What: "ACS user", Should: yes(t.Key, "one"), Is: yes(exists, "one"), Same: t.Key == exists}}
	if exists && is.suspended {
		list[0].Is, list[0].Same = "suspended", false
	}
	if t.Key || exists {
		list = append(list,
			comparison{"Mobile key", yes(t.Key, "one"), yes(is.key, "one"), t.Key == is.key},
			comparison{"Access from", when(t.StartsAt, "not known"), when(is.starts, "none"), !t.Key || sameMoment(t.StartsAt, is.starts)},
			comparison{"Access until", when(t.EndsAt, "not known"), when(is.ends, "none"), !t.Key || sameMoment(t.EndsAt, is.ends)},
			comparison{"Access groups", groupsIn(t.GroupIDs), groupsIn(is.groups), !t.Key || sameSet(t.GroupIDs, is.groups)})
	}
	return list
}

func sameMoment(a, b *time.Time) bool {
	return a != nil && b != nil && a.Truncate(time.Millisecond).Equal(b.Truncate(time.Millisecond))
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// actionChoice is an action that makes sense for a reservation as it is.
type actionChoice struct {
	Kind   intake.ActionKind
	Title  string
	Effect string
	Danger bool
}

var allChoices = []actionChoice{
	{intake.ActionReconcile, "Check and repair", "It is compared with Seam now, and what differs is mended. What somebody removed or suspended there comes back.", false},
	{intake.ActionReissue, "New mobile key", "The present mobile key is deleted and a new one is made in its place: the guest has to accept it in the app again.", false},
	{intake.ActionWindow, "Other times", "Access begins earlier or ends later than the stay, until the PMS moves it.", false},
	{intake.ActionHold, "Hold", "Nothing of it is changed at Seam, whatever the PMS says, until it is released.", false},
	{intake.ActionRelease, "Release", "It goes on: it is compared with Seam and brought to what it should be.", false},
	{intake.ActionRevoke, "Revoke the key", "The guest can't open any door from then on. It stays so until a new mobile key is issued here.", true},
}

// choices are the actions that can be done now.
func choices(v store.View, o Overrides, now time.Time) []actionChoice {
	over := v.Reservation.CheckOut != nil && !v.Reservation.CheckOut.After(now)
	cancelled := v.Reservation.Status != "confirmed"
	return slices.DeleteFunc(slices.Clone(allChoices), func(c actionChoice) bool {
		switch c.Kind {
		case intake.ActionRelease:
			return o.Held == nil
		case intake.ActionReconcile:
			return o.Held != nil
		case intake.ActionHold:
			return o.Held != nil || over
		case intake.ActionRevoke:
			return o.Held != nil || cancelled || over || o.Revoked != nil
		case intake.ActionReissue:
			return o.Held != nil || cancelled || over
		default:
			return o.Held != nil || cancelled
		}
	})
}

// actionForm is the page that asks before an action is done.
type actionForm struct {
	stayRow
	actionChoice
	Overrides   Overrides
	StartsAt    string // as a form's field has it, in the property's zone
	EndsAt      string
	Reason      string
	Problem     string
	NeedsReason bool
	ZoneName    string
}

// formTime is how a browser's date and time field writes a local time.
const formTime = "2006-01-02T15:04"

func (s *server) actionPage(w http.ResponseWriter, r *http.Request) {
	f, p := s.actionForm(r)
	if p == nil && !actorOf(r.Context()).Write {
		p = mayDo(actorOf(r.Context()).Token, http.MethodPost)
	}
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	s.render(w, r, http.StatusOK, "action", page{Title: f.Title, Active: "reservations", Body: f})
}

func (s *server) actionForm(r *http.Request) (actionForm, *Problem) {
	var f actionForm
	i := slices.IndexFunc(allChoices, func(c actionChoice) bool { return string(c.Kind) == chi.URLParam(r, "action") })
	if i < 0 {
		return f, problem(http.StatusNotFound, "there is no such action")
	}
	ref, p := visibleRef(r.Context(), namesOf(r))
	if p != nil {
		return f, p
	}
	v, err := s.Store.View(r.Context(), ref)
	if err != nil {
		return f, s.fromStore(err, noReservation)
	}
	rows, err := s.stayRows(r.Context(), []store.View{v})
	if err != nil {
		return f, s.fromStore(err, "")
	}
	overrides, err := s.Store.Overrides(r.Context(), ref)
	if err != nil {
		return f, s.fromStore(err, "")
	}
	f.stayRow, f.actionChoice, f.Overrides = rows[0], allChoices[i], showOverrides(overrides, v.Reservation)
	f.NeedsReason = f.Kind != intake.ActionReconcile
	f.ZoneName = orUTC(f.Zone).String()
	starts, ends := overrides.Window(v.Reservation)
	f.StartsAt, f.EndsAt = f.local(starts, v.Reservation.CheckIn), f.local(ends, v.Reservation.CheckOut)
	return f, nil
}

// local writes the window's end, or else the stay's, for a form.
func (f actionForm) local(window time.Time, stay *time.Time) string {
	if window.IsZero() && stay == nil {
		return ""
	}
	if window.IsZero() {
		window = *stay
	}
	return window.In(orUTC(f.Zone)).Format(formTime)
}

func (s *server) doActionPage(w http.ResponseWriter, r *http.Request) {
	f, p := s.actionForm(r)
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	f.Reason = strings.TrimSpace(r.PostFormValue("reason"))
	again := func(status int, format string, args ...any) {
		f.Problem = fmt.Sprintf(format, args...)
		s.render(w, r, status, "action", page{Title: f.Title, Active: "reservations", Body: f})
	}
	a := actorOf(r.Context()).action(f.Kind, "", f.Reason)
	if f.Kind == intake.ActionWindow {
		var err error
		if a.StartsAt, err = f.windowTime(r.PostFormValue("starts_at"), f.Reservation.CheckIn); err == nil {
			a.EndsAt, err = f.windowTime(r.PostFormValue("ends_at"), f.Reservation.CheckOut)
		}
		f.StartsAt, f.EndsAt = r.PostFormValue("starts_at"), r.PostFormValue("ends_at")
		if err != nil {
			again(http.StatusUnprocessableEntity, "%v", err)
			return
		}
	}
	if _, p := s.doAction(r.Context(), namesOf(r), a); p != nil {
		again(p.Status, "%s", pageText(p))
		return
	}
	http.Redirect(w, r, f.Link(), http.StatusSeeOther)
}

// windowTime reads a form's time; nil where it is the stay's own, or empty.
func (f actionForm) windowTime(said string, stay *time.Time) (*time.Time, error) {
	if said == "" {
		return nil, nil
	}
	at, err := time.ParseInLocation(formTime, said, orUTC(f.Zone))
	if err != nil {
		return nil, fmt.Errorf("%q is no date and time", said)
	}
	if stay != nil && at.Format(formTime) == stay.In(orUTC(f.Zone)).Format(formTime) {
		return nil, nil
	}
	return &at, nil
}
