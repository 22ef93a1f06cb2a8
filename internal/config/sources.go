package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/sso"
)

// Set is the part of the configuration that can be replaced while the service runs: sources, subscriptions, tokens and
// sign-in.
type Set struct {
	Sources map[string]pms.Source
	// entries that say retired: their webhooks are refused, their keys stay until check-out
	Retired        map[string]pms.Source
	TrustedProxies pms.Addresses
	Tokens         []admin.Token
	AdminSecrets   []admin.Token // of STAYKEY_ADMIN_TOKEN
	SeamSecrets    []pms.Secret  // of SEAM_WEBHOOK_SECRET
	Subscriptions  []notify.Subscription
	SignIn         *sso.Settings // people sign in to the page with this provider, besides tokens; nil for none
	secretFiles    []string      // that variables of the file were read from
	positions      positions
}

// Of returns a source, also one that has gone from the configuration while its stays are still here: that one has the
// default policy.
func (s Set) Of(name string) pms.Source {
	if source, known := s.Sources[name]; known {
		return source
	}
	if source, known := s.Retired[name]; known {
		return source
	}
	return pms.Source{Name: name, Policy: pms.DefaultPolicy(), Statuses: pms.DefaultStatuses()}
}

// Names reports whether the configuration has an entry for a source, retired or not.
func (s Set) Names(source string) bool {
	_, known := s.Sources[source]
	_, retired := s.Retired[source]
	return known || retired
}

// SourceName matches names of sources, subscriptions and tokens. They are parts of URLs, metrics and logs.
var SourceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// LoadSources reads the file of STAYKEY_CONFIG. Every problem names the file, the line and the field. secret is that
// of the source default, "" for none.
func LoadSources(path, secret string, getenv func(string) string, problems *Problems) Set {
	set := Set{Sources: map[string]pms.Source{}, Retired: map[string]pms.Source{}}
	file, ok := openYAML(path, getenv, problems)
	if !ok {
		return set
	}

	entries := file.mappings("sources")
	if len(entries) == 0 && (secret == "" || file.has("sources")) {
		file.wrong("sources", "at least one is needed; for the source default alone, leave the key out and set STAYKEY_WEBHOOK_SECRET")
	}

	names := map[string]string{}
	for _, entry := range entries {
		r := sourceReader{entry, filepath.Dir(path)}
		source, retired := r.read()
		r.once(names, "name", source.Name)
		if retired {
			set.Retired[source.Name] = source
			continue
		}
		set.Sources[source.Name] = source
	}

	set.TrustedProxies = file.addresses("trusted_proxies")
	known := func(source string) bool { return set.Names(source) || (source == "default" && secret != "") }
	set.Tokens = file.loadTokens(known)
	set.Subscriptions = file.loadSubscriptions(known)
	set.SignIn = file.loadSignIn(known)

	file.done()
	set.secretFiles, set.positions = file.files, file.positions
	return set
}

// addresses reads addresses and networks.
func (m mapping) addresses(field string) pms.Addresses {
	texts, nodes := m.list(field)
	var list pms.Addresses
	for i, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			var single netip.Addr
			if single, err = netip.ParseAddr(text); err == nil {
				prefix = netip.PrefixFrom(single, single.BitLen())
			}
		}
		if err != nil {
			m.fail(nodes[i], fmt.Sprintf("%s[%d]", m.name(field), i),
				"%q must be an address such as 192.0.2.1 or a network such as 192.0.2.0/24", text)
			continue
		}
		list = append(list, prefix.Masked())
	}
	return list
}

// sourceReader checks one entry.
type sourceReader struct {
	mapping
	dir string // of the file: formats are looked for from there
}

// read reads one entry. Of a retired source only the name and the format are used, for events that still wait: a
// whole entry may stay unchanged, with one line more.
func (r sourceReader) read() (source pms.Source, retired bool) {
	s := pms.Source{Name: r.ownName(), Policy: pms.DefaultPolicy(), Statuses: pms.DefaultStatuses()}
	r.remember("source", s.Name)
	var known bool
	s.Format, known = r.format()
	if retired = r.flag("retired"); !retired || r.has("verify") {
		r.verifier(&s, known)
	}
	r.policy(&s.Policy)
	r.statuses(s.Statuses)
	if guests, ok := r.inner("guests"); ok {
		switch without := guests.text("without_email"); without {
		case "", "key":
		case "wait":
			s.Policy.NeedEmail = true
		default:
			guests.wrong("without_email", "%q must be key or wait", without)
		}
		s.Guests = guests.flag("every_guest")
		guests.done()
	}
	r.guestLinks(&s)
	s.Limit = r.rateLimit()
	s.Fetch = r.fetch(s.Format, known)
	s.WriteBack = r.writeBack(s)
	r.done()
	if retired {
		s.Verifier, s.Secrets, s.Insecure, s.Fetch = nil, nil, false, nil
	}
	return s, retired
}

// format reads the source's format, nil for the canonical one. It isn't known if it can't be loaded: then other
// settings aren't reported for lacking what it may specify.
func (r sourceReader) format() (f *pms.Format, known bool) {
	name := r.text("format")
	if name == "" || name == pms.CanonicalFormat {
		return nil, true
	}
	if strings.HasSuffix(name, ".jq") && !filepath.IsAbs(name) {
		name = filepath.Join(r.dir, name)
	}
	f, err := pms.LoadFormat(name)
	if err != nil {
		r.wrong("format", "%v", err)
		return nil, false
	}
	return f, true
}

func (r sourceReader) verifier(s *pms.Source, formatKnown bool) {
	s.Insecure = r.flag("insecure")
	v, ok := r.inner("verify")
	if !ok {
		if !r.has("verify") {
			r.wrong("verify", `is required: {method: standard-webhooks, secrets: ["${PMS_SECRET}"]}`)
		}
		return
	}

	settings := v.verifySettings(s.Format)
	secrets, nodes := v.list("secrets")
	if user, password := v.text("username"), v.text("password"); user != "" || password != "" {
		secrets, nodes = append(secrets, user+":"+password), append(nodes, v.at("password"))
	}
	s.From = v.addresses("from")
	v.done()

	if settings.Method == "none" {
		if !s.Insecure {
			v.wrong("method", "none lets anybody open doors: if you want that, set insecure: true on the source")
		}
		s.Verifier = pms.Anybody{}
		return
	}
	if s.Insecure {
		s.Insecure = false
		r.wrong("insecure", "is only allowed with verify.method none")
	}

	verifier, problems := pms.NewVerifier(settings, secrets)
	if !formatKnown {
		problems = slices.DeleteFunc(problems, func(p pms.FieldError) bool {
			return !v.has(p.Field) && !strings.HasPrefix(p.Field, "secrets[") // the format may specify it
		})
	}
	v.verifyProblems(problems, secrets, nodes)
	s.Verifier, s.Secrets = verifier, secrets
}

// verifyProblems reports what is wrong with the settings of a verifier; nodes are where its secrets are.
func (m mapping) verifyProblems(problems []pms.FieldError, secrets []string, nodes []ast.Node) {
	for _, p := range problems {
		at := m.at(p.Field)
		for i, n := range nodes {
			switch {
			case p.Field != fmt.Sprintf("secrets[%d]", i):
			case secrets[i] == "" || strings.HasSuffix(secrets[i], ":"):
				at = nil // the missing variable has been reported
			default:
				at = n
			}
		}
		if at != nil {
			m.fail(at, m.name(p.Field), "%s", p.Message)
		}
	}
}

// verifySettings reads how webhooks are verified: as the format's PMS signs, but for what is specified here.
// Another method than the PMS's has none of the PMS's settings.
func (m mapping) verifySettings(f *pms.Format) pms.VerifySettings {
	var s pms.VerifySettings
	method := m.text("method")
	if f != nil && f.Verify != nil && (method == "" || method == f.Verify.Method) {
		s = *f.Verify
	}
	for field, to := range map[string]*string{
		"method": &s.Method, "header": &s.Header, "algorithm": &s.Algorithm, "encoding": &s.Encoding,
		"prefix": &s.Prefix, "parameter": &s.Parameter,
	} {
		if text := m.text(field); m.has(field) {
			*to = text
		}
	}
	return s
}

// ids reads a list of ids, sorted: its order means nothing.
func (r sourceReader) ids(field string) []string {
	list, nodes := r.list(field)
	if r.has(field) && len(list) == 0 {
		r.wrong(field, "must name at least one; leave it out for no limit")
	}
	for i, id := range list {
		if err := pms.CheckID(id); err != nil || id == "" {
			r.fail(nodes[i], fmt.Sprintf("%s[%d]", r.name(field), i), "%q must be an id of Seam's", id)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// separateGroups has each of several sources without lists of its own open only what no other source used first.
func (s Set) separateGroups() {
	for _, sources := range []map[string]pms.Source{s.Sources, s.Retired} {
		for name, source := range sources {
			p := &source.Policy
			p.OwnGroups = len(s.Sources)+len(s.Retired) > 1 && len(p.AccessGroups)+len(p.AccessSystems) == 0
			sources[name] = source
		}
	}
}

// rateLimit reads a source's limit; a burst that is not specified is two seconds' worth.
func (r sourceReader) rateLimit() pms.RateLimit {
	m, ok := r.inner("rate_limit")
	if !ok {
		return pms.RateLimit{}
	}
	limit := pms.RateLimit{PerSecond: m.number("per_second", 1e6, "50"), Burst: int(m.number("burst", 1e6, "100"))}
	if !m.has("per_second") {
		m.wrong("per_second", "is required: a number of webhooks such as 50; leave rate_limit out for no limit")
	}
	if limit.Burst == 0 {
		limit.Burst = max(int(2*limit.PerSecond), 1)
	}
	m.done()
	return limit
}

// fetch reads the account with which a PMS is asked for documents.
func (r sourceReader) fetch(f *pms.Format, formatKnown bool) *pms.FetchSettings {
	m, ok := r.inner("fetch")
	if !ok || !formatKnown {
		return nil
	}
	if f == nil || f.Fetch == nil {
		r.wrong("fetch", "the source's format fetches no documents")
		return nil
	}
	a := m.account(f.Fetch.AccountManifest, f.Name+" asks for documents")
	m.done()
	return &pms.FetchSettings{
		FetchManifest: pms.FetchManifest{AccountManifest: a.AccountManifest, Documents: f.Fetch.Documents},
		Credentials:   a.Credentials,
	}
}

// account reads an account at a PMS: what its preset says, but for what is specified here. what words what it is
// used for.
func (m mapping) account(manifest pms.AccountManifest, what string) pms.Account {
	a := pms.Account{AccountManifest: manifest, Credentials: pms.Credentials{
		Token: m.text("token"), Username: m.text("username"), Password: m.text("password"),
		ClientID: m.text("client_id"), ClientSecret: m.text("client_secret"),
	}}
	for field, to := range map[string]*string{"url": &a.URL, "token_url": &a.TokenURL} {
		if text := m.text(field); text != "" {
			if err := pms.CheckFetchURL(text); err != nil {
				m.wrong(field, "%q %v", text, err)
			}
			*to = text
		}
	}

	if rate := m.number("per_second", 1000, "5"); rate > 0 {
		a.PerSecond = rate
	}

	if body, ok := m.inner("body"); ok {
		a.Body = map[string]string{}
		for _, key := range body.keys {
			a.Body[key.GetToken().Value] = body.text(key.GetToken().Value)
		}
	}

	need := map[string][]string{
		pms.AuthBearer: {"token"}, pms.AuthHeader: {"token"}, pms.AuthBasic: {
			"username",
			"password",
		}, pms.AuthOAuth2: {"client_id", "client_secret"}, pms.AuthBody: {"body"},
		pms.AuthSmoobu: {"client_id", "client_secret"},
	}[a.Auth]

	for _, field := range need {
		if !m.has(field) {
			m.wrong(field, "is required: %s by %s", what, a.Auth)
		}
	}
	return a
}
