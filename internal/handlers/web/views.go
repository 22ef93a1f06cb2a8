package web

import (
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
)

// This file is saved views: the filters of a list under a name, for everybody who signs in. Search terms are not part
// of a view, because they may be a guest's name.

// viewPages save and delete views of lists.
type viewPages struct{ *core }

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

// viewBar reads the saved views of a list.
func (s *core) viewBar(r *http.Request, list string, q url.Values) (viewBar, error) {
	bar := viewBar{List: list, Now: admin.ViewQuery(list, q)}
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

func (s viewPages) save(w http.ResponseWriter, r *http.Request) {
	list := chi.URLParam(r, "list")
	filters, err := url.ParseQuery(r.PostFormValue("query"))
	if err != nil {
		s.refuse(w, r, handlers.NewProblem(http.StatusBadRequest, "this form can't be read: reload the page"))
		return
	}
	view, err := s.Admin.SavedViews.Save(r.Context(), list, r.PostFormValue("name"), filters)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	http.Redirect(w, r, "/"+view.Page+"?"+view.Query, http.StatusSeeOther)
}

func (s viewPages) delete(w http.ResponseWriter, r *http.Request) {
	list := chi.URLParam(r, "list")
	if err := s.Admin.SavedViews.Delete(r.Context(), list, r.PostFormValue("name")); err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	http.Redirect(w, r, "/"+list, http.StatusSeeOther)
}
