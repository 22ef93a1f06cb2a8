package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// Limits of what one receiver may cost.
const (
	answerWithin = 15 * time.Second
	readAtMost   = 16 << 10 // of an answer's body, so that the connection can be used again
	keepAtMost   = 500      // of it, for people to see
)

// post is one HTTP request to a receiver.
type post struct {
	id   string // webhook-id; "" for a receiver that doesn't verify
	body []byte
}

// clients send messages: one to public addresses only, one to any address. Neither
// follows redirects or uses a proxy, which would connect in their place.
type clients struct {
	guarded, open *http.Client
	within        time.Duration // an answer must arrive
}

func newClients() clients {
	client := func(dialer *net.Dialer) *http.Client {
		return &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConns: 256,
				MaxIdleConnsPerHost: inFlight, IdleConnTimeout: time.Minute,
				TLSHandshakeTimeout: answerWithin, MaxResponseHeaderBytes: 32 << 10,
				TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			},
		}
	}
	return clients{
		guarded: client(&net.Dialer{Timeout: answerWithin, Control: onlyPublic}),
		open:    client(&net.Dialer{Timeout: answerWithin}),
		within:  answerWithin,
	}
}

func (c clients) close() {
	c.guarded.CloseIdleConnections()
	c.open.CloseIdleConnections()
}

// send posts a message, signed with every secret of the subscription, and returns the result.
func (c clients) send(ctx context.Context, s Subscription, p post, userAgent string, now func() time.Time) (outcome,
	store.AttemptResult,
) {
	result := store.AttemptResult{At: now()}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	o, answer, err := c.post(ctx, s, p, userAgent, result.At)
	result.Duration, result.StatusCode, result.Answer = time.Since(began), o.status, answer
	switch {
	case err != nil:
		result.Error = explain(err)
	case o.status >= 300 && o.status < 400:
		result.Error = "the receiver redirects, which is not followed: set url to where it really is"
	case !o.delivered():
		result.Error = "the receiver answered " + strconv.Itoa(o.status)
	}
	return o, result
}

func (c clients) post(ctx context.Context, s Subscription, p post, userAgent string,
	at time.Time,
) (outcome, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(p.body))
	if err != nil {
		return outcome{}, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if p.id != "" {
		sign(req.Header, s.Secrets, p, at)
	}
	client := c.guarded
	if s.Insecure {
		client = c.open
	}
	resp, err := client.Do(
		req) // #nosec G704 -- the receiver that the operator has configured; guarded unless it is marked insecure
	if err != nil {
		return outcome{}, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	o := outcome{status: resp.StatusCode, retryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), at)}
	// The status decides: an error while reading the body doesn't matter.
	content, _ := io.ReadAll(io.LimitReader(resp.Body, readAtMost))
	return o, excerpt(content), nil
}

// sign sets the three headers of Standard Webhooks, with a signature by each secret.
func sign(h http.Header, secrets []pms.Secret, p post, at time.Time) {
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		signatures[i] = secret.Sign(p.id, at, p.body)
	}
	h.Set("webhook-id", p.id)
	h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("webhook-signature", strings.Join(signatures, " "))
}

// parseRetryAfter reads seconds or a date (RFC 9110, section 10.2.3); 0 for neither.
func parseRetryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(min(seconds, int(maxSilence/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// excerpt is the beginning of an answer, made safe to store and show.
func excerpt(content []byte) string {
	text := strings.ReplaceAll(strings.ToValidUTF8(string(content), "\uFFFD"), "\x00", "")
	for len(text) > keepAtMost {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:min(len(text)-size, keepAtMost)]
		text = strings.ToValidUTF8(text, "")
	}
	return text
}

// explain describes why there was no answer. The address isn't in it: its path may be a secret.
func explain(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.Is(err, errAddress):
		return errAddress.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer within 15 seconds"
	case errors.Is(err, context.Canceled):
		return "staykey was stopped before the answer came"
	case errors.As(err, &dns):
		return "the receiver's name can't be resolved"
	case errors.As(err, &certificate), errors.As(err, &authority):
		return "the receiver's certificate is not valid for its name, or not trusted"
	case errors.As(err, &op) && op.Op == "dial":
		return "can't connect to the receiver"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &op):
		return "the receiver closed the connection without an answer"
	default:
		return "the request failed: the receiver's answer is not valid HTTP"
	}
}
