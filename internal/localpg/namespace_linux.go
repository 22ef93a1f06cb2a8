package localpg

import (
	"os"
	"os/exec"
	"syscall"
)

// namespaces runs a program in a user namespace of its own, in which our user is one that has a name. Files it
// makes are ours.
func namespaces() []wayToAName {
	uid := namedUser()
	if uid == 0 {
		return nil
	}
	return []wayToAName{{"in a user namespace", func(cmd *exec.Cmd) {
		a := attr(cmd)
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getegid(), Size: 1}}
	}}}
}
