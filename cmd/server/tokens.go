package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/admin"
)

// Scopes of a token.
const (
	scopeRead  = "read"
	scopeWrite = "write"
)

// environmentTokens is the name of the tokens of STAYKEY_ADMIN_TOKEN: the author of what is done with them.
const environmentTokens = "admin"

// hashScheme begins a token's hash in the config file. Tokens are random and long, so that nothing slower than SHA-256 is needed.
const hashScheme = "sha256:"

// loadTokens reads the tokens of the config file.
func (m mapping) loadTokens(known func(source string) bool) []admin.Token {
	var tokens []admin.Token
	for _, entry := range m.mappings("tokens") {
		t := admin.Token{Name: entry.text("name")}
		if !sourceName.MatchString(t.Name) {
			entry.wrong("name", "%q must be letters, digits, dots, dashes and underscores, at most 100", t.Name)
		}
		if strings.EqualFold(t.Name, environmentTokens) {
			entry.wrong("name", "%q is the name of STAYKEY_ADMIN_TOKEN: choose another", t.Name)
		}
		if slices.ContainsFunc(tokens, func(other admin.Token) bool { return other.Name == t.Name }) {
			entry.wrong("name", "%q is defined twice", t.Name)
		}
		text, isHash := strings.CutPrefix(entry.text("hash"), hashScheme)
		hash, err := hex.DecodeString(text)
		if !isHash || err != nil || len(hash) != sha256.Size {
			entry.wrong("hash", `must be %q and 64 hex digits, as staykey token new prints it`, hashScheme)
		}
		copy(t.Hash[:], hash)
		switch scope := entry.text("scope"); scope {
		case "", scopeRead:
		case scopeWrite:
			t.Write = true
		case admin.OnlyGates, admin.OnlyGuest:
			t.Only = scope
		default:
			entry.wrong("scope", "%q must be read, write, gates or guest", scope)
		}
		sources, nodes := entry.list("sources")
		for i, name := range sources {
			if !known(name) {
				entry.fail(nodes[i], fmt.Sprintf("%s[%d]", entry.name("sources"), i), "%q is not a source of this configuration", name)
			}
		}
		if t.Sources = sources; entry.said("sources") && len(sources) == 0 {
			entry.wrong("sources", "must name at least one; leave it out for all")
		}
		entry.done()
		tokens = append(tokens, t)
	}
	return tokens
}

// adminTokens are those of STAYKEY_ADMIN_TOKEN, which may do everything.
func adminTokens(secrets []string) []admin.Token {
	tokens := make([]admin.Token, len(secrets))
	for i, secret := range secrets {
		tokens[i] = admin.Token{Name: environmentTokens, Hash: sha256.Sum256([]byte(secret)), Write: true}
	}
	return tokens
}

type tokenCommand struct {
	New tokenNewCommand `cmd:"" help:"Create an admin token and its config file entry."`
}

type tokenNewCommand struct {
	Name   string   `required:"" help:"Name of the token, recorded as the author of its actions."`
	Scope  string   `enum:"read,write,gates,guest" default:"read" help:"read, write, gates (sets gates and nothing else) or guest (app sessions and guests' links, nothing else); default ${default}."`
	Source []string `help:"Sees only this source; may be repeated. Default all." placeholder:"NAME"`
}

// Run prints the token, which is kept nowhere, and its entry in the config file.
func (t *tokenNewCommand) Run(io *streams) error {
	if !sourceName.MatchString(t.Name) || strings.EqualFold(t.Name, environmentTokens) {
		return configProblems{fmt.Sprintf("--name: %q must be letters, digits, dots, dashes and underscores, at most 100, and not %s", t.Name, environmentTokens)}
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
	_, err := fmt.Fprintf(w, "tokens:\n  - name: %s\n    hash: %s%x\n    scope: %s%s\n", t.Name, hashScheme, hash, t.Scope, sources)
	return err
}
