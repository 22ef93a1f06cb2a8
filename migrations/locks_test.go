package migrations_test

import (
	"context"
	"database/sql"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/migrations"
)

// TestBehindABackup migrates while somebody reads all tables in one transaction, as pg_dump does, and the old version works. The migration waits for
// the reader's end; the old version waits for nobody, and a lock that it could not get in its 15 s would be an error here.
func TestBehindABackup(t *testing.T) {
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
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(ctx, 2); err != nil {
		t.Fatal(err)
	}
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
	for range 2 { // it gives up and comes again
		select {
		case <-waits:
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		}
		run(t, old, `INSERT INTO reservations (source, reservation_id, status, version_at, version_seq, created_at, updated_at) VALUES ('a', gen_random_uuid()::text, 'cancelled', now(), 1, now(), now())`)
	}
	run(t, reader, `COMMIT`)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if pending, err := migrations.Pending(ctx, db); err != nil || pending {
		t.Errorf("something is left: %t %v", pending, err)
	}
	var kept int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM reservations`).Scan(&kept); err != nil || kept != 2 {
		t.Errorf("%d of the old version's rows: %v", kept, err)
	}
}

// TestTorsosOfIndexes leaves an index that was not finished: it is made again.
func TestTorsosOfIndexes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn := storetest.EmptyDSN(t)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(ctx, 2); err != nil {
		t.Fatal(err)
	}
	conn := session(t, dsn)
	run(t, conn, `INSERT INTO settings (name, value) VALUES ('a', 'same'), ('b', 'same')`)
	if _, err := conn.Exec(ctx, `CREATE UNIQUE INDEX CONCURRENTLY torso ON settings (value)`); err == nil {
		t.Fatal("the index was made")
	}
	if _, err := migrations.Up(ctx, db, nil); err != nil {
		t.Fatal(err)
	}
	var torsos int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_index WHERE NOT indisvalid`).Scan(&torsos); err != nil || torsos != 0 {
		t.Errorf("%d indexes are not valid: %v", torsos, err)
	}
}

// TestIndexesAreMadeConcurrently reads the migrations: an index on a table that may be large must not keep the running version from writing to it.
func TestIndexesAreMadeConcurrently(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(migrations.Files(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	created := regexp.MustCompile(`CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(\w+)`)
	index := regexp.MustCompile(`CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?\w+\s+ON (\w+)`)
	for _, name := range names {
		if name < "00008" { // released as one
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
				t.Errorf("%s makes an index on %s that blocks writing: CREATE INDEX CONCURRENTLY, in a file with NO TRANSACTION", name, m[2])
			}
		}
	}
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
