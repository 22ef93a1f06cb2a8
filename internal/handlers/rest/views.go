package rest

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
)

// SavedView is a view of a list: filters under a name, for everybody who signs in to the page.
type SavedView struct {
	List      string            `json:"list" enum:"reservations,listings,events"`
	Name      string            `json:"name" example:"Tomorrow, without a key"`
	Filters   map[string]string `json:"filters" nullable:"false" example:"{\"when\":\"tomorrow\",\"key_status\":\"waiting,attention\"}"`
	Path      string            `json:"path" doc:"Where the page shows it." example:"/reservations?key_status=waiting%2Cattention&when=tomorrow"`
	Author    string            `json:"author" example:"Maria (front-desk)" doc:"Who saved it last."`
	UpdatedAt string            `json:"updated_at" format:"date-time"`
}

// SavedViews are the views of a list.
type SavedViews struct {
	Items []SavedView `json:"items" nullable:"false"`
}

// ViewListPath names a list.
type ViewListPath struct {
	List string `path:"list" enum:"reservations,listings,events"`
}

// ViewPath names a view.
type ViewPath struct {
	ViewListPath
	Name string `path:"name" maxLength:"60"`
}

// ViewFilters are the filters of a view.
type ViewFilters struct {
	Filters map[string]string `json:"filters" nullable:"false" example:"{\"when\":\"tomorrow\",\"key_status\":\"waiting,attention\"}"`
}

// TransformSchema lists the filters of each list, from the lists' own queries.
func (ViewFilters) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	of := func(list string) string { return strings.Join(admin.ViewFilters(list), ", ") }
	s.Properties["filters"].Description = "Filters of reservations: " + of("reservations") +
		" (today, tomorrow, week, all). Of listings: " + of("listings") + ". Of events: " + of("events") +
		". Values as in the list's query, several separated by commas."
	return s
}

// ViewInput is the request to save a view.
type ViewInput struct {
	ViewPath
	Body ViewFilters
}

func showView(v admin.SavedView) SavedView {
	out := SavedView{
		List: v.Page, Name: v.Name, Filters: map[string]string{}, Path: "/" + v.Page + "?" + v.Query, Author: v.Author,
		UpdatedAt: stamp(v.CreatedAt),
	}
	q, _ := url.ParseQuery(v.Query) // it was encoded by us
	for name := range q {
		out.Filters[name] = q.Get(name)
	}
	return out
}

const viewsPath = "/v1/views/{list}"

func (s *API) viewOperations(api huma.API) {
	const tag = "Saved views"
	list := described(operation("list-views", http.MethodGet, viewsPath, tag, "List saved views"),
		"The views of one of the page's lists, by name. A token limited to some sources doesn't see views that name anything of other sources.")
	huma.Register(api, list, func(ctx context.Context, in *ViewListPath) (*Output[SavedViews], error) {
		views, err := s.Admin.SavedViews.List(ctx, in.List)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		out := SavedViews{Items: make([]SavedView, len(views))}
		for i, v := range views {
			out.Items[i] = showView(v)
		}
		return &Output[SavedViews]{out}, nil
	})

	put := described(operation("put-view", http.MethodPut, viewsPath+"/{name}", tag, "Save a view, or replace it",
		withBody(http.StatusForbidden, http.StatusConflict)...),
		"At most 50 views per list. Search terms and guests' addresses are not part of a view.")
	huma.Register(api, put, func(ctx context.Context, in *ViewInput) (*Output[SavedView], error) {
		v, err := s.saveView(ctx, in)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[SavedView]{showView(v)}, nil
	})

	remove := described(operation("delete-view", http.MethodDelete, viewsPath+"/{name}", tag, "Delete a saved view",
		http.StatusForbidden, http.StatusNotFound, http.StatusConflict),
		"Deletes the view for all users.")
	remove.DefaultStatus = http.StatusNoContent
	huma.Register(api, remove, func(ctx context.Context, in *ViewPath) (*struct{}, error) {
		if err := s.Admin.SavedViews.Delete(ctx, in.List, in.Name); err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return nil, nil
	})
}

// saveView refuses filters that a view can't hold: a program gets an error, while the page leaves them out.
func (s *API) saveView(ctx context.Context, in *ViewInput) (admin.SavedView, error) {
	q := url.Values{}
	for name, value := range in.Body.Filters {
		if !slices.Contains(admin.ViewFilters(in.List), name) {
			return admin.SavedView{}, admin.InvalidField("body.filters."+name, "is not a filter of a view of "+in.List)
		}
		q.Set(name, value)
	}
	return s.Admin.SavedViews.Save(ctx, in.List, in.Name, q)
}

// keptView shows the view as it is now, for a request whose answer was lost.
func (s *API) keptView(ctx context.Context, r *http.Request) (admin.Answer, error) {
	views, err := s.Admin.SavedViews.List(ctx, chi.URLParam(r, "list"))
	for _, v := range views {
		if v.Name == admin.Person(chi.URLParam(r, "name")) {
			return answer(http.StatusOK, showView(v), err)
		}
	}
	return admin.Answer{Status: http.StatusNoContent}, err // somebody has deleted it since
}
