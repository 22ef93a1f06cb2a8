package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// listingPages show and save listings.
type listingPages struct{ *core }

// listingRow is a listing as pages show it.
type listingRow struct {
	admin.Listing
	Rows []groupRow
}

// Link is the page of the listing.
func (l listingRow) Link() string { return escapedPath([]string{"listings", l.Source, l.ListingID}) }

// Title is its name, or else its id.
func (l listingRow) Title() string {
	if stay.Text(l.Name) != "" {
		return *l.Name
	}
	return l.ListingID
}

// Stays is the address of the list of its stays.
func (l listingRow) Stays() string {
	return nextLink("/reservations", url.Values{"listing_id": {l.ListingID}, "source": {l.Source}}, "")
}

// listingList is the page of listings.
type listingList struct {
	Query   string
	Source  []string
	Deleted string // "true", "false" or "" for both
	Sources []string
	Rows    []listingRow
	Total   string // number of listings on all pages
	Asked   bool   // Seam has answered with its access groups
	Next    string
	First   string
	Empty   bool
	Views   viewBar

	Filtered bool // a filter is set
}

func (s listingPages) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	query := admin.ListingQuery{Paging: paging(q)}
	admin.ReadFilters(q, &query)
	found, err := s.Admin.Listings.List(r.Context(), query)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	groups := s.Admin.Groups.All(r.Context())
	l := listingList{
		Query: query.Query, Source: query.Source, Deleted: query.Deleted, Sources: s.Admin.Sources.Visible(r.Context()),
		Asked: groups.Asked, Filtered: isFiltered(q),
		Empty: len(found.Items) == 0 && !query.Narrowed(),
	}
	if l.Total, err = s.total(r, query); err == nil {
		l.Views, err = s.viewBar(r, "listings", q)
	}
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	l.First, l.Next = pageLinks("/listings", q, found.Next)
	for _, one := range found.Items {
		nameRisk(groups, one.DoorRisk)
		l.Rows = append(l.Rows, listingRow{one, groupRows(groups, one.Groups())})
	}
	s.render(w, r, http.StatusOK, "listings", page{Title: localeOf(r).T("Listings"), Active: "listings", Body: l})
}

// total describes how many listings match a query, on all pages.
func (s listingPages) total(r *http.Request, query admin.ListingQuery) (string, error) {
	in := localeOf(r)
	n, err := s.Admin.Listings.Count(r.Context(), query, totalCounted+1)
	if n > totalCounted {
		return in.T("more than {n} listings|more than {n} listings", totalCounted), err
	}
	return in.T("{n} listing|{n} listings", n), err
}

// listingView is the page of one listing, and its form.
type listingView struct {
	listingRow
	Known    bool // it exists; otherwise a reservation names it, and saving creates it
	Systems  []systemGroups
	Asked    bool
	ByAdmin  bool
	Problem  string
	Saved    bool
	Zone     string // that applies, with the defaults
	In, Out  string
	SetHere  bool // of the form
	Orphaned bool // its source is no longer in the configuration
}

// systemGroups are the access groups of one access system, to pick from.
type systemGroups struct {
	ID, Name string
	Groups   []groupRow
}

func listingRef(r *http.Request) stay.ListingRef {
	return stay.ListingRef{Source: chi.URLParam(r, "source"), ListingID: chi.URLParam(r, "listing_id")}
}

func (s listingPages) show(w http.ResponseWriter, r *http.Request) {
	v, err := s.view(r)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	v.Saved = r.URL.Query().Get("saved") != ""
	if r.URL.Query().Get(withoutMissing) != "" {
		v.dropMissing()
	}
	s.render(w, r, http.StatusOK, "listing",
		page{Title: localeOf(r).T("Listing {name}", v.Title()), Active: "listings", Body: v})
}

// withoutMissing is the parameter of a listing's page that begins without the doors that Seam doesn't know. The button
// of that problem has it; opened for something else, the page keeps them, since Seam's list may lack one for a moment.
const withoutMissing = "without_missing"

func (v *listingView) dropMissing() {
	for _, system := range v.Systems {
		for i := range system.Groups {
			system.Groups[i].Chosen = system.Groups[i].Chosen && !system.Groups[i].Missing
		}
	}
}

func (s listingPages) view(r *http.Request) (listingView, error) {
	l, err := s.Admin.Listings.ToPut(r.Context(), listingRef(r))
	if err != nil {
		return listingView{}, err
	}
	groups, err := s.Admin.Groups.Of(r.Context(), l.Source)
	if err != nil {
		return listingView{}, err
	}
	nameRisk(groups, l.DoorRisk)
	v := listingView{
		listingRow: listingRow{l.Listing, groupRows(groups, l.Groups())}, Known: l.Known, Asked: groups.Asked,
		ByAdmin: l.AdminAccessGroupIDs != nil, Orphaned: !l.Configured, Systems: pickFrom(groups, l.Groups()),
	}
	v.SetHere = v.ByAdmin || !l.Known
	hours := s.Admin.Reservations.HoursOf(l.Listing)
	if v.In, v.Out = hours.CheckInTime, hours.CheckOutTime; hours.Zone != nil {
		v.Zone = hours.Zone.String()
	}
	return v, nil
}

// Titles of groups to pick from whose access system is unknown.
const (
	unknownGroups    lang.Text = "Unknown to Seam"
	configuredGroups lang.Text = "Configured groups"
)

// pickFrom lists the groups to pick from: those at Seam, and chosen ones that Seam doesn't know.
func pickFrom(groups admin.AccessGroups, chosen []string) []systemGroups {
	var systems []systemGroups
	add := func(id, name string, g groupRow) {
		i := slices.IndexFunc(systems, func(s systemGroups) bool { return s.ID == id })
		if i < 0 {
			i = len(systems)
			systems = append(systems, systemGroups{ID: id, Name: name})
		}
		systems[i].Groups = append(systems[i].Groups, g)
	}

	for _, g := range groups.Choices {
		row := groupRowOf(groups, g.ID)
		row.Chosen = slices.Contains(chosen, g.ID)
		add(g.SystemID, g.SystemName, row)
	}

	for _, id := range chosen {
		if _, ok := groups.Named(id); !ok {
			row := groupRowOf(groups, id)
			row.Chosen = true
			title := unknownGroups
			if !groups.Asked {
				title = configuredGroups
			}
			add("", string(title), row)
		}
	}
	return systems
}

func (s listingPages) save(w http.ResponseWriter, r *http.Request) {
	v, err := s.view(r)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}

	fields, chosen := v.changed(r)
	body, err := json.Marshal(fields)
	if err != nil {
		s.refuse(w, r, handlers.NewProblem(http.StatusBadRequest, err.Error()))
		return
	}

	_, _, err = s.Admin.Listings.Put(r.Context(), listingRef(r), body)
	if refusal, is := admin.IsRefusal(err); is && refusal.Kind == admin.Invalid {
		v.Problem = wrongFields(localeOf(r), refusal)
		v.typed(r, pickFrom(s.Admin.Groups.All(r.Context()), chosen))
		s.render(w, r, http.StatusUnprocessableEntity, "listing",
			page{Title: localeOf(r).T("Listing {name}", v.Title()), Active: "listings", Body: v})
		return
	}
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	http.Redirect(w, r, v.Link()+"?saved=1", http.StatusSeeOther)
}

// wrongFields names the wrong fields of a form.
func wrongFields(in *lang.Locale, refusal *admin.Error) string {
	fields := slices.Clone(refusal.Fields)
	for i := range fields {
		fields[i].Field = fieldWords(in, fields[i].Field)
		fields[i].Message = in.Foreign(fields[i].Message)
	}
	return pms.Reasons(fields)
}

// changed reads the changes from a form, as the body of a PUT, and the access groups that are chosen.
func (v *listingView) changed(r *http.Request) (fields map[string]any, chosen []string) {
	fields, chosen = map[string]any{}, v.Groups()
	if v.SetHere = r.PostFormValue("groups_by") == "admin"; v.SetHere {
		chosen = append([]string{}, r.PostForm["group"]...)
		for _, more := range strings.Fields(strings.ReplaceAll(r.PostFormValue("more_groups"), ",", " ")) {
			if !slices.Contains(chosen, more) {
				chosen = append(chosen, more)
			}
		}
		fields["seam_access_group_ids"] = chosen
	} else if v.ByAdmin {
		fields["seam_access_group_ids"] = nil
	}

	for name, field := range v.texts() {
		typed := strings.TrimSpace(r.PostFormValue(name))
		switch {
		case typed == stay.Text(*field):
		case typed == "":
			fields[name] = nil
		default:
			fields[name] = typed
		}
	}
	return fields, chosen
}

// texts are the text fields of the form, by name.
func (v *listingView) texts() map[string]**string {
	return map[string]**string{
		"name": &v.Name, "time_zone": &v.TimeZone, "check_in_time": &v.CheckInTime, "check_out_time": &v.CheckOutTime,
		"acs_system_id": &v.ACSSystemID,
	}
}

// typed keeps what was entered, to show the form again.
func (v *listingView) typed(r *http.Request, systems []systemGroups) {
	v.Systems = systems
	for name, field := range v.texts() {
		text := r.PostFormValue(name)
		*field = &text
	}
}
