package store

import (
	"context"
	"testing"
	"time"
)

func TestStatementTimeoutIsReadAsPostgresDoes(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]time.Duration{
		"15s":                  15 * time.Second,
		"90000":                90 * time.Second,
		"1500ms":               1500 * time.Millisecond,
		"2 min":                2 * time.Minute,
		"1h":                   time.Hour,
		"3d":                   72 * time.Hour,
		"500us":                500 * time.Microsecond,
		"0":                    StatementTimeout, // no end: a silent server must still be noticed
		"":                     StatementTimeout,
		"-1":                   StatementTimeout, // this and what follows Postgres refuses
		"soon":                 StatementTimeout,
		"15 seconds":           StatementTimeout,
		"99999999999999999999": StatementTimeout,
		"2147483647d":          StatementTimeout,
	} {
		if got := statementTimeout(setting); got != want {
			t.Errorf("statement_timeout %q: %s, want %s", setting, got, want)
		}
	}
}

// pgxpool's own default, which is that of the machine, is no choice of the operator's.
func TestPoolIsAsLargeAsTheDSNSays(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]int32{
		"postgres://127.0.0.1/staykey":                     20,
		"postgres://127.0.0.1/staykey?pool_min_conns=30":   30,
		"postgres://127.0.0.1/staykey?pool_max_conns=3":    3,
		"host=127.0.0.1 dbname=staykey pool_max_conns=100": 100,
	} {
		s, err := Open(context.Background(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		if got := s.Pool().Config().MaxConns; got != want {
			t.Errorf("%s: %d connections, want %d", dsn, got, want)
		}
	}
}
