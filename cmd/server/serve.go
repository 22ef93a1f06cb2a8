package main

import (
	"context"

	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/config"
)

type serveCommand struct {
	Settings config.Settings `embed:""`
}

// Help is shown below the flags of serve --help.
func (*serveCommand) Help() string { return config.EnvironmentHelp }

// Run starts the service and serves until ctx ends.
func (s *serveCommand) Run(ctx context.Context, io *streams) error {
	c, err := s.Settings.FromEnvironment()
	if err != nil {
		return err
	}
	return app.Run(ctx, c, app.Process{
		Build: app.Build{Version: version, Commit: commit}, Out: io.out, Err: io.err, Hangups: io.hangups,
	})
}
