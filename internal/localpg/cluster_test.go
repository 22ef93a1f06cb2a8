package localpg

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/until"
)

// notice starts a server, leaves a table in it, and stops it again.
func notice(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(context.Background(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(context.Background(), `CREATE TABLE noticed ()`); err != nil {
		t.Errorf("the cluster is not a new one: %v", err)
	}
	_ = conn.Close(context.Background())
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	return s
}

// A cluster is whole or not there: what an interrupted initdb leaves is made again, in the present form and in that of
// older versions.
func TestHalfMadeClusters(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, torso string }{
		{"interrupted in data.new", "data.new"},
		{"interrupted in data, by an older version", "data"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(reachable(t), "pg")
			torso := filepath.Join(dir, tc.torso)
			//nolint:gosec // the unprivileged Postgres must get through
			if err := os.MkdirAll(torso, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string]string{
				filepath.Join(torso, "PG_VERSION"): "15\n",
				filepath.Join(dir, "password"):     "x\n",
			} {
				if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if s := notice(t, Options{Dir: dir}); !s.Fresh() {
				t.Error("the start does not say that the cluster is new")
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "data.new")); len(left) > 0 {
				t.Error("data.new is left")
			}
			s, err := Start(context.Background(), Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if s.Fresh() {
				t.Error("the second start made another cluster")
			}
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Deleting the directory starts again, also where the cluster is elsewhere because its account can't get to the
// directory.
func TestDeletedDirectoryStartsAgain(t *testing.T) {
	t.Parallel()
	private, err := os.MkdirTemp("", "staykey-private-") // 0700
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(private, "pg")
	t.Cleanup(func() {
		if err := errors.Join(Clean(dir), os.RemoveAll(private)); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(elsewhere(dir)); err == nil {
			t.Error("Clean leaves what is elsewhere")
		}
	})
	s := notice(t, Options{Dir: dir})
	if os.Geteuid() == 0 && s.Dir() != elsewhere(dir) {
		t.Fatalf("the cluster is in %s", s.Dir())
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if s := notice(t, Options{Dir: dir}); !s.Fresh() {
		t.Error("the cluster outlives its directory")
	}
}

// A second start in the same directory is refused, and does not touch the log of the first one's server; nor is it
// cleaned away.
func TestRunningServerIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "pg")
	s, err := Start(context.Background(), Options{Dir: dir, Settings: []string{"log_min_messages=debug1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop() }()
	log := func() string {
		content, err := os.ReadFile(filepath.Join(s.Dir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	before := log()
	if before == "" {
		t.Fatal("the log is empty")
	}
	if _, err := Start(context.Background(), Options{Dir: dir}); !errors.Is(err, errInUse) {
		t.Errorf("a second start: %v", err)
	}
	if !strings.HasPrefix(log(), before) {
		t.Error("the second start has truncated the log")
	}
	if err := Clean(dir); !errors.Is(err, errInUse) {
		t.Errorf("cleaned while it runs: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := Clean(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("not cleaned")
	}
}

// The server of a process that was killed takes a moment to end. A start that knows that nobody else uses the
// directory waits for it.
func TestStartAfterAKilledProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "pg")
	left, err := Start(context.Background(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	waits := make(chan struct{})
	stopped := make(chan error, 1)
	go func() { <-waits; stopped <- left.Stop() }()
	s, err := Start(context.Background(), Options{
		Dir: dir, Await: until.Patience,
		Log: func(message string) {
			if strings.Contains(message, "waiting") {
				once.Do(func() { close(waits) })
			}
		},
	})
	once.Do(func() { close(waits) })
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatalf("a start while the earlier server ends: %v", err)
	}
	if s.Fresh() {
		t.Error("the start made another cluster")
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// A user without a name (docker run --user 12345) gets a cluster, or an error that explains why not and what to do.
func TestUserWithoutAName(t *testing.T) {
	if dir := os.Getenv("STAYKEY_TEST_NAMELESS"); dir != "" {
		s, err := Start(context.Background(), Options{Dir: filepath.Join(dir, "pg")})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Parallel()
	dir := reachable(t)
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A file that this process writes can't be started while a child that another test is starting still has it open.
	mine := filepath.Join(dir, "test")
	if out, err := exec.Command("cp", executable, mine).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(mine, 0o755); err != nil { //nolint:gosec // another user runs it
		t.Fatal(err)
	}
	const nameless = 54321
	cmd := exec.Command(mine, "-test.run=^TestUserWithoutAName$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "STAYKEY_TEST_NAMELESS="+dir, "HOME="+dir, "TMPDIR="+dir)
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, nameless, nameless); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nameless, Gid: nameless}}
	}
	out, err := cmd.CombinedOutput()
	if told := strings.Contains(string(out), "has none. Tried:") &&
		strings.Contains(string(out), "or set DATABASE_URL"); err != nil && !told {
		t.Errorf("%v:\n%s", err, out)
	}
	if err != nil && os.Geteuid() == 0 && namespacesAllowed() {
		t.Errorf("user namespaces are allowed here, and initdb does not run in one:\n%s", out)
	}
}

// namespacesAllowed reports whether a user may make a user namespace.
func namespacesAllowed() bool {
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	for _, way := range namespaces() {
		way.change(cmd)
		return cmd.Run() == nil
	}
	return false
}
