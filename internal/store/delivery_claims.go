package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// This file finds what to send to subscriptions. Every change of a stay has a position (changes.go), and a subscription
// has read the positions up to its own. A claim is one transaction, which keeps the subscription's row locked:
//
//	lockPosition   how far it has read, how its receiver is doing, and how many stays wait for it
//	changedStays   the next stays that changed and that it wants, up to ClaimRequest.MostUntried
//	insertStays    a row of subscription_stays for each, due now; the position moves past them in the same commit
//	readDue        the rows that are due, locked, each with what was reported about its stay and the present state
//	decide         the caller's: a message, or nothing to report (notify/state.go)
//	stay.decide    writes the message with a lease on its row, or settles the row
//
// So a stay has one row however often it changes, and its message reports the state when it is sent, not the one that
// made it due: a receiver that was away gets one message per stay, not its history. A row is free again when
// [Deliveries.RecordAttempt] has recorded how the message ended, or when its lease ends.

// StayState is what a message can report of a stay, from one snapshot.
type StayState struct {
	Ref
	Sequence          int64                       // rises with every change that a subscription can see
	ReservationStatus string                      // confirmed or cancelled
	ListingID         *string                     // nil: no room is assigned
	ListingName       *string                     // nil: it has none, or the listing isn't known
	CheckIn           *time.Time                  // UTC; nil while no time zone is known
	CheckOut          *time.Time                  // like CheckIn
	GuestName         *string                     // nil: not known
	KeyStatus         string                      // one of the Key constants
	Reason            *string                     // of the key; nil for none
	Message           *string                     // of the key, for people; nil for none
	ChangedAt         time.Time                   // when the key's status last changed
	ACSUserID         *string                     // at Seam; nil while there is none
	CredentialID      *string                     // the mobile key at Seam; nil while there is none
	StartsAt          *time.Time                  // when access begins at Seam, UTC; nil without an ACS user
	EndsAt            *time.Time                  // like StartsAt
	AccessGroupIDs    []string                    // that the ACS user may open
	GateReports       map[string]stay.GateReports // by the gate's name
	DoorUse           DoorUse                     // of the guest who has the key

	// DoorsAtRisk may not open for the guest. Those that are offline with most others of their access system are not
	// reported for each stay.
	DoorsAtRisk []stay.DoorProblem
}

// StayToReport is what a subscription has received about a stay, and the present state.
type StayToReport struct {
	Reported    json.RawMessage // nil: nothing
	Unconfirmed json.RawMessage // a list
	Present     StayState       // now
	LookedTo    *time.Time      // deadlines of gates up to then were looked at, see [Gates.PassDeadlines]
	Last        *Delivery       // the last message; nil: none, or retention has removed it
	// LastSequence is the highest sequence of a message so far.
	LastSequence int64
}

// Undelivered returns the last message while it waits for another try; otherwise nil.
func (s StayToReport) Undelivered() *Delivery {
	if s.Last == nil || s.Last.Status != DeliveryWaiting {
		return nil
	}
	return s.Last
}

// Report is the decision about one stay.
type Report struct {
	Reported    json.RawMessage // what counts as received without a message
	Unconfirmed json.RawMessage // with the message's own state
	Message     *Message        // nil: nothing to send
	Repeat      bool            // the message is [StayToReport.Undelivered], unchanged
	Unsettled   bool            // what to send is unknown until the stay changes again
}

// Message is a message to send.
type Message struct {
	Type     string          // such as key.issued
	Sequence int64           // of the stay's change that it reports
	Body     []byte          // as it is sent
	State    json.RawMessage // what the subscription knows once it is delivered
	More     bool            // another message about the same state follows
}

// ClaimRequest asks for deliveries of one subscription.
type ClaimRequest struct {
	Scope
	Now   time.Time     // by the caller's clock, for what is due
	Lease time.Duration // by the database's clock
	Limit int           // deliveries at once
	// MostUntried is how many stays may be taken up and not tried yet; all others wait in the order of changes, which
	// costs nothing
	MostUntried int
}

// ClaimedDelivery is a message that may leave until its lease ends.
type ClaimedDelivery struct {
	Delivery
	Attempt int             // its number, from 1
	State   json.RawMessage // what the subscription knows once this is delivered
	Token   uuid.UUID       // of the lease, for [Deliveries.RecordAttempt]
	Until   time.Time       // by this machine's monotonic clock; early rather than late
	More    bool            // another message about the same state follows
	Present StayState       // the stay's state when it was claimed
}

// Claim takes up what changed and what is due, lets decide choose for each stay, and returns the messages
// to send. When it returns, the messages and leases are on disk, and so is every change that they report. looked is
// how many stays were looked at: if it is 0, nothing is due.
func (s Deliveries) Claim(ctx context.Context, c ClaimRequest,
	decide func(StayToReport) (Report, error),
) (claimed []ClaimedDelivery, looked int, err error) {
	until := time.Now().Add(c.Lease)
	var position subscriptionPosition
	var due []dueStay

	err = s.quietly(ctx, func(b *pgx.Batch) {
		lockPosition(b, c, &position)
	}, func(tx pgx.Tx) (err error) {
		if !position.Enabled {
			return nil
		}
		if looked, due, err = takeUp(ctx, tx, c, position); err != nil || len(due) == 0 {
			return err
		}

		looked += len(due)
		due, err = readDue(ctx, tx, c, due)
		return err
	}, func(b *pgx.Batch) error {
		for _, stay := range due {
			report, err := decide(stay.StayToReport)
			if err != nil {
				return err
			}
			if message := stay.decide(b, c, report); message != nil {
				message.Until, message.Present = until, stay.Present
				claimed = append(claimed, *message)
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, wrap(err, "claim deliveries of subscription %s", c.Subscription)
	}
	return claimed, looked, nil
}

// A receiver counts as dead after this many failures in a row. Then it is sent one message at a time, few stays wait
// for another try, and a stay that has not been tried is taken up now and then: a few messages that a receiver
// never accepts must not hold back all others. One that doesn't even answer is down, whatever it is sent: then one stay
// waits for another try. When a receiver accepts a message, everything that waits is sent at once.
const (
	deadAfter  = 3
	deadHolds  = 8
	probeEvery = 5 * time.Minute
	// deadHoldsOf is how many stays may wait for another try, of a row of subscriptions.
	deadHoldsOf = `(CASE WHEN unanswered THEN 1 ELSE @holds::int END)`
)

// Dead reports whether a receiver counts as dead, and is sent one message at a time.
func (s Subscription) Dead() bool { return s.Failures >= deadAfter }

// takeUp makes rows of stays that changed since the subscription last looked, up to ClaimRequest.MostUntried. It
// returns how many changes it passed, and the stays that are due, locked.
func takeUp(ctx context.Context, tx pgx.Tx, c ClaimRequest, s subscriptionPosition) (passed int, due []dueStay,
	err error,
) {
	var b pgx.Batch
	if room := s.room(c.MostUntried); room > 0 {
		var refs []Ref
		var position int64
		if refs, passed, position, err = changedStays(ctx, tx, c, s, room); err != nil {
			return 0, nil, err
		}
		if passed > 0 {
			insertStays(&b, c, s, refs)
			b.Queue(`UPDATE subscriptions SET position = $2 WHERE name = $1`, c.Subscription, position)
		}
	}
	b.Queue(`
		SELECT source, reservation_id FROM subscription_stays
		WHERE subscription = $1 AND due_at <= $2 AND (lease_until IS NULL OR lease_until < clock_timestamp())
		ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED`, c.Subscription, c.Now, c.Limit).
		Query(func(rows pgx.Rows) (err error) {
			due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d dueStay, err error) {
				return d, row.Scan(&d.Present.Source, &d.Present.ReservationID)
			})
			return err
		})
	return passed, due, tx.SendBatch(ctx, &b).Close()
}

func insertStays(b *pgx.Batch, c ClaimRequest, s subscriptionPosition, refs []Ref) {
	sources, ids := splitRefs(refs)
	// A receiver that fails keeps its schedule, whatever changes. A stay whose reservation somebody keeps locked
	// changes again instead: it comes up when it is free, and holds up no other.
	b.Queue(`
		WITH named AS (SELECT * FROM unnest($1::text[], $2::text[]) AS n (source, reservation_id)),
		free AS (
			SELECT r.source, r.reservation_id FROM reservations r JOIN named USING (source, reservation_id)
			ORDER BY r.source COLLATE "C", r.reservation_id COLLATE "C" FOR KEY SHARE OF r SKIP LOCKED),
		locked AS (
			INSERT INTO stay_changes (source, reservation_id) SELECT * FROM named EXCEPT SELECT * FROM free)
		INSERT INTO subscription_stays AS w (source, reservation_id, subscription, due_at)
		SELECT source, reservation_id, $3, $4 FROM free
		ON CONFLICT (source, reservation_id, subscription) DO UPDATE SET
			due_at = CASE WHEN $5::boolean THEN $4 ELSE coalesce(w.due_at, $4) END, tries = CASE WHEN $5::boolean THEN 0
				ELSE w.tries END`,
		sources, ids, c.Subscription, c.Now, s.Failures < deadAfter)
}

// subscriptionPosition is how far a subscription has read, and how its receiver is doing.
type subscriptionPosition struct {
	Enabled          bool // it may deliver now
	Position, MadeAt int64
	Failures         int
	Probe            bool // it may be tried again: its last failure was some time ago
	Unknown          bool // it has not taken a message yet
	Fresh            int  // stays that wait for a first try, counted up to ClaimRequest.MostUntried
	Holds            bool // no more stays may wait for another try
}

// lockPosition queues a read of the subscription's row, which stays locked.
func lockPosition(b *pgx.Batch, c ClaimRequest, s *subscriptionPosition) {
	b.Queue(`
		SELECT position, made_at_order, failures, coalesce(last_failure_at <= @probe_before, true),
			last_success_at IS NULL,
			(SELECT count(*) FROM (SELECT FROM subscription_stays w WHERE w.subscription = name AND w.due_at IS NOT NULL
				AND w.tries = 0 LIMIT @most_untried) w),
			(SELECT count(*) FROM (SELECT FROM subscription_stays w WHERE w.subscription = name AND w.due_at IS NOT NULL
				AND w.tries > 0 LIMIT `+deadHoldsOf+`) w) >= `+deadHoldsOf+`
		FROM subscriptions WHERE name = @name AND disabled_at IS NULL FOR NO KEY UPDATE`, pgx.StrictNamedArgs{
		"name": c.Subscription, "most_untried": c.MostUntried, "probe_before": c.Now.Add(-probeEvery),
		"holds": deadHolds,
	}).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&s.Position, &s.MadeAt, &s.Failures, &s.Probe, &s.Unknown, &s.Fresh, &s.Holds)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		s.Enabled = err == nil
		return err
	})
}

// room is how many stays it may take up now.
func (s subscriptionPosition) room(most int) int {
	switch {
	case s.Failures >= deadAfter:
		// one at a time shows whether it is the receiver, or only the messages that it was sent
		if s.Fresh == 0 && (s.Probe || !s.Holds) {
			return 1
		}
		return 0
	case s.Unknown:
		return min(most, deadHolds) - s.Fresh
	default:
		return most - s.Fresh
	}
}

// changedStays returns up to room stays that changed after the subscription's position and that it wants, how many
// changes that passes, and the position of the last of them.
func changedStays(ctx context.Context, tx pgx.Tx, c ClaimRequest, s subscriptionPosition, room int) (refs []Ref,
	passed int, position int64, err error,
) {
	// It reads only as far as it needs: many receivers that don't work take up one stay at a time. What it doesn't want
	// is passed when all was looked at, in the same snapshot: a change that commits meanwhile must not be passed.
	const next = `(SELECT * FROM stay_positions WHERE position > @position ORDER BY position LIMIT @most) p`
	rows, _ := tx.Query(ctx, `
		WITH wanted AS MATERIALIZED (
			SELECT p.source, p.reservation_id, p.position
			FROM `+next+` JOIN mobile_keys k USING (source, reservation_id)
			WHERE (@sources::text[] IS NULL OR p.source = ANY (@sources))
				AND (k.status NOT IN ('revoked', 'expired') OR p.position > @made_at)
			ORDER BY p.position LIMIT @room)
		SELECT source, reservation_id, position, 1 FROM wanted
		UNION ALL
		SELECT NULL, NULL, coalesce(max(p.position), 0), count(*)
		FROM `+next+` WHERE (SELECT count(*) FROM wanted) < @room`, pgx.StrictNamedArgs{
		"position": s.Position, "most": passAtMost, "sources": c.Sources, "made_at": s.MadeAt, "room": room,
	})
	var source, id *string
	var at int64
	var n int
	_, err = pgx.ForEachRow(rows, []any{&source, &id, &at, &n}, func() error {
		if source != nil && id != nil {
			refs = append(refs, Ref{Source: *source, ReservationID: *id})
		}
		passed, position = max(passed, len(refs), n), max(position, at)
		return nil
	})
	return refs, passed, position, err
}

// passAtMost is how many changes a subscription passes in one transaction.
const passAtMost = 500
