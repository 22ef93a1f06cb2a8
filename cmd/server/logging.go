package main

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
)

// newLogger writes to standard error, as the configuration says.
func (c config) newLogger(io *streams) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: c.redactor.replace}
	c.redactor.hide(c.secrets())
	if c.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(io.err, options))
	}
	return slog.New(slog.NewJSONHandler(io.err, options))
}

// secrets are all that must never be shown.
func (c config) secrets() []string {
	list := append([]string{c.SeamAPIKey}, c.AdminTokens...)
	if parsed, err := pgxpool.ParseConfig(c.DatabaseURL); err == nil {
		list = append(list, parsed.ConnConfig.Password)
	}
	for _, s := range c.SeamSecrets {
		list = append(list, s.String())
	}
	for _, source := range c.Sources {
		list = append(list, source.Secrets...)
		if source.Fetch != nil {
			list = append(list, source.Fetch.Token, source.Fetch.Password, source.Fetch.ClientSecret)
		}
	}
	for _, s := range c.Subscriptions {
		list = append(list, s.Hidden()...)
	}
	return list
}

// redactor takes secrets and e-mail addresses out of log records. Nothing here logs them; an error of somebody else's might.
type redactor struct {
	mu      sync.Mutex
	known   []string // also those that have been replaced: somebody may still use them
	secrets atomic.Pointer[strings.Replacer]
}

// shortestSecret is what is worth hiding: a shorter one, such as a development password, would black out words.
const shortestSecret = 8

var emailAddress = regexp.MustCompile(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}`)

// hide adds secrets to those that are taken out.
func (r *redactor) hide(secrets []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		if len(s) >= shortestSecret && !slices.Contains(r.known, s) {
			r.known = append(r.known, s)
		}
	}
	var pairs []string
	for _, s := range r.known {
		pairs = append(pairs, s, "[secret]")
	}
	r.secrets.Store(strings.NewReplacer(pairs...))
}

func (r *redactor) replace(groups []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		if clean := r.redact(a.Value.String()); clean != a.Value.String() && !(len(groups) > 0 && a.Key == "database") {
			return slog.String(a.Key, clean)
		}
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case error:
			return slog.String(a.Key, r.redact(v.Error()))
		case fmt.Stringer:
			return slog.String(a.Key, r.redact(v.String()))
		}
	}
	return a
}

func (r *redactor) redact(s string) string {
	s = r.secrets.Load().Replace(s)
	if strings.Contains(s, "@") {
		s = emailAddress.ReplaceAllString(s, "[address]")
	}
	return s
}
