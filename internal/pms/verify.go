package pms

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far a webhook's timestamp may be from our clock, either way
// (standardwebhooks.com, "Verifying webhook authenticity").
const Tolerance = 5 * time.Minute

// Why a webhook is refused. They never say which secret was tried.
var (
	ErrUnauthentic = errors.New("the webhook-id, webhook-timestamp and webhook-signature headers must be present, signed with the source's secret, and no more than 5 minutes old")
	ErrWebhookID   = errors.New("webhook-id must be 1 to 200 visible ASCII characters")
)

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
		return nil, fmt.Errorf(`must hold at least 16 bytes behind "whsec_", not %d`, len(key))
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

// VerifyStandardWebhook checks the three headers over the raw body, by the Standard Webhooks specification
// or in Svix's spelling of them, and returns the webhook-id. Every secret is tried in constant time. The
// error is [ErrUnauthentic], or [ErrWebhookID] for an authentic webhook whose id has another form.
func VerifyStandardWebhook(h http.Header, body []byte, secrets []Secret, now time.Time) (string, error) {
	id, timestamp, signatures := h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature")
	if id == "" && timestamp == "" && signatures == "" {
		id, timestamp, signatures = h.Get("svix-id"), h.Get("svix-timestamp"), h.Get("svix-signature")
	}
	if id == "" || timestamp == "" || signatures == "" {
		return "", ErrUnauthentic
	}
	matched := 0
	given := strings.Fields(signatures)
	if len(given) > 32 { // each costs a comparison a secret
		given = given[:32]
	}
	for _, secret := range secrets {
		want := secret.mac(id, timestamp, body)
		for _, signature := range given {
			encoded, ok := strings.CutPrefix(signature, "v1,")
			if !ok {
				continue // a scheme that we don't know
			}
			got, err := base64.StdEncoding.DecodeString(encoded)
			if err == nil {
				matched |= subtle.ConstantTimeCompare(got, want)
			}
		}
	}
	if matched == 0 {
		return "", ErrUnauthentic
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return "", ErrUnauthentic
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > Tolerance || age < -Tolerance {
		return "", ErrUnauthentic
	}
	return id, CheckWebhookID(id)
}

// CheckWebhookID returns [ErrWebhookID] unless the id has the form that contract section 3 asks for.
func CheckWebhookID(id string) error {
	if id == "" || len(id) > maxID || strings.ContainsFunc(id, func(r rune) bool { return r < '!' || r > '~' }) {
		return ErrWebhookID
	}
	return nil
}
