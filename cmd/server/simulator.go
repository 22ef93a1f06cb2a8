package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/seam/simulator"
)

type simulatorCommand struct {
	Listen string `default:"127.0.0.1:8180" placeholder:"ADDRESS" help:"Where to listen; default ${default}."`
	APIKey string `name:"api-key" placeholder:"KEY" help:"Accept only this API key; default any."`
	State  string `placeholder:"FILE" help:"Keep the workspace in this file across restarts."`
	Second string `name:"second-user" enum:"allow,refuse,return_existing,move_link" default:"allow" placeholder:"BEHAVIOR" help:"A second ACS user for an identity on one system: allow, refuse, return_existing or move_link; default ${default}."`
}

// Run serves until ctx ends.
func (s *simulatorCommand) Run(ctx context.Context, io *streams) error {
	sim, err := simulator.New(simulator.Options{
		APIKey: s.APIKey, StateFile: s.State,
		SecondUser: simulator.SecondUser(s.Second),
	})
	if err != nil {
		return err
	}
	app.Furnish(sim)
	l, err := app.Listen("--listen", s.Listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 5 * time.Second}
	_, _ = fmt.Fprintf(io.out,
		"Seam simulator on http://%s\n  SEAM_ENDPOINT=http://%s SEAM_API_KEY=%s staykey serve\n  state: curl http://%s/_simulator/state\n",
		l.Addr(), l.Addr(), cmp.Or(s.APIKey, "seam_test_simulated"), l.Addr())
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}
