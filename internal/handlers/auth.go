package handlers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/fair"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/store"
)

// Token is what an admin shows, known by its SHA-256 only.
type Token struct {
	Name    string // who has it: the author of what is done with it
	Hash    [sha256.Size]byte
	Write   bool     // it may change things
	Sources []string // it sees only these; nil for all
}

// actor is whoever makes a request.
type actor struct {
	Token
	Person string // who says to be using the token; "" for nobody
	// Of somebody signed in to the page: which session, in no form that is worth anything elsewhere, and how long it lasts.
	Session string
	Until   time.Time
	// How the request came, for the audit log.
	Via       string // store.AuditREST or store.AuditPage
	RequestID string
	Address   string
}

// sees tells whether a source exists, for this actor.
func (a actor) sees(source string) bool {
	return a.Sources == nil || slices.Contains(a.Sources, source)
}

// author is how the timeline calls the actor.
func (a actor) author(person string) string {
	if person == "" {
		person = a.Person
	}
	if person == "" || person == a.Name {
		return a.Name
	}
	return person + " (" + a.Name + ")"
}

type actorKey struct{}

func withActor(ctx context.Context, a actor) context.Context {
	noteToken(ctx, a.Name)
	return context.WithValue(ctx, actorKey{}, a)
}

// actorOf is who makes the request that ctx belongs to. Without one nothing is seen: every route that reads this is behind
// authentication.
func actorOf(ctx context.Context) actor {
	a, ok := ctx.Value(actorKey{}).(actor)
	if !ok {
		return actor{Token: Token{Sources: []string{}}}
	}
	return a
}

// tokenOf finds a token by its hash. Every token is compared, in constant time.
func (s *server) tokenOf(hash []byte) (Token, bool) {
	var found Token
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
		if p := mayDo(token, r.Method); p != nil {
			p.write(w)
			return
		}
		next.ServeHTTP(w, r.WithContext(withActor(r.Context(), s.arrival(w, r, token, "", store.AuditREST))))
	})
}

// judgeToken finds the token that a request shows. An address that has shown many wrong ones is told to wait, and nothing it shows is
// looked at meanwhile, so that it learns one answer a second at most; but a token that was right from there before stays so.
func (s *server) judgeToken(r *http.Request, secret string) (Token, *Problem) {
	if secret == "" {
		return Token{}, unauthorized(false)
	}
	hash := sha256.Sum256([]byte(secret))
	client := fair.Client(s.sender(r))
	if !s.guesses.knows(client, hash) {
		if wait := s.guesses.wait(client, s.Now()); wait > 0 {
			wrongTokens.WithLabelValues("not_looked_at").Inc()
			return Token{}, problem(http.StatusTooManyRequests, "too many wrong tokens from this address: wait, and check the token").after(wait)
		}
	}
	token, ok := s.tokenOf(hash[:])
	if ok {
		s.guesses.right(client, hash)
		return token, nil
	}
	s.guesses.forget(client, hash)
	wrongTokens.WithLabelValues("wrong").Inc()
	return Token{}, unauthorized(true)
}

func mayDo(token Token, method string) *Problem {
	if token.Write || method == http.MethodGet || method == http.MethodHead {
		return nil
	}
	return problem(http.StatusForbidden, "this token may only read: use one with scope: write")
}

var wrongTokens = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_wrong_tokens_total", Help: "Requests with a token that was wrong, or that was not_looked_at because the address had shown too many wrong ones.",
}, []string{"result"})

// unauthorized answers a request without a valid token.
func unauthorized(guessed bool) *Problem {
	p := problem(http.StatusUnauthorized, "this needs the header \"Authorization: Bearer <admin token>\" with one of STAYKEY_ADMIN_TOKEN, or a token of the config file")
	p.challenge = `Bearer realm="staykey"`
	if guessed {
		p.challenge += `, error="invalid_token"`
	}
	return p
}

// visibleRef is a reservation that the actor may know of.
func visibleRef(ctx context.Context, n Names) (store.Ref, *Problem) {
	if !actorOf(ctx).sees(n.Source) {
		return store.Ref{}, problem(http.StatusNotFound, noReservation)
	}
	return n.ref(), nil
}

// action is an actor's action, for intake.
func (a actor) action(kind intake.ActionKind, person, why string) intake.Action {
	return intake.Action{Kind: kind, By: a.author(plainText(person)), Why: plainText(why), Audit: a.audit(string(kind), plainText(person))}
}
