// Package drill collects what drills measured: outages, locks, stops and upgrades that an operator fears, repeated against the real program. make
// drills runs them and prints one table.
package drill

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Row is one drill.
type Row struct {
	Order  int    `json:"order"`  // of the table
	What   string `json:"what"`   // is done
	Before string `json:"before"` // what the same drill measured at the first version that was drilled
	Now    string `json:"now"`    // what it measured this time, or why it was not run
	Failed bool   `json:"failed"`
}

// ReportFile names the variable with the file where rows go; without it they are only logged.
const ReportFile = "STAYKEY_DRILLS_REPORT"

var recording sync.Mutex

// Record logs a row and adds it to the report.
func Record(t testing.TB, r Row) {
	t.Helper()
	r.Failed = t.Failed()
	t.Logf("%s\n    before: %s\n    now:    %s", r.What, r.Before, r.Now)
	path := os.Getenv(ReportFile)
	if path == "" {
		return
	}
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	recording.Lock()
	defer recording.Unlock()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) // #nosec G304 -- the Makefile names it
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

// Table returns the report in a file as a Markdown table.
func Table(path string) (string, error) {
	content, err := os.ReadFile(path) // #nosec G304 -- the Makefile names it
	if err != nil {
		return "", fmt.Errorf("read the report: %w", err)
	}
	var rows []Row
	for line := range strings.Lines(string(content)) {
		var r Row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return "", fmt.Errorf("read the report: %w", err)
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.Order, b.Order) })
	var b strings.Builder
	b.WriteString("| drill | first measured | now |\n| --- | --- | --- |\n")
	for _, r := range rows {
		if r.Failed {
			r.Now = "**failed**: " + r.Now
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.What, r.Before, r.Now)
	}
	return b.String(), nil
}
