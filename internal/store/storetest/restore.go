package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

// state is what a look at a kept database finds. Whatever a test does to the schema or to settings of the database
// changes it: Postgres counts each row of a catalog that was written, also by transactions that were rolled back.
type state struct {
	catalogs int64    // rows of catalogs that were written
	seeds    int64    // rows that were written of tables in which migrations left some
	classes  string   // of pg_class, which VACUUM and ANALYZE change without counting
	database string   // the database's properties and settings
	written  []uint32 // tables that have pages, except those with seeds
	pages    int64    // of the largest of them
	advanced []uint32 // sequences that were used
}

// content is what all clones of the template have in common, by ids of pg_class.
type content struct {
	catalogs, seeded []uint32
	tables           []uint32 // without rows in the template
	deletes          map[uint32]string
	sequences        []uint32
	places           []*int64 // of the sequences; nil: not used yet
}

var template struct {
	sync.Mutex
	content *content
}

// contentOf reads the content of a clone that nobody has used.
func contentOf(ctx context.Context, conn *pgx.Conn) (*content, error) {
	template.Lock()
	defer template.Unlock()
	if template.content != nil {
		return template.content, nil
	}

	found := &content{deletes: map[uint32]string{}}
	err := conn.QueryRow(ctx, `
		SELECT array_agg(oid) FROM pg_class
		WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared`).Scan(&found.catalogs)
	if err != nil {
		return nil, err
	}
	err = conn.QueryRow(ctx, `
		SELECT array_agg(seqrelid ORDER BY seqrelid), array_agg(pg_sequence_last_value(seqrelid) ORDER BY seqrelid)
		FROM pg_sequence`).Scan(&found.sequences, &found.places)
	if err != nil {
		return nil, err
	}

	rows, err := conn.Query(ctx, `
		SELECT c.oid, format('%I.%I', n.nspname, c.relname), pg_relation_size(c.oid) > 0
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')`)
	if err != nil {
		return nil, err
	}
	var oid uint32
	var name string
	var seeded bool
	_, err = pgx.ForEachRow(rows, []any{&oid, &name, &seeded}, func() error {
		if seeded {
			found.seeded = append(found.seeded, oid)
			return nil
		}
		found.tables = append(found.tables, oid)
		found.deletes[oid] = `DELETE FROM ` + name
		return nil
	})
	if err != nil {
		return nil, err
	}
	template.content = found
	return found, nil
}

// look reads the state of the database.
func (k *kept) look(ctx context.Context) (s state, err error) {
	c, err := contentOf(ctx, k.keeper)
	if err != nil {
		return s, err
	}
	err = k.keeper.QueryRow(ctx, `
		WITH pages AS (SELECT o, pg_relation_size(o) / 8192 AS n FROM unnest(@tables::oid[]) AS o),
		written AS (SELECT o, pg_stat_get_tuples_inserted(o) + pg_stat_get_tuples_updated(o) +
			pg_stat_get_tuples_deleted(o) AS n FROM unnest(@catalogs::oid[] || @seeded::oid[]) AS o)
		SELECT coalesce((SELECT sum(n) FROM written WHERE o = ANY(@catalogs::oid[])), 0)::bigint,
			coalesce((SELECT sum(n) FROM written WHERE o = ANY(@seeded::oid[])), 0)::bigint,
			(SELECT concat_ws(' ', count(*), sum(relpages), sum(reltuples), sum(relallvisible),
				sum(relfilenode::bigint)) FROM pg_class),
			(SELECT concat_ws(' ', datconnlimit, datallowconn, dattablespace, datacl, datdba,
				(SELECT string_agg(s::text, ' ' ORDER BY s::text) FROM pg_db_role_setting s
					WHERE setdatabase = d.oid)) FROM pg_database d WHERE datname = current_database()),
			coalesce((SELECT array_agg(o) FROM pages WHERE n > 0), '{}'),
			coalesce((SELECT max(n) FROM pages), 0),
			coalesce((SELECT array_agg(o) FROM unnest(@sequences::oid[], @places::bigint[]) AS s(o, place)
				WHERE pg_sequence_last_value(o) IS DISTINCT FROM place), '{}')`,
		pgx.NamedArgs{
			"catalogs": c.catalogs, "seeded": c.seeded, "tables": c.tables, "sequences": c.sequences,
			"places": c.places,
		}).Scan(&s.catalogs, &s.seeds, &s.classes, &s.database, &s.written, &s.pages, &s.advanced)
	return s, err
}

// errChanged is why a database is dropped instead of put back.
var errChanged = errors.New("the test's database can't be put back")

// restore puts the database back to what the template contains. An error means that it has to be dropped.
func (k *kept) restore(ctx context.Context) error {
	if err := k.endOthers(ctx); err != nil {
		return err
	}

	now, err := k.look(ctx)
	if err != nil {
		return err
	}
	if now.catalogs != k.before.catalogs || now.seeds != k.before.seeds || now.classes != k.before.classes ||
		now.database != k.before.database || now.pages > mostPages {
		return errChanged
	}

	c, err := contentOf(ctx, k.keeper)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for _, oid := range now.written {
		batch.Queue(c.deletes[oid])
	}
	batch.Queue(`SELECT setval(o::regclass, coalesce(place, seqstart), place IS NOT NULL)
		FROM unnest($1::oid[], $2::bigint[]) AS s(o, place) JOIN pg_sequence ON seqrelid = o
		WHERE o = ANY($3)`, c.sequences, c.places, now.advanced)
	return k.keeper.SendBatch(ctx, batch).Close()
}

// endOthers ends the connections to the database that aren't ours, and waits until they are gone: what a client has
// cut off may still be busy.
func (k *kept) endOthers(ctx context.Context) error {
	ours := []uint32{}
	k.mu.Lock()
	for _, s := range k.idle {
		ours = append(ours, s.pid)
	}
	k.mu.Unlock()

	const others = `FROM pg_stat_get_activity(NULL) WHERE pid <> pg_backend_pid() AND pid <> ALL($1::bigint[])
		AND datid = (SELECT oid FROM pg_database WHERE datname = current_database())`
	if _, err := k.keeper.Exec(ctx, `SELECT pg_terminate_backend(pid, 120000) `+others, ours); err != nil {
		return err
	}
	var left int
	if err := k.keeper.QueryRow(ctx, `SELECT count(*) `+others, ours).Scan(&left); err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("%w: %d are connected to it", errChanged, left)
	}
	return nil
}
