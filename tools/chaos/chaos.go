// Package chaos collects the results of the rigs that inject faults, so that one table shows all of them.
//
// A rig is an ordinary test next to what it tests, such as the matrix of internal/provisioner, which fails each call to
// Seam in each way. It reads how much to try from the environment ([Size]) and its random seed ([Seed]), so that make
// test runs it briefly and make chaos for half an hour, and it reports once:
//
//	lanes := chaos.Size("STAYKEY_MATRIX_LANES", 12)
//	...
//	chaos.Record(t, chaos.Result{Rig: "fault matrix", Cells: n, Fired: fired, Faults: faults, Converge: times})
//
// [Record] logs the result and, if [ReportFile] names a file, adds it there. Command run (make chaos) starts the rigs,
// reads the file back ([Read]) and prints the [Table]. It fails if anything was wrong, and also
// if a case's fault didn't fire or too little was tried, because a rig that injects nothing proves nothing.
//
// Command mutants (make chaos-mutants) turns that around: it removes each protection from the program in turn and
// expects a rig to fail. Read [Result] first, then run/main.go, then mutants/list.go.
package chaos

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/staykey/staykey/tools/report"
)

// Result is the result of one rig.
type Result struct {
	Rig           string          `json:"rig"`
	Cells         int             `json:"cells"`          // cases; 0 if the rig has none
	Fired         int             `json:"fired"`          // cases whose fault fired
	Faults        int             `json:"faults"`         // faults injected into calls and connections
	Kills         int             `json:"kills"`          // of the service (SIGKILL)
	PostgresKills int             `json:"postgres_kills"` // of Postgres (immediate)
	Events        int             `json:"events"`         // acknowledged
	Wrong         int             `json:"wrong"`          // reservations that are not what they should be
	Duplicates    int             `json:"duplicates"`     // at any time
	Converge      []time.Duration `json:"converge"`       // from the fault to the expected state
}

// ReportFile is the environment variable with the file for results; without it they are only logged.
const ReportFile = "STAYKEY_CHAOS_REPORT"

// Record logs a result and adds it to the report.
func Record(t testing.TB, r Result) {
	t.Helper()
	slices.Sort(r.Converge)
	t.Logf("%s: %d cells, %d fired, %d faults, %d kills, %d of Postgres, %d acknowledged events, %d wrong, %d duplicates, converged in %s (p50), %s (p99)",
		r.Rig, r.Cells, r.Fired, r.Faults, r.Kills, r.PostgresKills, r.Events, r.Wrong, r.Duplicates,
		Quantile(r.Converge, 50), Quantile(r.Converge, 99))
	report.Append(t, ReportFile, r)
}

// Quantile returns the given percentile of sorted durations, rounded for people.
func Quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)].Round(10 * time.Millisecond)
}

// Size reads the size of a rig from the environment.
func Size(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// Draw returns up to n cases of a rig, drawn at random. It returns all of them if the tests are run with a pattern that
// names a subtest (-run '^TestX$/^case$'): then that one is among them.
func Draw[T any](cases []T, n int) []T {
	if f := flag.Lookup("test.run"); f != nil && strings.Contains(f.Value.String(), "/") {
		return cases
	}
	drawn := slices.Clone(cases)
	rand.Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
	return drawn[:min(len(drawn), n)]
}

// Read returns the results of a report file, one per rig: several results of a rig are added up.
func Read(path string) ([]Result, error) {
	rows, err := report.Read[Result](path)
	if err != nil {
		return nil, err
	}
	byRig := map[string][]Result{}
	for _, r := range rows {
		byRig[r.Rig] = append(byRig[r.Rig], r)
	}
	all := make([]Result, 0, len(byRig))
	for _, rig := range slices.Sorted(maps.Keys(byRig)) {
		all = append(all, sum(rig, byRig[rig]))
	}
	return all, nil
}

// Total adds results up.
func Total(all []Result) Result { return sum("**all**", all) }

func sum(name string, all []Result) Result {
	total := Result{Rig: name}
	for _, r := range all {
		total.Cells += r.Cells
		total.Fired += r.Fired
		total.Faults += r.Faults
		total.Kills += r.Kills
		total.PostgresKills += r.PostgresKills
		total.Events += r.Events
		total.Wrong += r.Wrong
		total.Duplicates += r.Duplicates
		total.Converge = append(total.Converge, r.Converge...)
	}
	slices.Sort(total.Converge)
	return total
}

// Table writes results as a Markdown table, with their total.
func Table(all []Result) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	row := func(columns ...any) {
		for _, c := range columns {
			_, _ = fmt.Fprintf(w, "| %v\t", c)
		}
		_, _ = fmt.Fprintln(w, "|")
	}
	row("rig", "cells", "fired", "faults", "kills", "of Postgres", "events", "wrong", "duplicates", "p50", "p99")
	row("---", "---", "---", "---", "---", "---", "---", "---", "---", "---", "---")
	for _, r := range append(slices.Clone(all), Total(all)) {
		row(r.Rig, r.Cells, r.Fired, r.Faults, r.Kills, r.PostgresKills, r.Events, r.Wrong, r.Duplicates,
			Quantile(r.Converge, 50), Quantile(r.Converge, 99))
	}
	_ = w.Flush()
	return b.String()
}

// Seed is the seed of a random rig: STAYKEY_WORLD_SEED repeats a run, otherwise each run is different.
func Seed(more uint64) uint64 {
	if given, err := strconv.ParseUint(os.Getenv("STAYKEY_WORLD_SEED"), 10, 64); err == nil {
		return given
	}
	return uint64(time.Now().UnixNano()) + more // #nosec G115 -- any number will do
}
