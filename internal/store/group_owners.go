package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// claimGroups makes a source the owner of access groups that nobody has used before.
const claimGroups = `
	INSERT INTO access_group_owners (acs_access_group_id, source, since)
	SELECT g, $1, $3 FROM unnest($2::text[]) AS g ORDER BY g COLLATE "C" ON CONFLICT DO NOTHING`

// claimGroupsOf makes a listing's source the owner of its groups, as far as they have none, in the commit that
// saves the listing.
func claimGroupsOf(batch *pgx.Batch, l Listing) {
	groups := slices.Clone(l.Groups())
	if l.Known && !l.Deleted && len(groups) > 0 {
		slices.Sort(groups)
		batch.Queue(claimGroups, l.Source, slices.Compact(groups), l.UpdatedAt)
	}
}

// Claim makes a source the owner of those access groups that have none, and returns the owners of all.
func (s AccessGroups) Claim(ctx context.Context, source string, groups []string,
	now time.Time,
) (map[string]string, error) {
	if _, err := s.pool.Exec(ctx, claimGroups, source, groups, now); err != nil {
		return nil, wrap(err, "claim access groups for source %s", source)
	}
	return s.Owners(ctx, groups)
}

// Owners returns which source used each of the access groups first; those that nobody used are absent.
func (s AccessGroups) Owners(ctx context.Context, groups []string) (map[string]string, error) {
	rows, _ := s.pool.Query(ctx, `SELECT acs_access_group_id, source FROM access_group_owners
		WHERE acs_access_group_id = ANY ($1)`, groups)
	owners, err := collectOwners(rows)
	return owners, wrap(err, "read who uses access groups")
}

func collectOwners(rows pgx.Rows) (map[string]string, error) {
	owners := map[string]string{}
	var group, source string
	_, err := pgx.ForEachRow(rows, []any{&group, &source}, func() error {
		owners[group] = source
		return nil
	})
	return owners, err
}
