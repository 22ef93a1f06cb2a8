// Package localpg brings a Postgres to a machine that has none running, for make run and for tests. The service in
// production never uses it: package store speaks to the Postgres that DATABASE_URL names.
//
//	server, err := localpg.Start(ctx, localpg.Options{Dir: ".staykey/postgres"})
//	defer server.Stop()
//	store.Open(ctx, server.DSN())
//
// # Where the binaries come from
//
// [FindBinaries] tries, in this order, what is installed, what it can download (from Maven Central, kept in the user's
// cache directory) and, as root on Debian and Ubuntu, the distribution's package. Any version from [MinVersion] on will
// do.
//
// # What it promises
//
//   - The server listens on loopback only, with a password of its own.
//   - It ends with the process that started it, however that ends (process_linux.go).
//   - A directory holds one whole cluster or none: an interrupted start leaves nothing that a later one trips over
//     (cluster.go). With no directory the cluster is temporary, and Stop deletes it.
//   - It works as root, for whom Postgres refuses to run: it finds or makes an account for it (account.go), or runs it
//     without one (nameless.go).
//
// Package pgtest finds a Postgres for tests by the same means, after TEST_DATABASE_URL and Docker. Read localpg.go
// first, then cluster.go.
package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// MinVersion is the oldest major version that staykey works with.
const MinVersion = 15

// Options of a server.
type Options struct {
	Dir       string   // keeps the data across starts; "" is a temporary one that Stop removes
	CacheDir  string   // for downloaded binaries, default the user's cache directory
	Throwaway bool     // data needn't survive a crash of the machine: much faster
	Settings  []string // name=value, in addition to ours
	// how long to wait for another server on Dir to end, for a caller that knows that no other process uses it: the
	// server of one that was killed takes a moment; default not at all
	Await      time.Duration
	Repository string               // where binaries are downloaded from, default Maven Central
	Log        func(message string) // progress that takes more than a moment
}

// Server is a running Postgres.
type Server struct {
	dsn     string
	dir     string
	remove  bool
	fresh   bool
	process *exec.Cmd
	exited  chan struct{}
}

// DSN is the URL of the server's database "staykey", as a superuser.
func (s *Server) DSN() string { return s.dsn }

// Dir is where the data is kept.
func (s *Server) Dir() string { return s.dir }

// Fresh reports whether this start made the cluster: there is nothing in it of an earlier one.
func (s *Server) Fresh() bool { return s.fresh }

// Start brings up a server, waiting until it takes connections.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = func(string) {}
	}
	bin, err := FindBinaries(ctx, o)
	if err != nil {
		return nil, err
	}
	return startWith(ctx, o, bin)
}

func startWith(ctx context.Context, o Options, bin string) (*Server, error) {
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}

	s := &Server{dir: o.Dir}
	if s.dir == "" {
		if s.dir, err = temporaryDir(o.Throwaway); err != nil {
			return nil, err
		}
		s.remove = true
	}

	if s.dir, err = prepareDir(s.dir, owner); err != nil {
		return nil, err
	}
	c := cluster{bin: bin, dir: s.dir, owner: owner, durable: !o.Throwaway}
	data := c.data()

	password, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	s.fresh = c.fresh
	if err := awaitEnd(ctx, o, data); err != nil {
		return nil, err
	}

	var last error
	for range portTries {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		if last = s.launch(ctx, o, c, access{port, password}); last == nil {
			return s, nil
		}
		if errors.Is(last, errInUse) || ctx.Err() != nil {
			break
		}
	}

	if s.remove {
		_ = os.RemoveAll(s.dir)
	}
	return nil, last
}

var errInUse = errors.New("another process is using this database")

// awaitEnd waits for another server on the same data to end, as long as the options allow. If that is too short, the
// launch says so.
func awaitEnd(ctx context.Context, o Options, data string) error {
	if o.Await == 0 || runningPID(data) == 0 {
		return nil
	}
	o.Log("waiting for an earlier Postgres to stop")
	for deadline := time.Now().Add(o.Await); runningPID(data) != 0 && time.Now().Before(deadline); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// access is where a server listens, and the password of its only user.
type access struct {
	port     int
	password string
}

// launch starts the server and waits for it.
func (s *Server) launch(ctx context.Context, o Options, c cluster, at access) error {
	args := []string{
		"-D", c.data(), "-p", strconv.Itoa(at.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "max_connections=300", "-c", "log_min_messages=warning",
	}
	if o.Throwaway {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c",
			"max_wal_size=1GB")
	}

	for _, setting := range o.Settings {
		args = append(args, "-c", setting)
	}

	logFile, from, err := openLog(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()

	s.process = exec.Command(filepath.Join(c.bin, "postgres"), args...) // #nosec G204 -- a binary that we found
	s.process.Dir, s.process.Stdout, s.process.Stderr = s.dir, logFile, logFile
	c.owner.apply(s.process)
	if err := startBound(s.process); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.exited = make(chan struct{})
	go func() { _ = s.process.Wait(); close(s.exited) }()

	base := url.URL{
		Scheme: "postgres", User: url.UserPassword("staykey", at.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(at.port)), RawQuery: "sslmode=disable",
	}
	admin := base
	admin.Path = "/postgres"
	base.Path = "/staykey"
	s.dsn = base.String()

	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := createDatabase(ctx, admin.String())
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return s.explainExit(from)
		case <-ctx.Done():
			_ = s.Stop()
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			_ = s.Stop()
			return fmt.Errorf("postgres does not take connections: %w; its log is %s", err, filepath.Join(s.dir, "log"))
		}
	}
}

// openLog opens the server's log for appending, because a server that still runs may be writing it. One that has become
// large begins again.
func openLog(path string) (file *os.File, from int64, err error) {
	file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // #nosec G304 -- our own file
	if err != nil {
		return nil, 0, fmt.Errorf("postgres log: %w", err)
	}
	info, err := file.Stat()
	if err == nil && info.Size() > largestLog && runningPID(filepath.Join(filepath.Dir(path), "data")) == 0 {
		err = file.Truncate(0)
		return file, 0, err
	}
	return file, info.Size(), err
}

// largestLog is how large the log becomes before a start begins it again.
const largestLog = 1 << 20

// explainExit says why the server ended at once, from what this start has added to its log.
func (s *Server) explainExit(from int64) error {
	content, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	content = content[min(from, int64(len(content))):]
	if bytes.Contains(content, []byte("postmaster.pid")) {
		return fmt.Errorf("%w (process %d, in %s): is another staykey running from this directory?", errInUse,
			runningPID(filepath.Join(s.dir, "data")), s.dir)
	}
	return fmt.Errorf("postgres ended at once: %s", bytes.TrimSpace(content))
}

func createDatabase(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database
		WHERE datname = 'staykey')`).Scan(&exists); err != nil || exists {
		return err
	}
	_, err = conn.Exec(ctx, `CREATE DATABASE staykey`)
	return err
}

// Stop ends the server, closing its connections, and removes temporary data.
func (s *Server) Stop() error {
	select {
	case <-s.exited:
	default:
		_ = s.process.Process.Signal(syscall.SIGINT) // fast shutdown
		select {
		case <-s.exited:
		case <-time.After(10 * time.Second):
			_ = s.process.Process.Signal(syscall.SIGQUIT) // immediate
			<-s.exited
		}
	}
	if s.remove {
		return os.RemoveAll(s.dir)
	}
	return nil
}

// Crash ends the server as a power cut would, for rigs that see what survives: nothing is written that was not
// written already. [Start] with the same directory brings it back.
func (s *Server) Crash() {
	_ = s.process.Process.Signal(syscall.SIGQUIT) // immediate shutdown
	<-s.exited
}

// portTries is how often a port is looked for: another process may take it between finding and using it.
const portTries = 5

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
