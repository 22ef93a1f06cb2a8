// Package until has tests wait for something to become true, without a sleep and without a deadline that a busy
// machine can miss.
package until

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what takes milliseconds on an idle machine: only a hang misses it.
const Patience = 4 * time.Minute

// Pauses between two looks. They grow, so that a wait neither adds much to what it waits for nor keeps the machine
// busy looking.
const (
	shortestPause = time.Millisecond
	longestPause  = 100 * time.Millisecond
)

// True waits until reached returns true. It ends the test after [Patience]; what names the thing that didn't happen.
func True(t testing.TB, what string, reached func() bool) {
	t.Helper()
	Reached(t, reached, func() { t.Fatalf("waited %s for %s", Patience, what) })
}

// Reached is like True, for a test that can describe a failure better: instead of ending the test it calls late, once,
// and returns when that does.
func Reached(t testing.TB, reached func() bool, late func()) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	for pause := shortestPause; !reached(); pause = min(pause*2, longestPause) {
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-deadline.C:
			next.Stop()
			late()
			return
		}
	}
}
