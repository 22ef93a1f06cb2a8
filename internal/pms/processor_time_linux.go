package pms

import (
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is how much processor time the calling thread has used. The caller stays on its thread between two
// readings (see [runtime.LockOSThread]).
func processorTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return time.Since(started) // no kernel that runs Go refuses this clock
	}
	return time.Duration(t.Nano())
}
