package admin

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// The faces through which a change arrives, for the audit log.
const (
	ViaREST = store.AuditREST
	ViaPage = store.AuditPage
)

// Token is what an admin presents, known by its SHA-256 only.
type Token struct {
	Name    string // who has it: the author of what is done with it
	Hash    [sha256.Size]byte
	Write   bool     // it may change things
	Only    string   // the one thing that it may do, [OnlyGates] or [OnlyGuest]; "" for a token that may read
	Sources []string // it sees only these; nil for all
	// Subject identifies a person whom the identity provider has signed in, at that provider; "" for real tokens.
	// Such a person has no token: this is what the person may do now.
	Subject string
}

// LogName is what log records call the one who has the token. E-mail addresses would be removed from them.
func (t Token) LogName() string {
	if t.Subject != "" {
		return "sso:" + t.Subject
	}
	return t.Name
}

// OnlyGates is the scope of a token that may set gates and nothing else.
const OnlyGates = "gates"

// OnlyGuest is the scope of an app's backend: it may create app sessions, read backup codes and renew guests' links,
// and nothing else.
const OnlyGuest = "guest"

// Actor is who makes a request.
type Actor struct {
	Token
	Person string // who claims to be using the token, or the name from the identity provider; "" for nobody
	// Of somebody signed in to the page: which session, in no form that is worth anything elsewhere, and how long
	// it lasts.
	Session string
	Until   time.Time
	// How the request arrived, for the audit log.
	Via       string // ViaREST or ViaPage
	RequestID string
	Address   string
	// RequestKey names a request with an Idempotency-Key, for the audit log; nil for others.
	RequestKey []byte
}

// Sees reports whether a source exists, for this actor.
func (a Actor) Sees(source string) bool {
	return a.Sources == nil || slices.Contains(a.Sources, source)
}

// Author is what the timeline calls the actor. person is who the request says is using the token; "" for nobody. It
// doesn't count if the identity provider says who it is.
func (a Actor) Author(person string) string {
	if person == "" || a.Subject != "" {
		person = a.Person
	}
	if person == "" || person == a.Name {
		return a.Name
	}
	return person + " (" + a.Name + ")"
}

// Audit begins the entry of what the actor does: by which token and face. person is as for [Actor.Author]. Every
// changing request writes one, in the transaction of the change.
func (a Actor) Audit(action, person string) store.Audit {
	return store.Audit{
		Token: a.Name, Author: a.Author(person), Via: a.Via, Action: action, RequestID: stay.OrNil(a.RequestID),
		Address:    stay.OrNil(a.Address),
		RequestKey: a.RequestKey,
	}
}

// intakeAction is an actor's action, for intake.
func (a Actor) intakeAction(action Action) intake.Action {
	person := plainText(action.Author)
	return intake.Action{
		Kind: action.Kind, By: a.Author(person), Why: plainText(action.Reason), StartsAt: action.StartsAt,
		EndsAt: action.EndsAt,
		Audit:  a.Audit(string(action.Kind), person),
	}
}

type actorKey struct{}

// WithActor returns a context for what the actor asks.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf is who makes the request that ctx belongs to. Without one nothing is seen.
func ActorOf(ctx context.Context) Actor {
	a, ok := ctx.Value(actorKey{}).(Actor)
	if !ok {
		return Actor{Token: Token{Sources: []string{}}}
	}
	return a
}

// plainText is a text that somebody wrote for others to read: no control or direction characters, no spaces around
// it. One without any visible character, such as a space without width, is empty.
func plainText(s string) string {
	s = strings.TrimSpace(store.Storable(pms.Plain(s)))
	if !strings.ContainsFunc(s,
		func(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) }) {
		return ""
	}
	return s
}
