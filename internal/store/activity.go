package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// ActivityLog keeps the counts of [Activity], for charts.
type ActivityLog struct{ *db }

// Kinds of activity. Events that PMSs posted are counted by result, see [EventApplied] and the others.
const (
	ActivityRefused   = "refused"     // a webhook that could not be verified
	ActivityDuplicate = "duplicate"   // an event that was received before
	ActivityTest      = "test"        // a test event of ours was verified and stored
	ActivityReplay    = "replay"      // an event was applied again
	ActivityImport    = "import"      // an imported event was applied, or refused
	ActivityMade      = "key_made"    // a mobile key was created
	ActivityRemoved   = "key_removed" // an ACS user was removed, and its mobile key with it
	ActivityAttention = "attention"   // a key began to need a person
	// ActivitySecret is the prefix of the kinds that show which of a source's secrets verified: "secret 1" and so on.
	ActivitySecret = "secret "
)

// Activity counts what happens at each source by minute, for people to look at: a crash loses a few seconds of
// counts. It is safe for concurrent use; a nil Activity counts nothing.
type Activity struct {
	mu     sync.Mutex
	counts map[activityKey]*activityCount
}

type activityKey struct {
	source, kind string
	minute       time.Time
}

type activityCount struct {
	n    int64
	last time.Time
}

// NewActivity returns empty counts. [ActivityLog.Flush] writes them.
func NewActivity() *Activity { return &Activity{counts: map[activityKey]*activityCount{}} }

// Add counts one of a kind.
func (a *Activity) Add(source, kind string, at time.Time) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := activityKey{source, kind, at.UTC().Truncate(time.Minute)}
	c := a.counts[key]
	if c == nil {
		c = &activityCount{}
		a.counts[key] = c
	}
	c.n++
	if at.After(c.last) {
		c.last = at
	}
}

func (a *Activity) take() map[activityKey]*activityCount {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.counts
	a.counts = map[activityKey]*activityCount{}
	return taken
}

// Flush adds what has been counted to the database.
func (s ActivityLog) Flush(ctx context.Context, a *Activity) error {
	taken := a.take()
	if len(taken) == 0 {
		return nil
	}
	var sources, kinds []string
	var hours, last []time.Time
	var counts []int64
	for key, c := range taken {
		sources, kinds, hours = append(sources, key.source), append(kinds, key.kind), append(hours, key.minute)
		counts, last = append(counts, c.n), append(last, c.last)
	}
	_, err := s.pool.Exec(ctx, `
		INSERT INTO activity (source, kind, hour, n, last_at)
		SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[], $5::timestamptz[]) AS c (source,
			kind, hour, n, last_at)
		ORDER BY source, kind, hour
		ON CONFLICT (source, kind, hour) DO UPDATE
			SET n = activity.n + excluded.n, last_at = greatest(activity.last_at, excluded.last_at)`,
		sources, kinds, hours, counts, last)
	return wrap(err, "count what happened")
}

// ActivityRow is how often something happened at a source in one minute, or, if that is longer ago than a day, in one
// hour.
type ActivityRow struct {
	Source string    // the source's name
	Kind   string    // what happened: one of the Activity constants
	Hour   time.Time // when that minute or hour began
	N      int64     // how often
	LastAt time.Time // the last time
}

// Since returns what happened at the sources (nil: all) since a time at most a day ago, oldest first. A
// minute that had begun by then counts if something happened in the rest of it.
func (s ActivityLog) Since(ctx context.Context, since time.Time, sources []string) ([]ActivityRow, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT source, kind, hour, n, last_at FROM activity
		WHERE hour > $1::timestamptz - interval '1 minute' AND last_at >= $1
			AND ($2::text[] IS NULL OR source = ANY ($2)) ORDER BY hour, source, kind`, since, sources)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ActivityRow])
	return list, wrap(err, "read what happened")
}

// Last returns the last time that each kind of thing happened at each of the sources (nil: all), as far as it
// is kept.
func (s ActivityLog) Last(ctx context.Context, sources []string) ([]ActivityRow, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT source, kind, max(hour) AS hour, sum(n)::bigint AS n, max(last_at) AS last_at FROM activity
		WHERE $1::text[] IS NULL OR source = ANY ($1) GROUP BY source, kind ORDER BY source, kind`, sources)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ActivityRow])
	return list, wrap(err, "read what happened last")
}

// EventIntervals is how often a source's PMS posts, within the retention of activity.
type EventIntervals struct {
	LastAt  time.Time     // the last event
	Hours   int           // in which it posted
	Longest time.Duration // pause between two of them
}

// EventIntervals returns how often each source (nil: all) posts. A source whose PMS has posted nothing authentic is
// left out; test events don't count.
func (s ActivityLog) EventIntervals(ctx context.Context, sources []string) (map[string]EventIntervals, error) {
	rows, _ := s.pool.Query(ctx, `
		WITH hours AS (
			SELECT source, date_trunc('hour', hour, 'UTC') AS at, max(last_at) AS last_at FROM activity
			WHERE kind LIKE $2 AND ($1::text[] IS NULL OR source = ANY ($1)) GROUP BY 1, 2),
		pauses AS (
			SELECT source, last_at, last_at - lag(last_at) OVER (PARTITION BY source ORDER BY at) AS pause FROM hours)
		SELECT source, max(last_at), count(*), coalesce(extract(epoch FROM max(pause)), 0)::float8
		FROM pauses GROUP BY source`, sources, ActivitySecret+"%")
	intervals := map[string]EventIntervals{}
	var source string
	var p EventIntervals
	var longest float64
	_, err := pgx.ForEachRow(rows, []any{&source, &p.LastAt, &p.Hours, &longest}, func() error {
		p.Longest = time.Duration(longest * float64(time.Second))
		intervals[source] = p
		return nil
	})
	return intervals, wrap(err, "read how often PMSs post")
}

// keepActivity is for how long activity is kept.
const keepActivity = 35 * 24 * time.Hour

// Prune deletes activity that is older than it is kept, and adds up the minutes of hours that ended more than a day
// ago.
func (s ActivityLog) Prune(ctx context.Context, now time.Time) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM activity WHERE hour < $1`, now.Add(-keepActivity)); err != nil {
		return wrap(err, "forget what happened long ago")
	}
	dayAgo := now.UTC().Truncate(time.Hour).Add(-25 * time.Hour)
	_, err := s.pool.Exec(ctx, `
		WITH minutes AS (
			DELETE FROM activity WHERE hour < $1 AND hour >= $1::timestamptz - interval '7 days'
				AND hour <> date_trunc('hour', hour)
			RETURNING source, kind, date_trunc('hour', hour) AS hour, n, last_at)
		INSERT INTO activity (source, kind, hour, n, last_at)
		SELECT source, kind, hour, sum(n), max(last_at) FROM minutes GROUP BY source, kind, hour
			ORDER BY source, kind, hour
		ON CONFLICT (source, kind, hour) DO UPDATE
			SET n = activity.n + excluded.n, last_at = greatest(activity.last_at, excluded.last_at)`, dayAgo)
	return wrap(err, "add up what happened by hour")
}

// Count counts changes of what lists show: if the number differs from an earlier one, they look different. The
// database counts, in the transactions that change something (migration 14), so that no clock, order of commits or
// kind of change is missed.
func (s Changes) Count(ctx context.Context) (n int64, err error) {
	err = s.pool.QueryRow(ctx, `SELECT coalesce(sum(n), 0)::bigint FROM changes`).Scan(&n)
	return n, wrap(err, "see whether anything has changed")
}

// ListVersion is a point in the history of what lists show.
type ListVersion struct {
	Known          bool      // false: of a reader who has not looked yet
	Count          int64     // of changes
	Keys, Listings time.Time // when the newest key or listing changed; zero for none
	Events         int64     // number of the newest event
	Notes          int64     // number of the newest note on a stay
}

// Since returns the present version, whether anything that lists show has changed since an earlier one, and the
// sources that may be affected: those with changes since, or shortly before, because transactions don't commit in the
// order of their clocks. Nothing has changed since the zero version.
func (s Changes) Since(ctx context.Context, since ListVersion) (
	now ListVersion, changed bool, sources []string, err error,
) {
	now = since
	if now.Count, err = s.Count(ctx); err != nil {
		return since, false, nil, err
	}
	if since.Known && now.Count == since.Count {
		return now, false, nil, nil
	}
	err = s.pool.QueryRow(ctx, `
		SELECT coalesce((SELECT changed_at FROM mobile_keys ORDER BY (changed_at AT TIME ZONE 'UTC') DESC LIMIT 1), $1),
			coalesce((SELECT updated_at FROM listings WHERE known ORDER BY updated_at DESC LIMIT 1), $2),
			coalesce((SELECT seq FROM event_results ORDER BY seq DESC LIMIT 1), $3),
			coalesce((SELECT note_id FROM stay_notes ORDER BY note_id DESC LIMIT 1), $4)`,
		since.Keys, since.Listings, since.Events, since.Notes).Scan(&now.Keys, &now.Listings, &now.Events, &now.Notes)
	if err != nil {
		return since, false, nil, wrap(err, "see what has changed")
	}
	if now.Known = true; !since.Known {
		return now, false, nil, nil
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT source FROM mobile_keys WHERE (changed_at AT TIME ZONE 'UTC') > ($1::timestamptz AT TIME ZONE 'UTC') -
			interval '5 seconds'
		UNION SELECT source FROM listings WHERE known AND updated_at > $2::timestamptz - interval '5 seconds'
		UNION SELECT source FROM event_results WHERE seq > $3
		UNION SELECT source FROM event_queue WHERE seq > $3
		UNION SELECT source FROM stay_notes WHERE note_id > $4`, since.Keys, since.Listings, since.Events, since.Notes)
	sources, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return now, true, sources, wrap(err, "see what has changed")
}
