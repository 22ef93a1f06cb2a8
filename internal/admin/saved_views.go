package admin

import (
	"context"

	"github.com/staykey/staykey/internal/store"
)

// mostViews bounds how many views of a list are kept.
const mostViews = 50

// SavedView is a view of a list that somebody has saved for everybody.
type SavedView = store.SavedView

// Actions of the audit log about views.
const (
	auditSaveView   = "save_view"
	auditDeleteView = "delete_view"
)

// SavedViews returns the views of a list.
func (s *Service) SavedViews(ctx context.Context, list string) ([]SavedView, error) {
	return s.store.SavedViews(ctx, list)
}

// SaveView saves a view of a list under a name, for everybody.
func (s *Service) SaveView(ctx context.Context, list, name, query string) error {
	name = Person(name)
	if name == "" {
		return InvalidField("name", "is required")
	}
	if len(query) > 1000 {
		return InvalidField("query", "must have at most 1000 characters")
	}
	a := ActorOf(ctx)
	now := s.now().UTC()
	entry := a.Audit(auditSaveView, "")
	entry.At, entry.After = now, map[string]any{"list": list, "name": name, "filters": query}
	saved, err := s.store.SaveView(ctx, SavedView{
		Page: list, Name: name, Query: query, Author: a.Author(""), CreatedAt: now,
	}, mostViews, entry)
	if err == nil && !saved {
		return refuse(Conflict, "There are 50 saved views of this list: delete one first.")
	}
	return err
}

// DeleteView deletes a view of a list.
func (s *Service) DeleteView(ctx context.Context, list, name string) error {
	entry := ActorOf(ctx).Audit(auditDeleteView, "")
	entry.At, entry.Before = s.now().UTC(), map[string]any{"list": list, "name": name}
	return notFound(s.store.DeleteView(ctx, list, name, entry), "This view was deleted already.")
}
