package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Deadlines of everything that is asked of Postgres. A server that dies closes its connections; one that is cut off
// or frozen doesn't answer, and without a deadline its clients wait for as long as the kernel does, which is minutes.
// All but closeTimeout are stretched for a slow database, see [patience].
const (
	// ConnectTimeout is what each host of the DSN gets to take a connection, unless the DSN has a connect_timeout.
	ConnectTimeout = 3 * time.Second
	// StatementTimeout is the server's own deadline of a statement, unless the DSN has a statement_timeout.
	StatementTimeout = 15 * time.Second
	// LockTimeout is how long a statement waits for a lock, unless its transaction waits less or the DSN or the
	// role has a lock_timeout. What holds a lock for longer is a forgotten transaction: giving up frees the
	// connection, and what the transaction has locked itself, for others. It is shorter than what commits of
	// webhooks and of attempts get, so that their errors name the lock.
	LockTimeout = 4 * time.Second
	// answerMargin is how much longer than a statement any round trip gets: a server that is alive ends the
	// statement first, and one that doesn't has fallen silent.
	answerMargin = 5 * time.Second
	// promptTimeout is what claiming and renewing get, which other workers wait for.
	promptTimeout = 3 * time.Second
	// idleTimeout is the server's own deadline of a transaction between two statements, unless the DSN has an
	// idle_in_transaction_session_timeout.
	idleTimeout = 30 * time.Second
	// pingTimeout is what an idle connection gets to show that it is alive.
	pingTimeout = 3 * time.Second
	// closeTimeout is how long Close waits for connections. Missing it costs nothing.
	closeTimeout = 2 * time.Second
)

// poolConnections is the size of the pool unless the DSN has pool_max_conns. No use of a connection waits for a second
// one, so fewer connections make work wait, never stop.
const poolConnections = 20

// intakeConnections are one for the acceptor, one for readiness, and one to replace a connection that is being closed.
const intakeConnections = 3

// Open prepares connections to Postgres; the first use makes one. Every statement has a deadline of 15 s on the
// server, unless the DSN has a statement_timeout, and one of 5 s more here; each host of the DSN has 3 s to take a
// connection, unless the DSN has a connect_timeout. With a longer statement_timeout, all other waits are longer in
// proportion, see [Store.Within]. The pool has 20 connections, unless the DSN has pool_max_conns. The error never shows
// the DSN's password.
func Open(ctx context.Context, dsn string) (*Store, error) { return OpenWith(ctx, dsn, Options{}) }

// Options are what tests change about a store.
type Options struct {
	// Dial makes the connections; nil makes them as [Open] does.
	Dial pgconn.DialFunc
	// BriefLockWaits leaves waits for locks as short as they are with the default statement_timeout: for tests of what
	// happens when a lock isn't released in time.
	BriefLockWaits bool
}

// OpenWith is [Open] with options.
func OpenWith(ctx context.Context, dsn string, o Options) (*Store, error) {
	pool, err := newPool(ctx, dsn, o, func(c *pgxpool.Config) {
		if !setsPoolSize(dsn) {
			c.MaxConns = max(c.MinConns, poolConnections)
		}
	})
	if err != nil {
		return nil, err
	}
	intake, err := newPool(ctx, dsn, o, func(c *pgxpool.Config) {
		c.MaxConns, c.MinConns,
			c.MinIdleConns = intakeConnections, 0, 0
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	p := patienceOf(pool.Config().ConnConfig.RuntimeParams)
	return newStore(&db{pool: pool, intake: intake, patience: p, lockPatience: o.lockPatience(p)}), nil
}

// setsPoolSize reports whether a DSN has pool_max_conns. pgxpool has a default of its own, which looks the same.
func setsPoolSize(dsn string) bool {
	config, err := pgx.ParseConfig(dsn) // to which it is a parameter like any other
	return err == nil && config.RuntimeParams["pool_max_conns"] != ""
}

// ParseDSN reads a DSN as [Open] does: with its deadlines for connecting and what notices a connection that has
// fallen silent.
func ParseDSN(dsn string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = patienceOf(config.ConnConfig.RuntimeParams).of(ConnectTimeout)
	}
	config.ConnConfig.DialFunc = (&net.Dialer{
		Timeout:         config.ConnConfig.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         noticeSilence,
	}).DialContext
	return config, nil
}

func newPool(ctx context.Context, dsn string, o Options, size func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	config, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if o.Dial != nil {
		config.ConnConfig.DialFunc = o.Dial
	}
	size(config)
	params := config.ConnConfig.RuntimeParams
	p := patienceOf(params)
	for name, value := range map[string]string{
		"application_name":                    "staykey",
		"statement_timeout":                   StatementTimeout.String(),
		"idle_in_transaction_session_timeout": fmt.Sprint(p.of(idleTimeout).Milliseconds()),
		"timezone":                            "UTC",
	} {
		if params[name] == "" {
			params[name] = value
		}
	}

	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		return prepareSession(ctx, conn, o.lockPatience(p))
	}
	d := &deadlines{
		trip: statementTimeout(params["statement_timeout"]) + p.of(answerMargin),
		ping: p.of(pingTimeout),
	}
	config.ConnConfig.Tracer = d
	config.ShouldPing, config.PingTimeout = d.alive, d.ping
	config.PrepareConn = stillWritable
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	d.pool.Store(pool)
	return pool, nil
}

// sessionSettings are set in one round trip.
//
// What is acknowledged must outlive a crash, whatever the database's default says. Modes that promise more stay.
//
// Every statement of ours looks up keys or walks an index. A plan that was made and kept while a table was small
// must still be right when it is large: after a start on empty tables each insert read all of them. And none is
// long enough to be worth compiling.
//
// lock_timeout is no startup parameter like the others: a pgbouncer that doesn't know it would refuse the connection.
const sessionSettings = `
	SELECT set_config('synchronous_commit', 'on', false)
		WHERE current_setting('synchronous_commit') IN ('off', 'local');
	SELECT set_config('lock_timeout', '%d', false)
		WHERE current_setting('lock_timeout') = '0';
	SELECT set_config(name, 'off', false) FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin',
		'jit']) AS name`

func prepareSession(ctx context.Context, conn *pgx.Conn, locks patience) error {
	data := conn.PgConn().CustomData()
	data[connectedAt], data[lockPatience] = time.Now(), locks
	settings := fmt.Sprintf(sessionSettings, locks.of(LockTimeout).Milliseconds())
	_, err := conn.Exec(ctx, settings, pgx.QueryExecModeSimpleProtocol)
	return err
}

// Close closes all connections, waiting a moment for those that are borrowed. A server that has fallen silent
// doesn't keep it waiting.
func (s *Store) Close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		var both sync.WaitGroup
		both.Go(s.pool.Close)
		both.Go(s.intake.Close)
		both.Wait()
	}()
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	select {
	case <-closed:
	case <-timeout.C:
	}
}

// Pool gives the connections to what needs them as such (jobs, metrics).
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// ErrStandby is why a standby can't be used.
var ErrStandby = errors.New(
	"it is a read-only standby: point DATABASE_URL at the primary, or add target_session_attrs=read-write")

// Ping returns an error unless Postgres answers and is a primary; [ErrStandby] if it is a standby.
func (s *Store) Ping(ctx context.Context) error {
	var standby bool
	if err := s.pool.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&standby); err != nil {
		return fmt.Errorf("ping Postgres: %w", err)
	}
	if standby {
		return fmt.Errorf("ping Postgres: %w", ErrStandby)
	}
	return nil
}

// deadlines gives every round trip of a pool a deadline, and notices refusals. It is a tracer because pgx runs each
// query, batch and acquisition under the context that its tracer returns.
type deadlines struct {
	trip, ping time.Duration
	pool       atomic.Pointer[pgxpool.Pool]
}

type cancelKey struct{}

// beginTrip gives a round trip its deadline: that of any, or that of the transaction which conn is in, if it has one.
func (d *deadlines) beginTrip(ctx context.Context, conn *pgx.Conn) context.Context {
	until := time.Now().Add(d.trip)
	if conn != nil {
		if end, ok := conn.PgConn().CustomData()[endsBy].(time.Time); ok && end.Before(until) {
			until = end
		}
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	return context.WithValue(ctx, cancelKey{}, cancel)
}

func endTrip(ctx context.Context) {
	if cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

// A session that began while the database was read-only stays so, whatever the database is by then; and one to a
// primary that became a standby leads to the wrong server. So a connection that Postgres has reported as read-only, or
// on which a statement was refused for that reason, is replaced when it is used next. One that has only read would
// otherwise fail the first write after the end.

// Keys of a connection's custom data.
const (
	connectedAt   = "staykey.connected_at"
	foundReadOnly = "staykey.found_read_only"
	lockPatience  = "staykey.lock_patience" // the patience of its waits for locks
	endsBy        = "staykey.ends_by"       // when the transaction ends that the connection is in, at the latest
)

// replaceAfter is how old a connection must be to be replaced: while the database is read-only, new ones are no better.
const replaceAfter = time.Second

// stillWritable reports whether a connection of the pool may be used.
func stillWritable(_ context.Context, conn *pgx.Conn) (bool, error) {
	data := conn.PgConn().CustomData()
	_, found := data[foundReadOnly]
	// Postgres reports it when a session begins; a pooler in between may not pass that on
	if !found && conn.PgConn().ParameterStatus("default_transaction_read_only") != "on" {
		return true, nil
	}
	connected, known := data[connectedAt].(time.Time)
	return known && time.Since(connected) < replaceAfter, nil
}

// notice looks at the error of a statement.
func notice(conn *pgx.Conn, err error) {
	if pg := new(pgconn.PgError); errors.As(err, &pg) && pg.Code == readOnlyTransaction {
		conn.PgConn().CustomData()[foundReadOnly] = true
	}
}

// TraceQueryStart implements [pgx.QueryTracer].
func (d *deadlines) TraceQueryStart(ctx context.Context, conn *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return d.beginTrip(ctx, conn)
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (d *deadlines) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	notice(conn, data.Err)
	endTrip(ctx)
}

// TraceBatchStart implements [pgx.BatchTracer].
func (d *deadlines) TraceBatchStart(ctx context.Context, conn *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return d.beginTrip(ctx, conn)
}

// TraceBatchQuery implements [pgx.BatchTracer].
func (d *deadlines) TraceBatchQuery(_ context.Context, conn *pgx.Conn, data pgx.TraceBatchQueryData) {
	notice(conn, data.Err)
}

// TraceBatchEnd implements [pgx.BatchTracer].
func (d *deadlines) TraceBatchEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchEndData) {
	notice(conn, data.Err)
	endTrip(ctx)
}

// TraceAcquireStart implements [pgxpool.AcquireTracer].
func (d *deadlines) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool,
	_ pgxpool.TraceAcquireStartData,
) context.Context {
	return d.beginTrip(ctx, nil)
}

// TraceAcquireEnd implements [pgxpool.AcquireTracer].
func (d *deadlines) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	endTrip(ctx)
}

// alive pings a connection that was idle for a second. If it has fallen silent the others have too, most likely:
// all are replaced at once, so that their users don't find out one after another. True has the pool ask again,
// which fails at once on a closed connection.
func (d *deadlines) alive(ctx context.Context, params pgxpool.ShouldPingParams) bool {
	if params.IdleDuration < time.Second {
		return false
	}
	ping, cancel := context.WithTimeout(ctx, d.ping)
	defer cancel()
	if params.Conn.Ping(ping) == nil {
		return false
	}
	if pool := d.pool.Load(); pool != nil && ctx.Err() == nil && ping.Err() != nil {
		pool.Reset()
	}
	return true
}
