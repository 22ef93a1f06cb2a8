package admin

import (
	"context"
	"errors"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Reservations reads stays, each with its guest, key, gates, link and history.
type Reservations struct{ *core }

// ReservationQuery are the filters of the list of reservations.
type ReservationQuery struct {
	Paging
	Source       []string `query:"source" nullable:"false" doc:"One source, or several separated by commas."`
	Status       []string `query:"status" nullable:"false" enum:"confirmed,cancelled" doc:"One status, or several separated by commas."`
	KeyStatus    []string `query:"key_status" nullable:"false" enum:"waiting,provisioning,issued,active,attention,revoking,revoked,expired" doc:"One status, or several separated by commas."`
	ListingID    string   `query:"listing_id"`
	GuestEmail   string   `query:"guest_email" personal:"true" doc:"The complete address, case-insensitive."`
	CheckInFrom  string   `query:"check_in_from" doc:"Instant, or day of the property's time zone, also relative to the present one (today, today+1, today-7); inclusive." example:"2026-11-01"`
	CheckInTo    string   `query:"check_in_to" doc:"Instant, or day of the property's time zone, also relative to the present one (today, today+1, today-7); exclusive." example:"2026-12-01T00:00:00Z"`
	CheckOutFrom string   `query:"check_out_from" doc:"Instant, or day of the property's time zone, also relative to the present one (today, today+1, today-7); inclusive." example:"2026-11-04"`
	CheckOutTo   string   `query:"check_out_to" doc:"Instant, or day of the property's time zone, also relative to the present one (today, today+1, today-7); exclusive." example:"2026-11-05"`
	UpdatedSince string   `query:"updated_since" doc:"Instant, or UTC day; inclusive. To follow changes, start a minute before the latest updated_at that you have seen: a change that is being committed may become visible a little later than one after it."`
	Undated      bool     `query:"undated" view:"no" doc:"true: only confirmed stays that are not over and whose check-in or check-out is null, because the PMS sent local times and no time zone is known, or has not sent both dates."`
	Query        string   `query:"q" personal:"true" doc:"Parts of a reservation id, listing id, guest e-mail, name or phone number, without regard to case and accents. Each word must be in one of them, in any order. The whole e-mail address of a guest finds that guest only."`
	Sort         string   `query:"sort" enum:"-updated_at,check_in" doc:"-updated_at (default): newest change first. check_in: earliest check-in first, unknown ones last."`
}

// Narrowed reports whether the query leaves any reservation out.
func (q ReservationQuery) Narrowed() bool {
	q.Paging, q.Sort = Paging{}, ""
	return narrowed(q)
}

// order is the query's order, under its only name.
func (q ReservationQuery) order() (store.Order, string) {
	if q.Sort == "check_in" {
		return store.ByCheckIn, q.Sort
	}
	return store.ByChange, "-updated_at"
}

const noReservation = "reservation not found: use the source and id exactly as the PMS sent them, percent-encoded"

// List lists reservations in the order that the query asks for.
func (s Reservations) List(ctx context.Context, q ReservationQuery) (Page[View], error) {
	if err := checkEnums(q); err != nil {
		return Page[View]{}, err
	}

	p := q.Paging
	q.Paging = Paging{}
	var order store.Order
	order, q.Sort = q.order()
	list := listName("reservations", q)
	var after store.Cursor
	if err := s.openCursor(list, p.Cursor, &after); err != nil {
		return Page[View]{}, err
	}

	f, err := s.filter(ctx, q)
	if err != nil {
		return Page[View]{}, err
	}
	f, as, err := s.store.Reservations.ByAddress(ctx, f, after.ReadAs)
	if err != nil {
		return Page[View]{}, err
	}
	f.Order = order
	if order == store.ByCheckIn && p.Cursor == "" {
		if after.Snapshot, err = s.store.Reservations.Snapshot(ctx); err != nil {
			return Page[View]{}, err
		}
	}

	snapshot := after.Snapshot
	if p.Cursor == "" {
		after = store.Cursor{}
	}

	rows, err := s.store.Reservations.List(ctx, f, after, p.Limit+1)
	if err == nil {
		err = s.addLinks(ctx, pointers(rows)...)
	}
	if err != nil {
		return Page[View]{}, err
	}
	return page(s.core, list, s.views(rows), p.Limit, func(v View) any {
		end := order.CursorOf(v, snapshot)
		end.ReadAs = as
		return end
	}), nil
}

// filter is what a query asks of the store, without the order.
func (s Reservations) filter(ctx context.Context, q ReservationQuery) (store.ReservationFilter, error) {
	f := store.ReservationFilter{
		Source: q.Source, Status: q.Status, KeyStatus: q.KeyStatus, ListingID: q.ListingID, GuestEmail: q.GuestEmail,
		Query: q.Query, Sources: ActorOf(ctx).Sources,
	}
	var err error
	if f.ChangedSince, err = ParseInstant("query.updated_since", q.UpdatedSince); err != nil {
		return f, err
	}
	if q.Undated {
		day := s.lastDay()
		f.Undated = &day
	}
	b := bounds{now: s.now(), sources: s.config.Sources()}
	if q.CheckInFrom+q.CheckInTo+q.CheckOutFrom+q.CheckOutTo != "" {
		if b.zones, err = s.store.Listings.TimeZones(ctx); err != nil {
			return f, err
		}
	}
	for _, bound := range []struct {
		name, text string
		into       **store.Bound
	}{
		{"check_in_from", q.CheckInFrom, &f.CheckIn.From},
		{"check_in_to", q.CheckInTo, &f.CheckIn.To},
		{"check_out_from", q.CheckOutFrom, &f.CheckOut.From},
		{"check_out_to", q.CheckOutTo, &f.CheckOut.To},
	} {
		if *bound.into, err = b.parse("query."+bound.name, bound.text); err != nil {
			return f, err
		}
	}
	return f, nil
}

// visible refuses a reservation that the actor may not know of.
func visible(ctx context.Context, ref stay.Ref) error {
	if !ActorOf(ctx).Sees(ref.Source) {
		return refuse(NotFound, noReservation)
	}
	return nil
}

// Get returns one reservation.
func (s Reservations) Get(ctx context.Context, ref stay.Ref) (View, error) {
	if err := visible(ctx, ref); err != nil {
		return View{}, err
	}
	v, err := s.view(ctx, ref)
	return s.withStopped(v), notFound(err, noReservation)
}

// Timeline lists what happened to a reservation, newest first.
func (s Reservations) Timeline(ctx context.Context, ref stay.Ref, p Paging) (Page[TimelineItem], error) {
	if err := visible(ctx, ref); err != nil {
		return Page[TimelineItem]{}, err
	}
	list := "timeline " + ref.Source + "/" + ref.ReservationID
	var below int64
	if err := s.openCursor(list, p.Cursor, &below); err != nil {
		return Page[TimelineItem]{}, err
	}
	if _, err := s.store.Reservations.View(ctx, ref); err != nil {
		return Page[TimelineItem]{}, notFound(err, noReservation)
	}
	items, err := s.store.Reservations.Timeline(ctx, ref, below, p.Limit+1)
	if err != nil {
		return Page[TimelineItem]{}, err
	}
	return page(s.core, list, items, p.Limit, func(i TimelineItem) any { return i.ID }), nil
}

// Plan lists the changing calls to Seam that a reconcile would make now. It may read, and changes nothing.
func (s Reservations) Plan(ctx context.Context, ref stay.Ref) ([]stay.PlannedCall, error) {
	if err := visible(ctx, ref); err != nil {
		return nil, err
	}
	calls, err := s.provisioner.Plan(ctx, ref)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, refuse(NotFound, noReservation)
	case err != nil:
		s.log.Warn("plan not computed", "error", err)
		return nil, refuse(Unavailable,
			"the plan needs data from Seam, which can't be reached right now: try again in a moment")
	}
	return calls, nil
}

// Explain returns what should be true at Seam for a reservation, without asking Seam.
func (s Reservations) Explain(ctx context.Context, ref stay.Ref) (stay.Target, error) {
	if err := visible(ctx, ref); err != nil {
		return stay.Target{}, err
	}
	t, err := s.provisioner.Explain(ctx, ref)
	return t, notFound(err, noReservation)
}

// Stay is a reservation together with what its listing and the staff add to it.
type Stay struct {
	View
	Zone        *time.Location // of the property; nil where none is known
	ListingName string         // or its id, where it has no name; "" where there is no listing
	StaffNotes  []StayNote     // the oldest first
}

// Stays adds what the listings of reservations add.
func (s Reservations) Stays(ctx context.Context, views []View) ([]Stay, error) {
	var refs []stay.ListingRef
	named := make([]stay.Ref, len(views))
	for i, v := range views {
		named[i] = v.Reservation.Ref()
		if v.Reservation.ListingID != nil {
			refs = append(refs, stay.ListingRef{Source: v.Reservation.Source, ListingID: *v.Reservation.ListingID})
		}
	}

	listings, err := s.store.Listings.Named(ctx, refs)
	if err != nil {
		return nil, err
	}
	notes, err := s.store.Notes.Of(ctx, named)
	if err != nil {
		return nil, err
	}

	stays := make([]Stay, len(views))
	for i, v := range views {
		ref := stay.ListingRef{Source: v.Reservation.Source, ListingID: stay.Text(v.Reservation.ListingID)}
		l := listings[ref]
		l.Source, l.ListingID = ref.Source, ref.ListingID
		stays[i] = Stay{View: v, Zone: s.HoursOf(l).Zone, ListingName: stay.Text(l.Name)}
		stays[i].StaffNotes = notes[named[i]]
		if stays[i].ListingName == "" {
			stays[i].ListingName = ref.ListingID
		}
	}
	return stays, nil
}

// HoursOf are the time zone and the hours that apply to a listing, with what the configuration adds.
func (s Reservations) HoursOf(l Listing) pms.Completion {
	source, _ := s.source(l.Source)
	return source.Policy.Complete(l.ListingID, stay.Text(l.TimeZone), stay.Text(l.CheckInTime),
		stay.Text(l.CheckOutTime))
}
