// Command bench is make bench: it starts a Postgres, the built server and a simulated Seam, and prints how fast the
// service is as ratios against something measured in the same run, medians of three. It counts what was
// acknowledged, and fails if any of it is lost; no timing makes it fail. docs/performance.md says what the lines
// mean.
//
// REPLICAS=3 runs three servers on one database; BIG=1 adds five million events and a million reservations, and 2
// GiB of large webhooks.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	role := flag.String("role", "", "internal: be a server to compare with, or do one phase of cost")
	only := flag.String("only", "", "comma-separated parts: "+partNames()+
		" (default: all but big, pages and memory, which BIG=1 adds)")
	profiles := flag.String("profiles", "",
		"directory for CPU profiles of the server, of the last round of each measurement")
	stays := flag.Int("stays", 10_000, "how many stays the queue is full of that is drained")
	rounds := flag.Int("rounds", 3, "how often everything is measured; medians are shown")
	quick := flag.Bool("quick", false, "shorter and once, to see that it works; its figures say little")
	which := flag.String("settings", recommended, "Postgres' settings: those of "+recommendedFile+" ("+recommended+
		") or its own ("+stock+"); the part stock compares the two")
	flag.Parse()
	if err := run(*role, *only, *profiles, *which, *stays, *rounds, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// plan is how much is measured.
type plan struct {
	rounds    int
	burst     time.Duration // the load that is accepted first and applied later
	settle    time.Duration // the load after it until the backlog has reached its bound
	sustained time.Duration // and after that
	compared  time.Duration // each of the things that it is compared with
	stays     int           // that are provisioned one by one
	drained   int           // that are provisioned from a full queue
	sizes     []int         // of growth: how many reservations
	events    int           // of big tables
	bookings  int
	replicas  int
	profiles  string

	which                string   // the name of the settings of Postgres
	settings             []string // name=value
	costEvents, costKeys int      // whose costs are counted
	kept                 int      // stays of disk
}

// measures are the parts of a run.
var measures = map[string]func(*bench, context.Context) error{
	"accept": (*bench).accept, "latency": (*bench).latency, "drain": (*bench).drain, "beside": (*bench).beside,
	"memory": (*bench).memory, "big": (*bench).big,
	"pages": (*bench).pages, "out": (*bench).out, "cost": (*bench).cost, "stock": (*bench).stock,
	"growth": (*bench).growth, "disk": (*bench).disk,
}

func partNames() string { return strings.Join(slices.Sorted(maps.Keys(measures)), ", ") }

func newPlan(profiles string, stays, rounds int, quick bool) (plan, error) {
	p := plan{
		rounds: rounds, burst: 30 * time.Second, settle: 6 * time.Second, sustained: 8 * time.Second,
		compared: 4 * time.Second,
		stays:    20, drained: stays, events: 5_000_000, bookings: 1_000_000,
		costEvents: 10_000, costKeys: 1_500, kept: 6_000, sizes: []int{100_000, 1_000_000, 5_000_000},
	}
	if quick {
		p = plan{
			rounds: 1, burst: 4 * time.Second, settle: time.Second, sustained: 2 * time.Second,
			compared: 2 * time.Second,
			stays:    5, drained: min(stays, 500), events: 50_000, bookings: 10_000,
			costEvents: 2_000, costKeys: 200, kept: 400, sizes: []int{40_000, 80_000},
		}
	}
	p.profiles, p.replicas = profiles, 1
	if text := os.Getenv("REPLICAS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 8 {
			return p, fmt.Errorf("REPLICAS: %q must be a number from 1 to 8", text)
		}
		p.replicas = n
	}
	return p, nil
}

// chosenParts are the parts that -only names, else the usual ones; BIG adds the large ones.
func chosenParts(only string) ([]string, error) {
	parts := []string{"accept", "latency", "drain", "beside", "out"}
	if os.Getenv("BIG") != "" {
		parts = append(parts, "big", "pages", "memory")
	}
	if only != "" {
		parts = strings.Split(only, ",")
	}
	for _, part := range parts {
		if measures[part] == nil {
			return nil, fmt.Errorf("-only: %q is none of %s", part, partNames())
		}
	}
	return parts, nil
}

func run(role, only, profiles, which string, stays, rounds int, quick bool) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if role != "" {
		return serveRole(ctx, role, stays)
	}

	p, err := newPlan(profiles, stays, rounds, quick)
	if err != nil {
		return err
	}
	if p.which = which; p.which != "" {
		if p.settings, err = settingsOf(which); err != nil {
			return err
		}
	}

	parts, err := chosenParts(only)
	if err != nil {
		return err
	}

	shared := func(part string) bool { return part != "cost" && part != "disk" } // these have a Postgres of their own
	b, err := newBench(ctx, p, slices.ContainsFunc(parts, shared))
	if err != nil {
		return err
	}
	defer b.stop()

	started := time.Now()
	for _, part := range parts {
		if err := measures[part](b, ctx); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}

	b.print(time.Since(started))
	if b.lost > 0 {
		return fmt.Errorf("%d acknowledged events are lost", b.lost)
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return nil
}
