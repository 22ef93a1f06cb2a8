package fetch

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
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

const (
	// answerWithin bounds one request.
	answerWithin = 20 * time.Second
	// maxDocument is the largest answer that is read.
	maxDocument = 4 << 20
	// perSecond is the pace where neither format nor configuration specifies one: PMSs are slow, and count requests.
	perSecond = 2
	// waitAtMost is how long a request waits for its turn before its worker does something else.
	waitAtMost = 30 * time.Second
)

// Error is why a document could not be fetched. Its text may quote the PMS, but holds no credentials and no e-mail address.
type Error struct {
	Status     int           // of HTTP; 0 where there was no answer
	RetryAfter time.Duration // as the PMS asked for
	Message    string
	cause      cause
}

func (e *Error) Error() string { return e.Message }

// client asks the PMS of one source: at its pace, with its credentials, and not while its gate is shut. It is kept for as long
// as the source's settings are the same, through any number of reloads.
type client struct {
	settings *pms.FetchSettings
	first    time.Duration // the first wait after a failure
	http     *http.Client
	limiter  *rate.Limiter
	gate     gate
	tokens   *tokens // nil but for oauth2
}

// errRedirected says that a PMS wants us elsewhere: the addresses that are asked are those of the configuration.
var errRedirected = errors.New("it was redirected, which is not followed: correct fetch.url")

func newClient(s *pms.FetchSettings, first time.Duration) *client {
	pace := s.PerSecond
	if pace <= 0 {
		pace = perSecond
	}
	c := &client{
		settings: s, first: first, limiter: rate.NewLimiter(rate.Limit(pace), max(int(math.Ceil(pace)), 1)),
		http: &http.Client{Timeout: answerWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirected }},
	}
	if s.Auth == pms.AuthOAuth2 {
		c.tokens = newTokens(s, c.http)
	}
	return c
}

// get asks for the documents that a format wants, and notes each request.
func (c *client) get(ctx context.Context, want pms.Fetch, note func(store.Try)) ([]any, error) {
	d := c.settings.Documents[want.Kind]
	ids := [][]string{want.IDs}
	if !d.Batched() {
		ids = ids[:0]
		for _, id := range want.IDs {
			ids = append(ids, []string{id})
		}
	}
	var documents []any
	for _, some := range ids {
		began := time.Now()
		document, status, err := c.one(ctx, want, d, some)
		if held := new(heldError); errors.As(err, &held) {
			return nil, err // there was no request to note
		}
		try := store.Try{At: began.UTC(), Document: want.Kind + " " + strings.Join(some, ", "), DurationMS: time.Since(began).Milliseconds(), Status: status}
		if len(try.Document) > 200 {
			try.Document = fmt.Sprintf("%d of %s", len(some), want.Kind)
		}
		if err != nil {
			try.Error = err.Error()
		}
		note(try)
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
	return documents, nil
}

// one makes one request through the gate, which learns from how it ends.
func (c *client) one(ctx context.Context, want pms.Fetch, d pms.Document, ids []string) (document any, status int, err error) {
	if err := c.gate.enter(time.Now()); err != nil {
		return nil, 0, err
	}
	document, status, err = c.ask(ctx, want, d, ids)
	api := new(Error)
	switch {
	case ctx.Err() != nil:
		c.gate.leave()
	case !errors.As(err, &api):
		c.gate.pass()
	default:
		if next := decide(attempt{cause: api.cause, retryAfter: api.RetryAfter}, c.first); next.hold {
			api.RetryAfter = c.gate.shut(time.Now(), c.first, api.RetryAfter, api.Message)
		} else {
			c.gate.pass()
		}
	}
	return document, status, err
}

// ask makes one request. One that is refused for its token is made again at once, with a new token.
func (c *client) ask(ctx context.Context, want pms.Fetch, d pms.Document, ids []string) (document any, status int, err error) {
	for again := false; ; again = true {
		req, token, err := c.request(ctx, want, d, ids)
		if err != nil {
			return nil, 0, err
		}
		answer, err := c.send(ctx, req)
		if err != nil {
			return nil, 0, err
		}
		if answer.status == http.StatusUnauthorized && token != "" && !again && c.tokens.drop(token) {
			continue
		}
		if token != "" && answer.status != http.StatusUnauthorized {
			c.tokens.worked(token)
		}
		document, err := c.read(answer, d)
		return document, answer.status, err
	}
}

// turn waits for the source's pace.
func (c *client) turn(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, waitAtMost)
	defer cancel()
	if err := c.limiter.Wait(limited); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &heldError{waitAtMost / 2, "many documents are asked for, at the pace of fetch.per_second"}
	}
	return nil
}

// answer is what a PMS answered.
type answer struct {
	status int
	line   string // such as 404 Not Found
	header http.Header
	text   []byte
}

func (c *client) send(ctx context.Context, req *http.Request) (answer, error) {
	if err := c.turn(ctx); err != nil {
		return answer{}, err
	}
	resp, err := c.http.Do(req) // #nosec G704 -- the host is the configuration's, see pms.FetchManifest.Address
	if err != nil {
		if errors.Is(err, errRedirected) {
			return answer{}, &Error{cause: failing, Message: "the PMS could not be asked: " + errRedirected.Error()}
		}
		return answer{}, &Error{cause: silent, Message: "the PMS could not be asked: " + withoutAddress(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return answer{}, &Error{cause: silent, Message: "the PMS's answer broke off"}
	}
	return answer{resp.StatusCode, resp.Status, resp.Header, text}, nil
}

// read takes the document out of an answer, or says why it is none.
func (c *client) read(a answer, d pms.Document) (any, error) {
	switch {
	case a.status != http.StatusOK:
		return nil, &Error{
			Status: a.status, RetryAfter: retryAfter(a.header), cause: causeOf(a.status),
			Message: "the PMS answered " + a.line + c.quote(a.text, d),
		}
	case len(a.text) > maxDocument:
		return nil, &Error{Status: a.status, cause: unknown, Message: fmt.Sprintf("the PMS's answer is larger than %d MiB", maxDocument>>20)}
	}
	if err := pms.CheckJSON(a.text); err != nil {
		return nil, &Error{Status: a.status, cause: failing, Message: "the PMS's answer is not JSON"}
	}
	document, err := pms.DecodeJSON(a.text)
	switch {
	case err != nil:
		return nil, &Error{Status: a.status, cause: failing, Message: "the PMS's answer is not JSON"}
	case d.OK != "" && !isTrue(pms.Lookup(document, d.OK)):
		return nil, &Error{
			Status: a.status, RetryAfter: retryAfter(a.header), cause: failing,
			Message: "the PMS refused: it answered " + a.line + " and " + d.OK + " is not true" + c.quote(a.text, d),
		}
	case d.Require != "" && isEmpty(pms.Lookup(document, d.Require)):
		return nil, &Error{Status: a.status, cause: failing, Message: "the PMS's answer has nothing in " + d.Require + c.quote(a.text, d)}
	}
	return document, nil
}

func isTrue(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return v == "true" || v == "1"
	case json.Number:
		return v.String() == "1"
	}
	return false
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// request makes a request, and returns the token in it, "" where the authentication has none that expires.
func (c *client) request(ctx context.Context, want pms.Fetch, d pms.Document, ids []string) (*http.Request, string, error) {
	address, err := c.settings.Address(want, ids[0])
	if err != nil {
		return nil, "", err
	}
	method := d.Method
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader
	if method == http.MethodPost {
		encoded, err := c.body(d, ids)
		if err != nil {
			return nil, "", err
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "staykey")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	token, err := c.authorize(ctx, req)
	return req, token, err
}

func (c *client) authorize(ctx context.Context, req *http.Request) (token string, err error) {
	switch c.settings.Auth {
	case pms.AuthBearer:
		req.Header.Set("Authorization", "Bearer "+c.settings.Token)
	case pms.AuthHeader:
		req.Header.Set(c.settings.Header, c.settings.Token)
	case pms.AuthBasic:
		req.SetBasicAuth(c.settings.Username, c.settings.Password)
	case pms.AuthOAuth2:
		t, err := c.tokens.get(ctx, c.turn, c.quote)
		if err != nil {
			return "", err
		}
		t.SetAuthHeader(req)
		return t.AccessToken, nil
	}
	return "", nil
}

// body is the body of a POST: what the format specifies, and the configuration's fields, which may be credentials.
func (c *client) body(d pms.Document, ids []string) ([]byte, error) {
	fields, _ := d.Filled(ids).(map[string]any)
	if fields == nil {
		fields = map[string]any{}
	}
	for name, value := range c.settings.Body {
		fields[name] = value
	}
	return json.Marshal(fields)
}

// withoutAddress is an error of a request without its URL, which may hold more than a log should.
func withoutAddress(err error) string {
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return wrapped.Err.Error()
	}
	return err.Error()
}

// retryAfter reads how long a server asks to be left alone; 0 where it doesn't.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 86400 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// clients are the clients of the sources, each kept while its settings are the same, however often they are read again.
type clients struct {
	mu   sync.Mutex
	list map[string]*client
}

func (c *clients) of(source pms.Source, first time.Duration) *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list == nil {
		c.list = map[string]*client{}
	}
	known := c.list[source.Name]
	if known == nil || !reflect.DeepEqual(known.settings, source.Fetch) {
		known = newClient(source.Fetch, first)
		c.list[source.Name] = known
	}
	return known
}
