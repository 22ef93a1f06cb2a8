package pms

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Delivery is one POST as a verifier sees it.
type Delivery struct {
	Header http.Header
	Query  url.Values
	Path   string // after the source's name, decoded, without its first slash
	Body   []byte
}

// Proof is what an authentic delivery has shown.
type Proof struct {
	ID     string // the sender's id of the event where its signature covers one; "" where it doesn't
	Secret int    // which of the secrets matched, counted from 1; 0 where none is needed
}

// Verifier reports whether a delivery is authentic. It tries every secret in constant time, so that nothing can be
// learnt from how long it takes. The error is [ErrUnauthentic], or [ErrWebhookID] for an authentic one whose id has
// another form.
type Verifier interface {
	Verify(d Delivery, now time.Time) (Proof, error)
	// Carries names where the secret itself travels, which is never stored or shown.
	Carries() Carrier
	// Method is the name of the method, as a configuration has it.
	Method() string
	// Prove makes a delivery authentic by the first secret, under an id if the method has one: for test events of
	// our own.
	Prove(d *Delivery, id string, now time.Time)
}

// Carrier is where a secret travels. Its zero value is nowhere: a signature proves it.
type Carrier struct {
	Header string
	Query  string
	Path   bool // the first part of the path after the source's name
}

// VerifySettings say how a source's webhooks are verified, as a configuration or a format does.
type VerifySettings struct {
	Method    string `json:"method"`
	Header    string `json:"header"`
	Algorithm string `json:"algorithm"`
	Encoding  string `json:"encoding"`
	Prefix    string `json:"prefix"`
	Parameter string `json:"parameter"`
}

// methods are how each method's verifier is made, and the settings that it has.
var methods = map[string]struct {
	settings []string
	make     func(*verifierProblems, VerifySettings, []string) Verifier
}{
	"standard-webhooks": {nil, newStandardWebhooks},
	"hmac":              {[]string{"header", "algorithm", "encoding", "prefix"}, newSigned},
	"basic":             {nil, newBasic},
	"bearer":            {nil, newBearer},
	"header":            {[]string{"header", "prefix"}, newHeader},
	"url-token":         {[]string{"parameter"}, newURLToken},
}

// verifierProblems are what is wrong with the settings of a verifier.
type verifierProblems []FieldError

func (p *verifierProblems) add(field, format string, args ...any) {
	*p = append(*p, FieldError{field, fmt.Sprintf(format, args...)})
}

func (p *verifierProblems) addSecret(i int, format string, args ...any) {
	p.add(fmt.Sprintf("secrets[%d]", i), format, args...)
}

// atLeast wants secrets that can't be guessed.
func (p *verifierProblems) atLeast(length int, secrets []string) {
	for i, secret := range secrets {
		if len(secret) < length {
			p.addSecret(i, "must be at least %d characters long", length)
		}
	}
}

// NewVerifier makes the verifier that the settings describe. A problem names the setting at fault, "secrets[i]" for
// a secret.
func NewVerifier(s VerifySettings, secrets []string) (Verifier, []FieldError) {
	var problems verifierProblems
	method, known := methods[s.Method]
	for _, setting := range []struct{ name, value string }{
		{"header", s.Header}, {"algorithm", s.Algorithm}, {"encoding", s.Encoding}, {
			"prefix",
			s.Prefix,
		}, {"parameter", s.Parameter},
	} {
		if setting.value != "" && !slices.Contains(method.settings, setting.name) {
			problems.add(setting.name, "is not a setting of the method %s", s.Method)
		}
	}
	if len(secrets) == 0 {
		problems.add("secrets", "at least one is needed")
	}
	if !known {
		problems.add("method", "%q must be one of %s, or none", s.Method,
			strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
		return nil, problems
	}
	v := method.make(&problems, s, secrets)
	if len(problems) > 0 {
		return nil, problems
	}
	return v, nil
}

func newStandardWebhooks(problems *verifierProblems, _ VerifySettings, secrets []string) Verifier {
	w := StandardWebhooks{}
	for i, text := range secrets {
		secret, err := ParseSecret(text)
		if err != nil {
			problems.addSecret(i, "%v", err)
		}
		w.Secrets = append(w.Secrets, secret)
	}
	return w
}

func newSigned(problems *verifierProblems, s VerifySettings, secrets []string) Verifier {
	problems.atLeast(6, secrets)
	h := signed{header: s.Header, prefix: s.Prefix, secrets: secrets}
	if s.Header == "" {
		problems.add("header", "is required: the name of the header that holds the signature")
	}
	switch s.Algorithm {
	case "", "sha256":
		h.hash = sha256.New
	case "sha512":
		h.hash = sha512.New
	default:
		problems.add("algorithm", "%q must be sha256 or sha512", s.Algorithm)
	}
	switch s.Encoding {
	case "", "hex":
		h.decode, h.encode = hex.DecodeString, hex.EncodeToString // it reads upper case too
	case "base64":
		h.decode, h.encode = decodeBase64, base64.StdEncoding.EncodeToString
	default:
		problems.add("encoding", "%q must be hex or base64", s.Encoding)
	}
	return h
}

func newBasic(problems *verifierProblems, s VerifySettings, secrets []string) Verifier {
	for i, secret := range secrets {
		if user, password, ok := strings.Cut(secret, ":"); !ok || user == "" || len(password) < 6 {
			problems.addSecret(i, `must be "user:password", the password at least 6 characters long`)
		}
	}
	return carried{
		method: s.Method, carrier: Carrier{Header: "Authorization"}, secrets: secrets,
		put: func(d *Delivery, secret string) {
			d.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(secret)))
		},
		find: func(d Delivery) string {
			user, password, ok := (&http.Request{Header: d.Header}).BasicAuth()
			if !ok {
				return ""
			}
			return user + ":" + password
		},
	}
}

func newBearer(problems *verifierProblems, s VerifySettings, secrets []string) Verifier {
	problems.atLeast(8, secrets)
	return inHeader(s.Method, "Authorization", "Bearer ", secrets)
}

func newHeader(problems *verifierProblems, s VerifySettings, secrets []string) Verifier {
	problems.atLeast(8, secrets)
	if s.Header == "" {
		problems.add("header", "is required: the name of the header that holds the secret")
	}
	return inHeader(s.Method, s.Header, s.Prefix, secrets)
}

func newURLToken(problems *verifierProblems, s VerifySettings, secrets []string) Verifier {
	problems.atLeast(16, secrets)
	return inURL(s.Parameter, secrets)
}

// signed is an HMAC of the body in a header.
type signed struct {
	header, prefix string
	hash           func() hash.Hash
	decode         func(string) ([]byte, error)
	encode         func([]byte) string
	secrets        []string
}

func (s signed) Verify(d Delivery, _ time.Time) (Proof, error) {
	text := strings.TrimSpace(d.Header.Get(s.header))
	if len(text) < len(s.prefix) || !strings.EqualFold(text[:len(s.prefix)], s.prefix) {
		return Proof{}, ErrUnauthentic
	}
	given, err := s.decode(text[len(s.prefix):])
	if err != nil || len(given) == 0 {
		return Proof{}, ErrUnauthentic
	}
	proof, matched := Proof{}, 0
	for i, secret := range s.secrets {
		h := hmac.New(s.hash, []byte(secret))
		h.Write(d.Body)
		same := subtle.ConstantTimeCompare(given, h.Sum(nil))
		matched |= same
		proof.Secret = subtle.ConstantTimeSelect(same, i+1, proof.Secret)
	}
	if matched == 0 {
		return Proof{}, ErrUnauthentic
	}
	return proof, nil
}

// Carries names the signature's header: with the body next to it, a kept signature could be sent again forever.
func (s signed) Carries() Carrier { return Carrier{Header: s.header} }

func (s signed) Method() string { return "hmac" }

func (s signed) Prove(d *Delivery, _ string, _ time.Time) {
	h := hmac.New(s.hash, []byte(s.secrets[0]))
	h.Write(d.Body)
	d.Header.Set(s.header, s.prefix+s.encode(h.Sum(nil)))
}

func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}

// carried is a secret that travels with the delivery.
type carried struct {
	method  string
	carrier Carrier
	find    func(Delivery) string
	put     func(d *Delivery, secret string)
	secrets []string
}

func inHeader(method, name, prefix string, secrets []string) carried {
	return carried{
		method: method, carrier: Carrier{Header: name}, secrets: secrets,
		put: func(d *Delivery, secret string) { d.Header.Set(name, prefix+secret) },
		find: func(d Delivery) string {
			text := d.Header.Get(name)
			if len(text) < len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
				return ""
			}
			return strings.TrimSpace(text[len(prefix):])
		},
	}
}

// inURL looks in a parameter of the query, or, if none is named, in the first part of the path after the source's name.
func inURL(parameter string, secrets []string) carried {
	if parameter != "" {
		return carried{
			method: methodURLToken, carrier: Carrier{Query: parameter}, secrets: secrets,
			find: func(d Delivery) string { return d.Query.Get(parameter) },
			put:  func(d *Delivery, secret string) { d.Query.Set(parameter, secret) },
		}
	}
	return carried{
		method: methodURLToken, carrier: Carrier{Path: true}, secrets: secrets, put: func(d *Delivery,
			secret string,
		) {
			d.Path = secret
		},
		find: func(d Delivery) string {
			first, _, _ := strings.Cut(d.Path, "/")
			return first
		},
	}
}

const methodURLToken = "url-token" // #nosec G101 -- a name

func (c carried) Verify(d Delivery, _ time.Time) (Proof, error) {
	given := sha256.Sum256([]byte(c.find(d))) // of one length, whatever is given
	proof, matched := Proof{}, 0
	for i, secret := range c.secrets {
		want := sha256.Sum256([]byte(secret))
		same := subtle.ConstantTimeCompare(given[:], want[:])
		matched |= same
		proof.Secret = subtle.ConstantTimeSelect(same, i+1, proof.Secret)
	}
	if matched == 0 {
		return Proof{}, ErrUnauthentic
	}
	return proof, nil
}

func (c carried) Carries() Carrier { return c.carrier }

func (c carried) Method() string { return c.method }

func (c carried) Prove(d *Delivery, _ string, _ time.Time) { c.put(d, c.secrets[0]) }

// Anybody accepts every delivery: verification was explicitly turned off in the configuration.
type Anybody struct{}

// Verify believes the sender's webhook-id.
func (Anybody) Verify(d Delivery, _ time.Time) (Proof, error) {
	id := d.Header.Get("webhook-id")
	if id == "" {
		return Proof{}, nil
	}
	return Proof{ID: id}, CheckWebhookID(id)
}

// Carries nothing.
func (Anybody) Carries() Carrier { return Carrier{} }

// Method is none.
func (Anybody) Method() string { return "none" }

// Prove says the id.
func (Anybody) Prove(d *Delivery, id string, _ time.Time) { d.Header.Set("webhook-id", id) }

// Kept is what of a delivery's surroundings is stored for the format to read: nothing that authenticates it,
// wherever a proxy repeats it, and nothing that only concerns the way here.
func Kept(d Delivery, c Carrier) Request {
	secrets := c.carriedBy(d)
	r := Request{Query: First(d.Query), Path: d.Path}
	delete(r.Query, c.Query)
	for name, value := range r.Query {
		if holdsAny(value, secrets) {
			delete(r.Query, name)
			continue
		}
		r.Query[name] = keepable(value)
	}
	if c.Path {
		_, r.Path, _ = strings.Cut(d.Path, "/")
	}
	if r.Path = keepable(r.Path); holdsAny(r.Path, secrets) {
		r.Path = ""
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(d.Header)) {
		value := d.Header.Get(name)
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

// carriedBy are the secrets that a delivery carries, in each spelling that an address or a header can repeat them in.
func (c Carrier) carriedBy(d Delivery) []string {
	secret := ""
	switch {
	case c.Path:
		secret, _, _ = strings.Cut(d.Path, "/")
	case c.Query != "":
		secret = d.Query.Get(c.Query)
	case c.Header != "":
		secret = strings.TrimSpace(d.Header.Get(c.Header))
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

// maxKept bounds the headers that are kept of a delivery, in bytes.
const maxKept = 8 << 10

// neverKept tells which headers authenticate a delivery, repeat its address, or concern its way here.
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

// Addresses are who may deliver, besides having to prove it. An empty list is anybody.
type Addresses []netip.Prefix

// Allow reports whether an address is among them.
func (a Addresses) Allow(from netip.Addr) bool {
	from = from.Unmap()
	return len(a) == 0 || slices.ContainsFunc(a, func(p netip.Prefix) bool { return p.Contains(from) })
}

// ErrUnauthentic says that a delivery is not shown to be the source's. It never says which secret was tried.
var ErrUnauthentic = errors.New(
	"the webhook is not shown to come from this source: its signature or secret is missing, wrong or, where it is signed with a time, more than 5 minutes old")
