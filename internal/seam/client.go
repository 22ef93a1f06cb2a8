// Package seam speaks to the Seam API (https://docs.seam.co): the calls that a reservation needs, written by hand,
// tolerant in what they read and strict in what they send.
//
//	c, err := seam.New(seam.Config{APIKey: key})
//	user, err := c.CreateACSUser(ctx, seam.CreateACSUser{...})
//	switch seam.KindOf(err) {
//	case seam.Lost:     // it may have been created: look before you try again
//	case seam.NotSent:  // nothing happened
//	case seam.NotFound: // it names something that Seam doesn't know
//	}
//
// # What a failure means
//
// Callers decide by [KindOf], never by a status or a text: the kind says what may be true at Seam now (errors.go).
// Seam has no idempotency keys, so only the caller knows what effect a call without an answer may have had. That is why
// the client never repeats a call on its own, except reads in the background ([Background]).
//
// An answer is used only if it says what it was asked for: one in which the object or the list is missing, null or
// without its id, or a list that neither ends nor continues, is [Lost], never "no".
//
// # How a call travels
//
//	api.go, handed_out.go, entrances.go   the calls, one method each; objects.go what they answer
//	client.go                             one call: deadline, API key, recorder, guard
//	limiter.go                            its turn: one rate for the process, slowed by 429; [Urgent] goes first
//	transport.go                          connections, and noticing one that has fallen silent
//	answer.go, page.go                    is the answer usable? lists, page by page
//	errors.go, text.go                    what a failure means; Seam's texts, bounded and without guests' data
//	contact.go                            whether Seam answers at all
//
// [WithRecorder] sees each round trip, for the timeline. [WithGuard] is asked last, right before a call leaves, so that
// a worker that lost its lease changes nothing any more.
//
// Package simulator is a Seam that fails, lags and lies on request; package conformance has tests of what staykey
// relies on, which run against the simulator and, with a key, against the real Seam.
package seam

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultEndpoint is the endpoint of Seam's own SDKs.
const DefaultEndpoint = "https://connect.getseam.com"

const (
	// DefaultTimeout is the deadline of one call. Together with the provisioner's read lag it bounds how long a
	// hanging call can delay a key.
	DefaultTimeout = 8 * time.Second
	maxAnswer      = 16 << 20
)

var requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name: "staykey_seam_request_duration_seconds", Help: "Requests to Seam, by path and class of result.",
	Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
}, []string{"path", "result"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{requestSeconds, rateLimit} }

// Config of a client.
type Config struct {
	Endpoint string           // default [DefaultEndpoint]
	APIKey   string           // one workspace's key
	Timeout  time.Duration    // of one call, default [DefaultTimeout]
	RootCAs  *x509.CertPool   // whose certificates are accepted, default the system's
	Now      func() time.Time // the clock of the rate limit, default time.Now
	// how long a call's answer is waited for, default Timeout; longer where a test's clock is not the machine's
	Patience time.Duration
	// what waits between the tries of a read in the background, default time.After
	After func(time.Duration) <-chan time.Time
}

// Client is safe for concurrent use. All users of a workspace should share one: it holds the rate limit.
type Client struct {
	endpoint string
	key      string
	timeout  time.Duration
	patience time.Duration
	conns    *connections
	after    func(time.Duration) <-chan time.Time
	limiter  *limiter
	contact  *contact
}

// New returns a client, or an error that names what is wrong with the endpoint.
func New(c Config) (*Client, error) {
	if c.Endpoint == "" {
		c.Endpoint = DefaultEndpoint
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, fmt.Errorf("must be a URL such as %q", DefaultEndpoint)
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Patience <= 0 {
		c.Patience = c.Timeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.After == nil {
		c.After = time.After
	}
	return &Client{
		endpoint: strings.TrimRight(c.Endpoint, "/"), key: c.APIKey, timeout: c.Timeout, patience: c.Patience,
		limiter: newLimiter(c.Now), contact: &contact{now: c.Now},
		conns: newConnections(c.Patience, c.RootCAs), after: c.After,
	}, nil
}

// Timeout is the deadline of one call.
func (c *Client) Timeout() time.Duration { return c.timeout }

// Close closes idle connections.
func (c *Client) Close() { c.conns.close() }

// Call describes one request, for recording.
type Call struct {
	Path      string
	At        time.Time
	Duration  time.Duration
	Status    int // 0: no answer
	RequestID string
	Err       error
}

type recorderKey struct{}

// WithRecorder reports every call made with the context to record, in order.
func WithRecorder(ctx context.Context, record func(Call)) context.Context {
	return context.WithValue(ctx, recorderKey{}, record)
}

type guardKey struct{}

// WithGuard calls may right before each call made with the context leaves, after whatever it had to wait
// for. If it returns an error, the call is not made: [NotSent].
func WithGuard(ctx context.Context, may func() error) context.Context {
	return context.WithValue(ctx, guardKey{}, may)
}

// backgroundTries is how often a read in the background is made before its failure counts.
const backgroundTries = 4

// post makes one call, or one read in the background a few times.
func (c *Client) post(ctx context.Context, path string, body any, key string, out any) error {
	err := c.call(ctx, path, body, key, out)
	for try := 1; isBackground(ctx) && try < backgroundTries; try++ {
		e := new(Error)
		if !errors.As(err, &e) || e.isRefusal() {
			return err
		}
		wait := max(e.RetryAfter, time.Second<<(try-1))
		if wait > backgroundPatience {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-c.after(wait):
		}
		err = c.call(ctx, path, body, key, out)
	}
	return err
}

// call makes one call. out is nil where only success matters; otherwise key names the field of the
// answer to decode into it, and an answer in which it is missing or null is [Lost].
func (c *Client) call(ctx context.Context, path string, body any, key string, out any) error {
	probes, err := c.limiter.admit(ctx, path)
	if err != nil {
		return err
	}

	if may, ok := ctx.Value(guardKey{}).(func() error); ok {
		if err := may(); err != nil {
			return &Error{Path: path, Kind: NotSent, Message: err.Error()}
		}
	}

	started := time.Now()
	call := Call{Path: path, At: started}
	err = c.roundTrip(ctx, path, body, key, out, &call)
	call.Duration, call.Err = time.Since(started), err
	c.contact.record(ctx, err)

	result := "ok"
	if e := new(Error); errors.As(err, &e) {
		result = e.Kind.String()
		if e.Kind == Lost && errors.Is(ctx.Err(), context.Canceled) {
			result = "abandoned" // by the caller: it says nothing about Seam
		}
		if e.Kind == RateLimited {
			c.limiter.shut(e.RetryAfter)
		}
	}

	if probes && call.Status != 0 && KindOf(err) != RateLimited {
		c.limiter.open()
	}

	requestSeconds.WithLabelValues(path, result).Observe(call.Duration.Seconds())
	if record, ok := ctx.Value(recorderKey{}).(func(Call)); ok {
		record(call)
	}
	return err
}

// roundTrip sends one call and reads its answer, before the client's deadline.
func (c *Client) roundTrip(ctx context.Context, path string, body any, key string, out any, call *Call) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return &Error{Path: path, Kind: Invalid, Message: "the request can't be encoded: " + err.Error()}
	}

	timed, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	req, err := http.NewRequestWithContext(timed, http.MethodPost, c.endpoint+path, bytes.NewReader(encoded))
	if err != nil {
		return &Error{Path: path, Kind: NotSent, Message: redact(err.Error(), maxMessage)}
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "staykey")

	used := c.conns.use()
	resp, err := used.RoundTrip(req) // without http.Client: a redirect is not followed
	if err != nil {
		return c.unanswered(ctx, used, &Error{Path: path}, "", err)
	}

	defer func() { _ = resp.Body.Close() }()
	call.Status, call.RequestID = resp.StatusCode, code(resp.Header.Get("seam-request-id"))
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		return failure(path, resp, answer)
	}

	lost := &Error{Path: path, Kind: Lost, Status: resp.StatusCode, RequestID: call.RequestID}
	if err != nil {
		return c.unanswered(ctx, used, lost, "the answer broke off: ", err)
	}

	lost.Message = decode(answer, key, out)
	if lost.Message != "" {
		return lost
	}
	return nil
}

// unanswered describes a call that got no answer, or half of one. Unless the caller itself gave up, the next calls
// use other connections: this one may be dead.
func (c *Client) unanswered(ctx context.Context, used *http.Transport, e *Error, what string, err error) *Error {
	e.Kind, e.Message = Lost, redact(what+transportMessage(err), maxMessage)
	if dial := new(net.OpError); errors.As(err, &dial) && dial.Op == "dial" {
		e.Kind = NotSent
	} else if ctx.Err() == nil {
		c.conns.retire(used)
	}
	return e
}
