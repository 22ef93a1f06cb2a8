package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// This file finds which bookings of a source may need a write to its PMS, and gives one replica the right to write.

// WriteBackLease is the right to write to the PMS of a source. One replica has it at a time, because PMSs count all
// requests of an account, and some take one at a time.
type WriteBackLease struct {
	Source string    // the source's name
	Token  uuid.UUID // proves the lease in later calls
}

// TakeLease takes the lease of a source; ok is false while another replica has it. settings is the
// fingerprint of the write-back settings: if it changed, every stay of the source is checked again.
func (s WriteBacks) TakeLease(ctx context.Context, source, settings string, lease time.Duration) (l WriteBackLease,
	ok bool, err error,
) {
	ctx, cancel := s.prompt(ctx)
	defer cancel()
	l.Source = source

	err = s.inTxOn(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO write_back_sources (source, settings) VALUES ($1, '')
			ON CONFLICT DO NOTHING`, source); err != nil {
			return err
		}

		var before string
		err := tx.QueryRow(ctx, `
			UPDATE write_back_sources SET lease_token = gen_random_uuid(),
				lease_until = clock_timestamp() + $2::interval
			WHERE source = $1 AND (lease_until IS NULL OR lease_until < clock_timestamp())
				RETURNING lease_token, settings`,
			source, lease).Scan(&l.Token, &before)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}

		if ok = err == nil; err != nil || before == settings {
			return err
		}

		var b pgx.Batch
		b.Queue(`UPDATE write_back_sources SET settings = $2, position = 0 WHERE source = $1`, source, settings)
		b.Queue(`UPDATE write_backs SET due_at = 'epoch', changes = changes + 1 WHERE source = $1`, source)
		return tx.SendBatch(ctx, &b).Close()
	})
	return l, ok && err == nil, wrap(err, "take the lease on the write-back of source %s", source)
}

// RenewLease makes a lease last longer; [ErrLeaseLost] if another replica has it.
func (s WriteBacks) RenewLease(ctx context.Context, l WriteBackLease, lease time.Duration) error {
	ctx, cancel := s.prompt(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, `
		UPDATE write_back_sources SET lease_until = clock_timestamp() + $3::interval WHERE source = $1
			AND lease_token = $2`, l.Source, l.Token, lease)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLeaseLost
	}
	return wrap(err, "renew the lease on the write-back of source %s", l.Source)
}

// DropLease gives a lease back.
func (s WriteBacks) DropLease(ctx context.Context, l WriteBackLease) error {
	ctx, cancel := s.prompt(ctx)
	defer cancel()
	_, err := s.pool.Exec(ctx, `UPDATE write_back_sources SET lease_token = NULL, lease_until = NULL WHERE source = $1
		AND lease_token = $2`, l.Source, l.Token)
	return wrap(err, "give back the lease on the write-back of source %s", l.Source)
}

// holdWriteBackLease keeps the lease from moving until the transaction ends.
func holdWriteBackLease(ctx context.Context, tx pgx.Tx, l WriteBackLease) error {
	tag, err := tx.Exec(ctx, `SELECT FROM write_back_sources WHERE source = $1
		AND lease_token = $2 FOR SHARE`, l.Source, l.Token)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLeaseLost
	}
	return err
}

// TakeUp makes the bookings due whose stays changed since it last looked, and returns how many changes it
// passed: of up to limit, in the order of [Changes.Order]. A booking gets its row once one of its keys is
// ready.
func (s WriteBacks) TakeUp(ctx context.Context, l WriteBackLease, now time.Time,
	limit int,
) (passed int, err error) {
	var some bool
	err = s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM stay_positions WHERE position > (SELECT position FROM write_back_sources
			WHERE source = $1))`, l.Source).Scan(&some)
	if err != nil || !some {
		return 0, wrap(err, "look for changes for the write-back of source %s", l.Source)
	}

	err = s.inTxOn(ctx, s.pool, func(tx pgx.Tx) error {
		passed = 0
		var position, last *int64
		err := tx.QueryRow(ctx, `SELECT position FROM write_back_sources WHERE source = $1
			AND lease_token = $2 FOR NO KEY UPDATE`, l.Source, l.Token).Scan(&position)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrLeaseLost
		}
		if err != nil {
			return err
		}

		rows, _ := tx.Query(ctx, `SELECT source, reservation_id, position FROM stay_positions WHERE position > $1
			ORDER BY position LIMIT $2`, *position, limit)
		var ids []string
		var ref Ref
		var at int64
		if _, err := pgx.ForEachRow(rows, []any{&ref.Source, &ref.ReservationID, &at}, func() error {
			passed++
			reached := at
			last = &reached
			if ref.Source == l.Source {
				ids = append(ids, ref.ReservationID)
			}
			return nil
		}); err != nil || last == nil {
			return err
		}

		var b pgx.Batch
		if len(ids) > 0 {
			b.Queue(takeUpWriteBacks, pgx.StrictNamedArgs{"source": l.Source, "ids": ids, "now": now})
		}
		b.Queue(`UPDATE write_back_sources SET position = $2 WHERE source = $1`, l.Source, *last)
		return tx.SendBatch(ctx, &b).Close()
	})
	return passed, wrap(err, "take up changes for the write-back of source %s", l.Source)
}

// takeUpWriteBacks makes rows due. Rank: arrivals within a day first, then the others, then what only has to be
// cleared.
const takeUpWriteBacks = `
	WITH changed AS (
		SELECT coalesce(r.booking_id, r.reservation_id) AS booking_id,
			bool_or(k.status IN ('issued', 'active')) AS ready,
			min(CASE WHEN k.status NOT IN ('issued', 'active') THEN 2
				WHEN r.check_in <= @now::timestamptz + interval '24 hours' THEN 0 ELSE 1 END) AS rank
		FROM unnest(@ids::text[]) AS n (id)
		JOIN reservations r ON r.source = @source AND r.reservation_id = n.id
		JOIN mobile_keys k ON k.source = r.source AND k.reservation_id = r.reservation_id
		GROUP BY 1),
	known AS (
		UPDATE write_backs w SET due_at = 'epoch', rank = c.rank, changes = w.changes + 1 FROM changed c
		WHERE w.source = @source AND w.booking_id = c.booking_id AND (c.ready OR w.status <> 'cleared'))
	INSERT INTO write_backs (source, booking_id, status, changed_at, due_at, rank)
	SELECT @source, booking_id, 'pending', @now, 'epoch', rank FROM changed WHERE ready ON CONFLICT DO NOTHING`

// Due returns up to limit bookings that are due, except those named: arrivals within a day first, the
// longest due first.
func (s WriteBacks) Due(ctx context.Context, source string, now time.Time, except []string,
	limit int,
) ([]WriteBackRow, error) {
	var found []WriteBackRow
	for rank := range 3 {
		rows, _ := s.pool.Query(ctx, `
			SELECT `+writeBackColumns+` FROM write_backs
			WHERE source = @source AND rank = @rank AND due_at <= @now AND booking_id <> ALL (@except) ORDER BY due_at
				LIMIT @limit`, pgx.StrictNamedArgs{
			"source": source, "rank": rank, "now": now, "except": slices.Clip(append([]string{}, except...)),
			"limit": limit - len(found),
		})
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[WriteBackRow])
		if err != nil {
			return nil, wrap(err, "find what is due in the write-back of source %s", source)
		}
		if found = append(found, list...); len(found) == limit {
			break
		}
	}
	return found, nil
}
