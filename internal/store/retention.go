package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Retention deletes what is older than it has to be kept, a limited number of rows in each transaction.
type Retention struct{ *db }

// Stages of deleting the data of a stay that is over, in order. A row of reservations records how far it is.
const (
	PruneBodies       = 1 // raw bodies, and the guest's data
	PruneEvents       = 2 // events
	PruneTimeline     = 3
	PruneReservations = 4 // the reservation and its key
)

// PruneStays brings up to limit stays to a stage, and returns how many it did:
//
//   - those that ended before ended
//   - where no check-out is known: those whose last day, as their PMS sent it, ended before ended
//   - where no check-out is known: those that were last changed before changed
//
// A stay that still has an ACS user is not finished.
func (s Retention) PruneStays(ctx context.Context, stage int, ended, changed time.Time, limit int) (n int, err error) {
	refs, err := s.PruneStaysExcept(ctx, stage, ended, changed, limit, nil)
	return len(refs), err
}

// dayEnds is how long after midnight UTC, at its beginning, a day has ended everywhere.
const dayEnds = 24*time.Hour + zoneBehind

// pruneLockWait is how long retention waits for a lock: there is always something else to do.
const pruneLockWait = time.Second

// PruneStaysExcept is [Retention.PruneStays] without some stays. It returns which ones it took, also where it failed:
// with an error of [IsLockWait] something of one of them is locked.
func (s Retention) PruneStaysExcept(ctx context.Context, stage int, ended, changed time.Time, limit int,
	except []Ref,
) (refs []Ref, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		refs = nil
		if err := LimitLockWait(ctx, tx, pruneLockWait); err != nil {
			return err
		}

		exceptSources, exceptIDs := splitRefs(except)
		lock, kept := "FOR NO KEY UPDATE", ""
		if stage == PruneReservations { // a decision must outlive all that its stay's PMS may still say
			lock = "FOR UPDATE"
			kept = `AND NOT EXISTS (SELECT FROM overrides o WHERE o.source = r.source
				AND o.reservation_id = r.reservation_id AND (o.revoked_at IS NOT NULL OR o.held_at IS NOT NULL))
				AND NOT ` + keptByGates
		}

		for _, which := range []struct {
			condition string
			before    any
		}{
			{`check_out < $2 ORDER BY check_out`, ended},
			{`check_out IS NULL AND updated_at < $2`, changed},
			{
				`check_out IS NULL AND left(check_out_said, 10) COLLATE "C" < $2`,
				ended.UTC().Add(-dayEnds).Format(time.DateOnly),
			},
		} {
			rows, _ := tx.Query(ctx, `
				SELECT source, reservation_id FROM (
					SELECT source, reservation_id FROM reservations r
					WHERE NOT EXISTS (SELECT FROM acs_users u WHERE u.source = r.source
						AND u.reservation_id = r.reservation_id)
						AND (source, reservation_id) NOT IN (SELECT * FROM unnest($4::text[], $5::text[]))
						AND pruned = $1 `+kept+` AND `+which.condition+`
							LIMIT $3 `+lock+` SKIP LOCKED) r`,
				stage-1, which.before, limit-len(refs), exceptSources, exceptIDs)
			some, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
			if err != nil {
				return err
			}
			refs = append(refs, some...)
		}

		if len(refs) == 0 {
			return nil
		}

		sources, ids := splitRefs(refs)
		var b pgx.Batch
		for _, statement := range pruning[stage] {
			b.Queue(statement+`(t.source, t.reservation_id) IN (SELECT *
				FROM unnest($1::text[], $2::text[]))`, sources, ids)
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	return refs, wrap(err, "prune finished stays, stage %d", stage)
}

const (
	forgetEvents   = `DELETE FROM events e USING event_results t WHERE e.event_id = t.event_id AND `
	forgetResults  = `DELETE FROM event_results t WHERE `
	forgetTimeline = `DELETE FROM timeline t WHERE `
)

// pruning is what a stage does to the stays t. What was created after an earlier stage goes with the last one.
var pruning = map[int][]string{
	PruneBodies: {
		`UPDATE events e SET body = NULL, request = NULL FROM event_results t WHERE e.event_id = t.event_id AND `,
		// An event that is about several stays is another one's: it goes with the first of them that is forgotten.
		`UPDATE events e SET body = NULL, request = NULL FROM timeline t
			WHERE t.kind = '` + TimelineEvent + `' AND e.event_id = (t.detail->>'event_id')::uuid
				AND e.body IS NOT NULL AND `,
		forgetDecisions[0], forgetDecisions[1], forgetEvidence, forgetBatches, forgetNotes,
		`UPDATE reservations t SET pruned = 1, guest_email = NULL, guest_name = NULL, guest_phone = NULL,
			guest_id = NULL,
			guest_language = NULL, notes = NULL, segments = NULL, segment_due = NULL, bodies = NULL WHERE `,
	},
	PruneEvents:       {forgetEvents, forgetResults, `UPDATE reservations t SET pruned = 2 WHERE `},
	PruneTimeline:     {forgetTimeline, forgetReasons, forgetBatches, `UPDATE reservations t SET pruned = 3 WHERE `},
	PruneReservations: {forgetEvents, forgetResults, forgetTimeline, `DELETE FROM reservations t WHERE `},
}

// PruneLooseEvents reads up to limit events in the order of receipt from after a cursor, as far as they were received
// before a time, and removes those that belong to no reservation. next is the cursor it reached; n how many were read.
func (s Retention) PruneLooseEvents(ctx context.Context, after int64, received time.Time, limit int) (next int64,
	n int, err error,
) {
	return s.pruneLoose(ctx, after, received, limit, forgetEvents+`t.seq = ANY ($1)`, forgetResults+`t.seq = ANY ($1)`)
}

// PruneLooseBodies is [Retention.PruneLooseEvents] for their bodies alone: the events stay, to recognize repeated ones.
func (s Retention) PruneLooseBodies(ctx context.Context, after int64, received time.Time, limit int) (next int64,
	n int, err error,
) {
	return s.pruneLoose(ctx, after, received, limit, `
		UPDATE events e SET body = NULL, request = NULL FROM event_results t
		WHERE e.event_id = t.event_id AND e.body IS NOT NULL AND t.seq = ANY ($1)`)
}

// firstWaiting is the position of the first event without a result: one that is replayed, or waits for documents. No
// cursor passes it, because its result is still to be written there.
const firstWaiting = `least((SELECT min(seq) FROM event_queue), (SELECT min(seq) FROM event_fetches),
	9223372036854775807)`

func (s Retention) pruneLoose(ctx context.Context, after int64, received time.Time, limit int,
	statements ...string,
) (next int64, n int, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		next, n = after, 0
		if err := LimitLockWait(ctx, tx, pruneLockWait); err != nil {
			return err
		}

		rows, _ := tx.Query(ctx, `
			SELECT t.seq, NOT EXISTS (SELECT FROM reservations r WHERE r.source = t.source
				AND r.reservation_id = t.reservation_id)
			FROM (SELECT * FROM event_results WHERE seq > $1 AND seq < `+firstWaiting+` ORDER BY seq LIMIT $3) t
			WHERE t.received_at < $2 ORDER BY t.seq`, after, received, limit)
		var seq int64
		var is bool
		var loose []int64
		if _, err := pgx.ForEachRow(rows, []any{&seq, &is}, func() error {
			if n, next = n+1, seq; is {
				loose = append(loose, seq)
			}
			return nil
		}); err != nil || len(loose) == 0 {
			return err
		}

		var b pgx.Batch
		for _, statement := range statements {
			b.Queue(statement, loose)
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	return next, n, wrap(err, "prune events of no reservation")
}

// ReasonTooOld is the reason of an event that was rejected because it waited for documents longer than bodies are kept.
const ReasonTooOld = "it waited for the PMS's documents for longer than bodies are kept (STAYKEY_RETAIN_BODIES)"

// PruneWaiting gives up on up to limit events that have waited for documents since before a time, and removes their
// bodies. Nothing else would ever remove them: they have no result.
func (s Retention) PruneWaiting(ctx context.Context, received time.Time, limit int) (n int, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := LimitLockWait(ctx, tx, pruneLockWait); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			WITH gone AS (
				DELETE FROM event_fetches WHERE event_id IN (
					SELECT f.event_id FROM event_fetches f JOIN events e USING (event_id)
					WHERE f.documents IS NULL AND e.received_at < @received ORDER BY f.seq LIMIT @limit
						FOR UPDATE OF f SKIP LOCKED)
				RETURNING event_id, seq, applied, reservation_ids),
				emptied AS (UPDATE events e SET body = NULL, request = NULL, rejected = NOT g.applied FROM gone g
					WHERE e.event_id = g.event_id)`+givenUp,
			pgx.StrictNamedArgs{"received": received, "limit": limit, "reason": ReasonTooOld})
		n = int(tag.RowsAffected())
		return err
	})
	return n, wrap(err, "give up events that have waited for documents")
}

// IdentitiesKept is the minimum time that a user identity is kept after it was first recorded. One at Seam that is
// older and unknown may have been forgotten.
const IdentitiesKept = 400 * 24 * time.Hour

// PruneIdentities forgets up to limit user identities that were met before a time and have no ACS user. They stay at
// Seam, and are found again by their key.
func (s Retention) PruneIdentities(ctx context.Context, created time.Time, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM user_identities WHERE user_identity_key = ANY (ARRAY (
			SELECT user_identity_key FROM user_identities i WHERE created_at < $1 AND lost_at IS NULL
				AND NOT EXISTS (SELECT FROM acs_users u WHERE u.user_identity_key = i.user_identity_key)
			ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))`, created, limit)
	return int(tag.RowsAffected()), wrap(err, "prune user identities")
}
