package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverVersion is the version of River's own schema that this schema has: a newer River library must not change a
// database unasked.
const riverVersion = 8

// riverMigrationVersion is the position of River's tables among our migrations.
const riverMigrationVersion = 5

// schemaTemplate is the placeholder for a schema's name in River's statements.
const schemaTemplate = "/* TEMPLATE: schema */"

// riverMigration applies River's migrations one by one, outside a transaction: one of them adds a value to a type
// that the next one uses.
func riverMigration() *goose.Migration {
	return goose.NewGoMigration(riverMigrationVersion, &goose.GoFunc{RunDB: riverUp}, &goose.GoFunc{RunDB: riverDown})
}

func riverVersions() ([]rivermigrate.Migration, error) {
	migrator, err := rivermigrate.New(riverpgxv5.New(nil), nil)
	if err != nil {
		return nil, fmt.Errorf("read River's migrations: %w", err)
	}
	all := migrator.AllVersions()
	if len(all) < riverVersion {
		return nil, fmt.Errorf("the River library has %d migrations, fewer than %d", len(all), riverVersion)
	}
	all = all[:riverVersion]
	for i := range all { // its tables are in the same schema as ours
		all[i].SQLUp, all[i].SQLDown = strings.ReplaceAll(all[i].SQLUp, schemaTemplate,
			""), strings.ReplaceAll(all[i].SQLDown, schemaTemplate, "")
	}
	return all, nil
}

func riverUp(ctx context.Context, db *sql.DB) error {
	versions, err := riverVersions()
	if err != nil {
		return err
	}
	for _, v := range versions {
		var has bool // an interrupted one continues where it was
		if err := db.QueryRowContext(ctx, `SELECT to_regclass('river_migration') IS NOT NULL`).Scan(&has); err != nil {
			return err
		}

		if has {
			if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM river_migration
				WHERE version = $1)`, v.Version).Scan(&has); err != nil {
				return err
			}
		}
		if has {
			continue
		}

		if _, err := db.ExecContext(ctx, v.SQLUp); err != nil {
			return fmt.Errorf("migration %d of River: %w", v.Version, err)
		}

		note := `INSERT INTO river_migration (line, version) VALUES ('main', $1)`
		if v.Version < 5 { // before that its table has no lines
			note = `INSERT INTO river_migration (version) VALUES ($1)`
		}
		if _, err := db.ExecContext(ctx, note, v.Version); err != nil {
			return fmt.Errorf("migration %d of River: %w", v.Version, err)
		}
	}
	return nil
}

func riverDown(ctx context.Context, db *sql.DB) error {
	versions, err := riverVersions()
	if err != nil {
		return err
	}
	for _, v := range slices.Backward(versions) {
		if _, err := db.ExecContext(ctx, v.SQLDown); err != nil {
			return fmt.Errorf("migration %d of River, back: %w", v.Version, err)
		}
	}
	return nil
}
