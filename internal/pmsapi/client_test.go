package pmsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/staykey/staykey/internal/pms"
)

// accountOf is a client of a PMS that answers as fn does.
func accountOf(t *testing.T, a pms.Account, fn http.HandlerFunc) (*Client, string) {
	t.Helper()
	server := httptest.NewServer(fn)
	t.Cleanup(server.Close)
	a.URL, a.PerSecond = server.URL, 1000
	return New(a, time.Nanosecond), server.URL
}

func oauth() pms.Account {
	return pms.Account{
		AccountManifest: pms.AccountManifest{Auth: pms.AuthOAuth2, TokenURL: "token"},
		Credentials:     pms.Credentials{ClientID: "id", ClientSecret: "the-client-secret"},
	}
}

// An account that is refused whatever the token doesn't use up the tokens of the day.
func TestARefusedAccountAsksForOneToken(t *testing.T) {
	t.Parallel()
	var handedOut atomic.Int32
	c, address := accountOf(t, oauth(), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			_, _ = fmt.Fprintf(w, `{"access_token": "t%d", "token_type": "bearer", "expires_in": 86400}`,
				handedOut.Add(1))
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
	for range 5 {
		_, err := c.Do(t.Context(), Request{Address: address + "/a"}, nil)
		if api := new(Error); !errors.As(err, &api) || api.Cause != Account {
			t.Fatalf("%v, want the account's", err)
		}
		c.breaker = breaker{}
	}
	if n := handedOut.Load(); n != 1 {
		t.Errorf("%d tokens were asked for", n)
	}
}

// A request that did not leave is no sign of trouble at the PMS, and costs no other call its turn.
func TestRequestsThatDontLeave(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c, address := accountOf(t, pms.Account{AccountManifest: pms.AccountManifest{Auth: pms.AuthBearer, AtOnce: 1}},
		func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	c.breaker.failures = 1 // the next call finds out whether the PMS is back
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(cut, Request{Address: address}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it cut off", err)
	}
	late := errors.New("the lease has ended")
	if _, err := c.Do(t.Context(), Request{Address: address, BeforeSending: func() error { return late }},
		nil); !errors.Is(err, late) {
		t.Errorf("%v, want %v", err, late)
	}
	if c.breaker.failures != 1 || c.breaker.probing || asked.Load() != 0 {
		t.Errorf("the breaker is %+v after requests that did not leave; %d left", &c.breaker, asked.Load())
	}
	if _, err := c.Do(t.Context(), Request{Address: address}, nil); err != nil || c.breaker.failures != 0 {
		t.Errorf("%v, failures %d", err, c.breaker.failures)
	}
}

// An account whose PMS takes one call at a time has one call on its way, however many callers it has.
func TestCallsAtOnce(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	c, address := accountOf(t, pms.Account{AccountManifest: pms.AccountManifest{Auth: pms.AuthBearer, AtOnce: 1}},
		func(http.ResponseWriter, *http.Request) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			now.Add(-1)
		})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := c.Do(t.Context(), Request{Address: address}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d calls at once, want 1", most.Load())
	}
}

// In no window are there more requests than the PMS takes, however many wait.
func TestWindows(t *testing.T) {
	t.Parallel()
	for _, l := range []pms.Limit{
		{Requests: 15, Seconds: 10},
		{Requests: 120, Seconds: 60},
		{Requests: 5000, Seconds: 3600},
		{Requests: 1, Seconds: 5},
		{Requests: 2, Seconds: 1},
	} {
		limiter := windowLimiter(l)
		start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		var at []time.Time
		for now := start; len(at) < 4*l.Requests; {
			r := limiter.ReserveN(now, 1)
			now = now.Add(r.DelayFrom(now))
			at = append(at, now)
		}
		for i := l.Requests; i < len(at); i++ {
			if within := at[i].Sub(at[i-l.Requests]); within < time.Duration(l.Seconds)*time.Second-time.Millisecond {
				t.Fatalf("%+v: %d requests within %v", l, l.Requests+1, within)
			}
		}
	}
	if c := New(pms.Account{}, time.Second); c.limits[0].Limit() != rate.Limit(perSecond) {
		t.Errorf("an account that says nothing has the pace %v", c.limits[0].Limit())
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	for reason, c := range map[string]struct {
		account pms.Account
		request Request
		kind    string
		want    string
	}{
		"JSON": {pms.Account{}, Request{
			Method: http.MethodPut,
			JSON:   map[string]any{"a": "é<"},
		}, "application/json", `{"a":"é\u003c"}`},
		"a list": {
			pms.Account{},
			Request{Method: http.MethodPost, JSON: []any{1}},
			"application/json", `[1]`,
		},
		"a form": {pms.Account{}, Request{
			Method: http.MethodPut,
			Form:   url.Values{"a[0]": {"b c"}},
		}, "application/x-www-form-urlencoded", "a%5B0%5D=b+c"},
		"nothing": {pms.Account{}, Request{Method: http.MethodDelete}, "", ""},
		"credentials go into the body": {
			pms.Account{
				AccountManifest: pms.AccountManifest{Auth: pms.AuthBody},
				Credentials:     pms.Credentials{Body: map[string]string{"Token": "t"}},
			},
			Request{Method: http.MethodPost},
			"application/json", `{"Token":"t"}`,
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			client, address := accountOf(t, c.account, func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if string(body) != c.want || r.Header.Get("Content-Type") != c.kind || r.Method != c.request.Method {
					t.Errorf("%s %q %q, want %q %q", r.Method, r.Header.Get("Content-Type"), body, c.kind, c.want)
				}
			})
			c.request.Address = address
			if _, err := client.Do(t.Context(), c.request, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// One account has one client, whatever sources use it, and other credentials have another.
func TestClientsOfAccounts(t *testing.T) {
	t.Parallel()
	var all Clients
	a := pms.Account{
		AccountManifest: pms.AccountManifest{URL: "https://api.example.com"},
		Credentials:     pms.Credentials{Token: "one", Body: map[string]string{"a": "b"}},
	}
	same := a
	same.Body = map[string]string{"a": "b"}
	other := a
	other.Token = "two"
	if all.Of(a, time.Second) != all.Of(same, time.Second) {
		t.Error("one account has two clients")
	}
	if all.Of(a, time.Second) == all.Of(other, time.Second) {
		t.Error("two accounts have one client")
	}
}

func TestAnErrorWithoutCredentials(t *testing.T) {
	t.Parallel()
	c, address := accountOf(t, pms.Account{
		AccountManifest: pms.AccountManifest{Auth: pms.AuthBearer},
		Credentials:     pms.Credentials{Token: "very-secret"},
	}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"message": "very-secret of jane@example.com is wrong"}`)
	})
	_, err := c.Do(t.Context(), Request{Address: address}, nil)
	if err == nil || !strings.Contains(err.Error(), "422 Unprocessable Entity: [redacted] of [redacted] is wrong") {
		t.Errorf("%v", err)
	}
}
