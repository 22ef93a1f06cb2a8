// Package store is staykey's state in Postgres: one file per noun, with its SQL.
//
// A [Store] has a part for each subject: [MobileKeys] is the queue of mobile keys, [Deliveries] what was sent to
// subscriptions. Methods of parts are whole transactions; functions with a transaction or a batch as an argument are
// steps of a caller's ([Store.InTx]). Locks are taken in one order everywhere: booking, listing, reservation, mobile
// key, ACS user; ids ascending. All times are UTC. Errors that callers act on are [ErrNotFound], [ErrRaced] and
// [ErrLeaseLost]; any other means that the database failed.
//
//	events.go, event_inbox.go, queue.go, fetches.go   the inbox: accepted, queued, waiting for documents, settled
//	reservations.go, listings.go, guests.go           what PMSs reported
//	mobile_keys.go, key_leases.go, key_attempts.go    the queue of keys: requests, leases, attempts and their results
//	acs_users.go, user_identities.go, backup_codes.go the record of what exists at Seam
//	removed_acs_users.go                              and of what may come back
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
	ErrRaced     = errors.New("another replica has done the same in the meantime")
)

// Store is Postgres, by subject. It is safe for concurrent use.
//
// Its own methods are about the connections and the database as a whole. Each part is a view of the same connections,
// so that code which needs only one part can take that instead of the whole, and two parts can work in one transaction
// ([Store.InTx]).
type Store struct {
	*db

	// What came in.
	Events     Events     // the inbox
	SeamEvents SeamEvents // Seam's webhooks that were handled
	Fetches    Fetches    // documents that events wait for

	// What PMSs reported, and what admins decided about it.
	Reservations Reservations  // stays, with their guests and keys, as lists and pages show them
	Calendar     Calendar      // stays by listing and day
	Listings     Listings      // what is rented, and its access groups
	Gates        Gates         // what a key or a link waits for
	Notes        StayNotes     // admins' notes on stays
	Batches      ActionBatches // actions on several stays at once

	// What should exist at Seam, and what does.
	Keys           MobileKeys     // the queue of keys: requests, leases, attempts, results
	ACSUsers       ACSUsers       // the record of what was created for each stay
	UserIdentities UserIdentities // the record of guests' identities
	BackupCodes    BackupCodes    // PIN codes in addition to mobile keys
	AccessGroups   AccessGroups   // which access system each group is on, and which source may use it
	ACSSystems     ACSSystems     // access systems: whether they are connected
	Doors          Doors          // doors, their health and the stays at risk

	// What staykey tells others.
	Subscriptions Subscriptions // receivers of events out, and digests
	Deliveries    Deliveries    // what was sent to them
	Changes       Changes       // the order of changes that they follow
	WriteBacks    WriteBacks    // what is written into PMSs
	GuestStays    GuestStays    // guests' links and what they were given

	// Staykey itself.
	Audit      AuditLog       // who did what
	Activity   ActivityLog    // counts of what happened at each source
	Sessions   Sessions       // of the page
	SavedViews SavedViews     // of its lists
	Requests   KeptRequests   // answers to requests with an Idempotency-Key
	Policies   SourcePolicies // what each source's stays follow
	Tasks      Tasks          // what one replica does at a time
	Erasure    Erasure        // a guest's right to be forgotten
	Retention  Retention      // what is deleted because of its age
}

// db is what all parts share: the connections, and how a transaction on them begins, is repeated and ends.
type db struct {
	pool *pgxpool.Pool
	// for what webhooks and readiness need, so that nothing else can take their connections
	intake   *pgxpool.Pool
	onCommit atomic.Pointer[func()] // see [Store.OnCommit]
	// see [Store.Within]; that of waits for locks is less in some tests
	patience, lockPatience patience
}

// newStore gives every part the connections.
func newStore(d *db) *Store {
	return &Store{
		db:             d,
		Events:         Events{d},
		Fetches:        Fetches{d},
		SeamEvents:     SeamEvents{d},
		Listings:       Listings{d},
		AccessGroups:   AccessGroups{d},
		ACSSystems:     ACSSystems{d},
		ACSUsers:       ACSUsers{d},
		UserIdentities: UserIdentities{d},
		BackupCodes:    BackupCodes{d},
		Batches:        ActionBatches{d},
		Activity:       ActivityLog{d},
		Changes:        Changes{d},
		Audit:          AuditLog{d},
		Calendar:       Calendar{d},
		Reservations:   Reservations{d},
		Gates:          Gates{d},
		Erasure:        Erasure{d},
		Notes:          StayNotes{d},
		Keys:           MobileKeys{d},
		Doors:          Doors{d},
		Deliveries:     Deliveries{d},
		Subscriptions:  Subscriptions{d},
		GuestStays:     GuestStays{d},
		Requests:       KeptRequests{d},
		Policies:       SourcePolicies{d},
		SavedViews:     SavedViews{d},
		Sessions:       Sessions{d},
		Tasks:          Tasks{d},
		WriteBacks:     WriteBacks{d},
		Retention:      Retention{d},
	}
}

// Ref names one reservation.
type Ref = stay.Ref

// racedTries is the maximum number of attempts of a transaction. Each race has a winner, so that a loser succeeds
// within a few tries.
const racedTries = 10

// InTx runs fn in one transaction and commits it unless fn fails. Where fn reports [ErrRaced], or Postgres ended a
// deadlock with another transaction, fn runs again in a new transaction, up to 10 times in all; then InTx returns
// ErrRaced. So fn must not build on what an earlier run left in variables outside of it.
func (s *Store) InTx(ctx context.Context, fn func(pgx.Tx) error) error { return s.inTx(ctx, fn) }

// inTx is [Store.InTx] for the parts.
func (s *db) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	err := s.inTxOn(ctx, s.pool, fn)
	if err == nil {
		s.committed()
	}
	return err
}

func (s *db) inTxOn(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) (err error) {
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
