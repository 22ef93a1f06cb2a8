// Command staykey turns a hotel's or host's reservations into mobile keys.
//
// Each command has a file with its name: serve.go, doctor.go, erase_guest.go. Commands that ask a running service do so
// over REST (remote.go, and remote_list.go for lists); the others call one internal package each. None of them decides
// anything. How they print texts is in text.go, and in visible.go, which keeps control characters out of terminals.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/config"
)

// Stamped by the build: -ldflags "-X main.version=... -X main.commit=...".
var (
	version = "dev"
	commit  = "unknown"
)

type cli struct {
	VersionFlag kong.VersionFlag `name:"version" short:"v" help:"Print the version and exit."`

	Serve         serveCommand         `cmd:"" help:"Run the service."`
	Reservations  reservationsCommand  `cmd:"" help:"List reservations and the status of their keys."`
	Reservation   reservationCommand   `cmd:"" help:"Show a reservation: status, history and pending changes."`
	Events        eventsCommand        `cmd:"" help:"List received events."`
	Listings      listingsCommand      `cmd:"" help:"List listings and their access groups."`
	Audit         auditCommand         `cmd:"" help:"List changes made by admins."`
	Subscriptions subscriptionsCommand `cmd:"" help:"List subscriptions; test, enable or disable one."`
	Act           actCommand           `cmd:"" help:"Apply one action to several reservations: check and repair, hold, release, revoke, re-issue or other access times."`
	Undo          undoCommand          `cmd:"" help:"Undo an action, within 15 minutes."`
	Gate          gateCommand          `cmd:"" help:"Open or close a gate for a reservation."`
	Deliveries    deliveriesCommand    `cmd:"" help:"List deliveries to subscriptions and their attempts; resend one."`
	EraseGuest    eraseGuestCommand    `cmd:"" name:"erase-guest" help:"Erase a guest's personal data here and at Seam."`
	Doctor        doctorCommand        `cmd:"" help:"Check a running service and its configuration; exit 1 if there is a problem."`
	Migrate       migrateCommand       `cmd:"" help:"Run or list database migrations."`
	Sign          signCommand          `cmd:"" help:"Print the three signature headers for a webhook body."`
	Config        configCommand        `cmd:"" help:"Check a config file."`
	Map           mapCommand           `cmd:"" help:"Test how a format parses a payload."`
	Import        importCommand        `cmd:"" help:"Import existing reservations and listings."`
	Token         tokenCommand         `cmd:"" help:"Create admin tokens."`
	Dev           devCommand           `cmd:"" help:"Manage the data of serve --dev."`
	Simulator     simulatorCommand     `cmd:"" help:"Run the Seam simulator."`
	OpenAPI       openAPICommand       `cmd:"" name:"openapi" help:"Print the OpenAPI document of the REST API."`
	Healthcheck   healthcheckCommand   `cmd:"" help:"Exit 0 if a running service is ready."`
	Version       versionCommand       `cmd:"" help:"Print the version."`
}

// streams are what commands read and write.
type streams struct {
	in       io.Reader
	out, err io.Writer
	hangups  *app.Hangups // nil: nobody listens for SIGHUP
}

func main() {
	hangups := app.TakeHangups()
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals // a second signal ends the process at once
		os.Exit(130)
	}()
	os.Exit(run(ctx, os.Args[1:], &streams{os.Stdin, os.Stdout, os.Stderr, hangups}))
}

// run executes one command line and returns the exit status: 0, 1 for a failure, 2 for a wrong command line
// or configuration, 3 where a service that was waited for is not ready.
func run(ctx context.Context, args []string, io *streams) int {
	var c cli
	status := -1
	parser, err := kong.New(&c, kong.Name("staykey"),
		kong.Description("Turns reservations into mobile keys: PMS webhooks in, Seam (Salto KS) out, REST for admins."),
		kong.Writers(io.out, io.err), kong.Exit(func(code int) { status = code; panic(exit{}) }),
		kong.Vars{"version": versionLine()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(io))
	if err != nil {
		_, _ = fmt.Fprintln(io.err, "staykey:", err)
		return 1
	}

	command, err := parse(parser, withHelp(args))
	if status >= 0 { // --help or --version was answered
		return status
	}
	if err != nil {
		_, _ = fmt.Fprintf(io.err, "staykey: %v (see staykey --help)\n", err)
		return 2
	}

	if command.Selected().Name != "serve" {
		io.hangups.Release()
	}

	err = command.Run()
	if problems := config.Problems(nil); errors.As(err, &problems) {
		for _, p := range problems {
			_, _ = fmt.Fprintln(io.err, "staykey:", p)
		}
		return 2
	}

	if err != nil {
		_, _ = fmt.Fprintln(io.err, "staykey:", strings.ReplaceAll(err.Error(), "\n", "\n  "))
		if own := (statusError{}); errors.As(err, &own) {
			return own.status
		}
		return 1
	}
	return 0
}

// withHelp asks for help where there are no arguments, or where the first one is help, as in "staykey help doctor".
func withHelp(args []string) []string {
	if len(args) == 0 {
		return []string{"--help"}
	}
	if args[0] == "help" {
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

// exit unwinds kong's parsing where it would have ended the process.
type exit struct{}

func parse(parser *kong.Kong, args []string) (command *kong.Context, err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(exit); !ok {
				panic(r)
			}
		}
	}()
	return parser.Parse(args)
}

// exitNotReady is the exit status of a wait that ends before the service is ready.
const exitNotReady = 3

// statusError ends the process with an exit status of its own.
type statusError struct {
	error
	status int
}

// Unwrap implements the interface of [errors.Is].
func (e statusError) Unwrap() error { return e.error }
