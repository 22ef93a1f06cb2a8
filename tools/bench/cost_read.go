package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// cost is what a phase took in total, of so many units.
type cost struct {
	name                        string
	units                       float64
	rows, updates, hot, deletes float64 // of tables; hot: updates that write no index entry
	entries                     float64 // of indexes
	walBytes, walImages         float64 // images are pages written whole, once after each checkpoint
	commits, statements, trips  float64 // commits: with changes
	plan, server, postgres      time.Duration
	relations, statementsBy     []string // which relations and statements take most
}

func (c cost) per(total float64) string { return strconv.FormatFloat(total/c.units, 'f', 2, 64) }

func (c cost) micros(d time.Duration) string {
	return fmt.Sprintf("%.0f µs", float64(d.Microseconds())/c.units)
}

func (c cost) String() string {
	return fmt.Sprintf("rows %s, updates %s (HOT %s), deletes %s, index entries %s, WAL %s B (and images %s), commits %s, "+
		"statements %s, round trips %s, server %s, Postgres %s (planning %s)", c.per(c.rows), c.per(c.updates),
		c.per(c.hot), c.per(c.deletes), c.per(c.entries), c.per(c.walBytes), c.per(c.walImages), c.per(c.commits),
		c.per(c.statements), c.per(c.trips), c.micros(c.server), c.micros(c.postgres), c.micros(c.plan))
}

// Records of the WAL that write index entries. A split writes one, too.
const entryRecords = `'Btree/INSERT_LEAF', 'Btree/INSERT_POST', 'Btree/SPLIT_L', 'Btree/SPLIT_R', 'Gist/PAGE_UPDATE',
	'Gin/INSERT', 'Gin/INSERT_LISTPAGE', 'Gin/UPDATE_META_PAGE'`

// read reads what Postgres has counted since a place of the WAL.
func (c *cost) read(ctx context.Context, db *pgx.Conn, from string) error {
	if err := db.QueryRow(ctx, `
		SELECT coalesce(sum(count) FILTER (WHERE r IN ('Heap/INSERT', 'Heap/INSERT+INIT')), 0),
			coalesce(sum(count) FILTER (WHERE r IN ('Heap/UPDATE', 'Heap/UPDATE+INIT', 'Heap/HOT_UPDATE')), 0),
			coalesce(sum(count) FILTER (WHERE r = 'Heap/HOT_UPDATE'), 0),
			coalesce(sum(count) FILTER (WHERE r = 'Heap/DELETE'), 0),
			coalesce(sum(count) FILTER (WHERE r IN (`+entryRecords+`)), 0),
			coalesce(sum(count) FILTER (WHERE r = 'Transaction/COMMIT'), 0),
			coalesce(sum(record_size), 0), coalesce(sum(fpi_size), 0)
		FROM (SELECT "resource_manager/record_type" AS r, count, record_size, fpi_size
			FROM pg_get_wal_stats($1::pg_lsn, pg_current_wal_flush_lsn(), true)) s`, from).Scan(&c.rows, &c.updates,
		&c.hot, &c.deletes, &c.entries, &c.commits, &c.walBytes, &c.walImages); err != nil {
		return fmt.Errorf("read the WAL: %w", err)
	}
	if err := db.QueryRow(ctx, `SELECT sum(calls), (sum(total_plan_time) * 1000000)::bigint FROM pg_stat_statements
		WHERE toplevel
			AND query !~* '^(begin|commit|set local|show)|pg_stat|pg_current_wal|pg_get_wal|set_config\(name'`).
		Scan(&c.statements, &c.plan); err != nil {
		return err
	}
	rows, _ := db.Query(ctx, `
		SELECT format('%s: %s records, %s bytes', coalesce(k.relname, r.rel), round(count(*) / $2::numeric, 2),
			round(sum(r.record_length - r.fpi_length) / $2::numeric))
		FROM (SELECT record_length, fpi_length, (regexp_match(block_ref, 'rel \d+/\d+/(\d+)'))[1] AS rel
			FROM pg_get_wal_records_info($1::pg_lsn, pg_current_wal_flush_lsn()) WHERE block_ref <> '') r
		LEFT JOIN pg_class k ON k.relfilenode::text = r.rel
		GROUP BY k.relname, r.rel HAVING count(*) > $2 / 20 ORDER BY sum(r.record_length - r.fpi_length) DESC LIMIT 40`,
		from, c.units)
	var err error
	if c.relations, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return fmt.Errorf("read the WAL: %w", err)
	}
	rows, _ = db.Query(ctx, `
		SELECT format('%s calls, %s plans, %s µs planning, %s µs: %s', round(calls / $1::numeric, 2), plans,
			round((total_plan_time * 1000 / $1)::numeric, 1), round((total_exec_time * 1000 / $1)::numeric, 1),
			left(regexp_replace(query, '\s+', ' ', 'g'), 150))
		FROM pg_stat_statements WHERE toplevel AND query !~ 'pg_stat|pg_get_wal|pg_current_wal' AND calls > $1 / 1000
			ORDER BY total_exec_time + total_plan_time DESC LIMIT 25`, c.units)
	c.statementsBy, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}

// postgresTime is the processor time of a Postgres with all its processes, of those that have ended too.
func postgresTime(ctx context.Context, db *pgx.Conn) (time.Duration, error) {
	var dir string
	if err := db.QueryRow(ctx, `SHOW data_directory`).Scan(&dir); err != nil {
		return 0, err
	}
	content, err := os.ReadFile(filepath.Join(dir, "postmaster.pid")) // #nosec G304 -- our own server's
	if err != nil {
		return 0, err
	}
	pid, _, _ := strings.Cut(string(content), "\n")
	total := ticks(pid, 13, 14, 15, 16)
	children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children") // #nosec G304 -- of a pid
	for child := range strings.FieldsSeq(string(children)) {
		total += ticks(child, 13, 14)
	}
	return total, nil
}

// processorTime is that of Postgres, and of servers.
func processorTime(ctx context.Context, db *pgx.Conn, servers ...*program) (time.Duration, error) {
	total, err := postgresTime(ctx, db)
	for _, s := range servers {
		total += s.processorTime()
	}
	return total, err
}

// processorTime is that of a program that runs.
func (p *program) processorTime() time.Duration {
	return ticks(strconv.Itoa(p.cmd.Process.Pid), 13, 14)
}

// ticks adds fields of a process's /proc/<pid>/stat, counted from 0, which are hundredths of a second on Linux.
func ticks(pid string, fields ...int) (sum time.Duration) {
	content, err := os.ReadFile("/proc/" + pid + "/stat") // #nosec G304 -- of a pid
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(content), ") ") // the name may have spaces
	values := strings.Fields(after)
	for _, f := range fields {
		n, _ := strconv.Atoi(values[f-2])
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}

// wire passes connections on to a Postgres, and counts round trips: messages after which a client waits for answers.
type wire struct {
	dsn      string
	listener net.Listener
	trips    atomic.Int64
}

func newWire(dsn string) (*wire, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	w := &wire{}
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	server := u.Host
	u.Host = w.listener.Addr().String()
	w.dsn = u.String()
	go func() {
		for {
			client, err := w.listener.Accept()
			if err != nil {
				return
			}
			go w.pass(client, server)
		}
	}()
	return w, nil
}

func (w *wire) close() { _ = w.listener.Close() }

func (w *wire) pass(client net.Conn, address string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() { _, _ = io.Copy(client, server); _ = client.Close() }()

	read := bufio.NewReaderSize(io.TeeReader(client, server), 64<<10)
	header := make([]byte, 5)
	for first := true; ; first = false {
		message := header
		if first {
			message = header[1:] // the startup message has no type
		}
		if _, err := io.ReadFull(read, message); err != nil {
			return
		}
		if kind := header[0]; !first && (kind == 'S' || kind == 'Q') {
			w.trips.Add(1)
		}
		if _, err := read.Discard(int(binary.BigEndian.Uint32(header[1:])) - 4); err != nil {
			return
		}
	}
}
