package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// What can be done about a stay: the actions that its page offers, the form that asks before one is done, and doing it.

// actionChoice is an action that can be offered for a reservation.
type actionChoice struct {
	Kind   admin.ActionKind
	Title  lang.Text
	Effect lang.Text
	Danger bool
}

// renewLink is the one action that is about the guest's link, not about the key.
const renewLink admin.ActionKind = "renew-link"

var allChoices = []actionChoice{
	{
		admin.Reconcile, "Check and repair",
		"Compares with Seam now and repairs differences. Restores what somebody removed or suspended there.", false,
	},
	{admin.Reissue, "New mobile key", "Replaces the mobile key. The guest must accept the new one in the app.", false},
	{
		admin.Window, "Change access times",
		"Let the guest in earlier or stay later. Reset if the PMS changes the dates.",
		false,
	},
	{admin.Hold, "Hold", "Changes nothing at Seam, whatever the PMS sends, until you release it.", false},
	{admin.Release, "Release", "Ends the hold. Compares with Seam and applies pending changes.", false},
	{admin.Revoke, "Revoke the key", "The guest loses access immediately. To restore it, use New mobile key.", true},
	{
		renewLink, "Renew link",
		"Gives the guest a new link, in case this one has been shared with somebody else. The old link stops " +
			"working, and the instant keys that it gave out are deleted. Send the guest the new one.", false,
	},
}

// isOver reports whether the stay has ended.
func isOver(v admin.View, now time.Time) bool {
	return v.Reservation.CheckOut != nil && !v.Reservation.CheckOut.After(now)
}

// canChange reports whether anything may still change at Seam for a stay, which makes a hold useful.
func canChange(v admin.View, now time.Time) bool {
	removed := v.Reservation.Status != pms.Confirmed && v.Key.Status == stay.KeyRevoked
	return !isOver(v, now) && !removed
}

// canRepair reports whether a check can find anything to repair. A key that has ended leaves nothing at Seam; only the
// stay's field at the PMS may still have to be cleared.
func canRepair(v admin.View) bool {
	ended := v.Key.Status == stay.KeyRevoked || v.Key.Status == stay.KeyExpired
	remains := v.User != nil && v.User.IsAtSeam()
	unwritten := v.WriteBack != nil && (v.WriteBack.Status == stay.WriteBackFailed ||
		v.WriteBack.Status == stay.WriteBackPending)
	return !ended || remains || unwritten
}

// choices are the actions that can be done now. While a stay is on hold, that is only its release.
func choices(v admin.View, o admin.Overrides, now time.Time) []actionChoice {
	return slices.DeleteFunc(slices.Clone(allChoices), func(c actionChoice) bool {
		if o.Held != nil {
			return c.Kind != admin.Release
		}
		return !useful(c.Kind, v, o, now)
	})
}

// useful reports whether an action makes sense for a stay that isn't on hold.
func useful(kind admin.ActionKind, v admin.View, o admin.Overrides, now time.Time) bool {
	confirmed := v.Reservation.Status == pms.Confirmed
	switch kind {
	case admin.Reconcile:
		return canRepair(v)
	case admin.Hold:
		return canChange(v, now)
	case admin.Revoke:
		return confirmed && !isOver(v, now) && o.Revoked == nil
	case admin.Reissue:
		return confirmed && !isOver(v, now)
	case admin.Window:
		return confirmed
	default: // there is no hold to release, and the link is renewed next to it
		return false
	}
}

// actionForm is the page that asks before an action is done.
type actionForm struct {
	stayRow
	actionChoice
	Overrides   admin.Overrides
	StartsAt    string // as in a form's field, in the property's zone
	EndsAt      string
	Reason      string
	Problem     string
	NeedsReason bool
	ZoneName    string
}

// formTime is how a browser's date and time field writes a local time.
const formTime = "2006-01-02T15:04"

func (s stayPages) askFor(w http.ResponseWriter, r *http.Request) {
	f, err := s.form(r)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	if p := handlers.MayDo(admin.ActorOf(r.Context()).Token, http.MethodPost); p != nil {
		s.refuse(w, r, p)
		return
	}
	if f.Overrides.Held != nil && f.Kind != admin.Release && f.Kind != renewLink {
		s.refuse(w, r, handlers.NewProblem(http.StatusConflict,
			"The reservation is on hold. Release it first, on its page."))
		return
	}
	s.render(w, r, http.StatusOK, "action", page{Title: f.in.T(f.Title), Active: "reservations", Body: f})
}

func (s stayPages) form(r *http.Request) (actionForm, error) {
	var f actionForm
	i := slices.IndexFunc(allChoices, func(c actionChoice) bool { return string(c.Kind) == chi.URLParam(r, "action") })
	if i < 0 {
		return f, &admin.Error{Kind: admin.NotFound, Message: "unknown action"}
	}

	v, err := s.Admin.Reservations.Get(r.Context(), refOf(r))
	if err != nil {
		return f, err
	}
	rows, err := s.stayRows(r.Context(), localeOf(r), []admin.View{v})
	if err != nil {
		return f, err
	}

	f.stayRow, f.actionChoice = rows[0], allChoices[i]
	if f.Overrides, err = s.Admin.Actions.Overrides(r.Context(), v); err != nil {
		return f, err
	}

	f.NeedsReason = f.Kind != admin.Reconcile && f.Kind != renewLink
	f.ZoneName = orUTC(f.Zone).String()
	f.StartsAt, f.EndsAt = f.local(v.Reservation.CheckIn), f.local(v.Reservation.CheckOut)
	if set := f.Overrides.Window; set != nil {
		f.StartsAt, f.EndsAt = cmp.Or(f.local(set.StartsAt), f.StartsAt), cmp.Or(f.local(set.EndsAt), f.EndsAt)
	}
	return f, nil
}

// local writes a time for a form; "" for none.
func (f actionForm) local(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.In(orUTC(f.Zone)).Format(formTime)
}

func (s stayPages) do(w http.ResponseWriter, r *http.Request) {
	f, err := s.form(r)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}

	f.Reason = strings.TrimSpace(r.PostFormValue("reason"))
	again := func(status int, problem string) {
		f.Problem = problem
		s.render(w, r, status, "action", page{Title: f.in.T(f.Title), Active: "reservations", Body: f})
	}

	a := admin.Action{Kind: f.Kind, Reason: f.Reason}
	if f.Kind == admin.Window {
		if a.StartsAt, err = f.windowTime(r.PostFormValue("starts_at"), f.Reservation.CheckIn); err == nil {
			a.EndsAt, err = f.windowTime(r.PostFormValue("ends_at"), f.Reservation.CheckOut)
		}
		f.StartsAt, f.EndsAt = r.PostFormValue("starts_at"), r.PostFormValue("ends_at")
		if err != nil {
			again(http.StatusUnprocessableEntity, err.Error())
			return
		}
	}

	done, err := s.act(r.Context(), refOf(r), a)
	if err != nil {
		p := s.problemOf(r, err)
		again(p.Status, locally(f.in, pageText(f.in, p), f.Zone, s.Now()))
		return
	}

	next := f.Link()
	if back := r.PostFormValue("back"); back != "" {
		next = nextPage(back)
	} else if done != "" {
		next = withDone(&url.URL{Path: next}, done)
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// act runs an action, and returns the id with which it can be undone; "" if it can't.
func (s stayPages) act(ctx context.Context, ref stay.Ref, a admin.Action) (string, error) {
	if a.Kind == renewLink {
		_, err := s.Admin.GuestAccess.RenewLink(ctx, ref, "", a.Reason)
		return "", err
	}
	return s.Admin.Actions.ActUndoably(ctx, ref, a)
}

// windowTime parses a form's time. It returns nil for an empty one and for the stay's own time.
func (f actionForm) windowTime(value string, stay *time.Time) (*time.Time, error) {
	if value == "" {
		return nil, nil
	}
	at, err := time.ParseInLocation(formTime, value, orUTC(f.Zone))
	if err != nil {
		return nil, errors.New(f.in.T("\"{value}\" is not a date and time", value))
	}
	if stay != nil && at.Format(formTime) == stay.In(orUTC(f.Zone)).Format(formTime) {
		return nil, nil
	}
	return &at, nil
}
