// Command bench is make bench: it starts a Postgres, the built server and a simulated Seam, and prints how fast the
// service is as ratios against something measured in the same run, each with its goal, in less than ten minutes. It
// counts what was acknowledged, and fails if any of it is lost; no timing makes it fail. docs/performance.md says what
// the lines mean.
//
// -long measures as docs/performance.md shows it: medians of three rounds, and large sizes. REPLICAS=3 runs three
// servers on one database; BIG=1 adds five million events and a million reservations, and 2 GiB of large webhooks.
package main

import (
	"cmp"
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
		" (default: all but big and memory, which BIG=1 adds)")
	profiles := flag.String("profiles", "",
		"directory for CPU profiles of the server, of the last round of each measurement")
	stays := flag.Int("stays", 0, "how many stays the queue is full of that is drained (default 2,000; with -long 10,000)")
	rounds := flag.Int("rounds", 0, "how often everything is measured; medians are shown (default 1; with -long 3)")
	quick := flag.Bool("quick", false, "shorter, to see that it works; its figures say little")
	long := flag.Bool("long", false, "longer: medians of three rounds, and sizes up to 5 million reservations; some hours")
	which := flag.String("settings", recommended, "Postgres' settings: those of "+recommendedFile+" ("+recommended+
		") or its own ("+stock+"); the part stock compares the two")
	flag.Parse()
	if err := run(*role, *only, *profiles, *which, size{*stays, *rounds, *quick, *long}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// plan is how much is measured. Each part takes what it needs of it (bench.go).
type plan struct {
	rounds   int
	replicas int
	lengths
	tableRows
	stays   int   // that are provisioned one by one
	drained int   // that are provisioned from a full queue
	sizes   []int // of growth: how many reservations
	loads   int   // of each page
	swept   int   // keys

	costEvents, costKeys int // whose costs are counted
	kept                 int // stays of disk

	profiles string
	which    string   // the name of the settings of Postgres
	settings []string // name=value
}

// lengths are how long webhooks are posted.
type lengths struct {
	burst     time.Duration // the load that is accepted first and applied later
	settle    time.Duration // the load after it until the backlog has reached its bound
	sustained time.Duration // and after that
	compared  time.Duration // each of the things that it is compared with
	featured  time.Duration // the loads with and without features
}

// tableRows is what big tables, and those of pages, have.
type tableRows struct{ events, bookings int }

func partNames() string { return strings.Join(slices.Sorted(maps.Keys(measurements)), ", ") }

// size is how much of everything is measured.
type size struct {
	stays, rounds int // 0: as usual
	quick, long   bool
}

func newPlan(profiles string, s size) (plan, error) {
	p := plan{
		rounds: 1, lengths: lengths{
			burst: 30 * time.Second, settle: 6 * time.Second, sustained: 8 * time.Second, compared: 4 * time.Second,
			featured: 5 * time.Second,
		},
		tableRows: tableRows{events: 100_000, bookings: 100_000},
		stays:     20, drained: 2_000, loads: 30, swept: 2_000,
		costEvents: 5_000, costKeys: 500, kept: 1_000, sizes: []int{30_000, 200_000},
	}
	if s.long || os.Getenv("BIG") != "" {
		p.events, p.bookings, p.loads = 5_000_000, 1_000_000, 100
	}

	switch {
	case s.quick:
		p = plan{
			rounds: 1, lengths: lengths{
				burst: 4 * time.Second, settle: time.Second, sustained: 2 * time.Second, compared: 2 * time.Second,
				featured: 2 * time.Second,
			},
			tableRows: tableRows{events: 50_000, bookings: 10_000},
			stays:     5, drained: 300, loads: 5, swept: 300,
			costEvents: 2_000, costKeys: 200, kept: 400, sizes: []int{40_000, 80_000},
		}
	case s.long:
		p.rounds, p.drained, p.swept, p.kept = 3, 10_000, 10_000, 6_000
		p.costEvents, p.costKeys, p.sizes = 10_000, 1_500, []int{100_000, 1_000_000, 5_000_000}
	}
	p.rounds, p.drained = cmp.Or(s.rounds, p.rounds), cmp.Or(s.stays, p.drained)

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

// chosenParts are the parts that -only names, else all of them; the largest only with BIG.
func chosenParts(only string) ([]string, error) {
	parts := []string{
		"accept", "stock", "latency", "drain", "out", "features", "sweep", "beside", "cost", "growth", "disk", "pages",
	}
	if os.Getenv("BIG") != "" {
		parts = append(parts, "big", "memory")
	}
	if only != "" {
		parts = strings.Split(only, ",")
	}
	for _, part := range parts {
		if measurements[part] == nil {
			return nil, fmt.Errorf("-only: %q is none of %s", part, partNames())
		}
	}
	return parts, nil
}

func run(role, only, profiles, which string, s size) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if role != "" {
		return serveRole(ctx, role, s.stays)
	}

	p, err := newPlan(profiles, s)
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
	on, err := newRig(ctx, p, slices.ContainsFunc(parts, shared))
	if err != nil {
		return err
	}
	defer on.stop()
	b := &bench{rig: on, results: &results{}, rounds: p.rounds, replicas: p.replicas}

	started := time.Now()
	for _, part := range parts {
		began := time.Now()
		if err := measurements[part](b, p)(ctx); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
		say("%s took %s", part, time.Since(began).Round(time.Second))
	}

	b.print(p, time.Since(started))
	if b.lost > 0 {
		return fmt.Errorf("%d acknowledged events are lost", b.lost)
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return nil
}
