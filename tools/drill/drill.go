// Package drill collects what drills measured: outages, locks, stops and upgrades that an operator fears, repeated
// against the real program. make drills runs them and prints one table.
package drill

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/staykey/staykey/tools/report"
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

// Record logs a row and adds it to the report.
func Record(t testing.TB, r Row) {
	t.Helper()
	r.Failed = t.Failed()
	t.Logf("%s\n    before: %s\n    now:    %s", r.What, r.Before, r.Now)
	report.Append(t, ReportFile, r)
}

// Table returns the report in a file as a Markdown table.
func Table(path string) (string, error) {
	rows, err := report.Read[Row](path)
	if err != nil {
		return "", err
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
