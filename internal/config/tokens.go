package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/staykey/staykey/internal/admin"
)

// Scopes of a token.
const (
	scopeRead  = "read"
	scopeWrite = "write"
)

// EnvironmentTokens is the name of the tokens of STAYKEY_ADMIN_TOKEN: the author of what is done with them.
const EnvironmentTokens = "admin"

// HashScheme begins a token's hash in the config file. Tokens are random and long, so that nothing slower than SHA-256
// is needed.
const HashScheme = "sha256:"

// loadTokens reads the tokens of the config file.
func (m mapping) loadTokens(known func(source string) bool) []admin.Token {
	var tokens []admin.Token
	names := map[string]string{}
	for _, entry := range m.mappings("tokens") {
		t := admin.Token{Name: entry.ownName()}
		if strings.EqualFold(t.Name, EnvironmentTokens) {
			entry.wrong("name", "%q is the name of STAYKEY_ADMIN_TOKEN: choose another", t.Name)
		}
		entry.once(names, "name", t.Name)

		text, isHash := strings.CutPrefix(entry.text("hash"), HashScheme)
		hash, err := hex.DecodeString(text)
		if !isHash || err != nil || len(hash) != sha256.Size {
			entry.wrong("hash", `must be %q and 64 hex digits, as staykey token new prints it`, HashScheme)
		}
		copy(t.Hash[:], hash)

		entry.tokenScope(&t)
		t.Sources = entry.tokenSources(known)
		entry.done()
		entry.remember("token", t.Name)
		tokens = append(tokens, t)
	}
	return tokens
}

// tokenScope reads what a token may do; reading is the default.
func (m mapping) tokenScope(t *admin.Token) {
	switch scope := m.text("scope"); scope {
	case "", scopeRead:
	case scopeWrite:
		t.Write = true
	case admin.OnlyGates, admin.OnlyGuest:
		t.Only = scope
	default:
		m.wrong("scope", "%q must be read, write, gates or guest", scope)
	}
}

// tokenSources reads the only sources that a token may see; none for all.
func (m mapping) tokenSources(known func(source string) bool) []string {
	sources, nodes := m.list("sources")
	for i, name := range sources {
		if !known(name) {
			m.fail(nodes[i], fmt.Sprintf("%s[%d]", m.name("sources"), i), "%q is not a source of this configuration",
				name)
		}
	}
	if m.has("sources") && len(sources) == 0 {
		m.wrong("sources", "must name at least one; leave it out for all")
	}
	return sources
}

// adminTokens are those of STAYKEY_ADMIN_TOKEN, which may do everything.
func adminTokens(secrets []string) []admin.Token {
	tokens := make([]admin.Token, len(secrets))
	for i, secret := range secrets {
		tokens[i] = admin.Token{Name: EnvironmentTokens, Hash: sha256.Sum256([]byte(secret)), Write: true}
	}
	return tokens
}
