package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// SavedViews are filters of the page's lists that admins named.
type SavedViews struct{ *db }

// SavedView is a view of a list that somebody has saved for everybody.
type SavedView struct {
	Page      string    // the list
	Name      string    // unique in its list
	Query     string    // the list's filters, as in its address
	Author    string    // who saved it last
	CreatedAt time.Time // when it was saved last
}

// List returns the views of a list, by name.
func (s SavedViews) List(ctx context.Context, page string) ([]SavedView, error) {
	rows, _ := s.pool.Query(ctx, `SELECT page, name, query, author, created_at FROM saved_views WHERE page = $1
		ORDER BY staykey_plain(name), name COLLATE "C"`, page)
	views, err := pgx.CollectRows(rows, pgx.RowToStructByName[SavedView])
	return views, wrap(err, "read saved views")
}

// Save saves a view, or replaces the one of that name, unless there would be more than most. It reports whether
// it did.
func (s SavedViews) Save(ctx context.Context, v SavedView, most int, audit Audit) (saved bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO saved_views (page, name, query, author, created_at)
			SELECT @page, @name, @query, @author, @at
			WHERE (SELECT count(*) FROM saved_views WHERE page = @page AND name <> @name) < @most
			ON CONFLICT (page, name) DO UPDATE SET query = excluded.query, author = excluded.author,
				created_at = excluded.created_at`,
			pgx.StrictNamedArgs{
				"page": v.Page, "name": v.Name, "query": v.Query, "author": v.Author, "at": v.CreatedAt, "most": most,
			})
		if saved = tag.RowsAffected() > 0; err != nil || !saved {
			return err
		}
		return writeAudit(ctx, tx, audit)
	})
	return saved, wrap(err, "save a view")
}

// Delete deletes a view; [ErrNotFound] if there is none of that name.
func (s SavedViews) Delete(ctx context.Context, page, name string, audit Audit) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM saved_views WHERE page = $1 AND name = $2`, page, name)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return writeAudit(ctx, tx, audit)
	})
	return wrap(err, "delete a view")
}
