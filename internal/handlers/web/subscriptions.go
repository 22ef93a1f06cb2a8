package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/stay"
)

// subscriptionPages show receivers of events out, and what was sent to them.
type subscriptionPages struct{ *core }

// subscriptionRow is a subscription as pages show it.
type subscriptionRow struct{ admin.Subscription }

// Link is the page of the subscription.
func (r subscriptionRow) Link() string { return escapedPath([]string{"subscriptions", r.Name}) }

// subscriptionList is the page of subscriptions.
type subscriptionList struct{ Rows []subscriptionRow }

func (s subscriptionPages) list(w http.ResponseWriter, r *http.Request) {
	list, err := s.Admin.Subscriptions.List(r.Context())
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	var l subscriptionList
	for _, sub := range list {
		l.Rows = append(l.Rows, subscriptionRow{sub})
	}
	s.render(w, r, http.StatusOK, "subscriptions",
		page{Title: localeOf(r).T("Subscriptions"), Active: "subscriptions", Body: l})
}

// deliveryRow is a delivery with its attempts, as pages show it.
type deliveryRow struct {
	admin.Tried
	Again string // where to have it sent again; "" if it can't be
}

// StayLink is the page of the reservation that it is about, "" for none.
func (d deliveryRow) StayLink() string {
	if d.ReservationID == "" {
		return ""
	}
	return escapedPath([]string{"reservations", d.Source, d.ReservationID})
}

// Raw is the body, indented.
func (d deliveryRow) Raw() string { return indented(d.Body) }

// subscriptionView is the page of one subscription.
type subscriptionView struct {
	subscriptionRow
	Tested      *admin.SubscriptionTest
	Status      string
	Statuses    []string
	Types       []string
	Type        string
	Reservation string
	Filtered    bool // a filter is set
	Deliveries  []deliveryRow
	Next, First string
}

func (s subscriptionPages) one(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, nil)
}

func (s subscriptionPages) show(w http.ResponseWriter, r *http.Request, tested *admin.SubscriptionTest) {
	q := r.URL.Query()
	sub, err := s.Admin.Subscriptions.Get(r.Context(), chi.URLParam(r, "name"))
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	v := subscriptionView{
		subscriptionRow: subscriptionRow{sub}, Tested: tested, Status: q.Get("status"),
		Filtered: isFiltered(q), Statuses: stay.DeliveryStatuses(),
		Types: admin.FilterValues(admin.DeliveryQuery{}, "type"), Type: q.Get("type"),
		Reservation: strings.TrimSpace(q.Get("reservation_id")),
	}
	found, err := s.Admin.Deliveries.List(r.Context(), admin.DeliveryQuery{
		Paging: paging(q), Subscription: []string{sub.Name}, Status: admin.Values(v.Status), Type: admin.Values(v.Type),
		ReservationID: v.Reservation,
	})
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	v.First, v.Next = pageLinks(v.Link(), q, found.Next)
	for _, d := range found.Items {
		row := deliveryRow{Tried: d}
		if d.ReservationID != "" && sub.State != admin.SubscriptionDisabled {
			row.Again = v.Link() + "/deliveries/" + d.DeliveryID.String() + "/resend"
		}
		v.Deliveries = append(v.Deliveries, row)
	}
	s.render(w, r, http.StatusOK, "subscription",
		page{Title: localeOf(r).T("Subscription {name}", sub.Name), Active: "subscriptions", Body: v})
}

// do tests, enables or disables a subscription.
func (s subscriptionPages) do(w http.ResponseWriter, r *http.Request) {
	name, verb := chi.URLParam(r, "name"), chi.URLParam(r, "verb")
	if verb == "test" {
		tested, err := s.Admin.Subscriptions.Test(r.Context(), name)
		if err != nil {
			s.refuse(w, r, s.problemOf(r, err))
			return
		}
		s.show(w, r, &tested)
		return
	}
	if verb != "enable" && verb != "disable" {
		s.refuse(w, r, handlers.NewProblem(http.StatusNotFound, "unknown action: use test, enable or disable"))
		return
	}
	if _, err := s.Admin.Subscriptions.Switch(r.Context(), name, verb == "enable", "", ""); err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	http.Redirect(w, r, escapedPath([]string{"subscriptions", name}), http.StatusSeeOther)
}

// resend sends a message again.
func (s subscriptionPages) resend(w http.ResponseWriter, r *http.Request) {
	d, err := s.Admin.Deliveries.Resend(r.Context(), chi.URLParam(r, "delivery_id"))
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	target := escapedPath([]string{"subscriptions", d.Subscription}) + "?reservation_id=" +
		url.QueryEscape(d.ReservationID)
	http.Redirect(w, r, target, http.StatusSeeOther)
}
