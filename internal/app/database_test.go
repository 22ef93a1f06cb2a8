package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/staykey/staykey/internal/store"
)

// A start waits for hours for what may pass, for half a minute for a Postgres that doesn't answer, and not at all for
// what doesn't pass. Being unreachable counts from when it began.
func TestStartWaits(t *testing.T) {
	t.Parallel()
	code := func(c string) error { return &pgconn.PgError{Code: c} }
	gone, other := &net.OpError{Op: "dial", Err: errors.New("connection refused")},
		errors.New("a database of the other kind")
	locked, readOnly, full, refused := code("55P03"), code("25006"), code("53100"), code("28P01")
	for name, c := range map[string]struct {
		fails func(since time.Duration) error
		ends  time.Duration // at most
		want  error
	}{
		"a lock for hours": {
			func(d time.Duration) error { return until(d < 5*time.Hour, locked) },
			6 * time.Hour, nil,
		},
		"a read-only database": {
			func(d time.Duration) error { return until(d < 5*time.Hour, readOnly) },
			6 * time.Hour, nil,
		},
		"a full disk": {
			func(d time.Duration) error { return until(d < 5*time.Hour, full) },
			6 * time.Hour, nil,
		},
		"Postgres starts": {
			func(d time.Duration) error { return until(d < 20*time.Second, gone) },
			time.Minute, nil,
		},
		"no Postgres": {func(time.Duration) error { return gone }, time.Minute, gone},
		"Postgres goes after a lock": {
			func(d time.Duration) error { return either(d < time.Hour, locked, gone) },
			61 * time.Minute, gone,
		},
		"Postgres restarts while it is read-only": {func(d time.Duration) error {
			return until(d < 5*time.Hour, either(d%time.Minute < 20*time.Second, gone, readOnly))
		}, 6 * time.Hour, nil},
		"what isn't Postgres's": {func(time.Duration) error { return other }, 0, other},
		"a wrong password":      {func(time.Duration) error { return refused }, 0, refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(0, 0)
			shown := ""
			s := startup{
				log: slog.New(slog.DiscardHandler), show: func(text string) { shown = text },
				now:   func() time.Time { return now },
				pause: func(context.Context) { now = now.Add(time.Second) },
			}
			tries := 0
			err := s.whenAble(t.Context(), func() error {
				if tries++; tries > 1 && shown == "" {
					t.Error("it doesn't say what it waits for")
				}
				return c.fails(now.Sub(time.Unix(0, 0)))
			})
			if !errors.Is(err, c.want) || now.Sub(time.Unix(0, 0)) > c.ends {
				t.Errorf("%v after %s, want %v", err, now.Sub(time.Unix(0, 0)), c.want)
			}
			if shown != "" {
				t.Errorf("it still says that it waits: %s", shown)
			}
		})
	}
}

func until(fails bool, err error) error { return either(fails, err, nil) }

func either(first bool, a, b error) error {
	if first {
		return a
	}
	return b
}

// A start waits for a standby to be promoted as it waits for a read-only database.
func TestStandbyIsReadOnly(t *testing.T) {
	t.Parallel()
	if got := store.CauseOf(store.ErrStandby); got != store.CauseReadOnly {
		t.Errorf("cause %s", got)
	}
}
