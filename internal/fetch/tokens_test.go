package fetch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
)

const oauthDoc = `"auth": "oauth2", "token_url": "URL/token", "documents": {"doc": {"path": "/docs/{id}"}}`

// account is a PMS that hands out tokens t1, t2, ...; accepts tells which of them it takes.
func tokenPMS(t *testing.T, accepts func(token string) bool) (f *Fetcher, s pms.Source, handedOut *atomic.Int32) {
	handedOut = new(atomic.Int32)
	f, s = pmsOf(t, wantsDoc, oauthDoc, func(s *pms.FetchSettings) {
		s.ClientID, s.ClientSecret = "id",
			"the-client-secret"
	}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			_, _ = fmt.Fprintf(w, `{"access_token": "t%d", "token_type": "bearer", "expires_in": 86400}`,
				handedOut.Add(1))
			return
		}
		if !accepts(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, `{}`)
	})
	return f, s, handedOut
}

func TestATokenIsKept(t *testing.T) {
	t.Parallel()
	f, s, handedOut := tokenPMS(t, func(token string) bool { return token == "t1" })
	for range 6 { // each as after a reload of an unchanged configuration
		same := *s.Fetch
		s.Fetch = &same
		if _, _, err := collect(t, f, s, `{"id": 1}`, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := handedOut.Load(); n != 1 {
		t.Errorf("%d tokens were asked for", n)
	}
	other := *s.Fetch
	other.ClientSecret = "another"
	s.Fetch = &other
	if _, _, err := collect(t, f, s, `{"id": 1}`, 0); err == nil {
		t.Error("the token of the old secret is used with the new one")
	}
}

func TestARevokedTokenIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	f, s, handedOut := tokenPMS(t, func(token string) bool { return token == "t1" && !revoked.Load() || token == "t2" })
	for range 2 {
		if _, _, err := collect(t, f, s, `{"id": 1}`, 0); err != nil {
			t.Fatal(err)
		}
	}
	revoked.Store(true)
	for range 3 {
		if _, tries, err := collect(t, f, s, `{"id": 1}`, 0); err != nil || len(tries) != 1 {
			t.Fatalf("after t1 was revoked: %v %+v", err, tries)
		}
	}
	if n := handedOut.Load(); n != 2 {
		t.Errorf("%d tokens were asked for", n)
	}
}

// What a token endpoint answers is about the account, whatever its status, and never repeats the credentials.
func TestTokenErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		answer string
		want   pmsapi.Cause
		words  string
	}{
		"a wrong secret, by RFC 6749": {
			400,
			`{"error": "invalid_client", "error_description": "the-client-secret of jane@example.com is wrong"}`,
			pmsapi.Account, "400 Bad Request: [redacted] of [redacted] is wrong",
		},
		"by its error code alone": {
			400, `{"error": "invalid_client"}`, pmsapi.Account,
			"400 Bad Request: invalid_client",
		},
		"not found":        {404, `gone`, pmsapi.Account, "404 Not Found"},
		"a server's error": {500, ``, pmsapi.Account, "500 Internal Server Error"},
		"too many":         {429, ``, pmsapi.Busy, "429 Too Many Requests"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, s := pmsOf(t, wantsDoc, oauthDoc, func(s *pms.FetchSettings) {
				s.ClientID, s.ClientSecret = "id",
					"the-client-secret"
			}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.answer)
			})
			f.first = time.Hour // the account is left alone for as long as this test takes
			_, _, err := collect(t, f, s, `{"id": 1}`, 0)
			api := new(pmsapi.Error)
			if !errors.As(err, &api) || api.Cause != c.want ||
				err.Error() != "no access token was given out: "+c.words {
				t.Errorf("%v", err)
			}
			paused := new(pmsapi.PausedError)
			if _, _, err := collect(t, f, s, `{"id": 2}`, 0); !errors.As(err, &paused) {
				t.Errorf("the source's other events keep asking: %v", err)
			}
		})
	}
}
