package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// kept is a database that tests use one after another.
type kept struct {
	name   string
	keeper *pgx.Conn // looks at it and puts it back
	used   int       // by so many tests
	before state     // when it was new

	mu   sync.Mutex
	idle []*session
}

const (
	// mostUses is how many tests use a database before it is dropped: deleted rows leave dead ones in its indexes.
	mostUses = 50
	// mostPages is how large a table of a database that is kept may be: the next test would read pages without rows.
	mostPages = 128
	// mostIdle is how many sessions a database keeps.
	mostIdle = 6
)

// unused are the databases that no test uses now. enabled says that the process drops them at its end, see [Main].
var unused struct {
	sync.Mutex
	enabled bool
	kept    []*kept
}

// leases are those of tests that run now, by the names that the tests know.
var leases sync.Map // of *lease

// lease is the use of a database by one test. The name that the test knows doesn't exist at the server: only
// connections through dial lead to the database, and none does after the test.
type lease struct {
	name   string
	kept   *kept
	dsn    string // of the server
	server net.Addr

	mu      sync.Mutex
	clients map[*client]bool
	over    bool
	direct  bool // the test was given the real name

	returning sync.WaitGroup // sessions that are being put back, also after the store was closed: it waits 2 s
}

func leaseOf(name string) *lease {
	if l, is := leases.Load(name); is {
		return l.(*lease)
	}
	return nil
}

// keptDSN returns the DSN of a database that only [Open] can reach: one that an earlier test of this process has used,
// if there is one. Where the tests' role is no superuser, or the package's tests don't run in [Main], it is [DSN].
func keptDSN(t testing.TB) string {
	t.Helper()
	dsn := Postgres(t)
	s, _ := server()
	unused.Lock()
	enabled := unused.enabled && s.superuser
	unused.Unlock()
	if !enabled {
		return DSN(t)
	}
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}

	network, address := pgconn.NetworkAddress(config.Host, config.Port)
	l := &lease{
		name: "test_" + uuid.NewString()[:13], dsn: dsn, server: serverAddress{network, address},
		clients: map[*client]bool{},
	}
	if l.kept, err = take(context.Background(), s); err != nil {
		t.Fatalf("make a database for this test: %v", err)
	}
	leases.Store(l.name, l)
	t.Cleanup(func() {
		if err := l.end(s); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})

	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path, u.User = "/"+l.name, url.User(config.User)
	return with(u.String(), "sslmode", "disable")
}

// serverAddress is the address of the server as a [net.Addr].
type serverAddress struct{ network, address string }

func (a serverAddress) Network() string { return a.network }
func (a serverAddress) String() string  { return a.address }

// take returns a database that no test uses, a new one if there is none.
func take(ctx context.Context, s shared) (*kept, error) {
	unused.Lock()
	if n := len(unused.kept); n > 0 {
		k := unused.kept[n-1]
		unused.kept = unused.kept[:n-1]
		unused.Unlock()
		return k, nil
	}
	unused.Unlock()

	k := &kept{name: "kept_" + uuid.NewString()[:13]}
	if _, err := s.admin.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{k.name}.Sanitize()+clone(s.template)); err != nil {
		return nil, err
	}
	dsn := with(databaseDSN(s.dsn, k.name), "session_replication_role", "replica") // no triggers
	var err error
	if k.keeper, err = pgx.Connect(ctx, dsn); err != nil {
		return nil, errors.Join(err, k.drop(ctx, s))
	}
	if k.before, err = k.look(ctx); err != nil {
		return nil, errors.Join(err, k.drop(ctx, s))
	}
	return k, nil
}

// drop removes the database, with everybody who is connected to it.
func (k *kept) drop(ctx context.Context, s shared) error {
	k.closeSessions(ctx)
	_, err := s.admin.Exec(ctx, `DROP DATABASE `+pgx.Identifier{k.name}.Sanitize()+` WITH (FORCE)`)
	return err
}

func (k *kept) closeSessions(ctx context.Context) {
	k.mu.Lock()
	idle := k.idle
	k.idle = nil
	k.mu.Unlock()
	for _, s := range idle {
		_ = s.conn.Close()
	}
	if k.keeper != nil {
		_ = k.keeper.Close(ctx)
	}
}

// dial is how pools of the test connect.
func (l *lease) dial(context.Context, string, string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return nil, errEnded
	}
	c := &client{lease: l, begun: make(chan struct{})}
	l.clients[c] = true
	return c, nil
}

// session returns a session of the database that began with these parameters, for one client.
func (l *lease) session(parameters map[string]string) (*session, error) {
	startup := startupOf(parameters)
	for {
		s := l.kept.pop(startup)
		if s == nil {
			break
		}
		if s.isFresh() {
			return s, nil
		}
		_ = s.conn.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), askPatience)
	defer cancel()
	return beginSession(ctx, l.dsn, l.kept.name, parameters)
}

func (k *kept) pop(startup string) *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := len(k.idle) - 1; i >= 0; i-- {
		if s := k.idle[i]; s.startup == startup {
			k.idle = slices.Delete(k.idle, i, i+1)
			return s
		}
	}
	return nil
}

// takeBack takes the session of a client that ends.
func (l *lease) takeBack(c *client, s *session, status byte) {
	l.mu.Lock()
	delete(l.clients, c)
	keep := !l.over && !l.direct
	if keep {
		l.returning.Add(1) // under the lock: the end of the test waits for those before it
	}
	l.mu.Unlock()
	if !keep {
		_ = s.conn.Close()
		return
	}
	defer l.returning.Done()
	if s.reset(status) != nil {
		_ = s.conn.Close()
		return
	}
	l.kept.mu.Lock()
	defer l.kept.mu.Unlock()
	if len(l.kept.idle) >= mostIdle {
		_ = s.conn.Close()
		return
	}
	l.kept.idle = append(l.kept.idle, s)
}

// gone is called when a client has closed its connection.
func (l *lease) gone(c *client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.clients, c)
}

// cancel sends Postgres a request to cancel what the client with this secret does, and returns the connection.
func (l *lease) cancel(secret []byte) (net.Conn, error) {
	l.mu.Lock()
	clients := slices.Collect(maps.Keys(l.clients))
	l.mu.Unlock()
	for _, c := range clients {
		s := c.spoil(secret)
		if s == nil {
			continue
		}
		conn, err := net.Dial(l.server.Network(), l.server.String())
		if err != nil {
			return nil, err
		}
		request := binary.BigEndian.AppendUint32(nil, uint32(12+len(s.secret)))
		request = binary.BigEndian.AppendUint32(request, cancelRequest)
		request = binary.BigEndian.AppendUint32(request, s.pid)
		if _, err := conn.Write(append(request, s.secret...)); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
	return nil, errEnded
}

// expose gives the real name of the database away, which is then dropped after the test. This package has no
// connection to it any more.
func (l *lease) expose() string {
	l.mu.Lock()
	l.direct = true
	l.mu.Unlock()
	l.kept.closeSessions(context.Background())
	return l.kept.name
}

// end is the end of the test: nobody can connect through the lease any more, and the database is put back for another
// test, or dropped if that isn't certain to be possible.
func (l *lease) end(s shared) error {
	leases.Delete(l.name)
	l.mu.Lock()
	l.over = true
	leaked, direct := slices.Collect(maps.Keys(l.clients)), l.direct
	l.mu.Unlock()
	for _, c := range leaked {
		_ = c.Close()
	}
	l.returning.Wait()

	ctx := context.Background()
	l.kept.used++
	if direct || len(leaked) > 0 || l.kept.used >= mostUses || l.kept.restore(ctx) != nil {
		return l.kept.drop(ctx, s)
	}
	unused.Lock()
	defer unused.Unlock()
	unused.kept = append(unused.kept, l.kept)
	return nil
}

// Main runs the tests of a package, which keep their databases for each other, drops those at the end, and returns the
// code to exit with. Without it, each test has a new database.
func Main(m *testing.M) int {
	unused.Lock()
	unused.enabled = true
	unused.Unlock()
	code := m.Run()
	unused.Lock()
	defer unused.Unlock()
	for _, k := range unused.kept {
		s, _ := server()
		if err := k.drop(context.Background(), s); err != nil {
			fmt.Fprintln(os.Stderr, "drop a database of tests:", err)
			code = 1
		}
	}
	return code
}
