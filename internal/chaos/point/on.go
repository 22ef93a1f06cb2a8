//go:build chaos

package point

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
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

// Reach kills the process if this is the place and the time.
func Reach(name Name) {
	if name != deadly || left.Add(-1) != 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
