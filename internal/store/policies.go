package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// A source's policy is shared state: the last start or reload of any replica that has an entry for the source
// decides it, and all replicas follow it. So a source that is no longer in the configuration keeps its last policy,
// and replicas with different files don't undo each other's work. Each stay names the policy that it was completed
// with (Reservation.Policy), so that any process that notices a difference can bring it up to date, whatever its
// cause.

// SourcePolicies are the policies that the stays of each source follow, as the replicas have agreed on them.
type SourcePolicies struct{ *db }

// SourcePolicy is what a source's stays are to follow.
type SourcePolicy struct {
	Source      string // the source's name
	Fingerprint string // of Encoded, to compare policies by
	// the policy itself, for replicas whose configuration lacks it; "" where a version before this one wrote it
	Encoded string
}

// SettingsOf the policies, by source. Versions before this one know the first one only.
const (
	settingPolicy       = "policy:"
	settingPolicyText   = "policy_text:"
	settingPolicyBefore = "policy_before:" // what stays without a fingerprint were completed with, if known
)

// Decide makes these the policies of their sources, all of them or, on an error, none. It returns the
// sources whose stays have to follow. It writes only what differs, so that a database that is read-only, or locked
// against writing, is no obstacle to a start with the configuration that was used before.
func (s SourcePolicies) Decide(ctx context.Context, policies []SourcePolicy) (changed []string, err error) {
	policies = slices.SortedFunc(slices.Values(policies),
		func(a, b SourcePolicy) int { return Ref{Source: a.Source}.Compare(Ref{Source: b.Source}) })

	err = s.inTx(ctx, func(tx pgx.Tx) error {
		changed = nil
		differing, err := differing(ctx, tx, policies)
		if err != nil {
			return err
		}

		for _, p := range differing {
			var before string
			err := tx.QueryRow(ctx, `
				INSERT INTO settings (name, value) VALUES ($1, '') ON CONFLICT (name) DO UPDATE SET name = settings.name
				RETURNING value`, settingPolicy+p.Source).Scan(&before)
			if err != nil {
				return err
			}

			if _, err := tx.Exec(ctx, `
				INSERT INTO settings (name, value) VALUES ($1, $2), ($3, $4) ON CONFLICT (name) DO UPDATE
					SET value = excluded.value`,
				settingPolicy+p.Source, p.Fingerprint, settingPolicyText+p.Source, p.Encoded); err != nil {
				return err
			}

			if before != "" && before != p.Fingerprint {
				changed = append(changed, p.Source)
			}
		}
		return nil
	})
	return changed, wrap(err, "decide the policies of %d sources", len(policies))
}

// differing returns those policies that are not the decided ones, in their order.
func differing(ctx context.Context, tx pgx.Tx, policies []SourcePolicy) ([]SourcePolicy, error) {
	var names []string
	for _, p := range policies {
		names = append(names, settingPolicy+p.Source, settingPolicyText+p.Source)
	}
	rows, _ := tx.Query(ctx, `SELECT name, value FROM settings WHERE name = ANY ($1)`, names)
	decided := map[string]string{}
	var name, value string
	if _, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		decided[name] = value
		return nil
	}); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(policies), func(p SourcePolicy) bool {
		return decided[settingPolicy+p.Source] == p.Fingerprint && decided[settingPolicyText+p.Source] == p.Encoded
	}), nil
}

// List returns the decided policies of all sources, also of those that have gone from the configuration.
func (s SourcePolicies) List(ctx context.Context) ([]SourcePolicy, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT substr(p.name, 8) AS source, p.value AS fingerprint,
			coalesce((SELECT t.value FROM settings t WHERE t.name = 'policy_text:' || substr(p.name, 8)), '') AS encoded
		FROM settings p WHERE p.name LIKE 'policy:%' AND p.value <> ''`)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[SourcePolicy])
	return list, wrap(err, "read the policies of sources")
}

// ofOtherPolicy selects a source's stays that were completed with another policy than $2, which may be many after a
// change and are none otherwise. A branch for each way to differ, since an index answers no other question, and in the
// order of that index: without it, a plan made on empty tables reads all stays.
func ofOtherPolicy(source, policy, columns, tail string) string {
	branch := func(condition string) string {
		return `(SELECT ` + columns + ` FROM reservations r WHERE r.source = ` + source +
			` AND r.status = 'confirmed' AND r.pruned = 0 AND r.policy ` + condition + ` ORDER BY r.policy` +
			tail + `)`
	}
	return branch("IS NULL") + ` UNION ALL ` + branch("< "+policy) + ` UNION ALL ` + branch("> "+policy)
}

// Stale returns the sources that have stays which were completed with another policy than the decided one.
func (s SourcePolicies) Stale(ctx context.Context) ([]SourcePolicy, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT p.source, p.fingerprint, '' AS encoded
		FROM (SELECT substr(name, 8) AS source, value COLLATE "C" AS fingerprint FROM settings
			WHERE name LIKE 'policy:%' AND value <> '') p
		WHERE EXISTS (`+ofOtherPolicy("p.source", "p.fingerprint", "", " LIMIT 1")+`)`)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[SourcePolicy])
	return list, wrap(err, "look for stays of other policies")
}

// StayOfOtherPolicy is a stay that has to follow its source's policy.
type StayOfOtherPolicy struct {
	Source        string  // with ReservationID: the stay
	ReservationID string  // see Source
	ListingID     *string // nil: no room is assigned
	Segments      []byte  // as in [Reservation]
	Before        string  // the policy that it was completed with, "" where that isn't known
	Live          bool    // its key may still matter: it is not over for two days, or has something at Seam
}

// StaysOfOtherPolicy returns up to limit stays that have to follow the policy of their source. They are not locked.
func StaysOfOtherPolicy(ctx context.Context, tx pgx.Tx, p SourcePolicy, now time.Time,
	limit int,
) ([]StayOfOtherPolicy, error) {
	rows, _ := tx.Query(ctx, `
		SELECT r.source, r.reservation_id, r.listing_id, r.segments,
			coalesce(r.policy, (SELECT value FROM settings WHERE name = 'policy_before:' || r.source), '') AS before,
			r.check_out IS NULL OR r.check_out > $3::timestamptz - interval '2 days'
				OR EXISTS (SELECT FROM acs_users u WHERE u.source = r.source
					AND u.reservation_id = r.reservation_id) AS live
		FROM (`+ofOtherPolicy("$1", `$2 COLLATE "C"`, "r.*", " LIMIT $4")+`) r LIMIT $4`, p.Source, p.Fingerprint,
		now, limit)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[StayOfOtherPolicy])
	return list, wrap(err, "find stays of source %s that have another policy", p.Source)
}

// SaveCompletions writes how locked reservations were completed: their listing, check-in and check-out, and which
// policy and listing these follow from.
func SaveCompletions(batch *pgx.Batch, list []Reservation) {
	n := len(list)
	sources, ids, listings, policies := make([]string, n), make([]string, n), make([]*string, n), make([]*string, n)
	ins, outs, dues, generations := make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time,
		n), make([]int64, n)
	for i, r := range list {
		sources[i], ids[i], listings[i], policies[i] = r.Source, r.ReservationID, r.ListingID, r.Policy
		ins[i], outs[i], dues[i], generations[i] = r.CheckIn, r.CheckOut, r.SegmentDue, r.ListingGeneration
	}
	batch.Queue(`
		UPDATE reservations r SET listing_id = n.listing_id, check_in = n.check_in, check_out = n.check_out,
			segment_due = n.segment_due, listing_generation = n.listing_generation, policy = n.policy
		FROM unnest(@sources::text[], @ids::text[], @listings::text[], @ins::timestamptz[], @outs::timestamptz[],
			@dues::timestamptz[],
				@generations::bigint[], @policies::text[])
			AS n (source, reservation_id, listing_id, check_in, check_out, segment_due, listing_generation, policy)
		WHERE r.source = n.source AND r.reservation_id = n.reservation_id`, pgx.StrictNamedArgs{
		"sources": sources, "ids": ids, "listings": listings, "ins": ins, "outs": outs, "dues": dues,
		"generations": generations, "policies": policies,
	})
}

// SourceInUse counts what a source still has.
type SourceInUse struct {
	Source string // the source's name
	Keys   int    // stays that have something at Seam
	Stays  int    // confirmed stays that are not over, with or without a key
	Events int    // events that wait to be applied or for documents
}

// String describes it for people.
func (u SourceInUse) String() string {
	return fmt.Sprintf("%d stays have something at Seam, %d stays are not over, %d events wait", u.Keys,
		u.Stays, u.Events)
}

// countedInUse bounds each of the counts: how many exactly doesn't matter.
const countedInUse = 10_000

// SourcesInUse returns the sources, other than the given ones, that have something at Seam, stays that are not
// over, or events that wait.
func (s SourcePolicies) SourcesInUse(ctx context.Context, but []string, now time.Time) ([]SourceInUse, error) {
	count := func(rows string) string { return `(SELECT count(*) FROM (` + rows + ` LIMIT $3) n)` }
	rows, _ := s.pool.Query(ctx, `
		WITH RECURSIVE names AS (
			(SELECT source FROM mobile_keys ORDER BY source LIMIT 1)
			UNION ALL
			SELECT (SELECT k.source FROM mobile_keys k WHERE k.source > n.source ORDER BY k.source LIMIT 1) FROM names n
				WHERE n.source IS NOT NULL),
		named AS (
			SELECT source FROM names WHERE source IS NOT NULL
			UNION SELECT source FROM event_queue UNION SELECT source FROM event_fetches)
		SELECT * FROM (
			SELECT source,
				`+count(`SELECT FROM acs_users u WHERE u.source = named.source`)+` AS keys,
				`+count(`SELECT FROM mobile_keys k JOIN reservations r USING (source, reservation_id)
					WHERE k.source = named.source AND NOT k.cancelled
						AND k.status IN ('waiting', 'provisioning', 'issued', 'active', 'attention')
						AND (r.check_out IS NULL OR r.check_out > $2)`)+` AS stays,
				`+count(`SELECT FROM event_queue q WHERE q.source = named.source UNION ALL
					SELECT FROM event_fetches f WHERE f.source = named.source`)+` AS events
			FROM named WHERE NOT source = ANY ($1)) u
		WHERE keys > 0 OR stays > 0 OR events > 0 ORDER BY source`, but, now, countedInUse)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[SourceInUse])
	return list, wrap(err, "look for sources in use")
}
