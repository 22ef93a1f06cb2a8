package config

import (
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/staykey/staykey/internal/pms"
)

// HideSecrets has the redactor hide all secrets of the configuration from now on.
func (c Config) HideSecrets() { c.Redactor.Hide(c.Secrets()) }

// Secrets returns all texts that must never be shown.
func (c Config) Secrets() []string {
	list := append([]string{c.SeamAPIKey}, c.AdminTokens...)
	// docker-compose.yml's trial password is this program's name, which every other record has.
	parsed, err := pgxpool.ParseConfig(c.DatabaseURL)
	if err == nil && parsed.ConnConfig.Password != composePassword {
		list = append(list, parsed.ConnConfig.Password)
	}
	for _, s := range c.SeamSecrets {
		list = append(list, s.String())
	}
	return append(list, c.Set.secrets()...)
}

// secrets are those of the sources and of the subscriptions.
func (s Set) secrets() []string {
	var list []string
	for _, sources := range []map[string]pms.Source{s.Sources, s.Retired} {
		for _, source := range sources {
			for _, secret := range source.Secrets {
				list = append(list, secret)
				if _, password, ok := strings.Cut(secret, ":"); ok { // of Basic
					list = append(list, password)
				}
			}
			if f := source.Fetch; f != nil {
				list = append(list, f.Credentials.Secrets()...)
			}
			if w := source.WriteBack; w != nil {
				list = append(list, w.Account.Secrets()...)
			}
		}
	}

	for _, subscription := range s.Subscriptions {
		list = append(list, subscription.Hidden()...)
	}

	if s.SignIn != nil {
		list = append(list, s.SignIn.ClientSecret)
	}
	return list
}

// Redactor takes secrets and e-mail addresses out of log records. Our own records contain none; an error of a library
// might. It never forgets a secret that was configured once.
type Redactor struct {
	mu       sync.Mutex
	secrets  map[string]bool
	replacer atomic.Pointer[strings.Replacer]
}

// shortestSecret is the shortest secret that a configuration may have. To hide shorter texts would black out words.
const shortestSecret = 6

// emailAddress also finds addresses with letters beyond ASCII. What may stand before the @ is what JSON and text
// leave unescaped.
var emailAddress = regexp.MustCompile(`[\pL\pN._%+'-]+@[\pL\pN-]+(\.[\pL\pN-]+)*\.[\pL]{2,}`)

// Hide adds secrets to those that are taken out, in the forms in which a record may show them.
func (r *Redactor) Hide(secrets []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.secrets == nil {
		r.secrets = map[string]bool{}
	}
	for _, s := range secrets {
		if len(s) < shortestSecret {
			continue
		}
		quoted, _ := json.Marshal(s)            // a string
		bare := strings.TrimPrefix(s, "whsec_") // what a library may show
		inJSON := strings.Trim(string(quoted), `"`)
		for _, form := range []string{s, bare, inJSON, url.QueryEscape(s), url.PathEscape(s)} {
			r.secrets[form] = true
		}
	}
	// of two that begin alike the longer one
	forms := slices.SortedFunc(maps.Keys(r.secrets), func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, "[secret]")
	}
	r.replacer.Store(strings.NewReplacer(pairs...))
}

// databaseAttribute is where the log says which database is used: user@host, which is no address.
var databaseAttribute = regexp.MustCompile(`("database":"|config\.database=)[^" ]*`)

// Redact returns a text without secrets and e-mail addresses.
func (r *Redactor) Redact(s string) string {
	if replacer := r.replacer.Load(); replacer != nil {
		s = replacer.Replace(s)
	}
	if !strings.Contains(s, "@") {
		return s
	}
	var b strings.Builder
	last := 0
	for _, database := range append(databaseAttribute.FindAllStringIndex(s, -1), []int{len(s), len(s)}) {
		b.WriteString(emailAddress.ReplaceAllString(s[last:database[0]], "[address]"))
		b.WriteString(s[database[0]:database[1]])
		last = database[1]
	}
	return b.String()
}
