package app

import (
	"context"
	"testing"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/store/storetest"
)

// A database from before databases had a kind.
func TestDatabaseWithoutAKind(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	machine := &devMachine{workspace: "simulated"}
	for name, c := range map[string]struct {
		change  string
		dev     bool
		machine *devMachine
		refused bool
	}{
		"unused, production":  {change: `SELECT 1`},
		"unused, development": {change: `SELECT 1`, dev: true, machine: machine},
		"used, production":    {change: `INSERT INTO settings VALUES ('seam_workspace_id', 'real')`},
		"used with another workspace": {
			change: `INSERT INTO settings VALUES ('seam_workspace_id', 'real')`,
			dev:    true, machine: machine, refused: true,
		},
		"used, of no workspace yet": {
			change: `INSERT INTO listings (source, listing_id, known, created_at, updated_at) VALUES ('a', 'L', true, now(), now())`, dev: true, machine: machine, refused: true,
		},
		"used with this simulator's workspace": {
			change: `INSERT INTO settings VALUES ('seam_workspace_id', 'simulated')`, dev: true, machine: machine,
		},
		"a development start with a real Seam": {
			change: `INSERT INTO settings VALUES ('seam_workspace_id', 'real')`,
			dev:    true, machine: &devMachine{}, refused: true,
		},
		"marked as production": {
			change: `INSERT INTO settings VALUES ('database_kind', 'production')`, dev: true, machine: machine,
			refused: true,
		},
		"marked as development, production start": {
			change: `INSERT INTO settings VALUES ('database_kind', 'development')`, refused: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storetest.New(t)
			if _, err := db.Pool().Exec(ctx, c.change); err != nil {
				t.Fatal(err)
			}
			have, err := db.DatabaseKind(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkKind(config.Config{Dev: c.dev}, have, c.machine); (err != nil) != c.refused {
				t.Errorf("%+v: %v, want refused %v", have, err, c.refused)
			}
		})
	}
}
