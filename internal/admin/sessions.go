package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// Sessions signs admins in to the page.
type Sessions struct{ *core }

// SessionLife is how long somebody stays signed in to the page.
const SessionLife = 12 * time.Hour

// longestPerson is how many bytes of a person's name are kept.
const longestPerson = 100

// Session is somebody signed in to the page.
type Session struct {
	Hash      []byte // of the cookie
	TokenHash []byte // of the token that signed in; with a Subject, the identity provider's ID
	Person    string
	ExpiresAt time.Time
	Provided
}

// Provided is what an identity provider says about somebody besides the name; the zero value for those who have
// signed in with a token.
type Provided struct {
	Subject string   // identifies the person at the provider
	Login   string   // readable and unique
	Groups  []string // that a role named at the sign-in
}

// ErrNoSession says that a cookie belongs to no session, or to one that has ended.
var ErrNoSession = errors.New("no such session")

func hashOf(cookie string) []byte {
	sum := sha256.Sum256([]byte(cookie))
	return sum[:]
}

// Person is a person's name as sessions keep it.
func Person(name string) string {
	name = plainText(name)
	if len(name) > longestPerson {
		name = name[:longestPerson]
	}
	return strings.ToValidUTF8(name, "")
}

// SignIn begins a session of an actor, and returns the value of its cookie, of which only a hash is kept.
func (s Sessions) SignIn(ctx context.Context, a Actor) (cookie string, err error) {
	return s.begin(ctx, a, a.Hash[:], Provided{})
}

// SignInProvided is [Sessions.SignIn] of an actor whom an identity provider has signed in. provider is the provider's
// ID: the session ends when another provider is configured.
func (s Sessions) SignInProvided(ctx context.Context, a Actor, provider []byte, by Provided) (string, error) {
	return s.begin(ctx, a, provider, by)
}

func (s Sessions) begin(ctx context.Context, a Actor, tokenHash []byte, by Provided) (cookie string, err error) {
	cookie, now := rand.Text()+rand.Text(), s.now().UTC()
	session := store.Session{
		SessionHash: hashOf(cookie), TokenHash: tokenHash, Person: a.Person, CreatedAt: now,
		ExpiresAt: now.Add(SessionLife), Subject: by.Subject, Login: by.Login, Groups: by.Groups,
	}
	entry := a.Audit(auditSignIn, "")
	entry.At = now
	if by.Subject != "" {
		entry.After = map[string]any{"subject": by.Subject, "groups": strings.Join(by.Groups, ", ")}
	}
	return cookie, s.store.Sessions.Save(ctx, session, entry)
}

// Get returns the session of a cookie; [ErrNoSession] if there is none.
func (s Sessions) Get(ctx context.Context, cookie string) (Session, error) {
	if cookie == "" {
		return Session{}, ErrNoSession
	}
	found, err := s.store.Sessions.Get(ctx, hashOf(cookie), s.now())
	if errors.Is(err, store.ErrNotFound) {
		return Session{}, ErrNoSession
	}
	return Session{
		Hash: found.SessionHash, TokenHash: found.TokenHash, Person: found.Person, ExpiresAt: found.ExpiresAt,
		Provided: Provided{Subject: found.Subject, Login: found.Login, Groups: found.Groups},
	}, err
}

// SignOut ends the session of a cookie.
func (s Sessions) SignOut(ctx context.Context, cookie string) error {
	entry := ActorOf(ctx).Audit(auditSignOut, "")
	entry.At = s.now().UTC()
	return s.store.Sessions.Delete(ctx, hashOf(cookie), entry)
}

// ListVersion is a point in the history of what lists show.
type ListVersion = store.ListVersion

// ChangedSince reports whether anything that pages show has changed since an earlier version, and for which sources.
func (s Overview) ChangedSince(ctx context.Context, since ListVersion) (
	now ListVersion, changed bool, sources []string, err error,
) {
	return s.store.Changes.Since(ctx, since)
}

// Version is an opaque text that differs whenever anything that pages show may look different.
func (s Overview) Version(ctx context.Context) (string, error) {
	n, err := s.store.Changes.Count(ctx)
	if err != nil {
		return "", err
	}
	mac := s.cursorMAC("version", strconv.AppendInt(nil, n, 10))
	return hex.EncodeToString(mac[:8]), nil
}
