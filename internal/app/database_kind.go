package app

import (
	"context"
	"errors"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/store"
)

// A database belongs to development starts or to production ones, from its first start on. Were it otherwise, a
// production service whose environment is lost would come up again with development secrets, on the guests' data.

// errOtherKind is why a start refuses a database.
var (
	errProductionDatabase = errors.New(
		"DATABASE_URL: this database belongs to a production service, but this is a development start (--dev, or no SEAM_API_KEY): " +
			"set SEAM_API_KEY and the secrets again, or name another database")
	errDevelopmentDatabase = errors.New(
		"DATABASE_URL: this database was created by a development start (--dev, or no SEAM_API_KEY), and may contain anything that was posted to it: " +
			"name another database (with docker compose: docker compose down -v deletes the trial's)")
)

// kindOf is the kind that this start gives a database.
func kindOf(c config.Config) string {
	if c.Dev {
		return store.DevelopmentDatabase
	}
	return store.ProductionDatabase
}

// checkKind refuses a database of the other kind, before anything is changed in it. One that older versions used
// has no kind yet: a development start accepts it only if it was verifiably created by a development start.
func checkKind(c config.Config, have store.DatabaseKind, machine *devMachine) error {
	switch {
	case have.Kind == store.ProductionDatabase && c.Dev:
		return errProductionDatabase
	case have.Kind == store.DevelopmentDatabase && !c.Dev:
		return errDevelopmentDatabase
	case have.Kind == "" && have.Used && c.Dev && !machine.made(have):
		return errProductionDatabase
	}
	return nil
}

// made reports whether this development machine has made a database: it runs its Postgres, or has its simulated
// workspace.
func (m *devMachine) made(have store.DatabaseKind) bool {
	return m != nil && (m.postgres != nil || (have.Workspace != "" && have.Workspace == m.workspace))
}

// openDatabase opens and migrates the database of this start, and marks it as of its kind.
func (s startup) openDatabase(ctx context.Context, c *config.Config, machine *devMachine) (*store.Store, error) {
	db, err := s.connect(ctx, c.DatabaseURL)
	if err != nil {
		return nil, err
	}
	if err := s.whenAble(ctx, func() error { return s.adopt(ctx, c, db, machine) }); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

func (s startup) adopt(ctx context.Context, c *config.Config, db *store.Store, machine *devMachine) error {
	have, err := db.DatabaseKind(ctx)
	if err != nil {
		return err
	}
	if err := checkKind(*c, have, machine); err != nil {
		return err
	}
	if err := s.migrate(ctx, db); err != nil {
		return err
	}
	// of two first starts at once one decides
	have.Kind, err = db.Setting(ctx, store.SettingDatabaseKind, func() string { return kindOf(*c) })
	if err != nil {
		return err
	}
	if err := checkKind(*c, have, machine); err != nil {
		return err
	}
	if !c.Printed || c.WellKnownFit() {
		return nil
	}
	seed, err := db.Setting(ctx, "development_seed", store.NewSalt)
	if err != nil {
		return err
	}
	if err := c.UseDatabaseSecrets(seed); err != nil {
		return err
	}
	c.HideSecrets()
	return nil
}
