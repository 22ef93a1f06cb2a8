package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// A delivery is one message to one subscription. Its id is the webhook-id and identifies one body.
//
// The life of a delivery: [Deliveries.Claim] takes up stays that changed, decides what to send, and commits the
// message with a lease on the stay before it is sent. [Deliveries.RecordAttempt] records the result. If a process dies
// in between, its lease expires; then the stay is claimed again, with its state at that time.

// Deliveries are what was sent to subscriptions. Each carries a stay's state at the time of its last attempt: a worker
// claims stays whose state a subscription doesn't have ([Deliveries.Claim]) and records each attempt
// ([Deliveries.RecordAttempt]).
type Deliveries struct{ *db }

// Statuses of a delivery.
const (
	DeliveryWaiting   = stay.DeliveryWaiting
	DeliveryDelivered = stay.DeliveryDelivered
	DeliveryDropped   = stay.DeliveryDropped
)

// Delivery is a row of deliveries.
type Delivery struct {
	DeliveryID    uuid.UUID  // the webhook-id; identifies one body
	Seq           int64      // its position in lists
	Subscription  string     // its name
	Type          string     // of the message, such as key.issued
	Source        string     // "" if it is not about a stay: a test, a digest
	ReservationID string     // "" if Source is
	Sequence      int64      // of the stay's change that it reports; 0 if it is not about a stay
	Status        string     // one of the Delivery constants
	Reason        *string    // why it was dropped
	Attempts      int        // tries so far
	NextAttemptAt *time.Time // nil: it is finished
	Body          []byte     // what is sent, byte for byte
	CreatedAt     time.Time  // when the message was composed
	FinishedAt    *time.Time // when it was delivered or dropped; nil while it waits
}

const deliveryColumns = `t.delivery_id, t.seq, t.subscription, t.type, t.source, t.reservation_id, t.sequence, t.status,
	t.reason, t.attempts, t.next_attempt_at, t.body, t.created_at, t.finished_at`

// DeliveryAttempt is one try of a delivery.
type DeliveryAttempt struct {
	DeliveryID uuid.UUID // of the message
	Attempt    int       // its number, from 1
	At         time.Time // when it was sent
	DurationMS int       `db:"duration_ms"` // milliseconds until the answer, or until it failed
	StatusCode int       // 0: no answer
	Error      *string   // why it counts as failed; nil: it was delivered
	Answer     *string   // the beginning of the answer's body
}

func insertDelivery(b *pgx.Batch, d Delivery) {
	b.Queue(`
		INSERT INTO deliveries (delivery_id, subscription, type, source, reservation_id, sequence, status, body,
			created_at)
		VALUES (@delivery_id, @subscription, @type, @source, @reservation_id, @sequence, @status, @body,
			@created_at)`, pgx.StrictNamedArgs{
		"delivery_id": d.DeliveryID, "subscription": d.Subscription, "type": d.Type, "source": d.Source,
		"reservation_id": d.ReservationID,
		"sequence":       d.Sequence, "status": d.Status, "body": d.Body, "created_at": d.CreatedAt,
	})
}

// Save stores a delivery that is not about a stay, with its only attempt.
func (s Deliveries) Save(ctx context.Context, d Delivery, r AttemptResult, now time.Time) error {
	err := s.inTxOn(ctx, s.pool, func(tx pgx.Tx) error {
		var b pgx.Batch
		insertDelivery(&b, d)
		insertAttempt(&b, d, 1, r)
		b.Queue(`UPDATE deliveries SET attempts = 1, reason = nullif($2, ''), finished_at = $3
			WHERE delivery_id = $1`, d.DeliveryID, r.Error, now)
		return tx.SendBatch(ctx, &b).Close()
	})
	return wrap(err, "store delivery %s", d.DeliveryID)
}

// Resend sends the state of a delivery's stay again, at once, and returns the delivery that does so: the same
// one, under its id, unless a newer one has replaced it. It returns [ErrNotFound] if the stay is no longer known.
func (s Deliveries) Resend(ctx context.Context, d Delivery, now time.Time, audit Audit) (Delivery, error) {
	var newest *uuid.UUID
	err := s.inTxOn(ctx, s.pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			UPDATE subscription_stays SET again = true, due_at = $4, tries = 0 WHERE source = $1 AND reservation_id = $2
				AND subscription = $3
			RETURNING delivery_id`, d.Source, d.ReservationID, d.Subscription, now).Scan(&newest)
		if err != nil {
			return err
		}
		return writeAudit(ctx, tx, audit)
	})
	if err != nil {
		return Delivery{}, wrap(err, "resend delivery %s", d.DeliveryID)
	}
	return s.getOr(ctx, newest, d)
}

// Newest returns the delivery that has the newest state of a delivery's stay: the same one, unless a newer one
// has replaced it.
func (s Deliveries) Newest(ctx context.Context, d Delivery) (Delivery, error) {
	var newest *uuid.UUID
	err := s.pool.QueryRow(ctx, `SELECT delivery_id FROM subscription_stays WHERE source = $1 AND reservation_id = $2
		AND subscription = $3`, d.Source, d.ReservationID, d.Subscription).Scan(&newest)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Delivery{}, wrap(err, "find the newest delivery of a stay")
	}
	return s.getOr(ctx, newest, d)
}

// getOr returns the newest delivery, and d if there is none.
func (s Deliveries) getOr(ctx context.Context, newest *uuid.UUID, d Delivery) (Delivery, error) {
	if newest == nil || *newest == d.DeliveryID {
		return d, nil
	}
	again, err := s.Get(ctx, *newest)
	if errors.Is(err, ErrNotFound) {
		return d, nil
	}
	return again, err
}

// Get returns one delivery, or [ErrNotFound].
func (s Deliveries) Get(ctx context.Context, id uuid.UUID) (Delivery, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+deliveryColumns+` FROM deliveries t WHERE delivery_id = $1`, id)
	d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Delivery])
	return d, wrap(err, "delivery %s", id)
}

// DeliveryFilter narrows a list of deliveries; empty fields don't.
type DeliveryFilter struct {
	Subscription, Status, Type, Source []string // any of them; nil for all
	ReservationID                      string   // exactly; "" for all
	Sources                            []string // those that may be seen; nil for all
}

// List lists deliveries, newest first, from below a position (0: the newest).
func (s Deliveries) List(ctx context.Context, f DeliveryFilter, below int64, limit int) ([]Delivery, error) {
	if below == 0 {
		below = math.MaxInt64
	}
	var w where
	list := f.page(&w, below, limit)
	rows, _ := s.pool.Query(ctx, `SELECT t.* FROM (`+list+`) t ORDER BY t.seq DESC`, w.planned()...)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Delivery])
	return found, wrap(err, "list deliveries")
}

// page selects a page. Lists of a stay and lists by kind are in the order of -seq, as their indexes have it; those of
// subscriptions are in the order of seq, so that no index but theirs fits.
func (f DeliveryFilter) page(w *where, below int64, limit int) string {
	const from = `SELECT ` + deliveryColumns + ` FROM deliveries t`
	sources := within(f.Source, f.Sources)
	bySubscription := f.ReservationID == "" && f.Status == nil && f.Type == nil && sources == nil

	newest := ` ORDER BY -t.seq LIMIT `
	if bySubscription {
		newest = ` ORDER BY t.seq DESC LIMIT `
		w.add("t.seq < %s", below)
	} else {
		w.add("-t.seq > %s", -below)
	}
	newest += w.arg(limit)

	switch {
	case f.ReservationID != "":
		w.add("t.reservation_id = %s", f.ReservationID)
		w.among("t.source", sources)
		w.among("t.subscription", f.Subscription)
		w.among("t.status", f.Status)
		w.among("t.type", f.Type)
		return from + w.sql() + newest
	case bySubscription && len(f.Subscription) == 1:
		w.equal("t.subscription", f.Subscription[0])
		return from + w.sql() + newest
	case bySubscription:
		k := kinds{table: "deliveries", columns: []string{"subscription"}, values: []any{oneOf(f.Subscription)}}
		return k.merge(w, deliveryColumns, newest, newest)
	}

	k := kinds{
		table: "deliveries", columns: []string{"source", "subscription", "status", "type"},
		values: []any{oneOf(sources), oneOf(f.Subscription), oneOf(f.Status), oneOf(f.Type)},
	}
	return k.merge(w, deliveryColumns, newest, newest)
}

// Attempts returns the attempts at deliveries, oldest first.
func (s Deliveries) Attempts(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID][]DeliveryAttempt, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT delivery_id, attempt, at, duration_ms, status_code, error, answer FROM delivery_attempts
			WHERE delivery_id = ANY ($1) ORDER BY delivery_id, attempt`, ids)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[DeliveryAttempt])
	attempts := map[uuid.UUID][]DeliveryAttempt{}
	for _, a := range list {
		attempts[a.DeliveryID] = append(attempts[a.DeliveryID], a)
	}
	return attempts, wrap(err, "read attempts at deliveries")
}

// Prune deletes up to limit deliveries, with their attempts, that were created before a time and are not
// waiting for another try.
func (s Deliveries) Prune(ctx context.Context, created time.Time, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM deliveries WHERE delivery_id = ANY (ARRAY (
			SELECT delivery_id FROM deliveries d WHERE created_at < $1 AND (status <> 'waiting' OR NOT EXISTS (
				SELECT FROM subscription_stays w WHERE w.source = d.source AND w.reservation_id = d.reservation_id
					AND w.subscription = d.subscription
					AND w.delivery_id = d.delivery_id))
			ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))`, created, limit)
	return int(tag.RowsAffected()), wrap(err, "forget old deliveries")
}
