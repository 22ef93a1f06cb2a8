package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// AccessGroups are Seam's names for doors that are opened together: the access system of each, and which source may use
// it.
type AccessGroups struct{ *db }

// All returns the access system of every access group that was ever seen.
func (s AccessGroups) All(ctx context.Context) (map[string]string, error) {
	rows, _ := s.pool.Query(ctx, `SELECT acs_access_group_id, acs_system_id FROM access_groups`)
	systems := map[string]string{}
	var group, system string
	_, err := pgx.ForEachRow(rows, []any{&group, &system}, func() error { systems[group] = system; return nil })
	return systems, wrap(err, "read access groups")
}

// Save remembers which access system each group is on.
func (s AccessGroups) Save(ctx context.Context, systems map[string]string, now time.Time) error {
	groups, on := make([]string, 0, len(systems)), make([]string, 0, len(systems))
	for group, system := range systems {
		groups, on = append(groups, group), append(on, system)
	}
	_, err := s.pool.Exec(ctx, `
		INSERT INTO access_groups (acs_access_group_id, acs_system_id, seen_at)
		SELECT DISTINCT ON (g) g, s, $3 FROM unnest($1::text[], $2::text[]) AS n (g, s) ORDER BY g
		ON CONFLICT (acs_access_group_id) DO UPDATE SET acs_system_id = excluded.acs_system_id,
			seen_at = excluded.seen_at
		WHERE access_groups.acs_system_id <> excluded.acs_system_id`, groups, on, now)
	return wrap(err, "save %d access groups", len(groups))
}
