package localpg

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// memory is where Linux keeps files in memory. Databases that live for one test are made and dropped there ten
// times as fast as on a disk.
const memory = "/dev/shm"

// memoryNeeded is what a test run's data and WAL fill at most, with room to spare.
const memoryNeeded = 3 << 30

// temporaryDir makes a directory for a server that Stop removes: in memory for a throwaway one, where there is
// enough of it.
func temporaryDir(throwaway bool) (string, error) {
	base := os.TempDir()
	if throwaway && freeSpace(memory) >= memoryNeeded {
		base = memory
		removeLeftovers(base)
	}
	dir, err := os.MkdirTemp(base, fmt.Sprintf("staykey-postgres-%d-", os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("create a directory for Postgres: %w", err)
	}
	return dir, nil
}

// removeLeftovers removes the directories of processes that ended without calling Stop, so that they don't fill the
// memory.
func removeLeftovers(base string) {
	dirs, _ := filepath.Glob(filepath.Join(base, "staykey-postgres-*-*")) // fails for a malformed pattern only
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), "staykey-postgres-"), "-")
		if _, err := os.Stat(filepath.Join("/proc", pid)); os.IsNotExist(err) {
			_ = os.RemoveAll(dir) // another user's stays
		}
	}
}
