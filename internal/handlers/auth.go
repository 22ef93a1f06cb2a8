package handlers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/fair"
)

// Auth authenticates requests by admin tokens.
type Auth struct {
	tokens  func() []admin.Token
	proxies Proxies
	now     func() time.Time
	guesses *guesses
}

// NewAuth returns the authentication by the tokens of the current configuration.
func NewAuth(tokens func() []admin.Token, proxies Proxies, now func() time.Time) *Auth {
	return &Auth{tokens: tokens, proxies: proxies, now: now, guesses: newGuesses()}
}

// WithActor adds the actor to a request's context and names it in the request's log record.
func WithActor(ctx context.Context, a admin.Actor) context.Context {
	NoteToken(ctx, a.LogName())
	return admin.WithActor(ctx, a)
}

// Arrival returns the actor of a request: its token, person, address and interface, for the audit log.
func (a *Auth) Arrival(w http.ResponseWriter, r *http.Request, token admin.Token, person, via string) admin.Actor {
	address := ""
	if from := a.proxies.Sender(r); from.IsValid() {
		address = from.String()
	}
	return admin.Actor{
		Token: token, Person: person, Via: via, RequestID: w.Header().Get("X-Request-Id"),
		Address: address,
	}
}

// TokenOf finds a token by its hash. Every token is compared, in constant time.
func (a *Auth) TokenOf(hash []byte) (admin.Token, bool) {
	var found admin.Token
	matched := 0
	for _, known := range a.tokens() {
		if subtle.ConstantTimeCompare(hash, known.Hash[:]) == 1 {
			found, matched = known, 1
		}
	}
	return found, matched == 1
}

// Bearer admits requests whose bearer token allows their method and route.
func (a *Auth) Bearer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			secret = ""
		}
		token, p := a.Judge(r, strings.TrimSpace(secret))
		if p != nil {
			p.Write(w)
			return
		}
		p = MayDo(token, r.Method)
		if token.Only != "" {
			p = mayDoOnly(token, r.Method+" "+chi.RouteContext(r.Context()).RoutePattern())
		}
		if p != nil {
			p.Write(w)
			return
		}
		next.ServeHTTP(w, r.WithContext(WithActor(r.Context(), a.Arrival(w, r, token, "", admin.ViaREST))))
	})
}

// Judge finds the token of a request. An address that sent many wrong tokens must wait, and meanwhile its tokens aren't
// checked, so that it learns at most one result a second. A token that was right from this address before is exempt.
func (a *Auth) Judge(r *http.Request, secret string) (admin.Token, *Problem) {
	if secret == "" {
		return admin.Token{}, unauthorized(false)
	}
	hash := sha256.Sum256([]byte(secret))
	client := fair.Client(a.proxies.Sender(r))
	if !a.guesses.knows(client, hash) {
		if wait := a.guesses.wait(client, a.now()); wait > 0 {
			wrongTokens.WithLabelValues("not_looked_at").Inc()
			return admin.Token{}, NewProblem(http.StatusTooManyRequests,
				"too many wrong tokens from this address: wait, and check the token").After(wait)
		}
	}
	token, ok := a.TokenOf(hash[:])
	if ok {
		a.guesses.right(client, hash)
		return token, nil
	}
	a.guesses.forget(client, hash)
	wrongTokens.WithLabelValues("wrong").Inc()
	return admin.Token{}, unauthorized(true)
}

// MayDo refuses methods that a token doesn't allow: tokens for a single purpose allow none here, and read-only tokens
// allow none that changes anything.
func MayDo(token admin.Token, method string) *Problem {
	if token.Only != "" {
		return onlyFor(token)
	}
	if token.Write || method == http.MethodGet || method == http.MethodHead {
		return nil
	}
	return NewProblem(http.StatusForbidden, "this token may only read: use one with scope: write")
}

// onlyFor is the refusal of a request that a token for a single purpose doesn't allow.
func onlyFor(token admin.Token) *Problem {
	return NewProblem(http.StatusForbidden, "this token has scope: "+token.Only+
		" and may do nothing else: use one with scope: read or write")
}

// onlyRoutes are the methods and routes that a token for a single purpose allows.
var onlyRoutes = map[string][]string{
	admin.OnlyGates: {"PUT /v1/reservations/{source}/{reservation_id}/gates/{name}"},
	admin.OnlyGuest: {
		"POST /v1/reservations/{source}/{reservation_id}/app-session",
		"POST /v1/reservations/{source}/{reservation_id}/backup-code",
		"POST /v1/reservations/{source}/{reservation_id}/guest-link/renew",
	},
}

// mayDoOnly refuses a route that a token for a single purpose doesn't allow.
func mayDoOnly(token admin.Token, route string) *Problem {
	if slices.Contains(onlyRoutes[token.Only], route) {
		return nil
	}
	return onlyFor(token)
}

var wrongTokens = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_wrong_tokens_total",
	Help: "Requests with a wrong token, or one that was not_looked_at because the address had sent too many wrong tokens.",
}, []string{"result"})

// SignIns counts sign-ins to the page with the identity provider.
var SignIns = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_provider_sign_ins_total",
	Help: "Sign-ins to the page with the identity provider: signed_in, no_role, refused or expired, or the provider was unreachable, or its answer untrusted.",
}, []string{"result"})

// unauthorized answers a request without a valid token.
func unauthorized(guessed bool) *Problem {
	p := NewProblem(http.StatusUnauthorized,
		"missing or invalid bearer token: send \"Authorization: Bearer <token>\" with an admin token (STAYKEY_ADMIN_TOKEN or the config file)")
	p.challenge = `Bearer realm="staykey"`
	if guessed {
		p.challenge += `, error="invalid_token"`
	}
	return p
}
