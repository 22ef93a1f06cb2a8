package handlers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/staykey/staykey/internal/admin"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/fair"
)

// withActor returns a request's context with who makes it, whom the request's log record names too.
func withActor(ctx context.Context, a admin.Actor) context.Context {
	noteToken(ctx, a.Name)
	return admin.WithActor(ctx, a)
}

// arrival is how a request came to be an actor's, for the audit log.
func (s *server) arrival(w http.ResponseWriter, r *http.Request, token admin.Token, person, via string) admin.Actor {
	address := ""
	if from := s.sender(r); from.IsValid() {
		address = from.String()
	}
	return admin.Actor{Token: token, Person: person, Via: via, RequestID: w.Header().Get("X-Request-Id"), Address: address}
}

// tokenOf finds a token by its hash. Every token is compared, in constant time.
func (s *server) tokenOf(hash []byte) (admin.Token, bool) {
	var found admin.Token
	matched := 0
	for _, known := range s.Tokens() {
		if subtle.ConstantTimeCompare(hash, known.Hash[:]) == 1 {
			found, matched = known, 1
		}
	}
	return found, matched == 1
}

// authenticated lets requests with an admin token pass, if it may do what the method does.
func (s *server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			secret = ""
		}
		token, p := s.judgeToken(r, strings.TrimSpace(secret))
		if p != nil {
			p.write(w)
			return
		}
		p = mayDo(token, r.Method)
		if token.Only == admin.OnlyGates && setsGate(r) {
			p = nil
		}
		if p != nil {
			p.write(w)
			return
		}
		next.ServeHTTP(w, r.WithContext(withActor(r.Context(), s.arrival(w, r, token, "", admin.ViaREST))))
	})
}

// judgeToken finds the token that a request shows. An address that has shown many wrong ones is told to wait, and nothing it shows is
// looked at meanwhile, so that it learns one answer a second at most; but a token that was right from there before stays so.
func (s *server) judgeToken(r *http.Request, secret string) (admin.Token, *Problem) {
	if secret == "" {
		return admin.Token{}, unauthorized(false)
	}
	hash := sha256.Sum256([]byte(secret))
	client := fair.Client(s.sender(r))
	if !s.guesses.knows(client, hash) {
		if wait := s.guesses.wait(client, s.Now()); wait > 0 {
			wrongTokens.WithLabelValues("not_looked_at").Inc()
			return admin.Token{}, problem(http.StatusTooManyRequests, "too many wrong tokens from this address: wait, and check the token").after(wait)
		}
	}
	token, ok := s.tokenOf(hash[:])
	if ok {
		s.guesses.right(client, hash)
		return token, nil
	}
	s.guesses.forget(client, hash)
	wrongTokens.WithLabelValues("wrong").Inc()
	return admin.Token{}, unauthorized(true)
}

func mayDo(token admin.Token, method string) *Problem {
	if token.Only != "" {
		return problem(http.StatusForbidden, "this token has scope: "+token.Only+" and may do nothing else: use one with scope: read or write")
	}
	if token.Write || method == http.MethodGet || method == http.MethodHead {
		return nil
	}
	return problem(http.StatusForbidden, "this token may only read: use one with scope: write")
}

var wrongTokens = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_wrong_tokens_total", Help: "Requests with a wrong token, or one that was not_looked_at because the address had sent too many wrong tokens.",
}, []string{"result"})

// unauthorized answers a request without a valid token.
func unauthorized(guessed bool) *Problem {
	p := problem(http.StatusUnauthorized, "missing or invalid bearer token: send the header \"Authorization: Bearer <admin token>\" with a token from STAYKEY_ADMIN_TOKEN or the config file")
	p.challenge = `Bearer realm="staykey"`
	if guessed {
		p.challenge += `, error="invalid_token"`
	}
	return p
}
