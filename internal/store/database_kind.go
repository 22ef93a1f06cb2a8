package store

import "context"

// The kinds of database. SettingDatabaseKind names the setting that holds one of them.
const (
	ProductionDatabase  = "production"
	DevelopmentDatabase = "development"
	SettingDatabaseKind = "database_kind"
)

// DatabaseKind describes a database before it is migrated.
type DatabaseKind struct {
	Kind      string // "" if no start has marked it
	Workspace string // the pinned Seam workspace, "" if there is none
	// Used reports, if Kind is "", whether it holds events, listings or reservations, or is pinned. A database that has
	// a kind isn't asked: a start needs none of these tables, which somebody may keep locked.
	Used bool
}

// DatabaseKind returns which kind of start created the database. A database without our tables is unused.
func (s *Store) DatabaseKind(ctx context.Context) (DatabaseKind, error) {
	var k DatabaseKind
	var exists bool
	if err := s.pool.QueryRow(ctx, `SELECT to_regclass('settings') IS NOT NULL
		AND to_regclass('events') IS NOT NULL`).Scan(&exists); err != nil || !exists {
		return k, wrap(err, "look for the settings")
	}
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce((SELECT value FROM settings WHERE name = $1), ''),
			coalesce((SELECT value FROM settings WHERE name = 'seam_workspace_id'), '')`, SettingDatabaseKind).
		Scan(&k.Kind, &k.Workspace)
	if k.Used = k.Workspace != ""; err != nil || k.Used || k.Kind != "" {
		return k, wrap(err, "read the kind of the database")
	}
	err = s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM events) OR EXISTS (SELECT FROM listings) OR EXISTS (SELECT FROM reservations)`).
		Scan(&k.Used)
	return k, wrap(err, "find out whether the database is in use")
}
