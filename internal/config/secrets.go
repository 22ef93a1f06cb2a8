package config

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/staykey/staykey/internal/pms"
)

// The well-known development secrets are no secrets: they are in the README. They work only where only the
// simulator can be reached with them, and only this machine can use them (see config.wellKnownFit).
const (
	DevWebhookSecret = "whsec_c3RheWtleS1kZXZlbG9wbWVudC1vbmx5LXNlY3JldCE=" // #nosec G101 -- see above
	DevAdminToken    = "staykey-development-admin-token"                    // #nosec G101 -- see above
)

// The password that docker-compose.yml gives its Postgres while POSTGRES_PASSWORD is not set, and the name of that
// host.
const (
	composePassword     = "staykey" // #nosec G101 -- of a trial with a simulated Seam
	composePostgresHost = "postgres"
)

const wellKnownRefused = "is a well-known development secret from the README: set your own"

// madeSecrets says which secrets the operator left out and a development start makes.
type madeSecrets struct{ Webhook, Admin bool }

// WellKnownFit reports whether the well-known development secrets may be used: Seam is simulated, and the listeners
// are reached from this machine only.
func (c Config) WellKnownFit() bool {
	return c.Simulate && (c.DevLoopback || isLoopback(c.Listen)) && (c.AdminListen == "" || isLoopback(c.AdminListen))
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// UseDatabaseSecrets replaces the secrets that this start generates by the database's own, derived from its seed: they
// are the same at every start, and nobody knows them who doesn't know the database.
func (c *Config) UseDatabaseSecrets(seed string) error {
	derive := func(what string) []byte {
		mac := hmac.New(sha256.New, []byte(seed))
		mac.Write([]byte(what))
		return mac.Sum(nil)
	}
	webhook, admin := c.WebhookSecret, strings.Join(c.AdminTokens, ",")
	if c.Made.Webhook {
		webhook = pms.Secret(derive("webhook secret")).String()
	}
	if c.Made.Admin {
		admin = hex.EncodeToString(derive("admin token")[:24])
	}
	var problems Problems
	if c.setSecrets(webhook, admin, &problems); len(problems) > 0 {
		return problems
	}
	return nil
}

// checkToken notes what makes an admin token guessable.
func checkToken(name string, i int, token string, problems *Problems) bool {
	const make = "(openssl rand -hex 24)"
	switch {
	case len(token) < leastToken:
		problems.add(name, "token %d has %d characters: at least %d are needed %s", i+1, len(token), leastToken, make)
	case strings.ContainsAny(token, " \t\r\n"):
		problems.add(name, "token %d must be one word", i+1)
	case !varied(token):
		problems.add(name, "token %d repeats itself and is easy to guess: make a random one %s", i+1, make)
	default:
		return true
	}
	return false
}

const (
	leastToken      = 24
	leastCharacters = 6  // different ones; a random token of digits alone has more
	leastPeriod     = 12 // a shorter text repeated is as easy to guess as the short one
)

// varied reports whether a token or secret is more than a few characters or a short text over and over. It can't tell
// a good one, only the worst ones.
func varied(token string) bool {
	seen := map[byte]bool{}
	for i := range len(token) {
		seen[token[i]] = true
	}
	if len(seen) < leastCharacters {
		return false
	}
	for period := 1; period < leastPeriod; period++ {
		if strings.HasPrefix(token, token[period:]) {
			return false
		}
	}
	return true
}

// Guessable names the owners of signing secrets that repeat themselves, such as only zeros: anybody who tries those
// could sign. They are used, because the sender may insist on one; the operator should be warned.
func (s Set) Guessable() []string {
	guessable := func(secret pms.Secret) bool { return !varied(string(secret)) }
	var owners []string
	for name, source := range s.Sources {
		if slices.ContainsFunc(source.Secrets, func(text string) bool {
			secret, err := pms.ParseSecret(text)
			return err == nil && guessable(secret)
		}) {
			owners = append(owners, "source "+name)
		}
	}
	for _, subscription := range s.Subscriptions {
		if slices.ContainsFunc(subscription.Secrets, guessable) {
			owners = append(owners, "subscription "+subscription.Name)
		}
	}
	if slices.ContainsFunc(s.SeamSecrets, guessable) {
		owners = append(owners, "SEAM_WEBHOOK_SECRET")
	}
	slices.Sort(owners)
	return owners
}

// refuseWellKnown notes the well-known secrets among those of sources and subscriptions, and tokens of the file.
func (s Set) refuseWellKnown(problems *Problems) {
	for name, source := range s.Sources {
		if slices.ContainsFunc(source.Secrets, IsWellKnown) {
			setting, position := "STAYKEY_CONFIG", s.positions.of("source", name)
			if position == "" { // the source default without an entry in the file
				setting = "STAYKEY_WEBHOOK_SECRET"
			}
			problems.add(setting, "%sa secret of source %q %s", position, name, wellKnownRefused)
		}
	}
	for _, subscription := range s.Subscriptions {
		if slices.ContainsFunc(subscription.Hidden(), IsWellKnown) {
			problems.add("STAYKEY_CONFIG", "%sa secret of subscription %q %s",
				s.positions.of("subscription", subscription.Name), subscription.Name, wellKnownRefused)
		}
	}
	hash := sha256.Sum256([]byte(DevAdminToken))
	for _, token := range s.Tokens {
		if token.Hash == hash {
			problems.add("STAYKEY_CONFIG", "%sthe hash of token %q %s", s.positions.of("token", token.Name), token.Name,
				wellKnownRefused)
		}
	}
}

// IsWellKnown reports whether a secret or token is one of the well-known development secrets, however it is padded.
func IsWellKnown(secret string) bool {
	if parsed, err := pms.ParseSecret(strings.TrimSpace(secret)); err == nil {
		secret = parsed.String() // however it is padded
	}
	return secret == DevWebhookSecret || secret == DevAdminToken
}

// refuseSharedTokens notes tokens that can't be distinguished: of two with one hash, one would act with the other's
// name and scope.
func (s Set) refuseSharedTokens(environment []string, problems *Problems) {
	owner := map[[sha256.Size]byte]string{}
	for _, secret := range environment {
		owner[sha256.Sum256([]byte(secret))] = "STAYKEY_ADMIN_TOKEN"
	}
	for _, token := range s.Tokens {
		if other, taken := owner[token.Hash]; taken {
			problems.add("STAYKEY_CONFIG", "%stoken %q has the hash of %s: give each its own (staykey token new)",
				s.positions.of("token", token.Name), token.Name, other)
			continue
		}
		owner[token.Hash] = "token " + token.Name
	}
}

// refuseTrialPassword notes the Postgres password of docker-compose.yml's trial next to a real Seam.
func (c Config) refuseTrialPassword(problems *Problems) {
	parsed, err := pgxpool.ParseConfig(c.DatabaseURL)
	if err != nil || c.Simulate {
		return
	}
	if parsed.ConnConfig.Password == composePassword && parsed.ConnConfig.Host == composePostgresHost {
		problems.add("DATABASE_URL",
			"has the password of docker-compose.yml's trial: set POSTGRES_PASSWORD (openssl rand -hex 24), and set "+
				"the same one on an existing Postgres with ALTER ROLE staykey PASSWORD '...'")
	}
}
