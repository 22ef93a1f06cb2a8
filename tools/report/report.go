// Package report collects what tests measure, across packages and processes, in a file of JSON lines that a command
// turns into a table: make chaos and make drills work so.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

var appending sync.Mutex

// Append adds a value to the report in the file whose path is in the environment's variable. Where that isn't set
// nothing is reported.
func Append(t testing.TB, variable string, value any) {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		return
	}
	line, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	appending.Lock()
	defer appending.Unlock()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) // #nosec G304 -- set by the person who runs the tests
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// Read returns the values of a report, in the order in which they were added.
func Read[T any](path string) ([]T, error) {
	content, err := os.ReadFile(path) // #nosec G304 -- set by the person who ran the tests
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	var all []T
	for line := range strings.Lines(string(content)) {
		var value T
		if err := json.Unmarshal([]byte(line), &value); err != nil {
			return nil, fmt.Errorf("read the report: %w", err)
		}
		all = append(all, value)
	}
	return all, nil
}
