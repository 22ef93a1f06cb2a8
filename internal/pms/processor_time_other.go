//go:build !linux

package pms

import "time"

// processorTime is the time that has passed: only Linux, where staykey is operated, tells a thread's processor time.
func processorTime() time.Duration { return time.Since(started) }
