package handlers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"hash/maphash"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

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
		hash := sha256.Sum256([]byte(strings.TrimSpace(secret)))
		token, ok := s.tokenOf(hash[:])
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			s.refuseGuess(r, r.Header.Get("Authorization") != "").write(w)
			return
		}
		if p := mayDo(token, r.Method); p != nil {
			p.write(w)
			return
		}
		next.ServeHTTP(w, r.WithContext(withActor(r.Context(), s.arrival(w, r, token, "", store.AuditREST))))
	})
}

func mayDo(token Token, method string) *Problem {
	if token.Write || method == http.MethodGet || method == http.MethodHead {
		return nil
	}
	return problem(http.StatusForbidden, "this token may only read: use one with scope: write")
}

// refuseGuess answers a request without a valid token. Whoever shows many wrong ones is told to slow down; a valid one is
// never refused for that.
func (s *server) refuseGuess(r *http.Request, guessed bool) *Problem {
	if guessed {
		if wait := s.guesses.exceeded(s.sender(r), s.Now()); wait > 0 {
			return problem(http.StatusTooManyRequests, "too many wrong tokens from this address: wait, and check the token").after(wait)
		}
	}
	p := problem(http.StatusUnauthorized, "this needs the header \"Authorization: Bearer <admin token>\" with one of STAYKEY_ADMIN_TOKEN, or a token of the config file")
	p.challenge = `Bearer realm="staykey"`
	if guessed {
		p.challenge += `, error="invalid_token"`
	}
	return p
}

// How many wrong tokens an address may show at once, and how often after that.
const (
	guessBurst = 30
	guessEvery = time.Second
)

// guesses limits wrong tokens by the address that they come from, in a fixed amount of memory: addresses that share a place
// share a limit, and nobody who has a valid token ever meets it.
type guesses struct {
	seed   maphash.Seed
	places [1024]*rate.Limiter
}

func newGuesses() *guesses {
	g := &guesses{seed: maphash.MakeSeed()}
	for i := range g.places {
		g.places[i] = rate.NewLimiter(rate.Every(guessEvery), guessBurst)
	}
	return g
}

// exceeded tells how long whoever is at an address must wait after a wrong token; 0 if it need not.
func (g *guesses) exceeded(from netip.Addr, now time.Time) time.Duration {
	if from.Is6() { // one customer has many
		if prefix, err := from.Prefix(64); err == nil {
			from = prefix.Addr()
		}
	}
	l := g.places[maphash.Comparable(g.seed, from)%uint64(len(g.places))]
	if l.AllowN(now, 1) {
		return 0
	}
	return guessEvery
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
