package handlers

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// listingRow is a listing as pages show it.
type listingRow struct {
	store.Listing
	Rows []groupRow
}

// Link is the page of the listing.
func (l listingRow) Link() string { return escapedPath([]string{"listings", l.Source, l.ListingID}) }

// Title is its name, or else its id.
func (l listingRow) Title() string {
	if text(l.Name) != "" {
		return *l.Name
	}
	return l.ListingID
}

// listingList is the page of listings.
type listingList struct {
	Query   string
	Source  string
	Sources []string
	Rows    []listingRow
	Asked   bool // Seam was asked for access groups
	Next    string
	First   string
	Empty   bool
}

func (s *server) listingsPage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	l := listingList{Query: strings.TrimSpace(q.Get("q")), Source: q.Get("source"), Sources: s.visibleSources(r.Context())}
	var after store.Place
	if p := s.openCursor("listings", q.Get("cursor"), &after); p != nil {
		s.refuse(w, r, p)
		return
	}
	found, err := s.Store.Listings(r.Context(), store.ListingFilter{Query: l.Query, Source: l.Source, Sources: actorOf(r.Context()).Sources}, after, pageRows+1)
	if err != nil {
		s.refuse(w, r, s.fromStore(err, ""))
		return
	}
	if len(found) > pageRows {
		last := found[pageRows-1]
		l.Next = nextLink("/listings", q, s.sealCursor("listings", store.Place{At: last.UpdatedAt, Source: last.Source, ID: last.ListingID}))
		found = found[:pageRows]
	}
	if q.Has("cursor") {
		l.First = nextLink("/listings", q, nil)
	}
	names := s.groupNames(r.Context())
	l.Asked = names.Asked
	for _, one := range found {
		l.Rows = append(l.Rows, listingRow{one, names.rows(one.Groups())})
	}
	l.Empty = len(found) == 0 && l.Query+l.Source == ""
	s.render(w, r, http.StatusOK, "listings", page{Title: "Listings", Active: "listings", Body: l})
}

// listingView is the page of one listing, and its form.
type listingView struct {
	listingRow
	Known    bool // it is in the database; else a reservation names it, and saving makes it
	Systems  []systemGroups
	Asked    bool
	ByAdmin  bool
	Problem  string
	Saved    bool
	Stays    string // the address of its reservations
	Zone     string // that applies, with what is configured
	In, Out  string
	SetHere  bool // of the form
	Orphaned bool // its source is no longer in the configuration
}

// systemGroups are the access groups of one access system, to pick from.
type systemGroups struct {
	ID, Name string
	Groups   []groupRow
}

func listingRef(r *http.Request) store.ListingRef {
	return store.ListingRef{Source: chi.URLParam(r, "source"), ListingID: chi.URLParam(r, "listing_id")}
}

func (s *server) listingPage(w http.ResponseWriter, r *http.Request) {
	v, p := s.listingView(r)
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	v.Saved = r.URL.Query().Get("saved") != ""
	s.render(w, r, http.StatusOK, "listing", page{Title: "Listing " + v.Title(), Active: "listings", Body: v})
}

func (s *server) listingView(r *http.Request) (listingView, *Problem) {
	ref := listingRef(r)
	if p := s.mayHaveListing(r.Context(), ref); p != nil {
		return listingView{}, p
	}
	source, configured := s.source(ref.Source)
	listings, err := s.Store.ListingsNamed(r.Context(), []store.ListingRef{ref})
	if err != nil {
		return listingView{}, s.fromStore(err, "")
	}
	l, found := listings[ref]
	l.Source, l.ListingID = ref.Source, ref.ListingID
	names, err := s.groupsOf(r.Context(), ref.Source)
	if err != nil {
		return listingView{}, s.fromStore(err, "")
	}
	v := listingView{listingRow: listingRow{l, names.rows(l.Groups())}, Known: found, Asked: names.Asked, ByAdmin: l.AdminAccessGroupIDs != nil}
	v.SetHere, v.Orphaned = v.ByAdmin || !found, !configured
	v.Systems = pickFrom(names, l.Groups())
	v.Stays = nextLink("/reservations", map[string][]string{"listing_id": {l.ListingID}, "source": {l.Source}}, nil)
	c := source.Policy.Complete(l.ListingID, text(l.TimeZone), text(l.CheckInTime), text(l.CheckOutTime))
	if v.In, v.Out = c.CheckInTime, c.CheckOutTime; c.Zone != nil {
		v.Zone = c.Zone.String()
	}
	return v, nil
}

// pickFrom lists what can be picked: what Seam has, and what is chosen although Seam does not have it.
func pickFrom(names groupNames, chosen []string) []systemGroups {
	var systems []systemGroups
	add := func(id, name string, g groupRow) {
		i := slices.IndexFunc(systems, func(s systemGroups) bool { return s.ID == id })
		if i < 0 {
			i = len(systems)
			systems = append(systems, systemGroups{ID: id, Name: name})
		}
		systems[i].Groups = append(systems[i].Groups, g)
	}
	for _, g := range names.groups {
		row := names.row(g.ID)
		row.Chosen = slices.Contains(chosen, g.ID)
		add(g.SystemID, g.SystemName, row)
	}
	for _, id := range chosen {
		if _, ok := names.byID[id]; !ok {
			row := names.row(id)
			row.Chosen = true
			title := "Not known to Seam"
			if !names.Asked {
				title = "As they are set"
			}
			add("", title, row)
		}
	}
	return systems
}

func (s *server) saveListingPage(w http.ResponseWriter, r *http.Request) {
	v, p := s.listingView(r)
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	fields := map[string]any{}
	chosen := v.Groups()
	if v.SetHere = r.PostFormValue("groups_by") == "admin"; v.SetHere {
		groups := slices.Clone(r.PostForm["group"])
		for _, more := range strings.Fields(strings.ReplaceAll(r.PostFormValue("more_groups"), ",", " ")) {
			if !slices.Contains(groups, more) {
				groups = append(groups, more)
			}
		}
		if groups == nil {
			groups = []string{}
		}
		fields["seam_access_group_ids"], chosen = groups, groups
	} else if v.ByAdmin {
		fields["seam_access_group_ids"] = nil
	}
	for name, is := range map[string]*string{"name": v.Name, "time_zone": v.TimeZone, "check_in_time": v.CheckInTime, "check_out_time": v.CheckOutTime, "acs_system_id": v.ACSSystemID} {
		said := strings.TrimSpace(r.PostFormValue(name))
		switch {
		case said == text(is):
		case said == "":
			fields[name] = nil
		default:
			fields[name] = said
		}
	}
	body, err := json.Marshal(fields)
	if err != nil {
		s.refuse(w, r, problem(http.StatusBadRequest, err.Error()))
		return
	}
	patch, errs, err := pms.ParseListingPatch(body)
	if err == nil && len(errs) == 0 && pms.CheckID(v.ListingID) != nil {
		errs = append(errs, pms.FieldError{Field: "listing_id", Message: pms.CheckID(v.ListingID).Error()})
	}
	if err != nil || len(errs) > 0 {
		v.Problem = pms.Reasons(errs)
		v.typed(r, pickFrom(s.groupNames(r.Context()), chosen))
		s.render(w, r, http.StatusUnprocessableEntity, "listing", page{Title: "Listing " + v.Title(), Active: "listings", Body: v})
		return
	}
	if p := s.notAllowed(r.Context(), v.Source, patch); p != nil {
		v.Problem = pageText(p)
		s.render(w, r, p.Status, "listing", page{Title: "Listing " + v.Title(), Active: "listings", Body: v})
		return
	}
	if _, err := s.Admin.PutListing(r.Context(), listingRef(r), patch, actorOf(r.Context()).audit(auditPutListing, "")); err != nil {
		s.refuse(w, r, s.fromStore(err, noListing))
		return
	}
	http.Redirect(w, r, v.Link()+"?saved=1", http.StatusSeeOther)
}

// typed shows a form again as it was filled in.
func (v *listingView) typed(r *http.Request, systems []systemGroups) {
	v.Systems = systems
	for name, field := range map[string]**string{"name": &v.Name, "time_zone": &v.TimeZone, "check_in_time": &v.CheckInTime, "check_out_time": &v.CheckOutTime, "acs_system_id": &v.ACSSystemID} {
		text := r.PostFormValue(name)
		*field = &text
	}
}
