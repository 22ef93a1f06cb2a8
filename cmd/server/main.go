// Command staykey turns a hotel's or host's reservations into mobile keys.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Stamped by the build: -ldflags "-X main.version=... -X main.commit=...".
var (
	version = "dev"
	commit  = "unknown"
)

type cli struct {
	Serve         serveCommand         `cmd:"" default:"withargs" help:"Run the service (the default command)."`
	Reservations  reservationsCommand  `cmd:"" help:"List the reservations of a running service, and how their keys stand."`
	Reservation   reservationCommand   `cmd:"" help:"Tell one reservation's story: how it stands, why, and what would be done."`
	Events        eventsCommand        `cmd:"" help:"List the inbox of a running service."`
	Audit         auditCommand         `cmd:"" help:"List who changed what on a running service."`
	Subscriptions subscriptionsCommand `cmd:"" help:"List the subscriptions of a running service; test, enable or disable one."`
	Deliveries    deliveriesCommand    `cmd:"" help:"List the messages to subscriptions with their attempts; send one again."`
	EraseGuest    eraseGuestCommand    `cmd:"" name:"erase-guest" help:"Erase a guest: our rows, and at Seam what we made and nobody else uses."`
	Doctor        doctorCommand        `cmd:"" help:"Have a running service compare its configuration with the real world; exit 1 if something is wrong."`
	Migrate       migrateCommand       `cmd:"" help:"Bring the database to this version's schema, or see how far it is."`
	Sign          signCommand          `cmd:"" help:"Print the three signature headers for a webhook's body."`
	Config        configCommand        `cmd:"" help:"Check a config file."`
	Map           mapCommand           `cmd:"" help:"Show what a format makes of a payload."`
	Import        importCommand        `cmd:"" help:"Store what was booked before a PMS was connected."`
	Token         tokenCommand         `cmd:"" help:"Make tokens for admins."`
	Dev           devCommand           `cmd:"" help:"See to the data of serve --dev."`
	Simulator     simulatorCommand     `cmd:"" help:"Run the Seam simulator on its own."`
	OpenAPI       openAPICommand       `cmd:"" name:"openapi" help:"Print the OpenAPI document of the REST interface."`
	Healthcheck   healthcheckCommand   `cmd:"" help:"Ask a running service whether it is ready; exit 0 if it is."`
	Version       versionCommand       `cmd:"" help:"Print the version."`
}

// streams are what commands read and write.
type streams struct {
	in       io.Reader
	out, err io.Writer
	hangups  *hangups // nil: nobody listens for SIGHUP
}

func main() {
	hangups := takeHangups()
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
// or configuration.
func run(ctx context.Context, args []string, io *streams) int {
	var c cli
	status := -1
	parser, err := kong.New(&c, kong.Name("staykey"),
		kong.Description("Turns reservations into mobile keys: PMS webhooks in, Seam (Salto KS) out, REST for admins."),
		kong.Writers(io.out, io.err), kong.Exit(func(code int) { status = code; panic(exit{}) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(io))
	if err != nil {
		_, _ = fmt.Fprintln(io.err, "staykey:", err)
		return 1
	}
	command, err := parse(parser, args)
	if status >= 0 { // --help was answered
		return status
	}
	if err != nil {
		_, _ = fmt.Fprintf(io.err, "staykey: %v (see staykey --help)\n", err)
		return 2
	}
	if command.Selected().Name != "serve" {
		io.hangups.release()
	}
	err = command.Run()
	if problems := configProblems(nil); errors.As(err, &problems) {
		for _, p := range problems {
			_, _ = fmt.Fprintln(io.err, "staykey:", p)
		}
		return 2
	}
	if err != nil {
		_, _ = fmt.Fprintln(io.err, "staykey:", strings.ReplaceAll(err.Error(), "\n", "\n  "))
		return 1
	}
	return 0
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
