package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// FindBinaries returns a directory with postgres and initdb. It tries what is installed, then a download,
// then, as root on Debian or Ubuntu, the distribution's package. The error says what was tried and what to do.
func FindBinaries(ctx context.Context, o Options) (string, error) {
	var tried []string
	for _, way := range []struct {
		name string
		find func() (string, error)
	}{
		{"Postgres binaries on this machine", func() (string, error) { return installed(ctx) }},
		{"download of embedded Postgres binaries", func() (string, error) { return download(o) }},
		{"the distribution's package", func() (string, error) { return install(ctx, o) }},
	} {
		bin, err := way.find()
		if err == nil {
			return bin, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		tried = append(tried, way.name+": "+err.Error())
	}
	return "", fmt.Errorf("no PostgreSQL %d or newer could be found or fetched:\n  %s\nInstall one (Debian, Ubuntu: "+
		"sudo apt-get install -y postgresql; macOS: brew install postgresql), or set DATABASE_URL",
		MinVersion, strings.Join(tried, "\n  "))
}

var versionNumber = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// installed looks for binaries on the PATH and where distributions put them, the newest version first.
func installed(ctx context.Context) (string, error) {
	candidates := []string{}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin", "/usr/lib/postgresql*/bin", "/usr/libexec/postgresql*",
	} {
		found, _ := filepath.Glob(pattern) // fails for a malformed pattern only
		candidates = append(candidates, found...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if resolved, err := filepath.EvalSymlinks(path); err == nil {
			path = resolved
		}
		candidates = append(candidates, filepath.Dir(path))
	}

	type found struct {
		dir     string
		version int
	}

	var usable []found
	newestOld := 0
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}

		out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output() // #nosec G204 -- a binary that we found
		if err != nil {
			continue
		}
		m := versionNumber.FindSubmatch(out)
		if m == nil {
			continue
		}

		version, _ := strconv.Atoi(string(m[1]))
		if version < MinVersion {
			newestOld = max(newestOld, version)
			continue
		}
		usable = append(usable, found{dir, version})
	}

	if len(usable) == 0 {
		if newestOld > 0 {
			return "", fmt.Errorf("only version %d", newestOld)
		}
		return "", errors.New("no results")
	}
	return slices.MaxFunc(usable, func(a, b found) int { return a.version - b.version }).dir, nil
}

// embeddedVersion is what is downloaded where nothing is installed.
const embeddedVersion = embedded.V17

// cacheDir is where binaries are kept.
func (o Options) cacheDir() string {
	if o.CacheDir != "" {
		return o.CacheDir
	}
	if os.Geteuid() == 0 {
		return "/var/cache/staykey" // the unprivileged user must get there
	}
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "staykey")
}

// download fetches binaries once into the cache. The library can only start a server as a whole; what it
// leaves on disk on the way is what we are after, also where it can't start one itself (as root).
func download(o Options) (string, error) {
	cache := o.cacheDir()
	binaries := filepath.Join(cache, "postgres-"+string(embeddedVersion))
	bin := filepath.Join(binaries, "bin")
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil {
		return bin, nil
	}

	o.Log("no PostgreSQL is installed: downloading " + string(embeddedVersion))
	trial, err := os.MkdirTemp("", "staykey-trial-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(trial) }()

	config := embedded.DefaultConfig().Version(embeddedVersion).CachePath(cache).BinariesPath(binaries).
		RuntimePath(filepath.Join(trial, "run")).DataPath(filepath.Join(trial, "data")).Logger(nil)
	if o.Repository != "" {
		config = config.BinaryRepositoryURL(o.Repository)
	}

	var last error
	for range portTries {
		port, err := freePort()
		if err != nil {
			return "", err
		}
		server := embedded.NewDatabase(config.Port(uint32(port))) // #nosec G115 -- a port
		if last = server.Start(); last == nil {
			_ = server.Stop()
		}
		if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil {
			return bin, nil
		}
		// The library has no error of its own for a port that somebody has taken meanwhile.
		if last == nil || !strings.Contains(last.Error(), "already listening") {
			break
		}
	}

	if last == nil {
		last = fmt.Errorf("the download holds no %s", filepath.Join("bin", "postgres"))
	}
	return "", last
}

// install installs the distribution's package, as root, without the server that it would start.
func install(ctx context.Context, o Options) (string, error) {
	if runtime.GOOS != "linux" {
		return "", errors.New("only on Debian and Ubuntu")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", errors.New("only on Debian and Ubuntu")
	}
	if os.Geteuid() != 0 {
		return "", errors.New("needs root")
	}
	o.Log("installing the distribution's PostgreSQL package")
	script := `set -e
export DEBIAN_FRONTEND=noninteractive
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
apt-get update -q && apt-get install -y -q --no-install-recommends postgresql`
	if out, err := exec.CommandContext(ctx, "/bin/sh", "-c", script).CombinedOutput(); err != nil { // #nosec G204 -- a constant
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("apt-get: %w: %s", err, lines[len(lines)-1])
	}
	return installed(ctx)
}
