// Package store is staykey's state in Postgres: one file per noun, with its SQL.
//
// Functions with a transaction or a batch as an argument are parts of a caller's transaction; methods of [Store] are
// whole ones. Locks are taken in one order everywhere: booking, listing, reservation, mobile key, ACS user; ids
// ascending. All times are UTC. Errors that callers act on are [ErrNotFound], [ErrRaced] and [ErrLeaseLost]; any other
// means that the database failed.
//
//	events.go, event_inbox.go, queue.go, fetches.go   the inbox: accepted, queued, waiting for documents, settled
//	reservations.go, listings.go, guests.go           what PMSs reported
//	mobile_keys.go, key_leases.go, key_attempts.go    the queue of keys: requests, leases, attempts and their results
//	acs_users.go, backup_codes.go                     the record of what exists at Seam
//	subscriptions.go, deliveries.go                   events out
//	guest_stays.go, handed_out.go                     guests' links, and what they were given
//	timeline.go, audit.go, activity.go                history
package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/staykey/staykey/internal/stay"
)

// Errors that callers decide by.
var (
	ErrNotFound  = errors.New("not found")
	ErrLeaseLost = errors.New("the lease on this reservation has gone to another worker")
	ErrRaced     = errors.New("another replica made the same meanwhile")
)

// Store is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	// for what webhooks and readiness need, so that nothing else can take their connections
	intake   *pgxpool.Pool
	onCommit atomic.Pointer[func()] // see [Store.OnCommit]
	patience float64                // see [Store.Within]
}

// Ref names one reservation.
type Ref = stay.Ref

// racedTries is the maximum number of attempts of a transaction. Each race has a winner, so that a loser succeeds
// within a few tries.
const racedTries = 10

// InTx runs fn in one transaction and commits it unless fn fails. Where fn reports [ErrRaced], or Postgres ended a
// deadlock with another transaction, fn runs again in a new transaction, up to 10 times in all; then InTx returns
// ErrRaced. So fn must not build on what an earlier run left in variables outside of it.
func (s *Store) InTx(ctx context.Context, fn func(pgx.Tx) error) error {
	err := s.inTx(ctx, s.pool, fn)
	if err == nil {
		s.committed()
	}
	return err
}

func (s *Store) inTx(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) (err error) {
	for range racedTries {
		err = s.begin(ctx, pool, fn)
		if pg := new(pgconn.PgError); errors.As(err, &pg) && pg.Code == "40P01" {
			err = fmt.Errorf("%w: %w", ErrRaced, err)
		}
		if !errors.Is(err, ErrRaced) || ctx.Err() != nil {
			break
		}
	}
	return err
}

// IsDataError reports whether err is Postgres refusing a value, so that the same statement can never succeed;
// everything else may pass later.
func IsDataError(err error) bool {
	pg := new(pgconn.PgError)
	if !errors.As(err, &pg) {
		return false
	}
	// Classes: 22 data exception, 23 integrity constraint violation, 54 program limit exceeded.
	return strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23") || strings.HasPrefix(pg.Code, "54")
}

// IsTextError reports whether err is Postgres refusing a text that a client sent: not of the encoding (22021), with
// NUL, or with a value that its JSON can't hold (22P05). Nothing is wrong with the database then.
func IsTextError(err error) bool {
	pg := new(pgconn.PgError)
	return errors.As(err, &pg) && (pg.Code == "22021" || pg.Code == "22P02" || pg.Code == "22P05")
}

// Setting returns the installation's setting of that name, made by fresh if there is none yet; "" is not kept.
func (s *Store) Setting(ctx context.Context, name string, fresh func() string) (string, error) {
	var value string
	err := s.pool.QueryRow(ctx, `SELECT value FROM settings WHERE name = $1`, name).Scan(&value)
	if !errors.Is(err, pgx.ErrNoRows) {
		return value, wrap(err, "read setting %s", name)
	}
	first := fresh()
	if first == "" {
		return "", nil
	}
	err = s.pool.QueryRow(ctx, `
		INSERT INTO settings (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value = settings.value
		RETURNING value`, name, first).Scan(&value)
	return value, wrap(err, "write setting %s", name)
}

// NewSalt returns 32 random bytes in hex.
func NewSalt() string {
	salt := make([]byte, 32)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return hex.EncodeToString(salt)
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
