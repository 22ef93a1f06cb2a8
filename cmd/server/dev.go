package main

import (
	"fmt"

	"github.com/staykey/staykey/internal/app"
)

type devCommand struct {
	Clean devCleanCommand `cmd:"" help:"Delete the data of serve --dev: its Postgres and its simulated Seam."`
}

type devCleanCommand struct {
	DevDir string `env:"STAYKEY_DEV_DIR" default:".staykey" placeholder:"DIR" help:"Where --dev keeps its data; default ${default}."`
}

// Run removes everything, or nothing while it is in use.
func (d *devCleanCommand) Run(io *streams) error {
	if err := app.CleanDevState(d.DevDir); err != nil {
		return err
	}
	_, err := fmt.Fprintln(io.out, "removed", d.DevDir)
	return err
}
