package web

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/stay"
)

// doorPages choose doors for many listings.
type doorPages struct{ *core }

// doorGrid is the page on which people choose the doors of many listings at once.
type doorGrid struct {
	Query    string
	Source   string
	Missing  bool
	Sources  []string
	Rows     []doorRow
	Systems  []systemGroups // the doors to choose from
	Asked    bool           // Seam has answered
	Next     string
	First    string
	Export   string
	Back     string
	Lacking  int // listings without doors, counted to lackingCounted
	Empty    bool
	Problem  string
	Changed  *admin.GroupsChanged
	Suggests bool // a row has a suggestion
	NextUp   int  // the row whose doors are typed next; -1 for none
}

const lackingCounted = 1000

// doorRow is a listing as the page shows it.
type doorRow struct {
	admin.GroupRow
	Rows []groupRow
}

// Value names the listing in the form.
func (d doorRow) Value() string { return strings.TrimPrefix(d.Link(), "/listings/") }

// Link is the page of the listing.
func (d doorRow) Link() string { return listingRow{Listing: d.Listing}.Link() }

// Title is its name, or else its id.
func (d doorRow) Title() string { return listingRow{Listing: d.Listing}.Title() }

func (s doorPages) list(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, r.URL.Query(), func(*doorGrid) {})
}

// show shows the page for a query; say adds a message or what was chosen.
func (s doorPages) show(w http.ResponseWriter, r *http.Request, status int, q url.Values, say func(*doorGrid)) {
	query := admin.GroupQuery{
		Paging: paging(q), Query: strings.TrimSpace(q.Get("q")), Source: q.Get("source"),
		Missing: q.Get("missing") != "",
	}
	found, err := s.Admin.Groups.List(r.Context(), query)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	lacking, err := s.Admin.Groups.CountMissing(r.Context(), lackingCounted)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	groups := s.Admin.Groups.All(r.Context())
	g := doorGrid{
		Query: query.Query, Source: query.Source, Missing: query.Missing, Sources: s.Admin.Sources.Visible(r.Context()),
		Systems: pickFrom(groups, nil),
		Asked:   groups.Asked, Export: nextLink("/doors.csv", q, ""), Back: nextLink("/doors", q,
			q.Get("cursor")), Lacking: lacking,
		Empty: len(found.Items) == 0 && query.Query == "" && query.Source == "" && !query.Missing, NextUp: -1,
	}
	g.First, g.Next = pageLinks("/doors", q, found.Next)
	for _, one := range found.Items {
		g.Rows = append(g.Rows, doorRow{one, groupRows(groups, one.Groups())})
		g.Suggests = g.Suggests || one.Suggested.ID != ""
	}
	say(&g)
	s.render(w, r, status, "doors", page{Title: localeOf(r).T("Doors"), Active: "listings", Body: g})
}

// change applies the chosen doors to the selected listings.
func (s doorPages) change(w http.ResponseWriter, r *http.Request) {
	groups := r.PostForm["group"]
	refs, ok := listingsOf(r.PostForm["listing"])
	back, err := url.Parse(nextPage(r.PostFormValue("back")))
	if err != nil || !ok {
		s.refuse(w, r, handlers.NewProblem(http.StatusBadRequest, "this form can't be read: reload the page"))
		return
	}
	mode := r.PostFormValue("mode")
	again := func(problem lang.Text) {
		s.show(w, r, http.StatusUnprocessableEntity, back.Query(),
			func(g *doorGrid) { g.Problem = localeOf(r).T(problem) })
	}
	switch {
	case len(refs) == 0:
		again("Select listings first.")
		return
	case len(groups) == 0 && mode != "suggested":
		again("Choose doors first.")
		return
	}
	var changed admin.GroupsChanged
	if mode == "suggested" {
		changed, err = s.Admin.Groups.UseSuggested(r.Context(), refs)
	} else {
		changed, err = s.Admin.Groups.Change(r.Context(), refs, admin.GroupMode(mode), groups)
	}
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	s.show(w, r, http.StatusOK, back.Query(), func(g *doorGrid) { g.Changed = &changed })
}

// setTyped gives listings the doors that were typed into their rows, and has the next row filled in. The page's script
// saves row by row; it is answered with the doors alone.
func (s doorPages) setTyped(w http.ResponseWriter, r *http.Request) {
	back, err := url.Parse(nextPage(r.PostFormValue("back")))
	texts := r.PostForm["typed"]
	refs, ok := listingsOf(r.PostForm["row"])
	if err != nil || !ok || len(refs) != len(texts) {
		s.refuse(w, r, handlers.NewProblem(http.StatusBadRequest, "this form can't be read: reload the page"))
		return
	}

	var typed []admin.TypedGroups
	for i, ref := range refs {
		if strings.TrimSpace(texts[i]) != "" {
			typed = append(typed, admin.TypedGroups{ListingRef: ref, Text: texts[i]})
		}
	}

	set, err := s.Admin.Groups.SetTyped(r.Context(), typed)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}

	if r.Header.Get(liveHeader) != "" {
		s.answerTyped(w, r, set)
		return
	}
	s.show(w, r, http.StatusOK, back.Query(), func(g *doorGrid) {
		g.Changed = &set.GroupsChanged
		g.NextUp = slices.IndexFunc(g.Rows, func(row doorRow) bool { return len(row.Rows) == 0 })
		if len(typed) == 0 {
			g.Problem = localeOf(r).T("Type doors first.")
		}
	})
}

// typedDoors is the answer to the page's script: the doors of the row that was saved, or why it wasn't.
type typedDoors struct {
	Doors   []groupRow
	Changed admin.GroupsChanged
}

func (s doorPages) answerTyped(w http.ResponseWriter, r *http.Request, set admin.GroupsTyped) {
	t := typedDoors{Changed: set.GroupsChanged}
	groups := s.Admin.Groups.All(r.Context())
	for _, ids := range set.Groups {
		t.Doors = append(t.Doors, groupRows(groups, ids)...)
	}
	s.render(w, r, http.StatusOK, "doors-typed",
		page{Title: localeOf(r).T("Doors"), Active: "listings", Body: t})
}

// listingsOf reads the listings named in a form; ok is false if one can't be read.
func listingsOf(values []string) (refs []stay.ListingRef, ok bool) {
	for _, v := range values {
		source, id, two := strings.Cut(v, "/")
		source, err := url.PathUnescape(source)
		id, idErr := url.PathUnescape(id)
		if !two || err != nil || idErr != nil {
			return nil, false
		}
		refs = append(refs, stay.ListingRef{Source: source, ListingID: id})
	}
	return refs, true
}

func (s doorPages) export(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	sheetHeaders(w, "doors.csv")
	query := admin.GroupQuery{
		Query: strings.TrimSpace(q.Get("q")), Source: q.Get("source"),
		Missing: q.Get("missing") != "",
	}
	if err := s.Admin.Groups.Export(r.Context(), query, w); err != nil {
		s.Log.Warn("export of doors ended early", "error", err)
		panic(http.ErrAbortHandler) // so that a truncated file isn't taken for a complete one
	}
}

func sheetHeaders(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.Header().Set("Cache-Control", "no-store")
}

// doorsFilePath receives a table of doors.
const doorsFilePath = "/doors/file"

// linesShown is how many changes of a table are shown, and how many lines that can't be applied.
const linesShown = 100

// doorTable is the page that shows the changes of an uploaded table of doors, before and after they are made.
type doorTable struct {
	Text    string
	Lines   []doorTableLine
	Changes int
	Clears  int // of the changes: listings that have doors and will have none
	Wrong   int
	More    int // changes and wrong lines that are not shown
	Problem string
	Done    *admin.GroupsChanged
}

type doorTableLine struct {
	admin.GroupLine
	From, To []groupRow
}

// readFile shows what an uploaded table would change or, once that was confirmed, makes the changes.
func (s doorPages) readFile(w http.ResponseWriter, r *http.Request) {
	text := r.PostFormValue("table")
	if file, _, err := r.FormFile("file"); err == nil {
		sent, err := io.ReadAll(file)
		_ = file.Close()
		if err != nil {
			s.refuse(w, r, handlers.NewProblem(http.StatusBadRequest, "the file can't be read"))
			return
		}
		text = string(sent)
	}

	t := doorTable{Text: text}
	show := func(status int) {
		s.render(w, r, status, "doors-table",
			page{Title: localeOf(r).T("Doors from a file"), Active: "listings", Body: t})
	}

	lines, err := s.Admin.Groups.Read(r.Context(), []byte(text))
	if refusal, is := admin.IsRefusal(err); is && refusal.Kind == admin.Invalid {
		t.Problem = wrongFields(localeOf(r), refusal)
		show(http.StatusUnprocessableEntity)
		return
	}
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}

	if r.PostFormValue("apply") != "" {
		done, err := s.Admin.Groups.Apply(r.Context(), lines)
		if err != nil {
			s.refuse(w, r, s.problemOf(r, err))
			return
		}
		t.Done = &done
		show(http.StatusOK)
		return
	}

	t.preview(lines, s.Admin.Groups.All(r.Context()))
	show(http.StatusOK)
}

// preview counts what applying the lines would do, and shows the first changes and the first wrong lines.
func (t *doorTable) preview(lines []admin.GroupLine, groups admin.AccessGroups) {
	for _, l := range lines {
		shown := false
		switch {
		case l.Problem != "":
			shown = t.Wrong < linesShown
			t.Wrong++
		case l.Changes():
			shown = t.Changes < linesShown
			t.Changes++
		default:
			continue
		}

		if l.Clears() {
			t.Clears++
		}
		if shown {
			t.Lines = append(t.Lines, doorTableLine{l, groupRows(groups, l.Before), groupRows(groups, l.After)})
		} else {
			t.More++
		}
	}
}
