// Package seam speaks to the Seam API (https://docs.seam.co): the calls that a reservation needs, by hand,
// tolerant in what it reads and strict in what it sends. It never repeats a call by itself, but for reads in the
// background: Seam has no idempotency keys, so that only the caller knows what a lost answer may have left behind.
package seam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultEndpoint is where Seam's own SDKs go.
const DefaultEndpoint = "https://connect.getseam.com"

const (
	// DefaultTimeout is the deadline of one call. Together with the provisioner's grace it bounds how long a
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
	Endpoint string        // default [DefaultEndpoint]
	APIKey   string        // one workspace's key
	Timeout  time.Duration // of one call, default [DefaultTimeout]
}

// Client is safe for concurrent use. All users of a workspace should share one: it holds the rate limit.
type Client struct {
	endpoint string
	key      string
	timeout  time.Duration
	http     *http.Client
	limiter  *limiter
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
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 256 // as many as there may be workers
	transport.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	return &Client{
		endpoint: strings.TrimRight(c.Endpoint, "/"), key: c.APIKey, timeout: c.Timeout, limiter: newLimiter(time.Now),
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// Timeout is the deadline of one call.
func (c *Client) Timeout() time.Duration { return c.timeout }

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call describes one request for whoever records them.
type Call struct {
	Path      string
	At        time.Time
	Duration  time.Duration
	Status    int // 0: no answer
	RequestID string
	Err       error
}

type recorderKey struct{}

// WithRecorder has every call made with the context reported to record, in order.
func WithRecorder(ctx context.Context, record func(Call)) context.Context {
	return context.WithValue(ctx, recorderKey{}, record)
}

type guardKey struct{}

// WithGuard has may asked right before each call made with the context leaves, behind whatever it had to wait
// for. If it says why not, the call is not made: [NotSent].
func WithGuard(ctx context.Context, may func() error) context.Context {
	return context.WithValue(ctx, guardKey{}, may)
}

// backgroundTries is how often a read in the background is made before its failure counts.
const backgroundTries = 4

// post makes one call, or one read in the background as often as it takes.
func (c *Client) post(ctx context.Context, path string, body any, key string, out any) error {
	err := c.call(ctx, path, body, key, out)
	for try := 1; isBackground(ctx) && try < backgroundTries; try++ {
		e := new(Error)
		if !errors.As(err, &e) || e.isRefusal() {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(e.RetryAfter, time.Second<<(try-1))):
		}
		err = c.call(ctx, path, body, key, out)
	}
	return err
}

// call makes one call. out is nil where nothing but success matters; otherwise key names the field of the
// answer to decode into it, and an answer without it counts as lost.
func (c *Client) call(ctx context.Context, path string, body any, key string, out any) error {
	if err := c.limiter.admit(ctx, path); err != nil {
		return err
	}
	if may, ok := ctx.Value(guardKey{}).(func() error); ok {
		if err := may(); err != nil {
			return &Error{Path: path, Kind: NotSent, Message: err.Error()}
		}
	}
	started := time.Now()
	call := Call{Path: path, At: started}
	err := c.roundTrip(ctx, path, body, key, out, &call)
	call.Duration, call.Err = time.Since(started), err
	result := "ok"
	if e := new(Error); errors.As(err, &e) {
		result = e.Kind.String()
		if e.Kind == RateLimited {
			c.limiter.shut(e.RetryAfter)
		}
	}
	requestSeconds.WithLabelValues(path, result).Observe(call.Duration.Seconds())
	if record, ok := ctx.Value(recorderKey{}).(func(Call)); ok {
		record(call)
	}
	return err
}

func (c *Client) roundTrip(ctx context.Context, path string, body any, key string, out any, call *Call) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return &Error{Path: path, Kind: Invalid, Message: "the request can't be encoded: " + err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+path, bytes.NewReader(encoded))
	if err != nil {
		return &Error{Path: path, Kind: NotSent, Message: err.Error()}
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "staykey")
	resp, err := c.http.Do(req)
	if err != nil {
		e := &Error{Path: path, Kind: Lost, Message: transportMessage(err)}
		if dial := new(net.OpError); errors.As(err, &dial) && dial.Op == "dial" {
			e.Kind = NotSent
		}
		return e
	}
	defer func() { _ = resp.Body.Close() }()
	call.Status, call.RequestID = resp.StatusCode, resp.Header.Get("seam-request-id")
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		return failure(path, resp, answer)
	}
	lost := &Error{Path: path, Kind: Lost, Status: resp.StatusCode, RequestID: call.RequestID}
	if err != nil {
		lost.Message = "the answer broke off: " + transportMessage(err)
		return lost
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(answer, &fields); err != nil {
		lost.Message = "the answer is not JSON"
		return lost
	}
	if out == nil {
		return nil
	}
	value, ok := fields[key]
	if !ok {
		lost.Message = fmt.Sprintf("the answer has no %q", key)
		return lost
	}
	if err := json.Unmarshal(value, out); err != nil {
		lost.Message = fmt.Sprintf("%q of the answer has another form than documented", key)
		return lost
	}
	if page, ok := out.(pager); ok {
		page.next(fields["pagination"])
	}
	return nil
}

// pager takes the pagination that stands beside a list.
type pager interface{ next(json.RawMessage) }

func transportMessage(err error) string {
	if u := new(url.Error); errors.As(err, &u) {
		err = u.Err // the URL is in the error's path already
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer before the deadline"
	}
	return err.Error()
}

func failure(path string, resp *http.Response, answer []byte) *Error {
	e := &Error{Path: path, Status: resp.StatusCode, RequestID: resp.Header.Get("seam-request-id")}
	var envelope struct {
		Error struct {
			Type      string `json:"type"`
			Message   string `json:"message"`
			RequestID string `json:"request_id"`
		} `json:"error"`
	}
	isSeams := json.Unmarshal(answer, &envelope) == nil && bytes.Contains(answer, []byte(`"error"`))
	if isSeams {
		e.Type, e.Message = envelope.Error.Type, Redact(envelope.Error.Message)
		if e.RequestID == "" {
			e.RequestID = envelope.Error.RequestID
		}
	}
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized:
		e.Kind = Unauthorized
	case status == http.StatusForbidden:
		e.Kind = Forbidden
	case status == http.StatusNotFound && !isSeams:
		// This one may be a proxy's or a wrong endpoint's, and nothing follows from it.
		e.Kind, e.Message = Lost, "404 without Seam's error body: is SEAM_ENDPOINT right?"
	case status == http.StatusNotFound:
		e.Kind = NotFound
	case status == http.StatusTooManyRequests:
		e.Kind, e.RetryAfter = RateLimited, retryAfter(resp.Header.Get("Retry-After"))
	case status == http.StatusRequestTimeout, status >= 500, status < 400:
		e.Kind = Lost // whether it took effect, nobody knows
	case strings.HasSuffix(e.Type, "_not_found"):
		e.Kind = NotFound // user_identity_not_found comes with 400
	default:
		e.Kind = Invalid
	}
	return e
}

// retryAfter reads seconds or a date (RFC 9110 section 10.2.3); without one, two seconds.
func retryAfter(s string) time.Duration {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && seconds >= 0 {
		return min(time.Duration(seconds*float64(time.Second)), 15*time.Minute)
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(0, min(time.Until(at), 15*time.Minute))
	}
	return 2 * time.Second
}
