package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/pms"
)

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Check a config file and report every problem with its line and column."`
}

type configCheckCommand struct {
	File      string `arg:"" placeholder:"FILE" help:"Config file to check."`
	NoSecrets bool   `help:"Accept variables that are not set, and list them: for a check without the secrets, such as in CI."`
}

// Run reads the file as a start would, with the environment's variables.
func (c *configCheckCommand) Run(io *streams) error {
	set, unset, err := config.CheckFile(c.File, c.NoSecrets)
	if problems := config.Problems(nil); errors.As(err, &problems) {
		for _, p := range problems { // FILE:LINE:COLUMN: text, as compilers print it and CI annotates it
			_, _ = fmt.Fprintln(io.err, p)
		}
		return statusError{fmt.Errorf("%s is not valid", c.File), 2}
	}
	if err != nil {
		return err
	}
	if len(unset) > 0 {
		_, _ = fmt.Fprintf(io.out, "not set, and not checked: %s\n", strings.Join(unset, ", "))
	}

	for _, name := range slices.Sorted(maps.Keys(set.Sources)) {
		source := set.Sources[name]
		format, notes := pms.CanonicalFormat, ""
		if source.Format != nil {
			format = source.Format.Name
			if source.Format.Fetch != nil && source.Fetch == nil {
				notes = ", its events wait as needs_fetch: it has no fetch block"
			}
		}
		if source.Insecure {
			notes += ", INSECURE: anybody may post"
		}
		_, _ = fmt.Fprintf(io.out, "%s (%s): %s%s\n", name, format, counted(len(source.Secrets), "secret"), notes)
	}

	if signIn := set.SignIn; signIn != nil {
		_, _ = fmt.Fprintf(io.out, "sign_in (%s): %s; allow STAYKEY_PUBLIC_URL (or STAYKEY_ADMIN_URL) plus /sign-in/callback there\n",
			signIn.Issuer, counted(len(signIn.Roles), "role"))
	}

	_, _ = fmt.Fprintf(io.out, "%s is valid: %s\n", c.File, counted(len(set.Sources), "source"))
	return nil
}
