package app

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// SIGHUP means two things. An operator sends it to have the configuration read again; a terminal that is closed
// sends it to the programs that run in it, which nobody could see or stop otherwise. Which of them it is shows in
// whether the terminal is still there.

// Hangups takes SIGHUP from the beginning on, so that one that comes while the service starts is remembered.
type Hangups struct {
	signals  chan os.Signal
	terminal bool // there was one at the start, and SIGHUP was not ignored (nohup)
}

// TakeHangups is the first thing that main does.
func TakeHangups() *Hangups {
	h := &Hangups{signals: make(chan os.Signal, 1), terminal: hasTerminal() && !signal.Ignored(syscall.SIGHUP)}
	signal.Notify(h.signals, syscall.SIGHUP)
	return h
}

// hasTerminal reports whether the process has a controlling terminal.
func hasTerminal() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	_ = tty.Close()
	return true
}

// Release is for commands that have nothing to read again: SIGHUP ends them, as it does other programs.
func (h *Hangups) Release() {
	if h == nil {
		return
	}
	signal.Reset(syscall.SIGHUP)
	select {
	case <-h.signals: // it came before this
		os.Exit(128 + int(syscall.SIGHUP))
	default:
	}
}

// split calls end when SIGHUP means that the service should end, and returns a channel that holds a value while it
// should read its configuration again. Several that come while one is not taken yet are one. canReload: there is
// something to be read again.
func (h *Hangups) split(ctx context.Context, canReload bool, end func()) <-chan struct{} {
	reload := make(chan struct{}, 1)
	if h == nil {
		return reload
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-h.signals:
			}
			if !canReload || (h.terminal && !hasTerminal()) {
				end()
				return
			}
			select {
			case reload <- struct{}{}:
			default:
			}
			if h.terminal && losesTerminal(ctx) {
				end()
				return
			}
		}
	}()
	return reload
}

// losesTerminal looks a few times more whether the terminal has gone: Linux sends SIGHUP before it takes the
// terminal away.
func losesTerminal(ctx context.Context) bool {
	looks := time.NewTicker(50 * time.Millisecond)
	defer looks.Stop()
	for range 40 {
		select {
		case <-ctx.Done():
			return false
		case <-looks.C:
		}
		if !hasTerminal() {
			return true
		}
	}
	return false
}
