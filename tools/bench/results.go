package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"time"
)

// results are what the parts of a run have measured, in order.
type results struct {
	lines []line
	costs []cost
	notes []string
	lost  int // acknowledged events that are not in the database
}

// line is a row of the table.
type line struct {
	what, value, p50, p99, against, base, ratio, target string
}

// median is the middle one of an odd number.
func median[T int | int64 | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func (r *results) add(l line) {
	r.lines = append(r.lines, l)
	if l.against == "" {
		say("%s: %s", l.what, l.value)
		return
	}
	say("%s: %s (%s %s, ratio %s)", l.what, l.value, l.against, l.base, l.ratio)
}

func (r *results) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
	say(format, args...)
}

// print writes the table as docs/performance.md keeps it.
func (r *results) print(p plan, took time.Duration) {
	fmt.Printf("\n%s, %d CPUs (%s), Postgres with its %s settings; rounds: %d, of which medians are shown; %s in all\n\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), cpu(), p.which, p.rounds, took.Round(time.Second))
	fmt.Println("| what | measured | p50 | p99 | baseline | result | ratio | goal |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, l := range r.lines {
		if l.ratio != "" {
			l.target = cmp.Or(l.target, "none: to compare with")
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", l.what, l.value, l.p50, l.p99, l.against, l.base,
			l.ratio, l.target)
	}
	fmt.Println()
	r.printCosts()
	for _, n := range r.notes {
		fmt.Println("-", n)
	}
	fmt.Printf("- acknowledged events that are not in the database: %d\n", r.lost)
}

func cpu() string {
	content, _ := os.ReadFile("/proc/cpuinfo")
	if found := regexp.MustCompile(`model name\s*: (.+)`).FindSubmatch(content); found != nil {
		return string(found[1])
	}
	return runtime.GOARCH
}

// printCosts prints the table of what events and stays cost.
func (r *results) printCosts() {
	if len(r.costs) == 0 {
		return
	}
	fmt.Println("| each | rows | updates (HOT) | deletes | index entries | WAL bytes | commits | statements | round trips |" +
		" server CPU | Postgres CPU |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, c := range r.costs {
		fmt.Printf("| %s | %s | %s (%s) | %s | %s | %.0f | %s | %s | %s | %s | %s |\n", c.name, c.per(c.rows),
			c.per(c.updates), c.per(c.hot), c.per(c.deletes), c.per(c.entries), c.walBytes/c.units, c.per(c.commits),
			c.per(c.statements), c.per(c.trips), c.micros(c.server), c.micros(c.postgres))
	}
	fmt.Println()
}
