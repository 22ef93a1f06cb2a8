package config

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/pms"
)

// CanReload reports whether there is anything to read again: a trial has nothing, unless it was given files.
func (c Config) CanReload() bool {
	return !c.Dev || c.given.Config != "" || c.TLS != nil
}

// Reload reads everything again that may change while the service runs: the config file, and the files of secrets.
// Secrets that --dev made stay unchanged.
func (c Config) Reload() (Config, error) {
	again := c.given
	again.TLSCert, again.TLSKey = "", "" // the certificate is reloaded on its own
	if c.Made.Webhook {
		again.WebhookSecret = c.WebhookSecret
	}
	if c.Made.Admin {
		again.AdminToken = strings.Join(c.AdminTokens, ",")
	}
	return again.Load(c.getenv)
}

// ReadSources reads the sources of the file, and adds the source default if it has a secret and the file doesn't
// define it.
func ReadSources(path, secret string, drift pms.Drift, getenv func(string) string, problems *Problems) Set {
	set := Set{Sources: map[string]pms.Source{}}
	if path != "" {
		set = LoadSources(path, secret, getenv, problems)
	}
	_, defined := set.Sources["default"]
	if _, retired := set.Retired["default"]; secret != "" && !defined && !retired {
		secrets := parseSecrets("STAYKEY_WEBHOOK_SECRET", secret, problems)
		set.Sources["default"] = pms.Source{
			Name: "default", Verifier: pms.StandardWebhooks{Secrets: secrets}, Secrets: SplitList(secret),
			Policy: pms.DefaultPolicy(), Statuses: pms.DefaultStatuses(),
		}
	}
	for name, source := range set.Sources {
		if source.Policy.Drift == "" {
			source.Policy.Drift = drift
			set.Sources[name] = source
		}
	}
	set.separateGroups()
	set.refuseSharedSecrets(problems)
	return set
}

// refuseSharedSecrets notes secrets with which one PMS could post as another.
func (s Set) refuseSharedSecrets(problems *Problems) {
	owner := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Sources)) {
		for _, text := range s.Sources[name].Secrets {
			if secret, err := pms.ParseSecret(text); err == nil {
				text = secret.String() // however it is padded
			}
			if other, taken := owner[text]; taken && other != name && text != "" {
				position := cmp.Or(s.positions.of("source", name), s.positions.of("source", other))
				problems.add("STAYKEY_CONFIG", "%ssources %q and %q have a secret in common: give each its own",
					position, min(name, other), max(name, other))
			}
			owner[text] = name
		}
	}
}
