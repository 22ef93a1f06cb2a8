package storetest_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// use is what one test does with a database; the next test is the one that looks at it then.
type use struct {
	database, session string // real names
	pool              *pgxpool.Pool
}

// inTest runs do as a test of its own, which ends before inTest returns.
func inTest(t *testing.T, do func(*testing.T, *store.Store)) (u use) {
	t.Helper()
	t.Run("a test", func(t *testing.T) {
		s := storetest.NewSmall(t, 1)
		u.pool = s.Pool()
		u.database = value(t, s.Pool(), `SELECT current_database()`)
		u.session = value(t, s.Pool(), `SELECT pg_backend_pid()::text`)
		do(t, s)
	})
	return u
}

func value(t *testing.T, pool *pgxpool.Pool, sql string) (v string) {
	t.Helper()
	if err := pool.QueryRow(context.Background(), sql).Scan(&v); err != nil {
		t.Fatal(sql, err)
	}
	return v
}

func exec(t *testing.T, pool *pgxpool.Pool, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := pool.Exec(context.Background(), sql); err != nil {
			t.Fatal(sql, err)
		}
	}
}

// everything reads what a client can see of a database and of its own session: rows and sequences, catalogs, settings,
// locks, prepared statements.
func everything(t *testing.T, pool *pgxpool.Pool) map[string]string {
	t.Helper()
	ctx := context.Background()
	seen := map[string]string{}
	rows, err := pool.Query(ctx, `
		SELECT CASE relkind WHEN 'S' THEN 'SELECT last_value, is_called' ELSE 'SELECT *' END ||
			format(' FROM %I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'm', 'v', 'S') AND NOT relisshared AND nspname NOT IN ('information_schema', 'pg_toast')
			AND (relkind = 'r' OR nspname <> 'pg_catalog')`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		seen[name] = value(t, pool, `SELECT coalesce(md5(string_agg(t::text, E'\n' ORDER BY t::text)), '')
			FROM (`+name+`) t`)
	}
	var name, setting string
	rows, err = pool.Query(ctx, `SELECT name, coalesce(setting, '') FROM pg_settings`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&name, &setting}, func() error {
		seen["setting "+name] = setting
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	seen["locks"] = value(t, pool, `SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	seen["statements"] = value(t, pool, `SELECT count(*)::text FROM pg_prepared_statements WHERE name LIKE 'mine%'`)
	seen["channels"] = value(t, pool, `SELECT count(*)::text FROM pg_listening_channels()`)
	seen["user"] = value(t, pool, `SELECT session_user || ' ' || current_user || ' ' || current_schemas(true)::text`)
	return seen
}

// filled puts a row into every table that takes one, and uses every sequence.
const filled = `DO $$ DECLARE r record; BEGIN
	SET session_replication_role = replica;
	FOR r IN SELECT c.oid::regclass AS name, string_agg(format('%I', attname), ', ') AS columns,
			string_agg(CASE WHEN typcategory = 'A' THEN '''{}''' WHEN typcategory = 'N' THEN '1'
				WHEN typcategory = 'B' THEN 'true' WHEN typcategory = 'D' THEN 'now()'
				WHEN typname IN ('json', 'jsonb') THEN '''{}''' WHEN typname = 'uuid' THEN 'gen_random_uuid()'
				WHEN typcategory = 'R' THEN '''empty''' ELSE '''x''' END, ', ') AS values
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
		WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
			AND attgenerated = '' AND attidentity = ''
			AND c.relname NOT IN ('goose_db_version', 'river_migration', 'gate_deadlines')
		GROUP BY c.oid LOOP
		BEGIN
			EXECUTE format('INSERT INTO %s (%s) VALUES (%s)', r.name, r.columns, r.values);
		EXCEPTION WHEN OTHERS THEN NULL; -- a constraint that isn't met
		END;
	END LOOP;
	PERFORM nextval(s.seqrelid::regclass) FROM pg_sequence s;
END $$`

// TestAKeptDatabaseIsLikeANewOne: whatever a test leaves in its database and its session, the next test sees what the
// first one saw.
func TestAKeptDatabaseIsLikeANewOne(t *testing.T) {
	var fresh, again map[string]string
	first := inTest(t, func(t *testing.T, s *store.Store) {
		fresh = everything(t, s.Pool())
		exec(t, s.Pool(), filled)
		if tables := value(t, s.Pool(), `SELECT count(*)::text FROM pg_class WHERE relkind = 'r'
			AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0`); len(tables) < 2 {
			t.Fatalf("only %s tables have rows", tables)
		}
		exec(t, s.Pool(), `SET statement_timeout = '7min'`, `SET search_path = pg_catalog`, `SET ROLE pg_monitor`,
			`SELECT pg_advisory_lock(1)`, `LISTEN mine`, `PREPARE mine AS SELECT 1`)
		conn, err := s.Pool().Acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		if _, err := conn.Exec(context.Background(), `SELECT pg_advisory_lock(2)`); err != nil {
			t.Fatal(err)
		}
	})
	setElsewhere(t)
	second := inTest(t, func(t *testing.T, s *store.Store) { again = everything(t, s.Pool()) })
	if second.database != first.database {
		t.Fatalf("the database wasn't kept: %s, then %s", first.database, second.database)
	}
	if second.session != first.session {
		t.Errorf("the session wasn't kept: %s, then %s", first.session, second.session)
	}
	for name := range fresh {
		if fresh[name] != again[name] {
			t.Errorf("%s: %s in a new database, then %s", name, fresh[name], again[name])
		}
	}
}

// setElsewhere changes a setting of another test's database, which is no reason to begin a new session.
func setElsewhere(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), storetest.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(context.Background(), `DO $$ BEGIN
		EXECUTE format('ALTER DATABASE %I SET work_mem = 5120', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
}

// TestAChangedDatabaseIsDropped: what can't be put back is noticed.
func TestAChangedDatabaseIsDropped(t *testing.T) {
	for name, change := range map[string]string{
		"a column":                   `ALTER TABLE settings ADD COLUMN mine int`,
		"a function":                 `CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		"a trigger that is disabled": `ALTER TABLE reservations DISABLE TRIGGER ALL`,
		"a comment":                  `COMMENT ON TABLE settings IS 'mine'`,
		"a grant":                    `GRANT SELECT ON settings TO pg_monitor`,
		"a large object":             `SELECT lo_from_bytea(0, 'mine')`,
		"a temporary table":          `CREATE TEMPORARY TABLE mine ()`,
		"statistics":                 `ANALYZE settings`,
		"a table that was rewritten": `TRUNCATE settings`,
		"a row of a migration":       `DELETE FROM goose_db_version`,
		"a setting of the database": `DO $$ BEGIN
			EXECUTE format('ALTER DATABASE %I SET work_mem = %L', current_database(), '5MB'); END $$`,
		"a limit of the database": `DO $$ BEGIN
			EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 99', current_database()); END $$`,
	} {
		t.Run(name, func(t *testing.T) {
			mustBeDropped(t, inTest(t, func(t *testing.T, s *store.Store) {
				exec(t, s.Pool(), `INSERT INTO settings (name, value) VALUES ('mine', '1')`, change)
			}))
		})
	}
}

// mustBeDropped fails the test if the database still exists.
func mustBeDropped(t *testing.T, u use) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), storetest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var exists bool
	if err := conn.QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`,
		u.database).Scan(&exists); err != nil || exists {
		t.Errorf("the database still exists: %v, %v", exists, err)
	}
}

// TestALeakCannotReachTheNextTest: what a test leaves running can neither use its connections nor connect again.
func TestALeakCannotReachTheNextTest(t *testing.T) {
	ctx := context.Background()
	var held *pgx.Conn
	leaked := inTest(t, func(t *testing.T, s *store.Store) {
		var err error
		if held, err = pgx.ConnectConfig(ctx, s.Pool().Config().ConnConfig); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := held.Exec(ctx, `SELECT 1`); err == nil {
		t.Error("a connection works after its test")
	}
	mustBeDropped(t, leaked)

	ended := inTest(t, func(*testing.T, *store.Store) {})
	inTest(t, func(t *testing.T, s *store.Store) {
		if database := value(t, s.Pool(), `SELECT current_database()`); database != ended.database {
			t.Fatalf("the database wasn't kept: %s, then %s", ended.database, database)
		}
		if _, err := ended.pool.Exec(ctx, `SELECT 1`); err == nil {
			t.Error("the pool of an earlier test works")
		}
		config := ended.pool.Config().ConnConfig
		if _, err := pgx.ConnectConfig(ctx, config); err == nil {
			t.Error("the configuration of an earlier test's pool connects")
		}
		server, err := pgx.ParseConfig(storetest.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		server.Database = config.Database
		if _, err := pgx.ConnectConfig(ctx, server); err == nil {
			t.Error("the name of an earlier test's database leads somewhere")
		}
	})
}

// TestACancelledStatementEnds: a request to cancel reaches its statement, and the session isn't handed on.
func TestACancelledStatementEnds(t *testing.T) {
	var session string
	inTest(t, func(t *testing.T, _ *store.Store) {
		s := storetest.New(t)
		ctx, cancel := context.WithCancel(context.Background())
		failed := make(chan error, 1)
		go func() {
			_, err := s.Pool().Exec(ctx, `SELECT pg_sleep(36000)`)
			failed <- err
		}()
		const sleeps = `SELECT coalesce(max(pid)::text, '') FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event = 'PgSleep'`
		until.True(t, "the statement to run", func() bool {
			session = value(t, s.Pool(), sleeps)
			return session != ""
		})
		cancel()
		if err := <-failed; err == nil {
			t.Error("a statement that was cancelled succeeded")
		}
		until.True(t, "the statement to end", func() bool { return value(t, s.Pool(), sleeps) == "" })
	})
	if next := inTest(t, func(*testing.T, *store.Store) {}); next.session == session {
		t.Error("the session of a cancelled statement was handed on")
	}
}

// TestOfGivesTheDatabaseAway: others can reach it then, so it isn't kept.
func TestOfGivesTheDatabaseAway(t *testing.T) {
	mustBeDropped(t, inTest(t, func(t *testing.T, s *store.Store) {
		exec(t, s.Pool(), `INSERT INTO settings (name, value) VALUES ('mine', '1')`)
		other := storetest.Open(t, storetest.Of(t, s.Pool().Config().ConnConfig.Database))
		if v := value(t, other.Pool(), `SELECT value FROM settings WHERE name = 'mine'`); v != "1" {
			t.Errorf("another database: %q", v)
		}
	}))
}
