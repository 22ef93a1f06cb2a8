package store

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unanswered is how long the kernel waits for a peer to acknowledge data before it closes a connection.
const unanswered = 15 * time.Second

// noticeSilence has the kernel end a connection whose peer doesn't acknowledge, instead of sending again for a
// quarter of an hour.
func noticeSilence(network, _ string, conn syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unanswered.Milliseconds())) // #nosec G115 -- a descriptor
	})
	if err != nil {
		return err
	}
	return failed
}
