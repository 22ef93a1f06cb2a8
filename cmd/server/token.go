package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"github.com/staykey/staykey/internal/config"
)

type tokenCommand struct {
	New tokenNewCommand `cmd:"" help:"Create an admin token and its config file entry."`
}

type tokenNewCommand struct {
	Name   string   `required:"" placeholder:"NAME" help:"Name of the token, recorded as the author of its actions."`
	Scope  string   `enum:"read,write,gates,guest" default:"read" placeholder:"SCOPE" help:"read, write, gates (sets gates and nothing else) or guest (app sessions, backup codes and guests' links, nothing else); default ${default}."`
	Source []string `help:"Source that the token sees; may be repeated. Default: all." placeholder:"NAME"`
}

// Run prints the token, which is kept nowhere, and its entry in the config file.
func (t *tokenNewCommand) Run(io *streams) error {
	if !config.SourceName.MatchString(t.Name) || strings.EqualFold(t.Name, config.EnvironmentTokens) {
		return config.Problems{fmt.Sprintf(
			"--name: %q must be letters, digits, dots, dashes and underscores, at most 100, and not %s", t.Name,
			config.EnvironmentTokens)}
	}
	token := "sk_" + rand.Text() + rand.Text()
	_, _ = fmt.Fprintf(io.err, "Copy this token now; it won't be shown again:\n\n")
	if _, err := fmt.Fprintln(io.out, token); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(io.err, "\nAdd this to the config file (STAYKEY_CONFIG), and send the service SIGHUP:\n\n")
	return t.entry(io.err, token)
}

func (t *tokenNewCommand) entry(w io.Writer, token string) error {
	hash := sha256.Sum256([]byte(token))
	sources := ""
	if len(t.Source) > 0 {
		sources = fmt.Sprintf("\n    sources: [%s]", strings.Join(t.Source, ", "))
	}
	_, err := fmt.Fprintf(w, "tokens:\n  - name: %s\n    hash: %s%x\n    scope: %s%s\n", t.Name, config.HashScheme,
		hash, t.Scope, sources)
	return err
}
