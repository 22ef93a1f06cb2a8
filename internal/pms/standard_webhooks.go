package pms

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how much a webhook's timestamp may differ from our clock, in either direction (standardwebhooks.com,
// "Verifying webhook authenticity").
const Tolerance = 5 * time.Minute

// ErrWebhookID says that a webhook-id doesn't have the required form.
var ErrWebhookID = errors.New("webhook-id must be 1 to 200 visible ASCII characters")

// unsigned is [ErrUnauthentic] with a message for senders that sign by this specification.
type unsigned struct{}

func (unsigned) Error() string {
	return "webhook-id, webhook-timestamp and webhook-signature must be signed with the source's secret, at most 5 minutes ago"
}

func (unsigned) Is(target error) bool { return target == ErrUnauthentic }

var errUnsigned error = unsigned{}

// Secret is a Standard Webhooks signing key.
type Secret []byte

// ParseSecret reads "whsec_" and base64 of at least 16 bytes; the specification asks senders for 24 to 64.
func ParseSecret(s string) (Secret, error) {
	encoded, ok := strings.CutPrefix(s, "whsec_")
	if !ok {
		return nil, errors.New(`must start with "whsec_"`)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		key, err = base64.RawStdEncoding.DecodeString(encoded)
	}
	if err != nil {
		return nil, errors.New(`must be "whsec_" and base64`)
	}
	if len(key) < 16 {
		return nil, fmt.Errorf(`must hold at least 16 bytes after "whsec_", not %d`, len(key))
	}
	return key, nil
}

// String returns the secret as [ParseSecret] reads it.
func (s Secret) String() string { return "whsec_" + base64.StdEncoding.EncodeToString(s) }

// Sign returns the webhook-signature of a body.
func (s Secret) Sign(id string, at time.Time, body []byte) string {
	return "v1," + base64.StdEncoding.EncodeToString(s.mac(id, strconv.FormatInt(at.Unix(), 10), body))
}

func (s Secret) mac(id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, s)
	h.Write([]byte(id))
	h.Write([]byte{'.'})
	h.Write([]byte(timestamp))
	h.Write([]byte{'.'})
	h.Write(body)
	return h.Sum(nil)
}

// StandardWebhooks verifies by the Standard Webhooks specification, in its own or Svix's spelling of the headers.
type StandardWebhooks struct{ Secrets []Secret }

// Carries implements [Verifier]: nothing, because a signature proves the secret without sending it.
func (StandardWebhooks) Carries() Carrier { return Carrier{} }

// Method implements [Verifier].
func (StandardWebhooks) Method() string { return "standard-webhooks" }

// Prove signs with the first secret.
func (w StandardWebhooks) Prove(p *Post, id string, now time.Time) {
	p.Header.Set("webhook-id", id)
	p.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	p.Header.Set("webhook-signature", w.Secrets[0].Sign(id, now, p.Body))
}

// Verify checks the three headers over the raw body, in either spelling: a gateway may add headers of its own in the
// other one.
func (w StandardWebhooks) Verify(p Post, now time.Time) (Proof, error) {
	proof, err := w.verifyAs("webhook", p, now)
	if errors.Is(err, ErrUnauthentic) && p.Header.Get("svix-id") != "" {
		return w.verifyAs("svix", p, now)
	}
	return proof, err
}

func (w StandardWebhooks) verifyAs(prefix string, p Post, now time.Time) (Proof, error) {
	id, timestamp := p.Header.Get(prefix+"-id"), p.Header.Get(prefix+"-timestamp")
	signatures := strings.Join(p.Header.Values(prefix+"-signature"), " ")
	if id == "" || timestamp == "" || signatures == "" {
		return Proof{}, errUnsigned
	}
	given := strings.Fields(signatures)
	if len(given) > 32 { // each costs one comparison per secret
		given = given[:32]
	}
	proof, matched := Proof{ID: id}, 0
	for i, secret := range w.Secrets {
		want := secret.mac(id, timestamp, p.Body)
		for _, signature := range given {
			encoded, ok := strings.CutPrefix(signature, "v1,")
			if !ok {
				continue // an unknown scheme
			}
			if got, err := base64.StdEncoding.DecodeString(encoded); err == nil {
				same := subtle.ConstantTimeCompare(got, want)
				matched |= same
				proof.Secret = subtle.ConstantTimeSelect(same, i+1, proof.Secret)
			}
		}
	}

	seconds, err := strconv.ParseUint(timestamp, 10, 63) // digits only: no sign, which ParseInt takes
	if matched == 0 || err != nil {
		return Proof{}, errUnsigned
	}
	if age := now.Sub(time.Unix(int64(seconds), 0)); age > Tolerance || age < -Tolerance {
		return Proof{}, errUnsigned
	}
	return proof, CheckWebhookID(id)
}

// CheckWebhookID returns [ErrWebhookID] unless the id has the required form: 1 to 200 visible ASCII characters.
func CheckWebhookID(id string) error {
	if id == "" || len(id) > maxID || strings.ContainsFunc(id, func(r rune) bool { return r < '!' || r > '~' }) {
		return ErrWebhookID
	}
	return nil
}
