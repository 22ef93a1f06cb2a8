package config

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/retention"
	"github.com/staykey/staykey/internal/seam"
)

// Settings become a configuration here, subject by subject. Every problem is added to one list, with the setting that
// it is about, so that a start reports all of them at once.

// readListeners says where the service listens.
func (s *Settings) readListeners(c *Config) {
	c.Listen, c.OpsListen = cmp.Or(s.Listen, ":8080"), cmp.Or(s.OpsListen, "127.0.0.1:9090")
	c.AdminListen = s.AdminListen
	if c.Dev && s.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	c.DevLoopback, c.Profiling = s.DevLoopback, s.Profiling || isLoopback(c.OpsListen)
}

// loadListeners checks the addresses, and reads the public URL and the certificate.
func (s *Settings) loadListeners(c *Config, problems *Problems) {
	checkAddress("STAYKEY_LISTEN", c.Listen, problems)
	if c.AdminListen != "" {
		checkAddress("STAYKEY_ADMIN_LISTEN", c.AdminListen, problems)
	}
	checkAddress("STAYKEY_OPS_LISTEN", c.OpsListen, problems)
	s.loadURLs(c, problems)
	if s.TLSCert == "" && s.TLSKey == "" {
		return
	}
	var err error
	if c.TLS, err = newCertificate(s.TLSCert, s.TLSKey); err != nil {
		problems.add("STAYKEY_TLS_CERT", "%v", err)
	}
}

// loadURLs reads where others reach the listeners.
func (s *Settings) loadURLs(c *Config, problems *Problems) {
	c.PublicURL, c.AdminURL = strings.TrimRight(s.PublicURL, "/"), strings.TrimRight(s.AdminURL, "/")
	if c.PublicURL != "" && !isBaseURL(c.PublicURL) {
		problems.add("STAYKEY_PUBLIC_URL", "%q must be a URL such as https://keys.example.com", s.PublicURL)
	}
	if c.AdminURL != "" && !isBaseURL(c.AdminURL) {
		problems.add("STAYKEY_ADMIN_URL", "%q must be a URL such as https://admin.keys.example.com", s.AdminURL)
	}
	if c.AdminListen != "" && c.AdminURL == "" {
		problems.add("STAYKEY_ADMIN_URL",
			"is required with STAYKEY_ADMIN_LISTEN: the URL where admins and programs reach it, such as https://admin.keys.example.com")
	}
	if (c.AdminListen != "" || c.AdminURL != "") && c.PublicURL == "" {
		problems.add("STAYKEY_PUBLIC_URL",
			"is required with STAYKEY_ADMIN_URL: the URL where PMSs and guests reach the public listener, such as https://keys.example.com")
	}
	c.AdminURL = cmp.Or(c.AdminURL, c.PublicURL)
	c.NeedURLs(c.PublicURL, c.AdminURL, problems)
}

// isBaseURL reports whether paths can be appended to a text to make the URL of a page.
func isBaseURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") &&
		u.RawQuery == "" && u.User == nil
}

// loadPaces reads how often and how soon things are done.
func (s *Settings) loadPaces(c *Config, problems *Problems) {
	const month = 30 * 24 * time.Hour
	c.Watch = duration("STAYKEY_WATCH", s.Watch, 0, 0, time.Hour, problems)
	c.RetryBase = duration("STAYKEY_RETRY_BASE", s.RetryBase, 2*time.Second, 10*time.Millisecond,
		15*time.Minute, problems)
	c.SweepInterval = duration("STAYKEY_SWEEP_INTERVAL", s.SweepInterval, 15*time.Minute, time.Second, month, problems)
	delay := stopDelay
	if c.Dev {
		delay = 0
	}
	c.StopDelay = duration("STAYKEY_STOP_DELAY", s.StopDelay, delay, 0, longestStopDelay, problems)
	c.DueWithin = duration("STAYKEY_DUE_WITHIN", s.DueWithin, 24*time.Hour, time.Minute, month, problems)
	c.Workers = number("STAYKEY_WORKERS", s.Workers, 16, 1, 256, problems)
}

// loadLog reads how much is logged, and in which format.
func (s *Settings) loadLog(c *Config, problems *Problems) {
	if err := c.LogLevel.UnmarshalText([]byte(cmp.Or(s.LogLevel, "info"))); err != nil ||
		strings.ContainsAny(s.LogLevel, "+-") {
		problems.add("STAYKEY_LOG_LEVEL", "%q must be debug, info, warn or error", s.LogLevel)
	}
	byDefault := "json"
	if c.Dev {
		byDefault = "text"
	}
	if c.LogFormat = cmp.Or(s.LogFormat, byDefault); c.LogFormat != "json" && c.LogFormat != "text" {
		problems.add("STAYKEY_LOG_FORMAT", "%q must be json or text", s.LogFormat)
	}
}

// loadAges reads how long things are kept. Nothing may go before what is shown with it.
func (s *Settings) loadAges(c *Config, problems *Problems) {
	c.Ages = retention.Defaults()
	longest, of := time.Duration(0), ""
	for _, a := range []struct {
		name, text string
		age        *time.Duration
	}{
		{"STAYKEY_RETAIN_BODIES", s.RetainBodies, &c.Ages.Bodies},
		{"STAYKEY_RETAIN_EVENTS", s.RetainEvents, &c.Ages.Events},
		{"STAYKEY_RETAIN_TIMELINE", s.RetainTimeline, &c.Ages.Timeline},
		{"STAYKEY_RETAIN_RESERVATIONS", s.RetainStays, &c.Ages.Reservations},
	} {
		before := *a.age
		switch days, isDays := strings.CutSuffix(a.text, "d"); {
		case a.text == "never":
			*a.age = retention.Never
		case a.text != "":
			n, err := strconv.Atoi(days)
			if !isDays || err != nil || n < 1 || n > 36500 {
				problems.add(a.name, "%q must be days such as %.0fd, or never", a.text, before.Hours()/24)
				continue
			}
			*a.age = time.Duration(n) * 24 * time.Hour
		default: // follows one that was made longer
			*a.age = max(*a.age, longest)
		}
		if *a.age < longest {
			problems.add(a.name, "%q is shorter than %s: it must be at least as long", a.text, of)
		}
		longest, of = *a.age, a.name
	}
	c.RetainDeliveries = age("STAYKEY_RETAIN_DELIVERIES", s.RetainSent, 30*24*time.Hour, problems)
}

// age reads an age such as 30d; never is 0.
func age(name, text string, otherwise time.Duration, problems *Problems) time.Duration {
	if text == "" {
		return otherwise
	}
	if text == "never" {
		return 0
	}
	number, isDays := strings.CutSuffix(text, "d")
	n, err := strconv.Atoi(number)
	if !isDays || err != nil || n < 1 || n > 36500 {
		problems.add(name, "%q must be days such as 30d, or never", text)
	}
	return time.Duration(n) * 24 * time.Hour
}

// stopDelay is STAYKEY_STOP_DELAY's default, and longestStopDelay leaves time for everything else that a stop does.
const (
	stopDelay        = 5 * time.Second
	longestStopDelay = 8 * time.Second
)

// loadDatabase checks DATABASE_URL, which only a development start can do without.
func (s Settings) loadDatabase(c *Config, problems *Problems) {
	if c.DatabaseURL == "" {
		if !c.Dev {
			problems.add("DATABASE_URL",
				`is required: a Postgres DSN such as "postgres://staykey:password@localhost:5432/staykey" (or try staykey serve --dev)`)
		}
		return
	}
	parsed, err := pgxpool.ParseConfig(c.DatabaseURL)
	switch {
	case err != nil:
		problems.add("DATABASE_URL",
			`is not a Postgres DSN; a DSN looks like "postgres://user:password@host:5432/database"`)
	case strings.Index(parsed.ConnConfig.Host, "@") > 0: // else the end of the password is logged as the host
		problems.add("DATABASE_URL", "has an @ in its user or password: write it as %%40")
	}
}

func (s Settings) loadSeam(c *Config, problems *Problems) {
	if c.SeamAPIKey == "" && !c.Dev {
		problems.add("SEAM_API_KEY",
			`is required: create one in the Seam console (or try staykey serve --dev, with a simulated Seam)`)
	}
	if strings.ContainsAny(c.SeamAPIKey, " \t\r\n") {
		problems.add("SEAM_API_KEY", "must be one word")
	}
	c.SeamEndpoint = cmp.Or(s.SeamEndpoint, seam.DefaultEndpoint)
	if client, err := seam.New(seam.Config{Endpoint: c.SeamEndpoint}); err != nil {
		problems.add("SEAM_ENDPOINT", "%q %v", s.SeamEndpoint, err)
	} else {
		client.Close()
	}
	c.SeamSecrets = parseSecrets("SEAM_WEBHOOK_SECRET", s.SeamSecret, problems)
}

// loadSecrets reads the secrets, and prepares to read those of the config file.
func (s Settings) loadSecrets(c *Config, getenv func(string) string, problems *Problems) {
	webhook, admin := s.madeSecrets(c)
	if webhook == "" && s.Config == "" {
		problems.add("STAYKEY_WEBHOOK_SECRET",
			`is required: "whsec_" and base64 of 24 random bytes, which you give to the PMS too (openssl rand -base64 24)`)
	}
	if admin == "" {
		problems.add("STAYKEY_ADMIN_TOKEN",
			"is required: one or more tokens of at least 24 characters, comma-separated (openssl rand -hex 24)")
	}

	drift, wellKnown := c.Drift, c.WellKnownFit()
	c.readSources = func(secret string, admins []string, problems *Problems) Set {
		set := ReadSources(s.Config, secret, drift, getenv, problems)
		set.refuseSharedTokens(admins, problems)
		if !wellKnown {
			set.refuseWellKnown(problems)
		}
		return set
	}

	if !wellKnown && slices.ContainsFunc(SplitList(s.SeamSecret), IsWellKnown) {
		problems.add("SEAM_WEBHOOK_SECRET", wellKnownRefused)
	}
	c.setSecrets(webhook, admin, problems)
}

// madeSecrets returns the webhook secret and the admin token that are set, or made where --dev may do without. Where
// the well-known ones don't fit, the database's own replace these (useDatabaseSecrets).
func (s Settings) madeSecrets(c *Config) (webhook, admin string) {
	webhook, admin = s.WebhookSecret, s.AdminToken
	c.Made = madeSecrets{Webhook: c.Dev && webhook == "" && s.Config == "", Admin: c.Dev && admin == ""}
	c.Printed = c.Made.Webhook || c.Made.Admin

	if c.Made.Webhook {
		webhook = DevWebhookSecret
		if !c.WellKnownFit() {
			webhook = pms.Secret(random(32)).String()
		}
	}
	if c.Made.Admin {
		admin = DevAdminToken
		if !c.WellKnownFit() {
			admin = hex.EncodeToString(random(24))
		}
	}
	return webhook, admin
}

// setSecrets takes the secret of the source default and the admins' tokens, and reads the sources with them.
func (c *Config) setSecrets(webhook, admin string, problems *Problems) {
	c.AdminTokens = nil
	for i, token := range SplitList(admin) {
		switch {
		case !c.WellKnownFit() && IsWellKnown(token):
			problems.add("STAYKEY_ADMIN_TOKEN", "token %d %s", i+1, wellKnownRefused)
		case checkToken("STAYKEY_ADMIN_TOKEN", i, token, problems):
			c.AdminTokens = append(c.AdminTokens, token)
		}
	}
	c.WebhookSecret = webhook
	admins, read := c.AdminTokens, c.readSources
	seamSecrets := c.SeamSecrets // loadSeam has read them
	c.Set = read(webhook, admins, problems)
	c.AdminSecrets, c.SeamSecrets = adminTokens(c.AdminTokens), seamSecrets
}

func parseSecrets(name, list string, problems *Problems) []pms.Secret {
	var secrets []pms.Secret
	for i, text := range SplitList(list) {
		secret, err := pms.ParseSecret(text)
		if err != nil {
			problems.add(name, "secret %d %v", i+1, err)
			continue
		}
		secrets = append(secrets, secret)
	}
	return secrets
}

// SplitList returns the items of a comma-separated list, without spaces around them and without empty ones.
func SplitList(list string) []string {
	var items []string
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func checkAddress(name, address string, problems *Problems) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		problems.add(name, `%q must be an address to listen on, such as ":8080" or "127.0.0.1:8080"`, address)
	}
}

func duration(name, text string, otherwise, least, most time.Duration, problems *Problems) time.Duration {
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		problems.add(name, "%q must be a duration from %s to %s, such as %s", text, least, most, otherwise)
	}
	return d
}

func number(name, text string, otherwise, least, most int, problems *Problems) int {
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		problems.add(name, "%q must be a number from %d to %d, such as %d", text, least, most, otherwise)
	}
	return n
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}
