package admin

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// SavedViews are filters of lists that everybody finds under a name.
type SavedViews struct{ *core }

// mostViews bounds how many views of a list are kept.
const mostViews = 50

// SavedView is a view of a list that somebody has saved for everybody.
type SavedView = store.SavedView

// viewFilters are the filters that a view of each list can hold. Search terms and addresses are none of them, because
// they may be a guest's.
var viewFilters = map[string][]string{
	"reservations": viewFiltersOf(ReservationQuery{}, "when"),
	"listings":     viewFiltersOf(ListingQuery{}),
	"events":       viewFiltersOf(EventQuery{}),
}

// ViewFilters returns the filters that a view of a list can hold.
func ViewFilters(list string) []string { return viewFilters[list] }

// ViewQuery are the filters in q that a view of a list can hold, as a query in a fixed order.
func ViewQuery(list string, q url.Values) string {
	kept := url.Values{}
	for _, name := range viewFilters[list] {
		if value := q.Get(name); value != "" {
			kept.Set(name, value)
		}
	}
	return kept.Encode()
}

// knownList refuses a list without views.
func knownList(list string) error {
	if viewFilters[list] == nil {
		return refuse(NotFound, "this list has no views")
	}
	return nil
}

// Actions of the audit log about views.
const (
	auditSaveView   = "save_view"
	auditDeleteView = "delete_view"
)

// List returns the views of a list that the actor may see: the filters of the others name something of a source
// that the actor doesn't see.
func (s SavedViews) List(ctx context.Context, list string) ([]SavedView, error) {
	shown, _, err := s.list(ctx, list)
	return shown, err
}

func (s SavedViews) list(ctx context.Context, list string) (shown, hidden []SavedView, err error) {
	if err := knownList(list); err != nil {
		return nil, nil, err
	}
	views, err := s.store.SavedViews.List(ctx, list)
	for _, v := range views {
		sees, seesErr := s.sees(ctx, v.Query)
		switch {
		case seesErr != nil:
			return nil, nil, seesErr
		case sees:
			shown = append(shown, v)
		default:
			hidden = append(hidden, v)
		}
	}
	return shown, hidden, err
}

// sees reports whether the actor sees everything that the filters of a view name. An id without a source counts
// as seen if one of the actor's sources has it.
func (s SavedViews) sees(ctx context.Context, query string) (bool, error) {
	a := ActorOf(ctx)
	if a.Sources == nil {
		return true, nil
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return false, nil
	}

	sources := Values(q.Get("source"))
	if slices.ContainsFunc(sources, func(source string) bool { return !a.Sees(source) }) {
		return false, nil
	}
	if len(sources) == 0 {
		sources = a.Sources
	}

	for name, read := range map[string]func(source, id string) error{
		"listing_id": func(source, id string) error {
			_, err := s.store.Listings.Get(ctx, stay.ListingRef{Source: source, ListingID: id})
			return err
		},
		"reservation_id": func(source, id string) error {
			_, err := Reservations(s).Get(ctx, stay.Ref{Source: source, ReservationID: id})
			return err
		},
	} {
		if id := q.Get(name); id != "" {
			if has, err := anyHas(sources, id, read); err != nil || !has {
				return false, err
			}
		}
	}
	return true, nil
}

// anyHas reports whether one of the sources has something with an id.
func anyHas(sources []string, id string, read func(source, id string) error) (bool, error) {
	for _, source := range sources {
		err := read(source, id)
		if err == nil {
			return true, nil
		}
		if _, refused := IsRefusal(err); !refused && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
	}
	return false, nil
}

// mayChange refuses to replace or delete a view that the actor doesn't see.
func (s SavedViews) mayChange(ctx context.Context, list, name string) error {
	_, hidden, err := s.list(ctx, list)
	if slices.ContainsFunc(hidden, func(v SavedView) bool { return v.Name == name }) {
		return refuse(Conflict, "This name is in use: choose another.")
	}
	return err
}

// Save saves a view of a list under a name, for everybody, with the filters in q that a view can hold.
func (s SavedViews) Save(ctx context.Context, list, name string, q url.Values) (SavedView, error) {
	if err := knownList(list); err != nil {
		return SavedView{}, err
	}
	name, query := Person(name), ViewQuery(list, q)
	if name == "" {
		return SavedView{}, InvalidField("name", "is required")
	}
	if len(query) > 1000 {
		return SavedView{}, InvalidField("filters", "must have at most 1000 characters")
	}
	if err := s.mayChange(ctx, list, name); err != nil {
		return SavedView{}, err
	}
	a := ActorOf(ctx)
	now := s.now().UTC()
	entry := a.Audit(auditSaveView, "")
	entry.At, entry.After = now, map[string]any{"list": list, "name": name, "filters": query}
	view := SavedView{Page: list, Name: name, Query: query, Author: a.Author(""), CreatedAt: now}
	saved, err := s.store.SavedViews.Save(ctx, view, mostViews, entry)
	if err == nil && !saved {
		return SavedView{}, refuse(Conflict, "There are 50 saved views of this list: delete one first.")
	}
	return view, err
}

// Delete deletes a view of a list.
func (s SavedViews) Delete(ctx context.Context, list, name string) error {
	if err := s.mayChange(ctx, list, name); err != nil {
		return err
	}
	entry := ActorOf(ctx).Audit(auditDeleteView, "")
	entry.At, entry.Before = s.now().UTC(), map[string]any{"list": list, "name": name}
	return notFound(s.store.SavedViews.Delete(ctx, list, name, entry), "This view was deleted already.")
}
