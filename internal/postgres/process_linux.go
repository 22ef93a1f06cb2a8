package postgres

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startBound starts a process that the kernel interrupts when ours dies, even of SIGKILL. The signal is tied
// to the thread that started the child, so that this thread must live as long as the process does.
func startBound(cmd *exec.Cmd) error {
	attr(cmd).Pdeathsig = syscall.SIGINT
	attr(cmd).Setpgid = true // Ctrl-C is ours to handle, in our order
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {} // holds the thread
	}()
	return <-started
}
