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

// Post is one incoming POST as a verifier sees it.
type Post struct {
	Header http.Header
	Query  url.Values
	Path   string // after the source's name, decoded, without the leading slash
	Body   []byte
}

// Proof is what verification learned about an authentic POST.
type Proof struct {
	ID     string // the sender's id of the event where its signature covers one; "" where it doesn't
	Secret int    // which secret matched, counted from 1; 0 if none is needed
}

// Verifier reports whether a POST is authentic. It tries every secret in constant time, so that timing reveals
// nothing. The error is [ErrUnauthentic], or [ErrWebhookID] for an authentic one with a malformed id.
type Verifier interface {
	Verify(p Post, now time.Time) (Proof, error)
	// Carries names the place where the secret itself is sent. It is never stored or shown.
	Carries() Carrier
	// Method is the method's name in the configuration.
	Method() string
	// Prove makes a POST authentic with the first secret, and sets its id if the method has one. It is for
	// staykey's test events.
	Prove(p *Post, id string, now time.Time)
}

// Carrier is the part of a POST in which a secret is sent. The zero value means nowhere: a signature proves it.
type Carrier struct {
	Header string
	Query  string
	Path   bool // the first part of the path after the source's name
}

// VerifySettings say how a source's webhooks are verified. They come from the configuration or from a format.
type VerifySettings struct {
	Method    string `json:"method"`
	Header    string `json:"header"`
	Algorithm string `json:"algorithm"`
	Encoding  string `json:"encoding"`
	Prefix    string `json:"prefix"`
	Parameter string `json:"parameter"`
}

// methods has each method's settings and the function that builds its verifier.
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

// atLeast requires secrets of a length that can't be guessed.
func (p *verifierProblems) atLeast(length int, secrets []string) {
	for i, secret := range secrets {
		if len(secret) < length {
			p.addSecret(i, "must be at least %d characters long", length)
		}
	}
}

// NewVerifier builds the verifier that the settings describe. Each problem names its setting, "secrets[i]" for a
// secret.
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
		h.decode, h.encode = hex.DecodeString, hex.EncodeToString // it accepts upper case, too
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
		put: func(p *Post, secret string) {
			p.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(secret)))
		},
		find: func(p Post) string {
			user, password, ok := (&http.Request{Header: p.Header}).BasicAuth()
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

func (s signed) Verify(p Post, _ time.Time) (Proof, error) {
	text := strings.TrimSpace(p.Header.Get(s.header))
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
		h.Write(p.Body)
		same := subtle.ConstantTimeCompare(given, h.Sum(nil))
		matched |= same
		proof.Secret = subtle.ConstantTimeSelect(same, i+1, proof.Secret)
	}
	if matched == 0 {
		return Proof{}, ErrUnauthentic
	}
	return proof, nil
}

// Carries names the signature's header: a stored signature and body could be replayed forever.
func (s signed) Carries() Carrier { return Carrier{Header: s.header} }

func (s signed) Method() string { return "hmac" }

func (s signed) Prove(p *Post, _ string, _ time.Time) {
	h := hmac.New(s.hash, []byte(s.secrets[0]))
	h.Write(p.Body)
	p.Header.Set(s.header, s.prefix+s.encode(h.Sum(nil)))
}

func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}

// carried is a secret that is sent with the POST.
type carried struct {
	method  string
	carrier Carrier
	find    func(Post) string
	put     func(p *Post, secret string)
	secrets []string
}

func inHeader(method, name, prefix string, secrets []string) carried {
	return carried{
		method: method, carrier: Carrier{Header: name}, secrets: secrets,
		put: func(p *Post, secret string) { p.Header.Set(name, prefix+secret) },
		find: func(p Post) string {
			text := p.Header.Get(name)
			if len(text) < len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
				return ""
			}
			return strings.TrimSpace(text[len(prefix):])
		},
	}
}

// inURL reads the secret from a query parameter or, if none is named, from the path's first segment after the source's
// name.
func inURL(parameter string, secrets []string) carried {
	if parameter != "" {
		return carried{
			method: methodURLToken, carrier: Carrier{Query: parameter}, secrets: secrets,
			find: func(p Post) string { return p.Query.Get(parameter) },
			put:  func(p *Post, secret string) { p.Query.Set(parameter, secret) },
		}
	}
	return carried{
		method: methodURLToken, carrier: Carrier{Path: true}, secrets: secrets, put: func(p *Post,
			secret string,
		) {
			p.Path = secret
		},
		find: func(p Post) string {
			first, _, _ := strings.Cut(p.Path, "/")
			return first
		},
	}
}

const methodURLToken = "url-token" // #nosec G101 -- a name

func (c carried) Verify(p Post, _ time.Time) (Proof, error) {
	given := sha256.Sum256([]byte(c.find(p))) // the same length for any input
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

func (c carried) Prove(p *Post, _ string, _ time.Time) { c.put(p, c.secrets[0]) }

// Anybody accepts every POST: verification was explicitly turned off in the configuration.
type Anybody struct{}

// Verify accepts any POST, and the sender's webhook-id.
func (Anybody) Verify(p Post, _ time.Time) (Proof, error) {
	id := p.Header.Get("webhook-id")
	if id == "" {
		return Proof{}, nil
	}
	return Proof{ID: id}, CheckWebhookID(id)
}

// Carries implements [Verifier]: nothing.
func (Anybody) Carries() Carrier { return Carrier{} }

// Method implements [Verifier].
func (Anybody) Method() string { return "none" }

// Prove implements [Verifier]: it sets the id.
func (Anybody) Prove(p *Post, id string, _ time.Time) { p.Header.Set("webhook-id", id) }

// Addresses are the networks that may post, in addition to verification. An empty list allows all.
type Addresses []netip.Prefix

// Allow reports whether an address may post.
func (a Addresses) Allow(from netip.Addr) bool {
	from = from.Unmap()
	return len(a) == 0 || slices.ContainsFunc(a, func(p netip.Prefix) bool { return p.Contains(from) })
}

// ErrUnauthentic says that a POST was not proven to be the source's. It never says which secret was tried.
var ErrUnauthentic = errors.New(
	"the webhook isn't authentic: its signature or secret is missing or wrong, or its signed time is more than 5 minutes off")
