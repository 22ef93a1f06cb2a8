package pmsapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/staykey/staykey/internal/pms"
)

// tokenTrusted is how long a token is used although the PMS has never accepted it: some PMSs issue five a day, and a
// refused account must not use those up.
const tokenTrusted = time.Hour

// tokens keeps the access token of an account until it expires or the PMS refuses it.
type tokens struct {
	config clientcredentials.Config
	http   *http.Client

	mu    sync.Mutex
	token *oauth2.Token
	at    time.Time // it was handed out
	good  bool      // the PMS has accepted it
}

func newTokens(s pms.Account, client *http.Client) *tokens {
	return &tokens{
		config: clientcredentials.Config{
			ClientID: s.ClientID, ClientSecret: s.ClientSecret, TokenURL: s.TokenAddress(),
			Scopes: s.Scopes,
		},
		http: client,
	}
}

// get returns the token, and requests one if none is valid. turn waits for the account's pace, and quote describes the
// server's answer. Errors are about the account, whatever the status, never about a document.
func (t *tokens) get(ctx context.Context, turn func(context.Context) error,
	quote func([]byte, string) string,
) (*oauth2.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token.Valid() {
		return t.token, nil
	}
	if err := turn(ctx); err != nil {
		return nil, err
	}
	token, err := t.config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.http))
	if err != nil {
		return nil, tokenError(err, quote)
	}
	t.token, t.at, t.good = token, time.Now(), false
	return token, nil
}

// worked records that the PMS has accepted a token.
func (t *tokens) worked(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != nil && t.token.AccessToken == token {
		t.good = true
	}
}

// drop forgets a token that the PMS has refused. False: another token would be refused as well.
func (t *tokens) drop(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == nil || t.token.AccessToken != token {
		return true // somebody else has dropped it
	}
	if !t.good && time.Since(t.at) < tokenTrusted {
		return false
	}
	t.token = nil
	return true
}

func tokenError(err error, quote func([]byte, string) string) error {
	refused := new(oauth2.RetrieveError)
	if !errors.As(err, &refused) || refused.Response == nil {
		return &Error{Cause: Silent, Message: "no access token could be asked for: " + withoutAddress(err)}
	}
	why := Account
	if CauseOf(refused.Response.StatusCode) == Busy {
		why = Busy
	}
	return &Error{
		Status: refused.Response.StatusCode, RetryAfter: RetryAfter(refused.Response.Header), Cause: why,
		Message: "no access token was given out: " + refused.Response.Status + quote(refused.Body, ""),
	}
}
