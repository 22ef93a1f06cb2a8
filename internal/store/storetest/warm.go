package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store"
)

// warmed is a database that tests of one process use one after another, with the store that has it open.
type warmed struct {
	name  string
	store *store.Store
	reset string // the statements that make it as the migrations left it; "" where the role may not run them
}

var warm struct {
	mu   sync.Mutex
	main bool // [Main] drops the databases
	idle []*warmed
}

// Main runs a package's tests, as TestMain does, and drops the databases of [Warm] afterwards.
func Main(m *testing.M) int {
	warm.main = true
	code := m.Run()
	warm.mu.Lock()
	defer warm.mu.Unlock()
	for _, w := range warm.idle {
		if err := w.discard(); err != nil {
			fmt.Println("drop a database of the tests:", err)
		}
	}
	return code
}

// Warm is like [New], but the database may have been used by an earlier test of this process. It only holds
// what the migrations put into it, and its ids begin at 1 again. A new connection costs Postgres tens of milliseconds
// until it has planned the statements of a rig; those of this store have planned them, for any parameters. The
// package's TestMain must call [Main]. The schema must not be changed; the store may be closed.
func Warm(t testing.TB) *store.Store {
	t.Helper()
	w, err := takeWarm(t)
	if err != nil {
		t.Fatalf("make a database for this test: %v", err)
	}
	t.Cleanup(func() {
		if err := w.giveBack(!t.Failed()); err != nil {
			t.Errorf("the test's database: %v", err)
		}
	})
	return w.store
}

func takeWarm(t testing.TB) (*warmed, error) {
	dsn := Postgres(t)
	warm.mu.Lock()
	if !warm.main {
		warm.mu.Unlock()
		return nil, fmt.Errorf("the package's TestMain must call storetest.Main")
	}
	if n := len(warm.idle); n > 0 {
		w := warm.idle[n-1]
		warm.idle = warm.idle[:n-1]
		warm.mu.Unlock()
		return w, nil
	}
	warm.mu.Unlock()

	s, _ := server()
	ctx := context.Background()
	w := &warmed{name: "test_" + uuid.NewString()[:13]}
	if _, err := s.admin.Exec(ctx, `CREATE DATABASE `+quoted(w.name)+clone(s.template)); err != nil {
		return nil, err
	}
	var err error
	if w.store, err = store.Open(ctx, databaseDSN(dsn, w.name)+"&plan_cache_mode=force_generic_plan"); err != nil {
		return nil, err
	}
	w.reset, err = w.remember(ctx)
	return w, err
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// remember keeps what the migrations have put into the tables, and returns the statements that restore it.
func (w *warmed) remember(ctx context.Context) (reset string, err error) {
	var superuser bool
	err = w.store.Pool().QueryRow(ctx, `SELECT current_setting('is_superuser')::boolean`).Scan(&superuser)
	if err != nil || !superuser {
		return "", err
	}
	rows, err := w.store.Pool().Query(ctx, `
		SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
		ORDER BY relname`)
	if err != nil {
		return "", err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	// Triggers and foreign keys would only do the work twice.
	clear, restore := &strings.Builder{}, &strings.Builder{}
	clear.WriteString(`BEGIN; SET LOCAL session_replication_role = replica;`)
	if _, err := w.store.Pool().Exec(ctx, `CREATE SCHEMA kept`); err != nil {
		return "", err
	}
	for _, table := range tables {
		fmt.Fprintf(clear, `DELETE FROM %s;`, table)
		var used bool
		if err := w.store.Pool().QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+table+`)`).Scan(&used); err != nil {
			return "", err
		}
		if !used {
			continue
		}
		if _, err := w.store.Pool().Exec(ctx, `CREATE TABLE kept.`+table+` AS TABLE `+table); err != nil {
			return "", err
		}
		fmt.Fprintf(restore, `INSERT INTO %s OVERRIDING SYSTEM VALUE SELECT * FROM kept.%[1]s;`, table)
	}
	return clear.String() + restore.String() + `
		SELECT setval(c.oid::regclass, s.seqstart, false) FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
		WHERE c.relnamespace = 'public'::regnamespace; COMMIT`, nil
}

// giveBack keeps the database for the next test, unless the test has closed its store, left something running, or
// failed.
func (w *warmed) giveBack(passed bool) error {
	if !passed || w.reset == "" || !w.isIdle() {
		return w.discard()
	}
	w.store.OnCommit(func() {})
	// as one message; nobody reads what it returns
	_, err := w.store.Pool().Exec(context.Background(), w.reset, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		_ = w.discard()
		return fmt.Errorf("empty it: %w", err)
	}
	warm.mu.Lock()
	defer warm.mu.Unlock()
	warm.idle = append(warm.idle, w)
	return nil
}

// isIdle reports whether nobody uses the store, and it is open.
func (w *warmed) isIdle() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return w.store.Pool().Stat().AcquiredConns() == 0 && w.store.Pool().Ping(ctx) == nil
}

func (w *warmed) discard() error {
	w.store.Close()
	s, err := server()
	if err != nil {
		return err
	}
	_, err = s.admin.Exec(context.Background(), `DROP DATABASE `+quoted(w.name)+` WITH (FORCE)`)
	return err
}
