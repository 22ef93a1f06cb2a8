//go:build unix && !linux

package localpg

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// startBound starts a process and a shell that interrupts it when ours is gone.
func startBound(cmd *exec.Cmd) error {
	attr(cmd).Setpgid = true // Ctrl-C is ours to handle, in our order
	if err := cmd.Start(); err != nil {
		return err
	}
	watch := exec.Command("/bin/sh", "-c", fmt.Sprintf( // #nosec G204 -- two numbers
		`while kill -0 %d 2>/dev/null && kill -0 %d 2>/dev/null; do sleep 1; done; kill -INT %[2]d 2>/dev/null`,
		os.Getpid(), cmd.Process.Pid))
	attr(watch).Setpgid = true
	if err := watch.Start(); err != nil {
		return fmt.Errorf("watch process %s: %w", strconv.Itoa(cmd.Process.Pid), err)
	}
	go func() { _ = watch.Wait() }()
	return nil
}

// freeSpace is 0: only Linux keeps files in memory at a well-known place.
func freeSpace(string) uint64 { return 0 }
