package pms

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// What is kept of a request besides its body: what a format may read, and nothing that is a secret.

// Kept returns the parts of a POST besides its body that are stored for the format: nothing that authenticates it,
// even where a proxy repeats it, and nothing that only concerns its transport.
func Kept(p Post, c Carrier) Request {
	secrets := c.carriedBy(p)
	r := Request{Query: First(p.Query), Path: p.Path}
	delete(r.Query, c.Query)

	for name, value := range r.Query {
		if holdsAny(value, secrets) {
			delete(r.Query, name)
			continue
		}
		r.Query[name] = keepable(value)
	}

	if c.Path {
		_, r.Path, _ = strings.Cut(p.Path, "/")
	}
	if r.Path = keepable(r.Path); holdsAny(r.Path, secrets) {
		r.Path = ""
	}

	total := 0
	for _, name := range slices.Sorted(maps.Keys(p.Header)) {
		value := p.Header.Get(name)
		name = strings.ToLower(name)
		if neverKept(name) || strings.EqualFold(name, c.Header) || holdsAny(value, secrets) {
			continue
		}
		if total += len(name) + len(value); total > maxKept {
			break
		}
		if r.Headers == nil {
			r.Headers = map[string]string{}
		}
		r.Headers[name] = keepable(value)
	}
	return r
}

// keepable is a text that Postgres can store.
func keepable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

// carriedBy returns the secrets in a POST, in every spelling in which a URL or a header can repeat them.
func (c Carrier) carriedBy(p Post) []string {
	secret := ""
	switch {
	case c.Path:
		secret, _, _ = strings.Cut(p.Path, "/")
	case c.Query != "":
		secret = p.Query.Get(c.Query)
	case c.Header != "":
		secret = strings.TrimSpace(p.Header.Get(c.Header))
		if _, bare, found := strings.Cut(secret, " "); found { // after Bearer or Basic
			secret = bare
		}
	}
	if secret == "" {
		return nil
	}
	return []string{secret, url.PathEscape(secret), url.QueryEscape(secret)}
}

func holdsAny(text string, secrets []string) bool {
	return slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(text, secret) })
}

// maxKept bounds the headers that are kept of a POST, in bytes.
const maxKept = 8 << 10

// neverKept reports whether a header authenticates a POST, repeats its URL, or concerns its transport.
func neverKept(name string) bool {
	for _, part := range []string{
		"signature", "forwarded", "original-ur", "rewrite-url", "request-uri", "token",
		"secret", "api-key", "apikey",
	} {
		if strings.Contains(name, part) {
			return true
		}
	}
	switch name {
	case "authorization", "cookie", "proxy-authorization", "connection", "content-length", "accept", "accept-encoding",
		"host", "via", "x-real-ip", "referer":
		return true
	}
	return false
}
