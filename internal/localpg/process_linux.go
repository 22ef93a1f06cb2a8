package localpg

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

// freeSpace is how many bytes an unprivileged process may write below a directory; 0 if it doesn't exist.
func freeSpace(dir string) uint64 {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0
	}
	return fs.Bavail * uint64(fs.Bsize) // #nosec G115 -- a block's size is positive
}
