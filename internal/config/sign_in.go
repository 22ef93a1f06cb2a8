package config

import (
	"cmp"
	"net"
	"net/url"
	"strings"

	"github.com/staykey/staykey/internal/sso"
)

// The defaults of sign_in. Most providers put the groups into a claim of this name once that is configured there.
const (
	groupsClaim = "groups"
	signInLabel = "Sign in with your work account"
)

// loadSignIn reads with which identity provider people sign in to the page; nil for none.
func (m mapping) loadSignIn(known func(source string) bool) *sso.Settings {
	entry, ok := m.inner("sign_in")
	if !ok {
		return nil
	}
	s := &sso.Settings{
		Issuer: entry.issuer(), ClientID: entry.text("client_id"), ClientSecret: entry.text("client_secret"),
		Label:       cmp.Or(entry.short("label", 60), signInLabel),
		GroupsClaim: cmp.Or(entry.text("groups_claim"), groupsClaim),
		Scopes:      []string{"profile", "email"},
	}

	if s.ClientID == "" {
		entry.wrong("client_id", "is required: the id of staykey at the identity provider")
	}

	if scopes, nodes := entry.list("scopes"); entry.has("scopes") {
		s.Scopes = nil
		for i, scope := range scopes {
			if scope == "" || strings.ContainsAny(scope, " \t\r\n\"\\") {
				entry.fail(nodes[i], entry.name("scopes"), "%q must be one word", scope)
			}
			if scope != "openid" { // it is always requested
				s.Scopes = append(s.Scopes, scope)
			}
		}
	}

	groups := map[string]string{}
	for _, role := range entry.mappings("roles") {
		r := role.role(known)
		role.once(groups, "group", r.Group)
		s.Roles = append(s.Roles, r)
	}

	if len(s.Roles) == 0 {
		entry.wrong("roles", `at least one is needed, such as {group: front-desk, scope: write}: nobody else may sign in`)
	}

	entry.done()
	return s
}

// role reads what the people of a group may do.
func (m mapping) role(known func(source string) bool) sso.Role {
	r := sso.Role{Group: m.text("group")}
	if r.Group == "" {
		m.wrong("group", "is required: a group, as the identity provider names it")
	}
	switch scope := m.text("scope"); scope {
	case "", scopeRead:
	case scopeWrite:
		r.Write = true
	default:
		m.wrong("scope", "%q must be read or write", scope)
	}
	r.Sources = m.chosen("sources", "is not a source of this configuration", known)
	m.done()
	return r
}

// issuer reads the provider's URL. Plain http is for a provider on this machine: an attacker who can change its
// answers could sign in as anybody.
func (m mapping) issuer() string {
	text := m.text("issuer")
	u, err := url.Parse(text)
	switch {
	case text == "":
		m.wrong("issuer", "is required: the identity provider's URL, exactly as in its discovery document")
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		m.wrong("issuer", "%q must be a URL such as https://login.example.com/realms/hotel", text)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(net.JoinHostPort(u.Hostname(), "0")):
	default:
		m.wrong("issuer", "%q must begin with https://", text)
	}
	return text
}
