package handlers

import (
	"context"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// pageFuncs are what templates can call.
var pageFuncs = template.FuncMap{
	"ago":   relative,
	"exact": exact,
	"utc":   func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") },
	"stamp": stamp,
	"words": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	"path":  func(parts ...string) string { return escapedPath(parts) },
	"text":  text,
	"notes": showNotes,
	"list":  func(items ...any) []any { return items },
	"dict": func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i+1 < len(pairs); i += 2 {
			m[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
		return m
	},
}

// exact shows a time in a zone, with its year unless it is near.
func exact(at time.Time, zone *time.Location, now time.Time) string {
	layout := "Mon 2 Jan 2006, 15:04 MST"
	if d := at.Sub(now).Abs(); d < 180*24*time.Hour {
		layout = "Mon 2 Jan, 15:04 MST"
	}
	return at.In(orUTC(zone)).Format(layout)
}

func orUTC(zone *time.Location) *time.Location {
	if zone == nil {
		return time.UTC
	}
	return zone
}

func escapedPath(parts []string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// relative tells how far a time is from now, in the unit that people would use.
func relative(at, now time.Time) string {
	d := at.Sub(now)
	past := d < 0
	if past {
		d = -d
	}
	var s string
	switch {
	case d < 45*time.Second:
		return "now"
	case d < 90*time.Minute:
		s = fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	case d < 48*time.Hour:
		s = fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
	default:
		s = fmt.Sprintf("%d days", int(d.Round(24*time.Hour).Hours()/24))
	}
	if past {
		return s + " ago"
	}
	return "in " + s
}

// stayRow is a reservation as pages show it.
type stayRow struct {
	store.View
	Zone        *time.Location // of the property; nil where none is known
	ListingName string
}

// Guest is who stays, as far as it is known.
func (r stayRow) Guest() string {
	switch {
	case text(r.Reservation.GuestName) != "":
		return *r.Reservation.GuestName
	case text(r.Reservation.GuestEmail) != "":
		return *r.Reservation.GuestEmail
	}
	return "no guest named"
}

// Link is the page of the reservation.
func (r stayRow) Link() string {
	return escapedPath([]string{"reservations", r.Reservation.Source, r.Reservation.ReservationID})
}

// ListingLink is the page of its listing, "" where it has none.
func (r stayRow) ListingLink() string {
	if r.Reservation.ListingID == nil {
		return ""
	}
	return escapedPath([]string{"listings", r.Reservation.Source, *r.Reservation.ListingID})
}

// stayRows adds what pages show of the reservations' listings.
func (s *server) stayRows(ctx context.Context, views []store.View) ([]stayRow, error) {
	var refs []store.ListingRef
	for _, v := range views {
		if v.Reservation.ListingID != nil {
			refs = append(refs, store.ListingRef{Source: v.Reservation.Source, ListingID: *v.Reservation.ListingID})
		}
	}
	listings, err := s.Store.ListingsNamed(ctx, refs)
	if err != nil {
		return nil, err
	}
	rows := make([]stayRow, len(views))
	for i, v := range views {
		l := listings[store.ListingRef{Source: v.Reservation.Source, ListingID: text(v.Reservation.ListingID)}]
		rows[i] = stayRow{View: v, Zone: s.zoneOf(v.Reservation.Source, text(v.Reservation.ListingID), l), ListingName: text(l.Name)}
		if rows[i].ListingName == "" {
			rows[i].ListingName = text(v.Reservation.ListingID)
		}
	}
	return rows, nil
}

// zoneOf is the time zone of a property, nil where none is known.
func (s *server) zoneOf(source, listingID string, l store.Listing) *time.Location {
	known, _ := s.source(source)
	return known.Policy.Complete(listingID, text(l.TimeZone), text(l.CheckInTime), text(l.CheckOutTime)).Zone
}

// groupNames are the names of access groups by their ids, and whether Seam could be asked for them.
type groupNames struct {
	Asked  bool
	groups []stay.AccessGroup
	byID   map[string]stay.AccessGroup
}

// groupNames are the names of access groups, as far as the actor may know them: a token of single sources knows those that keys of its
// sources may open, and of others no more than the ids that its listings have.
func (s *server) groupNames(ctx context.Context) groupNames {
	list, err := s.AccessGroups(ctx)
	if err != nil {
		s.log.Warn("the access groups can't be listed for a page", "error", err)
		return groupNames{}
	}
	g := groupNames{Asked: true, byID: map[string]stay.AccessGroup{}}
	foreign, err := s.foreignGroups(ctx, list)
	if err != nil {
		s.log.Warn("it can't be told whose the access groups are", "error", err)
		return groupNames{}
	}
	for _, one := range list {
		if foreign[one.ID] {
			g.byID[one.ID] = stay.AccessGroup{ID: one.ID}
			continue
		}
		g.groups = append(g.groups, one)
		g.byID[one.ID] = one
	}
	return g
}

// foreignGroups are those that none of the actor's sources may open.
func (s *server) foreignGroups(ctx context.Context, list []stay.AccessGroup) (map[string]bool, error) {
	sources := actorOf(ctx).Sources
	if sources == nil {
		return nil, nil
	}
	ids := make([]string, len(list))
	deniedTo := map[string]int{}
	for i, g := range list {
		ids[i] = g.ID
	}
	for _, source := range sources {
		denied, err := s.NotAllowed(ctx, source, ids)
		if err != nil {
			return nil, err
		}
		for _, id := range denied {
			deniedTo[id]++
		}
	}
	foreign := map[string]bool{}
	for id, n := range deniedTo {
		foreign[id] = n == len(sources)
	}
	return foreign, nil
}

// groupsOf is like groupNames, and offers only what keys of one source may open.
func (s *server) groupsOf(ctx context.Context, source string) (groupNames, error) {
	names := s.groupNames(ctx)
	ids := make([]string, len(names.groups))
	for i, g := range names.groups {
		ids[i] = g.ID
	}
	denied, err := s.NotAllowed(ctx, source, ids)
	names.groups = slices.DeleteFunc(names.groups, func(g stay.AccessGroup) bool { return slices.Contains(denied, g.ID) })
	return names, err
}

// notAllowed refuses a listing's access groups for an actor of single sources, if keys of its source may not open them. An admin of all
// sources may set them: the keys are under attention until the configuration allows it.
func (s *server) notAllowed(ctx context.Context, source string, patch pms.ListingPatch) *Problem {
	if actorOf(ctx).Sources == nil || !patch.Said["seam_access_group_ids"] {
		return nil
	}
	denied, err := s.NotAllowed(ctx, source, patch.Listing.AccessGroupIDs)
	if err != nil {
		return s.fromStore(err, "")
	}
	if len(denied) > 0 {
		return unfit("seam_access_group_ids", "this source may not open "+strings.Join(denied, ", "))
	}
	return nil
}

// groupRow is an access group as pages show it.
type groupRow struct {
	ID, Name, System string
	Missing          bool // Seam does not know it
	Chosen           bool
}

func (g groupNames) rows(ids []string) []groupRow {
	rows := make([]groupRow, len(ids))
	for i, id := range ids {
		rows[i] = g.row(id)
		rows[i].Chosen = true
	}
	return rows
}

func (g groupNames) row(id string) groupRow {
	known, ok := g.byID[id]
	r := groupRow{ID: id, Name: known.Name, System: known.SystemName, Missing: g.Asked && !ok}
	if r.Name == "" {
		r.Name = id
	}
	return r
}

// pageText is what a page says of a problem: the first wrong field, where there is one.
func pageText(p *Problem) string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	field := strings.ReplaceAll(p.Errors[0].Field, "_", " ")
	return strings.ToUpper(field[:1]) + field[1:] + " " + p.Errors[0].Message + "."
}
