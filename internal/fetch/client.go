// Package fetch asks PMSs for the documents that their webhooks only name, and keeps asking until it has them.
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
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/time/rate"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

const (
	// answerWithin bounds one request.
	answerWithin = 20 * time.Second
	// maxDocument is the largest answer that is read.
	maxDocument = 4 << 20
	// perSecond is the pace where neither format nor configuration says one: PMSs are slow, and count.
	perSecond = 2
	// waitAtMost is how long a request waits for its turn before its worker does something else.
	waitAtMost = 30 * time.Second
)

// Error is why a document could not be had. Its text holds no credentials and nothing of the answer.
type Error struct {
	Status     int           // of HTTP; 0 where there was no answer
	RetryAfter time.Duration // as the PMS asked for
	Message    string
}

func (e *Error) Error() string { return e.Message }

// client asks the PMS of one source, at its pace.
type client struct {
	settings *pms.FetchSettings
	http     *http.Client
	limiter  *rate.Limiter
	tokens   oauth2.TokenSource // nil but for oauth2
}

// errRedirected says that a PMS wants us elsewhere: the addresses that are asked are those of the configuration.
var errRedirected = errors.New("it was redirected, which is not followed: correct fetch.url")

func newClient(s *pms.FetchSettings) *client {
	pace := s.PerSecond
	if pace <= 0 {
		pace = perSecond
	}
	c := &client{
		settings: s, limiter: rate.NewLimiter(rate.Limit(pace), max(int(math.Ceil(pace)), 1)),
		http: &http.Client{Timeout: answerWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirected }},
	}
	if s.Auth == pms.AuthOAuth2 {
		config := clientcredentials.Config{ClientID: s.ClientID, ClientSecret: s.ClientSecret, TokenURL: s.TokenURL, Scopes: s.Scopes}
		c.tokens = config.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, c.http)) // it keeps a token until it expires
	}
	return c
}

// get asks for the documents that a format wants, and notes each request.
func (c *client) get(ctx context.Context, want pms.Fetch, note func(store.Try)) ([]any, error) {
	d := c.settings.Documents[want.Kind]
	ids := [][]string{}
	if d.Batched() {
		ids = append(ids, want.IDs)
	} else {
		for _, id := range want.IDs {
			ids = append(ids, []string{id})
		}
	}
	var documents []any
	for _, some := range ids {
		began := time.Now()
		document, status, err := c.one(ctx, want, d, some)
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

func (c *client) one(ctx context.Context, want pms.Fetch, d pms.Document, ids []string) (document any, status int, err error) {
	req, err := c.request(ctx, want, d, ids)
	if err != nil {
		return nil, 0, err
	}
	turn, cancel := context.WithTimeout(ctx, waitAtMost)
	defer cancel()
	if err := c.limiter.Wait(turn); err != nil {
		return nil, 0, &Error{Message: "too many documents are asked for: waiting for their turn", RetryAfter: waitAtMost / 2}
	}
	resp, err := c.http.Do(req) // #nosec G704 -- the host is the configuration's, see pms.FetchManifest.Address
	if err != nil {
		return nil, 0, &Error{Message: "the PMS could not be asked: " + withoutAddress(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case err != nil:
		return nil, resp.StatusCode, &Error{Status: 0, Message: "the PMS's answer broke off"}
	case resp.StatusCode != http.StatusOK:
		return nil, resp.StatusCode, &Error{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header), Message: "the PMS answered " + resp.Status}
	case len(text) > maxDocument:
		return nil, resp.StatusCode, &Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("the PMS's answer is larger than %d MiB", maxDocument>>20)}
	}
	if err := pms.CheckJSON(text); err != nil {
		return nil, resp.StatusCode, &Error{Message: "the PMS's answer is no JSON"}
	}
	document, err = pms.DecodeJSON(text)
	return document, resp.StatusCode, err
}

func (c *client) request(ctx context.Context, want pms.Fetch, d pms.Document, ids []string) (*http.Request, error) {
	address, err := c.settings.Address(want, ids[0])
	if err != nil {
		return nil, err
	}
	method := d.Method
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader
	if method == http.MethodPost {
		encoded, err := c.body(d, ids)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "staykey")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch c.settings.Auth {
	case pms.AuthBearer:
		req.Header.Set("Authorization", "Bearer "+c.settings.Token)
	case pms.AuthHeader:
		req.Header.Set(c.settings.Header, c.settings.Token)
	case pms.AuthBasic:
		req.SetBasicAuth(c.settings.Username, c.settings.Password)
	case pms.AuthOAuth2:
		token, err := c.tokens.Token()
		if err != nil {
			return nil, tokenError(err)
		}
		token.SetAuthHeader(req)
	}
	return req, nil
}

// body is the body of a POST: what the format says, and the configuration's fields, which may be credentials.
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

// tokenError words why there is no token, without what the server said: it may repeat the credentials.
func tokenError(err error) error {
	if refused := new(oauth2.RetrieveError); errors.As(err, &refused) && refused.Response != nil {
		return &Error{Status: refused.Response.StatusCode, RetryAfter: retryAfter(refused.Response.Header), Message: "no access token was given out: " + refused.Response.Status}
	}
	return &Error{Message: "no access token could be asked for: " + withoutAddress(err)}
}

// withoutAddress is an error of a request without its URL, which may hold more than a log should.
func withoutAddress(err error) string {
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return wrapped.Err.Error()
	}
	return err.Error()
}

// retryAfter reads how long a server asks to be left alone; 0 where it doesn't say.
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

// clients are the clients of the sources, each kept while its settings are the same.
type clients struct {
	mu   sync.Mutex
	list map[string]*client
}

func (c *clients) of(source pms.Source) *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list == nil {
		c.list = map[string]*client{}
	}
	known := c.list[source.Name]
	if known == nil || known.settings != source.Fetch {
		known = newClient(source.Fetch)
		c.list[source.Name] = known
	}
	return known
}
