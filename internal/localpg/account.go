package localpg

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is who Postgres runs as where we are root, as whom it refuses to run. A nil account is ourselves.
type account struct{ uid, gid int }

// unprivileged returns the account for Postgres: nil unless we are root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is ourselves
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			continue
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			continue
		}
		return &account{uid, gid}, nil
	}
	return nil, errors.New("no account for Postgres, which can't run as root: run as another user, or set DATABASE_URL")
}

// apply has a command run as the account.
func (a *account) apply(cmd *exec.Cmd) {
	if a != nil {
		// #nosec G115 -- ids of the user database
		attr(cmd).Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
		cmd.Env = append(os.Environ(), "HOME=/tmp")
	}
}

// reaches reports whether the account can work in a directory.
func (a *account) reaches(dir string) bool {
	cmd := exec.Command("/bin/sh", "-c", "test -w .")
	cmd.Dir = dir
	a.apply(cmd)
	return cmd.Run() == nil
}

func attr(cmd *exec.Cmd) *syscall.SysProcAttr {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	return cmd.SysProcAttr
}
