package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
)

// This file counts what a sweep asks of Seam: the number of its calls is what a rate limit at Seam leaves less of for
// guests. It depends on the live keys, not on what is kept, and not on how busy the machine is.

const (
	sweepPerGroup = 50  // stays at each access group
	sweepPage     = 500 // of Seam's lists
	// sweepGoal is how many times the calls of the lists alone a sweep may make.
	sweepGoal = 1.25
)

// fillSwept gives each sweepPerGroup stays of a full queue an access group of their own: it is listing n's.
const fillSwept = `
	UPDATE listings SET access_group_ids = ARRAY['group-' || substr(listing_id, 9)]
	WHERE substr(listing_id, 9)::int <= $1`

// sweep counts the calls of a sweep over keys that are issued and don't differ.
func (b sweeps) sweep(ctx context.Context) error {
	name, db, err := b.database(ctx, "migrated")
	if err != nil {
		return err
	}
	defer b.drop(ctx, name, db)
	if _, err := db.Exec(ctx, `SET synchronous_commit = off`); err != nil {
		return err
	}
	if err := b.fillGroups(ctx, name, db); err != nil {
		return err
	}

	sim, seam, err := simulatedSeam(0)
	if err != nil {
		return err
	}
	defer seam.Close()
	groups := (b.swept + sweepPerGroup - 1) / sweepPerGroup
	sim.Change(func(s *simulator.State) {
		for i := range groups {
			id := fmt.Sprintf("group-%d", i+1)
			s.Groups[id] = simulator.AccessGroup{ID: id, SystemID: system, Name: id}
		}
	})

	p, err := b.server(ctx, name, seam.URL, fmt.Sprintf("STAYKEY_WORKERS=%d", drainWorkers))
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	if err := b.awaitIssued(ctx, db, time.Now()); err != nil {
		return err
	}

	// What was changed a moment ago is left to a later sweep.
	if _, err := db.Exec(ctx, `UPDATE acs_users SET made_at = made_at - interval '1 hour',
		changed_at = changed_at - interval '1 hour',
		credential_marked_at = credential_marked_at - interval '1 hour'`); err != nil {
		return err
	}
	sim.Forget()
	compared, err := sweptOnce(ctx, db)
	if err != nil {
		return err
	}
	if compared != b.swept {
		return fmt.Errorf("the sweep compared %d of %d keys", compared, b.swept)
	}

	// users, credentials and identities, page by page, and each access group
	lists := 3*((b.swept+sweepPage-1)/sweepPage) + groups
	each := func(calls int) string { return fmt.Sprintf("%.1f calls", float64(calls)*1000/float64(b.swept)) }
	calls := sim.Calls()
	b.add(line{
		what:  fmt.Sprintf("a sweep, for each 1,000 of %d live keys, %d at an access group", b.swept, sweepPerGroup),
		value: each(calls), against: fmt.Sprintf("its lists, %d in a page", sweepPage), base: each(lists),
		ratio: fmt.Sprintf("%.2f", float64(calls)/float64(lists)), target: fmt.Sprintf("within %.2f", sweepGoal),
	})
	return nil
}

// fillGroups fills the queue with stays of listings that have an access group each.
func (b sweeps) fillGroups(ctx context.Context, name string, db *pgx.Conn) error {
	if err := b.fill(ctx, name, db); err != nil {
		return err
	}
	if _, err := db.Exec(ctx, fillSwept, b.swept/sweepPerGroup+1); err != nil {
		return err
	}
	_, err := db.Exec(ctx, `UPDATE reservations SET listing_id = 'listing-' || 1 + substr(reservation_id, 6)::int / $1`,
		sweepPerGroup)
	return err
}

// sweptOnce makes a sweep due and returns how many keys it compared.
func sweptOnce(ctx context.Context, db *pgx.Conn) (compared int, err error) {
	began := time.Now()
	if _, err := db.Exec(ctx, `UPDATE tasks SET next_at = now() WHERE name = 'sweep'`); err != nil {
		return 0, err
	}
	for {
		var result []byte
		err := db.QueryRow(ctx, `SELECT result FROM tasks WHERE name = 'sweep' AND next_at > now()`).Scan(&result)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return 0, err
		}
		var last stay.Sweep
		if len(result) > 0 {
			if err := json.Unmarshal(result, &last); err != nil {
				return 0, err
			}
		}
		if last.At.After(began.Add(-time.Second)) {
			return last.Compared, nil
		}
		if time.Since(began) > time.Minute {
			return 0, errors.New("no sweep within a minute")
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
