package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/staykey/staykey/internal/localpg"
)

// devState is the directory in which --dev keeps its Postgres and its simulated Seam. The two belong together: the
// database records what is in the simulator's workspace. So they are both as they were, or both new.
type devState struct{ dir string }

func (d devState) postgres() string  { return filepath.Join(d.dir, "postgres") }
func (d devState) simulator() string { return filepath.Join(d.dir, "simulator.json") }

// simulated marks a database that has only ever seen a simulated Seam: it may be made again when the simulator's
// state has gone.
func (d devState) simulated() string { return filepath.Join(d.dir, "simulated") }

func (d devState) markSimulated() error {
	if err := os.WriteFile(d.simulated(), nil, 0o600); err != nil {
		return fmt.Errorf("STAYKEY_DEV_DIR: %w", err)
	}
	return nil
}

// lock takes the directory for this process. Two that shared it would overwrite each other's simulated Seam. It
// ends with the process.
func (d devState) lock() (*os.File, error) {
	err := os.MkdirAll(d.dir, 0o755) // #nosec G301 -- an unprivileged Postgres must get through
	if err != nil {
		return nil, fmt.Errorf("STAYKEY_DEV_DIR: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(d.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("STAYKEY_DEV_DIR: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // #nosec G115 -- a file descriptor
		_ = file.Close()
		return nil, fmt.Errorf("STAYKEY_DEV_DIR: another staykey is running from %s: stop it, or choose another directory", d.dir)
	}
	return file, nil
}

// start brings up the Postgres, after what does not belong together any more has been removed.
func (d devState) start(ctx context.Context, simulate bool, log *slog.Logger) (*localpg.Server, error) {
	switch {
	case !simulate: // from now on it holds what is at the real Seam
		if err := removeFile(d.simulated()); err != nil {
			return nil, err
		}
	case exists(d.simulated()) && !exists(d.simulator()):
		log.Info("simulated Seam's state is missing: starting with an empty database", "dir", d.dir)
		if err := localpg.Clean(d.postgres()); err != nil {
			return nil, err
		}
	}
	server, err := localpg.Start(ctx, localpg.Options{
		Dir: d.postgres(), Log: func(s string) { log.Info(s) },
		Await: time.Minute, // the lock is ours: a process that left a server running was killed
	})
	if err != nil {
		return nil, err
	}
	if simulate && server.Fresh() { // what is in the simulator belongs to a database that has gone
		if err := removeFile(d.simulator()); err != nil {
			return nil, errors.Join(err, server.Stop())
		}
	}
	return server, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("STAYKEY_DEV_DIR: %w", err)
	}
	return nil
}

// CleanDevState removes what serve --dev keeps in dir: everything, or nothing while it is in use.
func CleanDevState(dir string) error {
	state := devState{dir}
	if exists(dir) {
		lock, err := state.lock()
		if err != nil {
			return err
		}
		defer func() { _ = lock.Close() }()
	}
	if err := localpg.Clean(state.postgres()); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("STAYKEY_DEV_DIR: %w", err)
	}
	return nil
}
