package migrations_test

import (
	"context"
	"database/sql"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/migrations"
)

// TestDuringABackup migrates while a transaction reads all tables, as pg_dump does, and the old version works. The
// migration waits for the reader to end; the old version waits for nobody, and a lock that it could not get within
// its 15 s would be an error here.
func TestDuringABackup(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn := storetest.EmptyDSN(t)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["lock_timeout"] = migrations.LockTimeout.String()
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = db.Close() })
	upTo(t, db, 2)
	reader, old := session(t, dsn), session(t, dsn)
	run(t, old, `SET statement_timeout = '15s'`)
	run(t, reader, `BEGIN`)
	run(t, reader, `LOCK TABLE events, mobile_keys, reservations, acs_users, listings IN ACCESS SHARE MODE`)
	waits := make(chan error, 1000)
	ended := make(chan error, 1)
	go func() {
		_, err := migrations.Up(ctx, db, func(err error) { waits <- err })
		ended <- err
	}()
	for range 2 { // it gives up and tries again
		until.True(t, "the migration to wait for a lock", func() bool {
			var queued bool
			err := old.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = ANY (
				'{events,mobile_keys,reservations,acs_users,listings}'::regclass[]))`).Scan(&queued)
			return err == nil && queued
		})
		// as writers do
		run(t, old,
			`BEGIN; LOCK TABLE events, mobile_keys, reservations, acs_users, listings IN ROW EXCLUSIVE MODE; COMMIT`)
		run(t, old,
			`INSERT INTO reservations (source, reservation_id, status, version_at, version_seq, created_at, updated_at) VALUES ('a', gen_random_uuid()::text, 'cancelled', now(), 1, now(), now())`)
		select {
		case <-waits:
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		}
	}
	run(t, reader, `COMMIT`)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if pending, err := migrations.Pending(ctx, db); err != nil || pending {
		t.Errorf("migrations are pending: %t %v", pending, err)
	}
	var kept int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM reservations`).Scan(&kept); err != nil || kept != 2 {
		t.Errorf("%d of the old version's rows were kept: %v", kept, err)
	}
}

// TestUnfinishedIndexes leaves an index that was not finished: it is created again.
func TestUnfinishedIndexes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn, db, _ := migratedTo(t, 2)
	conn := session(t, dsn)
	run(t, conn, `INSERT INTO settings (name, value) VALUES ('a', 'same'), ('b', 'same')`)
	if _, err := conn.Exec(ctx, `CREATE UNIQUE INDEX CONCURRENTLY unfinished ON settings (value)`); err == nil {
		t.Fatal("the index was created")
	}
	if _, err := migrations.Up(ctx, db, nil); err != nil {
		t.Fatal(err)
	}
	var invalid int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_index WHERE NOT indisvalid`).Scan(&invalid); err != nil ||
		invalid != 0 {
		t.Errorf("%d indexes are not valid: %v", invalid, err)
	}
}

// TestIndexesAreMadeConcurrently reads the migrations: creating an index on a table that may be large must not block
// the running version's writes.
func TestIndexesAreMadeConcurrently(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(migrations.Files(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	created := regexp.MustCompile(`CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(\w+)`)
	index := regexp.MustCompile(`CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?\w+\s+ON (\w+)`)
	for _, name := range names {
		if name < "00008" { // released together
			continue
		}
		content, err := fs.ReadFile(migrations.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(content), "+goose Down")
		small := map[string]bool{"event_queue": true, "settings": true, "tasks": true} // a backlog at most
		for _, m := range created.FindAllStringSubmatch(up, -1) {
			small[m[1]] = true
		}
		for _, m := range index.FindAllStringSubmatch(up, -1) {
			if m[1] == "" && !small[m[2]] {
				t.Errorf(
					"%s makes an index on %s that blocks writing: CREATE INDEX CONCURRENTLY, in a file with NO TRANSACTION", name, m[2])
			}
		}
	}
}

// TestStatementsLockOneTable reads the migrations: a transaction that alters two tables waits for the second while it
// blocks everybody from the first, and deadlocks with a version that takes them in another order; one that updates
// rows locks them until its end.
func TestStatementsLockOneTable(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(migrations.Files(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	created := regexp.MustCompile(`CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(\w+)`)
	locks := regexp.MustCompile(
		`(?:ALTER TABLE|REFERENCES|UPDATE|(?:AFTER|BEFORE) [A-Z ]+ ON|DELETE FROM|DROP TABLE) (?:IF EXISTS )?([a-z_]+)`)
	comment := regexp.MustCompile(`--.*`)
	for _, name := range names {
		if name < "00008" { // released together
			continue
		}
		content, err := fs.ReadFile(migrations.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "+goose NO TRANSACTION") {
			continue
		}
		up, _, _ := strings.Cut(string(content), "+goose Down")
		up = comment.ReplaceAllString(up, "")
		own, others := map[string]bool{}, map[string]bool{}
		for _, m := range created.FindAllStringSubmatch(up, -1) {
			own[m[1]] = true
		}
		for _, m := range locks.FindAllStringSubmatch(up, -1) {
			if !own[m[1]] {
				others[m[1]] = true
			}
		}
		if len(others) > 1 {
			t.Errorf("%s locks %v in one transaction: use NO TRANSACTION, and statements that can be repeated", name,
				slices.Sorted(maps.Keys(others)))
		}
	}
}

// TestMigrationsCanBeRepeated applies each migration without a transaction twice, as after an interruption just before
// its end.
func TestMigrationsCanBeRepeated(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db, err := sql.Open("pgx", storetest.EmptyDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	provider, err := migrations.NewProvider(db)
	if err != nil {
		t.Fatal(err)
	}

	up := func() {
		t.Helper()
		if _, err := provider.UpByOne(ctx); err != nil {
			t.Fatal(err)
		}
	}
	repeated := 0
	for _, source := range provider.ListSources() {
		up()
		if source.Type != goose.TypeSQL {
			continue
		}
		content, err := fs.ReadFile(migrations.Files(), filepath.Base(source.Path))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(content), "+goose NO TRANSACTION") {
			continue
		}
		before := tables(t, db)
		if _, err := db.ExecContext(ctx, `DELETE FROM goose_db_version WHERE version_id = $1`,
			source.Version); err != nil {
			t.Fatal(err)
		}
		up()
		repeated++
		if diff := cmp.Diff(before, tables(t, db)); diff != "" {
			t.Errorf("%s: the schema changed (-before +after):\n%s", source.Path, diff)
		}
	}
	if repeated < 5 {
		t.Errorf("only %d were repeated", repeated)
	}
}

// tables lists columns, constraints, indexes and triggers.
func tables(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), `
		SELECT attrelid::regclass || ' ' || attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull
			FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
			WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'S')
		UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
			WHERE connamespace = 'public'::regnamespace
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
		UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
			AND prokind IN ('f', 'p') AND prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c')
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var list []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		list = append(list, line)
	}
	return list
}

// TestStatesOfOldRows takes rows without a valid record state through 00008, more than it corrects at a time, while
// an old version writes.
func TestStatesOfOldRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn, db, _ := migratedTo(t, 4)
	old := session(t, dsn)
	run(t, old,
		`INSERT INTO reservations (source, reservation_id, status, version_at, version_seq, created_at, updated_at) SELECT 'a', 'r' || i, 'confirmed', now(), 1, now(), now() FROM generate_series(1, 3300) i`)
	run(t, old,
		`INSERT INTO user_identities (user_identity_key, user_identity_id, own, created_at) SELECT 'k' || i, 'u' || i, true, now() FROM generate_series(1, 3300) i`)
	run(t, old,
		`INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id, guest_key,
			acs_user_id, removed_at, lost_at, changed_at)
		SELECT 'a', 'r' || i, 's', 'k' || i, 'u' || i, '', CASE WHEN i % 3 > 0 THEN 'acs' || i END,
			CASE WHEN i % 3 = 0 THEN now() END, CASE WHEN i % 3 = 2 THEN now() END, now()
			FROM generate_series(1, 3300) i`)
	run(t, old, `BEGIN`)
	// an attempt of the old version, which 00008 must wait for
	run(t, old, `UPDATE acs_users SET changed_at = now() WHERE reservation_id = 'r1'`)
	waits, ended := make(chan error, 1000), make(chan error, 1)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["lock_timeout"] = migrations.LockTimeout.String()
	polite := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = polite.Close() })
	go func() {
		_, err := migrations.Up(ctx, polite, func(err error) { waits <- err })
		ended <- err
	}()
	select {
	case <-waits:
	case err := <-ended:
		t.Fatalf("it did not wait: %v", err)
	}
	run(t, old, `COMMIT`)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	var wrong int
	var valid bool
	if err := db.QueryRowContext(ctx,
		`SELECT count(*) FROM acs_users WHERE (acs_user_id IS NULL) <> (made_at IS NULL) OR lost_at IS NOT NULL AND marked_at IS NULL`).Scan(&wrong); err != nil || wrong > 0 {
		t.Errorf("%d rows without a state: %v", wrong, err)
	}
	if err := db.QueryRowContext(ctx,
		`SELECT convalidated FROM pg_constraint WHERE conname = 'acs_users_state'`).Scan(&valid); err != nil || !valid {
		t.Errorf("the constraint is not valid: %v", err)
	}
}

// migratedTo returns a database whose schema is that of a version.
func migratedTo(t *testing.T, version int64) (dsn string, db *sql.DB, provider *goose.Provider) {
	t.Helper()
	dsn = storetest.EmptyDSN(t)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return dsn, db, upTo(t, db, version)
}

// upTo migrates a database to a version.
func upTo(t *testing.T, db *sql.DB, version int64) *goose.Provider {
	t.Helper()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(context.Background(), version); err != nil {
		t.Fatal(err)
	}
	return provider
}

func session(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func run(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// TestLaterStatesOfOldRows takes rows without a valid record state through 00110, as if they had been written before.
func TestLaterStatesOfOldRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn := storetest.EmptyDSN(t)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := migrations.Up(ctx, db, nil); err != nil {
		t.Fatal(err)
	}
	conn := session(t, dsn)
	run(t, conn, `ALTER TABLE acs_users DROP CONSTRAINT acs_users_later_state`)
	run(t, conn, `
		INSERT INTO reservations (source, reservation_id, status, version_at, version_seq, created_at, updated_at)
		SELECT 'a', 'r' || i, 'confirmed', now(), 1, now(), now() FROM generate_series(1, 2200) i`)
	run(t, conn, `
		INSERT INTO user_identities (user_identity_key, user_identity_id, own, created_at)
		SELECT 'k' || i, 'u' || i, true, now() FROM generate_series(1, 2200) i`)
	run(t, conn, `
		INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id, guest_key,
			acs_user_id, made_at, contested_at, delete_lost_at, deletes_in_vain, credential_lost_at, changed_at)
		SELECT 'a', 'r' || i, 's', 'k' || i, 'u' || i, '', CASE WHEN i % 2 = 0 THEN 'acs' || i END,
			CASE WHEN i % 2 = 0 THEN now() END, now(), now(), 2, now(), now() FROM generate_series(1, 2200) i`)

	const name = "00110_acs_users_without_id.sql"
	content, err := fs.ReadFile(migrations.Files(), name)
	if err != nil {
		t.Fatal(err)
	}
	records, err := database.NewStore(goose.DialectPostgres, "applied_again")
	if err != nil {
		t.Fatal(err)
	}
	again, err := goose.NewProvider(goose.DialectCustom, db, fstest.MapFS{name: {Data: content}},
		goose.WithStore(records))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Up(ctx); err != nil {
		t.Fatal(err)
	}

	var kept, cleared int
	if err := db.QueryRowContext(ctx, `
		SELECT count(*) FILTER (WHERE acs_user_id IS NOT NULL AND contested_at IS NOT NULL AND deletes_in_vain = 2
				AND credential_marked_at = credential_lost_at),
			count(*) FILTER (WHERE acs_user_id IS NULL AND contested_at IS NULL AND delete_lost_at IS NULL
				AND deletes_in_vain = 0 AND credential_lost_at IS NULL)
		FROM acs_users`).Scan(&kept, &cleared); err != nil || kept != 1100 || cleared != 1100 {
		t.Errorf("%d rows with an id are kept and %d without one are cleared: %v", kept, cleared, err)
	}
	if _, err := conn.Exec(ctx, `UPDATE acs_users SET contested_at = now() WHERE acs_user_id IS NULL`); err == nil {
		t.Error("an ACS user without an id may be contested")
	}
}
