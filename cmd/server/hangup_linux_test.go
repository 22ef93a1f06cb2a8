package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/staykey/staykey/internal/logs/logtest"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

// terminal makes a pseudo-terminal: what holds its first end is the window, what has its second end runs in it.
func terminal(t *testing.T) (window, inside *os.File) {
	t.Helper()
	window, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = window.Close() })
	control := func(request uintptr, value *int32) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, window.Fd(), request,
			uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	var unlock, number int32
	control(syscall.TIOCSPTLCK, &unlock)
	control(syscall.TIOCGPTN, &number)
	inside, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return window, inside
}

// inTerminal starts the program in a terminal that can be closed.
func inTerminal(t *testing.T, env []string, args ...string) (*process, *os.File) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if signal.Ignored(syscall.SIGHUP) { // by nohup, for instance; what is taken here is not ignored by what is started
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	window, inside := terminal(t)
	p := &process{t: t, done: make(chan struct{}), out: &logtest.Buffer{}, log: &logtest.Buffer{}}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "STAYKEY_LISTEN=127.0.0.1:0",
		"STAYKEY_OPS_LISTEN=127.0.0.1:0", "STAYKEY_STOP_DELAY=0s",
	}, env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inside, p.out, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = inside.Close()
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("log of the service:\n%s", p.log)
		}
	})
	return p, window
}

// logs waits for a line of the log.
func (p *process) logs(text string) {
	p.t.Helper()
	until.True(p.t, fmt.Sprintf("%q in the log", text), func() bool { return strings.Contains(p.log.String(), text) })
}

// Closing the terminal ends what runs in it, with its Postgres; SIGHUP in a terminal that is there reads the
// configuration again.
func TestSIGHUP(t *testing.T) {
	t.Parallel()

	t.Run("the terminal of a trial is closed", func(t *testing.T) {
		t.Parallel()
		dir := reachableDir(t)
		p, window := inTerminal(t, []string{"STAYKEY_DEV_DIR=" + dir}, "serve", "--dev")
		until.True(t, "the introduction", func() bool { return strings.Contains(p.out.String(), "is ready") })
		_ = window.Close()
		until.True(t, "its end", func() bool {
			select {
			case <-p.done:
				return true
			default:
				return false
			}
		})
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit %d", code)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "postgres", "data", "postmaster.pid")); len(left) > 0 {
			t.Error("its Postgres was not stopped")
		}
	})

	t.Run("a service in a terminal", func(t *testing.T) {
		t.Parallel()
		_, env := simulated(t, storetest.DSN(t))
		p, window := inTerminal(t, env, "serve")
		p.logs(`"msg":"ready"`)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		p.logs("configuration reloaded")
		_ = window.Close()
		p.logs("terminal closed: stopping")
		<-p.done
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit %d", code)
		}
	})

	t.Run("before the service is ready", func(t *testing.T) {
		t.Parallel()
		dsn := storetest.DSN(t)
		u := mustURL(t, dsn)
		postgres := lay(t, u.Host)
		postgres.set(broken)
		u.Host = postgres.addr()
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			t.Fatal(err)
		}
		_, env := simulated(t, u.String())
		p, _ := inTerminal(t, env, "serve")
		p.logs("waiting for Postgres")
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		postgres.set(whole)
		p.logs("configuration reloaded")
		if log := p.log.String(); strings.Index(log, `"msg":"ready"`) > strings.Index(log, "configuration reloaded") {
			t.Error("reloaded before it was ready")
		}
	})

	t.Run("SIGTERM before the service is ready", func(t *testing.T) {
		t.Parallel()
		u := mustURL(t, storetest.DSN(t))
		postgres := lay(t, u.Host)
		postgres.set(broken)
		u.Host = postgres.addr()
		_, env := simulated(t, u.String())
		p, _ := inTerminal(t, env, "serve")
		p.logs("waiting for Postgres")
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-p.done
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit %d: it was asked to end", code)
		}
		if n := strings.Count(p.log.String(), "waiting for Postgres"); n != 1 {
			t.Errorf("%d log records of one wait", n)
		}
	})
}

// reachableDir is a directory that an unprivileged Postgres can work in.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "staykey-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	return filepath.Join(dir, "dev")
}
