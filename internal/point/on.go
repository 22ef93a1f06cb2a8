//go:build chaos

package point

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	deadly = Name(os.Getenv("STAYKEY_CHAOS_POINT"))
	left   atomic.Int64
)

func init() {
	n, err := strconv.ParseInt(os.Getenv("STAYKEY_CHAOS_AT"), 10, 64)
	if err != nil {
		n = 1
	}
	left.Store(n)
}

// Reach kills the process, or stops it, if this is the chosen point and its count is reached.
func Reach(name Name) {
	if name != deadly || left.Add(-1) != 0 {
		return
	}
	if os.Getenv("STAYKEY_CHAOS_ACTION") == "stop" {
		last := time.Now()
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		// The signal may take effect some time after the call. This goroutine continues once the process has been
		// stopped for a while, and continued.
		for {
			time.Sleep(time.Millisecond)
			now := time.Now()
			if now.Sub(last) > 2*time.Second {
				return
			}
			last = now
		}
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
