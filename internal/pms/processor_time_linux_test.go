package pms

import (
	"runtime"
	"testing"
	"time"
)

// Waiting costs a program nothing: not for its turn on a busy machine, nor in a container that is throttled.
func TestProcessorTime(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, used := time.Now(), processorTime()
	time.Sleep(20 * time.Millisecond)
	if passed, used := time.Since(start), processorTime()-used; used >= passed {
		t.Errorf("%v of processor time while %v passed in a sleep", used, passed)
	}
	for used = processorTime(); processorTime() <= used; { // only a stopped clock misses this
	}
}
