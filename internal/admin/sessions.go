package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// SessionLife is how long somebody stays signed in to the page.
const SessionLife = 12 * time.Hour

// longestPerson is how many bytes of a person's name are kept.
const longestPerson = 100

// Session is somebody signed in to the page.
type Session struct {
	Hash      []byte // of the cookie
	TokenHash []byte // of the token that signed in
	Person    string
	ExpiresAt time.Time
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
func (s *Service) SignIn(ctx context.Context, a Actor) (cookie string, err error) {
	cookie, now := rand.Text()+rand.Text(), s.now().UTC()
	session := store.Session{
		SessionHash: hashOf(cookie), TokenHash: a.Hash[:], Person: a.Person, CreatedAt: now,
		ExpiresAt: now.Add(SessionLife),
	}
	entry := a.Audit(auditSignIn, "")
	entry.At = now
	return cookie, s.store.SaveSession(ctx, session, entry)
}

// Session returns the session of a cookie; [ErrNoSession] if there is none.
func (s *Service) Session(ctx context.Context, cookie string) (Session, error) {
	if cookie == "" {
		return Session{}, ErrNoSession
	}
	found, err := s.store.Session(ctx, hashOf(cookie), s.now())
	if errors.Is(err, store.ErrNotFound) {
		return Session{}, ErrNoSession
	}
	return Session{found.SessionHash, found.TokenHash, found.Person, found.ExpiresAt}, err
}

// SignOut ends the session of a cookie.
func (s *Service) SignOut(ctx context.Context, cookie string) error {
	entry := ActorOf(ctx).Audit(auditSignOut, "")
	entry.At = s.now().UTC()
	return s.store.DeleteSession(ctx, hashOf(cookie), entry)
}

// Mark is a moment in what changes.
type Mark = store.Mark

// ChangedSince reports whether anything that pages show has changed since a mark, and for which sources.
func (s *Service) ChangedSince(ctx context.Context, since Mark) (now Mark, changed bool, sources []string, err error) {
	return s.store.ChangedSince(ctx, since)
}
