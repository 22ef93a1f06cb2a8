// Command run is make chaos: it runs the rigs that inject faults, for long, and prints one table of their results.
// It fails if anything was wrong, a duplicate was seen, a case's fault did not fire, or too little was tried.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/staykey/staykey/tools/chaos"
)

// stint is one go test. Stints run one after another, so that they don't starve each other.
type stint struct {
	packages string
	tests    string
	env      []string // the size of the rigs
}

var (
	long = []stint{
		{"./internal/provisioner", "^TestFaultMatrix$", []string{
			"STAYKEY_MATRIX_CELLS=-1", "STAYKEY_MATRIX_PAIRS=-1",
			"STAYKEY_MATRIX_LANES=24",
		}},
		{
			"./internal/provisioner", "^(TestModel.*|TestRandomWorld|TestReadsThatLag.*|TestLostCreateThenCancel)$",
			[]string{"STAYKEY_MODEL_HISTORIES=600", "STAYKEY_WORLD_ROUNDS=600"},
		},
		{
			"./internal/provisioner", "^(TestUnkindWorlds|TestSeamFallsSilent)$",
			[]string{"STAYKEY_UNKIND_STEPS=30000", "STAYKEY_UNKIND_LANES=12"},
		},
		{
			"./internal/provisioner", "^(TestNearArrival.*|TestManyKeysAreSwept)$",
			[]string{"STAYKEY_PRESSURE=10000", "STAYKEY_SWEPT_KEYS=100000"},
		},
		{"./internal/notify", "^TestNothingIsLostWhateverDiesWhen$", []string{"STAYKEY_DELIVERY_DEATHS=10000"}},
		{"./internal/guest", "^TestGivingAndTakingBackUnderDeaths$", []string{"STAYKEY_GUEST_DEATHS=10000"}},
		{"./internal/guest", "^TestKilledWhileGivingAndTakingBack$", []string{"STAYKEY_GUEST_KILLS=5000"}},
		{"./internal/notify", "^TestKilledWhileDelivering$", []string{"STAYKEY_DELIVERY_KILLS=5000"}},
		{"./internal/writeback", "^TestDeaths$", nil},
		{"./cmd/server", "^TestGuestsAndDeliveriesKilledAtMarkedPoints$", []string{"STAYKEY_GUEST_POINTS=45"}},
		{"./cmd/server", "^TestWriteBackKilledAtMarkedPoints$", []string{"STAYKEY_WRITE_BACK_POINTS=20"}},
		{"./cmd/server", "^TestKilledAtRandom$", []string{"STAYKEY_CRASH_KILLS=135"}},
		{
			"./cmd/server", "^(TestKilledAtMarkedPoints|TestPostgresKilled|TestNetworkCut)$",
			[]string{"STAYKEY_CRASH_POINTS=105", "STAYKEY_POSTGRES_KILLS=50", "STAYKEY_NETWORK_CUTS=100"},
		},
	}
	short = []stint{
		{"./internal/provisioner", "^(TestFaultMatrix|TestModel.*|TestRandomWorld|TestUnkindWorlds)$", nil},
		{"./cmd/server", "^(TestKilledAtRandom|TestKilledAtMarkedPoints|TestPostgresKilled|TestNetworkCut)$", nil},
	}
)

// What a long run must try at least.
const (
	leastFaults        = 10_000
	leastKills         = 500
	leastPostgresKills = 50
)

func main() {
	isShort := flag.Bool("short", false, "run each rig for a few minutes only")
	flag.Parse()
	if err := run(*isShort); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(isShort bool) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	dir, err := os.MkdirTemp("", "staykey-chaos-")
	if err != nil {
		return fmt.Errorf("create a directory for the report: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	report := filepath.Join(dir, "report")
	stints := long
	if isShort {
		stints = short
	}

	var failed error
	for _, s := range stints {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.run(ctx, report); err != nil {
			failed = errors.Join(failed, err)
		}
	}

	results, err := chaos.Read(report)
	if err != nil {
		return errors.Join(failed, err)
	}
	fmt.Println()
	fmt.Print(chaos.Table(results))
	return errors.Join(failed, judge(chaos.Total(results), isShort))
}

func (s stint) run(ctx context.Context, report string) error {
	fmt.Printf("== %s %s %v\n", s.packages, s.tests, s.env)
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-parallel", "48", "-timeout", "45m", "-run", s.tests,
		s.packages) // #nosec G204 -- of the lists above
	cmd.Env = append(append(os.Environ(), s.env...), chaos.ReportFile+"="+report)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		fmt.Print(string(out))
		return fmt.Errorf("%s %s: %w", s.packages, s.tests, err)
	}
	return nil
}

func judge(total chaos.Result, isShort bool) error {
	switch {
	case total.Wrong > 0 || total.Duplicates > 0:
		return fmt.Errorf("%d wrong, %d duplicates", total.Wrong, total.Duplicates)
	case !isShort && total.Fired != total.Cells:
		return fmt.Errorf("%d of %d cells fired", total.Fired, total.Cells)
	case !isShort && (total.Faults < leastFaults || total.Kills < leastKills ||
		total.PostgresKills < leastPostgresKills):
		return fmt.Errorf("too little was tried: %d faults, %d kills, %d of Postgres", total.Faults, total.Kills,
			total.PostgresKills)
	}
	return nil
}
