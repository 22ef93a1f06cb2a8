//go:build !linux

package store

import "syscall"

// noticeSilence is what only Linux offers; elsewhere keepalives and deadlines notice.
func noticeSilence(string, string, syscall.RawConn) error { return nil }
