package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/localpg"
)

// TestFailover kills the primary under load and promotes its synchronous standby: nothing acknowledged is lost, and the
// service comes back on its own.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := startPostgres(t, t.TempDir())
	r := newCrashRig(t, primary.DSN(), 2)
	standby := replicate(t, primary)
	r.load(3, 5)
	r.busy(20)
	primary.Crash()
	r.pgKills++
	p := r.any()
	r.starved()
	readiness := func(status int, logged string) {
		r.until(fmt.Sprintf("readiness %d and %q in the log", status, logged), func() bool {
			resp, err := http.Get(p.url + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			return resp.StatusCode == status && strings.Contains(p.log.String(), `"msg":"`+logged)
		})
	}
	readiness(http.StatusServiceUnavailable, "not ready")
	execute(t, standby.DSN(), `SELECT pg_promote()`)
	u, err := url.Parse(standby.DSN())
	if err != nil {
		t.Fatal(err)
	}
	r.db.lead(u.Host)
	readiness(http.StatusOK, "ready again")
	r.busy(20)
	r.finish("Postgres failed over")
}

// TestFailoverFromAFrozenPrimary stops the primary's processes (SIGSTOP) and promotes its standby. The primary is first
// in DATABASE_URL and still takes connections, as far as the kernel can tell: the service goes to the second on its
// own, and nothing acknowledged is lost.
func TestFailoverFromAFrozenPrimary(t *testing.T) {
	t.Parallel()
	primary := startPostgres(t, t.TempDir())
	standby := replicate(t, primary)
	first, err := url.Parse(primary.DSN())
	if err != nil {
		t.Fatal(err)
	}
	second, err := url.Parse(standby.DSN())
	if err != nil {
		t.Fatal(err)
	}
	both := strings.Replace(primary.DSN(), first.Host, first.Host+","+second.Host, 1) +
		"&target_session_attrs=read-write"
	r := newCrashRig(t, primary.DSN(), 2, "DATABASE_URL="+both)
	r.load(3, 5)
	r.busy(20)
	freeze(t, primary, syscall.SIGSTOP)
	t.Cleanup(func() { freeze(t, primary, syscall.SIGCONT) }) // so that it can be stopped
	r.pgKills++
	frozen := time.Now()
	waitUntil(t, "readiness to notice", func() bool { return r.any().metric("staykey_ready") == "0" })
	execute(t, standby.DSN(), `SELECT pg_promote()`)
	promoted := time.Now()
	r.busy(20)
	t.Logf("events are acknowledged %s after the promotion, %s after the primary was frozen",
		time.Since(promoted).Round(100*time.Millisecond), time.Since(frozen).Round(100*time.Millisecond))
	r.finish("Postgres frozen and failed over")
}

// freeze sends a signal to a server and to all of its processes.
func freeze(t *testing.T, server *localpg.Server, s syscall.Signal) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(server.Dir(), "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	postmaster, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	signalFamily(postmaster, s)
}

// signalFamily sends a signal to a process and then to its children.
func signalFamily(parent int, s syscall.Signal) {
	_ = syscall.Kill(parent, s) // first: it makes no more of them
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			_ = syscall.Kill(pid, s)
		}
	}
}

// starved leaves the load without a database until a webhook has been refused, so that its sender repeats it.
func (r *crashRig) starved() {
	r.until("a webhook to be refused", func() bool {
		return !r.deliver(r.any().url, "msg_without_a_primary",
			[]byte(`{"type":"ping"}`), true)
	})
}

// replicate makes a synchronous standby of a server, from a backup that is taken while it works.
func replicate(t *testing.T, primary *localpg.Server) *localpg.Server {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, primary.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	do := func(statement string) {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	do(`ALTER SYSTEM SET wal_keep_size = '1GB'`)
	do(`SELECT pg_reload_conf()`)
	do(`SELECT pg_backup_start('standby', true)`)
	// where Postgres' own account can get to, unlike a test's directory
	dir, err := os.MkdirTemp("", "staykey-standby-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(filepath.Join(primary.Dir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", filepath.Join(primary.Dir(), "data"),
		filepath.Join(primary.Dir(), "password"), dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the data: %v %s", err, out)
	}
	var label string
	if err := conn.QueryRow(ctx, `SELECT labelfile FROM pg_backup_stop(false)`).Scan(&label); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := os.Remove(filepath.Join(data, "postmaster.pid")); err != nil {
		t.Fatal(err)
	}
	stat := owner.Sys().(*syscall.Stat_t)
	for name, content := range map[string]string{"backup_label": label, "standby.signal": ""} {
		file := filepath.Join(data, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(file, int(stat.Uid), int(stat.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(primary.DSN())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	standby, err := localpg.Start(ctx, localpg.Options{Dir: dir, Settings: []string{
		fmt.Sprintf("primary_conninfo=host=%s port=%s user=%s password=%s application_name=standby", u.Hostname(),
			u.Port(), u.User.Username(), password),
	}})
	if err != nil {
		t.Fatalf("start the standby: %v", err)
	}
	t.Cleanup(func() {
		_ = standby.Stop()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("log of the standby:\n%s", log)
		}
	})
	do(`ALTER SYSTEM SET synchronous_standby_names = 'standby'`)
	do(`SELECT pg_reload_conf()`)
	waitUntil(t, "the standby to be synchronous", func() bool {
		var n int
		return conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'`).Scan(
			&n) == nil && n == 1
	})
	return standby
}

func execute(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, statement := range statements {
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
