package main

import (
	"fmt"
)

type versionCommand struct{}

// Run prints version and commit.
func (versionCommand) Run(io *streams) error {
	_, err := fmt.Fprintln(io.out, versionLine())
	return err
}

// versionLine is what version and --version print.
func versionLine() string { return fmt.Sprintf("staykey %s (%s)", version, commit) }
