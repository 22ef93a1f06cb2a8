//go:build !linux

package pms

import "time"

// processorTime is the elapsed time: only Linux, on which staykey runs in production, reports the processor time of a
// thread.
func processorTime() time.Duration { return time.Since(started) }
