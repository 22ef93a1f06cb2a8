package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/stay"
)

// stayPages show one reservation, and do what its forms ask for.
type stayPages struct{ *core }

// keyStatuses are all that a mobile key can have.
var keyStatuses = stay.KeyStatuses()

const pageRows = 50

// nextLink is the address of the page at a cursor; "" if there is none.
func nextLink(path string, q url.Values, cursor string) string {
	next := url.Values{}
	for name, values := range q {
		if name != "cursor" && values[0] != "" {
			next.Set(name, values[0])
		}
	}
	if cursor != "" {
		next.Set("cursor", cursor)
	}
	if len(next) == 0 {
		return path
	}
	return path + "?" + next.Encode()
}

// reservationView is the page of one reservation.
type reservationView struct {
	stayRow
	Compared  []comparison
	Target    stay.Target
	Overrides admin.Overrides
	Groups    []groupRow
	History   []historyItem
	Older     string // the link to older entries
	Plan      []stay.PlannedCall
	PlanAsked bool
	PlanError string
	Actions   []actionChoice
	Gates     []stay.Gate
	Done      *doneNote
}

// comparison is one expected value and the actual one.
type comparison struct {
	What   string
	Should string
	Is     string
	Same   bool
}

// Detail is the message of the key's reason where it says more than the cause: messages are for programs, too. "" where
// it doesn't, or only quotes an admin's decision, which the page shows in full anyway.
func (v reservationView) Detail() string {
	code := stay.Text(v.Key.Reason)
	reason, known := stay.Find(code)
	namesListing := code == stay.ReasonListingUnknown || code == stay.ReasonNoGroups // which the page names, too
	if !known || namesListing || quotesAdmin(code) || stay.Text(v.Key.Message) == reason.Message {
		return ""
	}
	return stay.Text(v.Key.Message)
}

func refOf(r *http.Request) stay.Ref {
	return stay.Ref{Source: chi.URLParam(r, "source"), ReservationID: chi.URLParam(r, "reservation_id")}
}

func (s stayPages) show(w http.ResponseWriter, r *http.Request) {
	ref := refOf(r)
	v, err := s.Admin.Reservations.Get(r.Context(), ref)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	body, err := s.view(r, v)
	if err == nil {
		body.Done, err = s.doneNote(r, body.Link())
	}
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	s.render(w, r, http.StatusOK, "reservation", page{
		Title:  localeOf(r).T("Reservation {id}", ref.ReservationID),
		Active: "reservations", Body: body,
	})
}

const historyShown = 200

func (s stayPages) view(r *http.Request, v admin.View) (reservationView, error) {
	ctx, q, in, ref := r.Context(), r.URL.Query(), localeOf(r), v.Reservation.Ref()
	rows, err := s.stayRows(ctx, in, []admin.View{v})
	if err != nil {
		return reservationView{}, err
	}

	b := reservationView{stayRow: rows[0]}
	if b.Overrides, err = s.Admin.Actions.Overrides(ctx, v); err != nil {
		return b, err
	}
	if b.Target, err = s.Admin.Reservations.Explain(ctx, ref); err != nil {
		return b, err
	}

	groups := s.Admin.Groups.All(ctx)
	nameRisk(groups, v.DoorRisk)
	b.Compared = compare(in, b.Target, v, groups, func(at time.Time) string { return exactly(in, at, b.Zone, s.Now()) })
	if v.User != nil {
		b.Groups = groupRows(groups, v.User.AccessGroupIDs)
	}

	items, err := s.Admin.Reservations.Timeline(ctx, ref, admin.Paging{Limit: historyShown, Cursor: q.Get("cursor")})
	if err != nil {
		return b, err
	}
	if items.Next != "" {
		b.Older = nextLink(b.Link(), url.Values{}, items.Next)
	}

	b.History = history(in, items.Items, b.Overrides)
	if b.PlanAsked = q.Get("plan") != ""; b.PlanAsked {
		if b.Plan, err = s.Admin.Reservations.Plan(ctx, ref); err != nil {
			b.PlanError = in.T("Seam can't be reached right now. Try again in a moment.")
		}
	}

	b.Actions, b.Gates = choices(v, b.Overrides, s.Now()), v.Gates
	return b, nil
}

// compare lists the expected and the recorded state at Seam, without asking Seam.
func compare(in *lang.Locale, t stay.Target, v admin.View, groups admin.AccessGroups,
	exact func(time.Time) string,
) []comparison {
	u := v.User
	exists := u != nil && u.IsAtSeam()
	none, there := in.T("none"), in.T("yes")

	yes := func(is bool, text string) string {
		if is {
			return text
		}
		return none
	}
	when := func(at *time.Time, otherwise string) string {
		if at == nil {
			return otherwise
		}
		return exact(*at)
	}

	groupsIn := func(ids []string) string {
		names := groupNames(in, groups, ids)
		return yes(len(names) > 0, strings.Join(names, ", "))
	}

	is := recordedOf(u, exists)
	list := []comparison{{
		What: in.T("Guest"), Should: yes(t.Key, there), Is: yes(exists, there), Same: t.Key == exists,
	}}
	switch {
	case exists && u.IsDisplaced():
		list[0].Is, list[0].Same = in.T("somebody else's"), false
	case is.suspended:
		list[0].Is, list[0].Same = in.T("suspended"), false
	}

	if unknown := in.T("not known"); t.Key || exists {
		list = append(list,
			comparison{in.T("Mobile key"), yes(t.Key, there), yes(is.key, there), t.Key == is.key},
			comparison{in.T("Access from"), when(t.StartsAt, unknown), when(is.starts, none), !t.Key ||
				stay.SameInstant(t.StartsAt, is.starts)},
			comparison{in.T("Access until"), when(t.EndsAt, unknown), when(is.ends, none), !t.Key ||
				stay.SameInstant(t.EndsAt, is.ends)},
			comparison{in.T("Doors"), groupsIn(t.GroupIDs), groupsIn(is.groups), !t.Key ||
				sameSet(t.GroupIDs, is.groups)})
	}
	// What waits for its time or for a decision is missing as it should be: the reason is shown, not five differences.
	if waits := t.Reason != "" && !exists; waits {
		for i := range list {
			list[i].Same = true
		}
	}
	return list
}

// groupNames are the names of access groups, in their order.
func groupNames(in *lang.Locale, groups admin.AccessGroups, ids []string) (names []string) {
	for _, g := range groupRows(groups, ids) {
		name := g.Name
		if g.Missing {
			name = in.T("{door} (missing at Seam)", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// recorded is what Postgres has of an ACS user at Seam; the zero value is none.
type recorded struct {
	starts, ends   *time.Time
	groups         []string
	key, suspended bool
}

func recordedOf(u *admin.ACSUser, exists bool) recorded {
	if !exists {
		return recorded{}
	}
	return recorded{u.StartsAt, u.EndsAt, u.AccessGroupIDs, u.CredentialID != nil, u.SuspendedAt != nil}
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
