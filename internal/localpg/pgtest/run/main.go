// Command run starts one Postgres for a whole test run and gives its address to the command in its
// arguments as TEST_DATABASE_URL, so that the packages' tests share it. Without arguments it prints the address, and
// stops the server when its standard input ends: package pgtest calls it so.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/staykey/staykey/internal/localpg/pgtest"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	dsn, stop, err := start(ctx, func(s string) { fmt.Fprintln(os.Stderr, s) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()

	if len(os.Args) == 1 {
		fmt.Println(dsn)
		awaitEnd(ctx, os.Stdin)
		return 0
	}

	cmd := exec.CommandContext(ctx, os.Args[1], os.Args[2:]...) // #nosec G204 G702 -- running its arguments is its purpose
	cmd.Env = append(os.Environ(), pgtest.Variable+"="+dsn)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// awaitEnd waits until the input ends, as it does with the process that wrote to it.
func awaitEnd(ctx context.Context, input io.Reader) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, input)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}
