package localpg

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A directory holds one cluster, which is whole or not there:
//
//	password     the superuser's, written before the cluster is made
//	data.new     a cluster that is being made; one that is found here was interrupted, and goes
//	data         the cluster, renamed to this when initdb was done
//	log          what the server says
//
// Where Postgres' account can't get to the directory (a checkout below /root), all of it is elsewhere, always in
// the same place for the same directory. The directory itself still decides: if it is deleted, data elsewhere
// belongs to an earlier one and is deleted.

// prepareDir makes the directory for its owner, and returns it or, where the owner can't get there, the one elsewhere.
func prepareDir(dir string, owner *account) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("directory for Postgres: %w", err)
	}

	if _, err = os.Stat(dir); errors.Is(err, fs.ErrNotExist) && owner != nil {
		// before the directory exists, so that this can break off anywhere
		if err := removeStopped(elsewhere(dir)); err != nil {
			return "", err
		}
	}

	err = os.MkdirAll(dir, 0o755) // #nosec G301 -- the unprivileged owner must get through
	if err != nil {
		return "", fmt.Errorf("directory for Postgres: %w", err)
	}
	if owner == nil {
		return dir, nil
	}

	if err := os.Chown(dir, owner.uid, owner.gid); err != nil {
		return "", fmt.Errorf("directory for Postgres: %w", err)
	}
	if owner.reaches(dir) {
		return dir, nil
	}

	other := elsewhere(dir)
	if err := os.MkdirAll(other, 0o700); err != nil {
		return "", fmt.Errorf("directory for Postgres: %w", err)
	}
	if err := os.Chown(other, owner.uid, owner.gid); err != nil {
		return "", fmt.Errorf("directory for Postgres: %w", err)
	}
	return other, nil
}

// elsewhere is where the cluster of a directory is that its owner can't get to.
func elsewhere(dir string) string {
	return filepath.Join("/var/tmp", "staykey"+strings.ReplaceAll(dir, "/", "-"))
}

// Clean removes what [Start] keeps in a directory, wherever that is. It refuses while the server runs.
func Clean(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("directory for Postgres: %w", err)
	}
	return errors.Join(removeStopped(elsewhere(dir)), removeStopped(dir))
}

// removeStopped removes a directory unless its server runs.
func removeStopped(dir string) error {
	if pid := runningPID(filepath.Join(dir, "data")); pid != 0 {
		return fmt.Errorf("%w (process %d, in %s): stop it first", errInUse, pid, dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the Postgres in %s: %w", dir, err)
	}
	return nil
}

// runningPID is the process that serves a cluster, 0 for none.
func runningPID(data string) int {
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid")) // #nosec G304 -- our own file
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 {
		return 0
	}
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return 0
	}
	return pid
}

// cluster is the data of one server.
type cluster struct {
	bin, dir string
	owner    *account
	durable  bool // it must survive a power cut
	fresh    bool // it was made by open
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// whole reports whether there is a cluster that can be started. Versions before this one made it in place: one
// without pg_control was interrupted, and never held anything.
func (c *cluster) whole() bool {
	_, err := os.Stat(filepath.Join(c.data(), "global", "pg_control"))
	return err == nil
}

// open makes the cluster unless there is one, and returns the superuser's password.
func (c *cluster) open(ctx context.Context) (string, error) {
	passwordFile := filepath.Join(c.dir, "password")
	if c.whole() {
		password, err := os.ReadFile(passwordFile) // #nosec G304 -- our own file
		if err != nil {
			return "", fmt.Errorf("the password of the Postgres in %s: %w (remove the directory to start again)", c.dir,
				err)
		}
		return strings.TrimSpace(string(password)), nil
	}

	made := c.data() + ".new"
	for _, torso := range []string{made, c.data()} {
		if err := os.RemoveAll(torso); err != nil {
			return "", fmt.Errorf("clean up %s: %w", torso, err)
		}
	}

	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	password := hex.EncodeToString(secret)

	if err := os.WriteFile(passwordFile, []byte(password+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", passwordFile, err)
	}
	if c.owner != nil {
		if err := os.Chown(passwordFile, c.owner.uid, c.owner.gid); err != nil {
			return "", fmt.Errorf("write %s: %w", passwordFile, err)
		}
	}

	if err := c.initdb(ctx, made, passwordFile); err != nil {
		_ = os.RemoveAll(made)
		return "", err
	}
	if err := os.Rename(made, c.data()); err != nil {
		return "", fmt.Errorf("put the new cluster in its place: %w", err)
	}
	c.fresh = true
	return password, nil
}

// initdb makes a cluster. It needs a name for the user that runs it, which users of containers often lack: then it
// runs again in a way that gives them one. Nothing else of Postgres asks for it.
func (c *cluster) initdb(ctx context.Context, data, passwordFile string) error {
	run := func(change func(*exec.Cmd)) (string, error) {
		args := []string{
			"-D", data, "-U", "staykey", "--pwfile", passwordFile, "-A", "scram-sha-256", "-E",
			"UTF8", "--locale=C",
		}
		if !c.durable {
			args = append(args, "--no-sync")
		}
		cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "initdb"), args...) // #nosec G204 -- a binary that we found
		cmd.Dir = c.dir
		c.owner.apply(cmd)
		if change != nil {
			change(cmd)
		}
		out, err := cmd.CombinedOutput()
		return string(bytes.TrimSpace(out)), err
	}

	out, err := run(nil)
	if err == nil {
		return nil
	}

	if !isNameless(out) {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}

	tried := []string{"as itself: " + out}
	for _, way := range waysToAName(c.dir) {
		if err := os.RemoveAll(data); err != nil {
			return fmt.Errorf("clean up %s: %w", data, err)
		}
		if out, err = run(way.change); err == nil {
			return nil
		}
		tried = append(tried, fmt.Sprintf("%s: %v: %s", way.name, err, out))
	}
	return fmt.Errorf("initdb needs a name for the user that runs it, and user %d has none. Tried:\n  %s\n"+
		"Run as a user that /etc/passwd has (docker run --user nobody), install libnss_wrapper, or set DATABASE_URL",
		os.Geteuid(), strings.Join(tried, "\n  "))
}
