package localpg

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// isNameless reports whether initdb failed because its user has no entry in the user database (get_user_name in
// Postgres' src/common/username.c).
func isNameless(output string) bool {
	return strings.Contains(output, "could not look up effective user ID") ||
		strings.Contains(output, "local user with ID")
}

// wayToAName is a way to run a program as a user with a name, where we have none.
type wayToAName struct {
	name   string
	change func(*exec.Cmd)
}

func waysToAName(dir string) []wayToAName {
	var ways []wayToAName
	if library := nssWrapper(); library != "" {
		ways = append(ways, wayToAName{"with libnss_wrapper", func(cmd *exec.Cmd) { wrapNames(cmd, library, dir) }})
	}
	return append(ways, namespaces()...)
}

// nssWrapper finds the library that answers look-ups of users from a file (https://cwrap.org/nss_wrapper.html); ""
// for none.
func nssWrapper() string {
	for _, pattern := range []string{
		"/usr/lib/*/libnss_wrapper.so", "/usr/lib64/libnss_wrapper.so",
		"/usr/lib/libnss_wrapper.so",
	} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 { // fails for a malformed pattern only
			return found[0]
		}
	}
	return ""
}

// wrapNames gives our user a name in files of the directory.
func wrapNames(cmd *exec.Cmd, library, dir string) {
	passwd, group := filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	// initdb says what is missing
	_ = os.WriteFile(passwd, fmt.Appendf(nil, "staykey:x:%d:%d:staykey:%s:/bin/false\n", os.Geteuid(),
		os.Getegid(), dir), 0o600)
	_ = os.WriteFile(group, fmt.Appendf(nil, "staykey:x:%d:\n", os.Getegid()), 0o600)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "LD_PRELOAD="+library, "NSS_WRAPPER_PASSWD="+passwd, "NSS_WRAPPER_GROUP="+group)
}

// namedUser is a user of /etc/passwd that is not root, for a namespace in which we are that one; 0 for none.
func namedUser() int {
	file, err := os.Open("/etc/passwd")
	if err != nil {
		return 0
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var uid int
		if fields := strings.Split(lines.Text(), ":"); len(fields) > 2 {
			if _, err := fmt.Sscan(fields[2], &uid); err == nil && uid > 0 {
				return uid
			}
		}
	}
	return 0
}
