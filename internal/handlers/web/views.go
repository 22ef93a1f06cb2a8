package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
)

// This file is saved views: the filters of a list under a name, for everybody who signs in. Search terms are not part
// of a view, because they may be a guest's name.

// viewPages save and delete views of lists.
type viewPages struct{ *core }

// viewLists are the lists that have saved views.
var viewLists = []string{"reservations", "listings", "events"}

// viewBar shows the saved views of a list, and can save the current one.
type viewBar struct {
	List  string
	Saved []savedView
	Now   string // the present filters; "" where there are none to save
	On    string // the name of the view that is shown; "" for none
}

type savedView struct {
	Name, Link string
	On         bool
}

// viewQuery are the filters that a view stores, in a fixed order.
func viewQuery(q url.Values) string {
	kept := url.Values{}
	for name, values := range q {
		if values[0] != "" && !slices.Contains([]string{"q", "cursor", "done", "guest_email"}, name) {
			kept.Set(name, values[0])
		}
	}
	return kept.Encode()
}

// viewBar reads the saved views of a list.
func (s *core) viewBar(r *http.Request, list string, q url.Values) (viewBar, error) {
	bar := viewBar{List: list, Now: viewQuery(q)}
	saved, err := s.Admin.SavedViews.List(r.Context(), list)
	for _, v := range saved {
		on := v.Query == bar.Now && q.Get("q") == ""
		if on {
			bar.On = v.Name
		}
		bar.Saved = append(bar.Saved, savedView{v.Name, "/" + list + "?" + v.Query, on})
	}
	return bar, err
}

// viewList is the list in a request's path; "" if that list has no views.
func viewList(r *http.Request) string {
	list := chi.URLParam(r, "list")
	if !slices.Contains(viewLists, list) {
		return ""
	}
	return list
}

func (s viewPages) save(w http.ResponseWriter, r *http.Request) {
	list := viewList(r)
	filters, err := url.ParseQuery(r.PostFormValue("query"))
	if list == "" || err != nil {
		s.refuse(w, r, s.problemOf(&admin.Error{Kind: admin.NotFound, Message: "this list has no views"}))
		return
	}
	query, name := viewQuery(filters), admin.Person(r.PostFormValue("name"))
	if err := s.Admin.SavedViews.Save(r.Context(), list, name, query); err != nil {
		s.refuse(w, r, s.problemOf(err))
		return
	}
	http.Redirect(w, r, "/"+list+"?"+query, http.StatusSeeOther)
}

func (s viewPages) delete(w http.ResponseWriter, r *http.Request) {
	list := viewList(r)
	if list == "" {
		s.refuse(w, r, s.problemOf(&admin.Error{Kind: admin.NotFound, Message: "this list has no views"}))
		return
	}
	if err := s.Admin.SavedViews.Delete(r.Context(), list, r.PostFormValue("name")); err != nil {
		s.refuse(w, r, s.problemOf(err))
		return
	}
	http.Redirect(w, r, "/"+list, http.StatusSeeOther)
}
