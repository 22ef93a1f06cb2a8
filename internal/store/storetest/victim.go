package storetest

import (
	"context"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/staykey/staykey/internal/until"
)

const victim = "victim"

// VictimDSN returns the DSN by which a process connects that is meant to be killed, see [AwaitVictimsGone].
func VictimDSN(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("the DSN of a test is no URL: %v", err)
	}
	q := u.Query()
	q.Set("application_name", victim)
	u.RawQuery = q.Encode()
	return u.String()
}

// AwaitVictimsGone waits until the connections of a killed process are gone. What it had sent has taken effect by then,
// or never will: Postgres carries out a commit whose sender is dead.
func AwaitVictimsGone(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	until.True(t, "the connections of a killed process to go", func() bool {
		var connected bool
		err := pool.QueryRow(context.Background(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1)`,
			victim).Scan(&connected)
		if err != nil {
			t.Fatalf("look for the connections of a killed process: %v", err)
		}
		return !connected
	})
}
