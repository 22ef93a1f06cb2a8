// Package pmsapi calls the APIs of PMSs: at an account's pace, with its credentials, and never while the PMS has asked
// for a pause.
//
// A [Client] stands for one account. All callers use the account's one client, from [Clients], so that the pace,
// the access token and a pause count for all calls together: those that fetch documents and those that write back.
//
//	Do:  a slot of the account ─▶ breaker (breaker.go) ─▶ pace ─▶ access token (tokens.go) ─▶ request ─▶ the caller reads the answer
//
// Why a call failed is a [Cause]; when to call again is decided by [Decide] (policy.go) and nowhere else.
package pmsapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/staykey/staykey/internal/pms"
)

const (
	// AnswerWithin bounds one request.
	AnswerWithin = 20 * time.Second
	// MaxAnswer is the largest answer that is read, in bytes.
	MaxAnswer = 4 << 20
	// perSecond is the default pace: PMSs are slow, and count requests.
	perSecond = 2
	// waitAtMost is how long a request waits for its turn before its caller does something else.
	waitAtMost = 30 * time.Second
)

// Error describes a failed call. Its text may quote the PMS, but never credentials or e-mail addresses.
type Error struct {
	Status     int           // of HTTP; 0 where there was no answer
	RetryAfter time.Duration // requested by the PMS
	Message    string
	Cause      Cause
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// PausedError says that an account is paused: no request was made.
type PausedError struct {
	Wait time.Duration
	Why  string
}

// Error implements error.
func (e *PausedError) Error() string { return "the PMS is asked again later: " + e.Why }

// Request is one call.
type Request struct {
	Method  string // "" is GET
	Address string
	// JSON is the body, nil for none. Where the account authenticates in the body, it must be a map[string]any or nil.
	JSON any
	Form url.Values // the body instead of JSON; nil for none
	// Message is the path of the PMS's message in a refusal; "" tries the usual places.
	Message string
	// BeforeSending, if not nil, is called right before the request leaves, after all waiting. If it returns an error,
	// nothing is sent and [Client.Do] returns the error.
	BeforeSending func() error
}

// Answer is what a PMS answered.
type Answer struct {
	Status int
	Line   string // such as 404 Not Found
	Header http.Header
	Text   []byte
}

// OK reports whether the answer's status is one of success.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// Client calls the PMS of one account. It is safe for concurrent use.
type Client struct {
	account pms.Account
	first   time.Duration // the first wait after a failure
	http    *http.Client
	limits  []*rate.Limiter
	permits chan struct{} // one for each call at a time; nil: no bound
	breaker breaker
	tokens  *tokens // nil but for oauth2
}

// errRedirected says that a PMS answered with a redirect. Only configured addresses are called.
var errRedirected = errors.New("it was redirected, which is not followed: correct the url in the configuration")

// New makes a client. first is the first wait after a failure, which doubles.
func New(a pms.Account, first time.Duration) *Client {
	pace := a.PerSecond
	if pace <= 0 {
		pace = perSecond
	}
	c := &Client{
		account: a, first: first, limits: []*rate.Limiter{rate.NewLimiter(rate.Limit(pace),
			max(int(math.Ceil(pace)), 1))},
		http: &http.Client{
			Timeout:       AnswerWithin,
			CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirected },
		},
	}
	for _, l := range a.Limits {
		c.limits = append(c.limits, windowLimiter(l))
	}
	if a.AtOnce > 0 {
		c.permits = make(chan struct{}, a.AtOnce)
	}
	if a.Auth == pms.AuthOAuth2 {
		c.tokens = newTokens(a, c.http)
	}
	return c
}

// windowLimiter allows at most l.Requests in any l.Seconds: half of them at once, the rest spread over the window.
func windowLimiter(l pms.Limit) *rate.Limiter {
	burst := max(l.Requests/2, 1)
	spread := max(float64(l.Requests-burst), 0.5) // a limit of one request per window: one every two windows
	return rate.NewLimiter(rate.Limit(spread/float64(l.Seconds)), burst)
}

// Do makes one call through the account's breaker, which also records the result. read extracts what the caller needs
// from the answer, or returns an [Error] that says what is wrong with it; nil accepts every success. Do returns read's
// error, an [Error] of its own, a [PausedError] if nothing was sent, or the context's.
func (c *Client) Do(ctx context.Context, r Request, read func(Answer) error) (answer Answer, err error) {
	if c.permits != nil {
		select {
		case c.permits <- struct{}{}:
			defer func() { <-c.permits }()
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
	if err := c.breaker.enter(time.Now()); err != nil {
		return Answer{}, err
	}
	answer, err = c.ask(ctx, r)
	if err == nil && read != nil {
		err = read(answer)
	} else if err == nil && !answer.OK() {
		err = c.Refused(answer, r.Message)
	}
	api, unsent := new(Error), new(unsentError)
	switch {
	case errors.As(err, &unsent):
		c.breaker.leave()
		return Answer{}, unsent.error
	case ctx.Err() != nil:
		c.breaker.leave()
	case !errors.As(err, &api):
		c.breaker.pass()
	default:
		if next := Decide(Attempt{Cause: api.Cause, RetryAfter: api.RetryAfter}, c.first); next.Hold {
			api.RetryAfter = c.breaker.trip(time.Now(), c.first, api.RetryAfter, api.Message)
		} else {
			c.breaker.pass()
		}
	}
	return answer, err
}

// Refused describes an unsuccessful answer.
func (c *Client) Refused(a Answer, message string) *Error {
	return &Error{
		Status: a.Status, RetryAfter: RetryAfter(a.Header), Cause: CauseOf(a.Status),
		Message: "the PMS answered " + a.Line + c.Quote(a.Text, message),
	}
}

// unsentError is why a request did not leave.
type unsentError struct{ error }

// ask makes one request. If the token is refused, it is repeated at once with a new one.
func (c *Client) ask(ctx context.Context, r Request) (Answer, error) {
	for again := false; ; again = true {
		req, token, err := c.request(ctx, r)
		if err != nil {
			return Answer{}, err
		}
		answer, err := c.send(ctx, req, r.BeforeSending)
		if err != nil {
			return Answer{}, err
		}
		if answer.Status == http.StatusUnauthorized && token != "" && !again && c.tokens.drop(token) {
			continue
		}
		if token != "" && answer.Status != http.StatusUnauthorized {
			c.tokens.worked(token)
		}
		return answer, nil
	}
}

// turn waits for the account's pace.
func (c *Client) turn(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, waitAtMost)
	defer cancel()
	for _, l := range c.limits {
		if err := l.Wait(limited); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &unsentError{&PausedError{
				waitAtMost / 2,
				"many requests wait, at the pace of per_second and the PMS's limits",
			}}
		}
	}
	return nil
}

func (c *Client) send(ctx context.Context, req *http.Request, before func() error) (Answer, error) {
	if err := c.turn(ctx); err != nil {
		return Answer{}, err
	}
	if before != nil {
		if err := before(); err != nil {
			return Answer{}, &unsentError{err}
		}
	}
	resp, err := c.http.Do(req) // #nosec G704 -- the host is the configuration's, see pms.FetchManifest.Address
	if err != nil {
		if errors.Is(err, errRedirected) {
			return Answer{}, &Error{Cause: Failing, Message: "the PMS could not be asked: " + errRedirected.Error()}
		}
		return Answer{}, &Error{Cause: Silent, Message: "the PMS could not be asked: " + withoutAddress(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return Answer{}, &Error{Cause: Silent, Message: "the PMS's answer broke off"}
	}
	return Answer{resp.StatusCode, resp.Status, resp.Header, text}, nil
}

// request sends a request, and returns the token in it; "" if the authentication has no expiring token.
func (c *Client) request(ctx context.Context, r Request) (*http.Request, string, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	body, kind, err := c.body(method, r)
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequestWithContext(ctx, method, r.Address, bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "staykey")
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.account.Auth == pms.AuthSmoobu {
		signSmoobu(req, body, c.account.Credentials, time.Now(), newNonce())
	}
	token, err := c.authorize(ctx, req)
	return req, token, err
}

func (c *Client) authorize(ctx context.Context, req *http.Request) (token string, err error) {
	switch c.account.Auth {
	case pms.AuthBearer:
		req.Header.Set("Authorization", "Bearer "+c.account.Token)
	case pms.AuthHeader:
		req.Header.Set(c.account.Header, c.account.Token)
	case pms.AuthBasic:
		req.SetBasicAuth(c.account.Username, c.account.Password)
	case pms.AuthOAuth2:
		t, err := c.tokens.get(ctx, c.turn, c.Quote)
		if err != nil {
			return "", err
		}
		t.SetAuthHeader(req)
		return t.AccessToken, nil
	}
	return "", nil
}

// body is the request's body and its media type. An account that authenticates in the body adds its fields, which
// may be credentials.
func (c *Client) body(method string, r Request) ([]byte, string, error) {
	if r.Form != nil {
		return []byte(r.Form.Encode()), "application/x-www-form-urlencoded", nil
	}
	value := r.JSON
	if c.account.Auth == pms.AuthBody && method != http.MethodGet {
		fields := map[string]any{}
		document, _ := value.(map[string]any)
		for name, v := range document {
			fields[name] = v
		}
		for name, v := range c.account.Body {
			fields[name] = v
		}
		value = fields
	}
	if value == nil {
		return nil, "", nil
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, "", fmt.Errorf("the request's body: %w", err)
	}
	return encoded, "application/json", nil
}

// withoutAddress is a request's error without its URL, which may hold secrets.
func withoutAddress(err error) string {
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return wrapped.Err.Error()
	}
	return err.Error()
}

// RetryAfter reads the pause that a server asks for; 0 if none.
func RetryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 86400 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// Clients are the clients of accounts, each kept for as long as the process runs, through any number of reloads:
// some PMSs hand out five access tokens a day. Sources with the same account share its client. The zero value is
// ready to use.
type Clients struct {
	mu   sync.Mutex
	list []*Client
}

// Of returns the client of an account. first is the first wait after a failure.
func (c *Clients) Of(a pms.Account, first time.Duration) *Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, known := range c.list {
		if reflect.DeepEqual(known.account, a) {
			return known
		}
	}
	fresh := New(a, first)
	c.list = append(c.list, fresh)
	return fresh
}
