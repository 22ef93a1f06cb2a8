package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Sessions are those of the admin page. Only hashes of their tokens are kept.
type Sessions struct{ *db }

// Session is somebody signed in to the web page. It holds no secret: what the cookie and the token are is known by
// their hashes.
type Session struct {
	SessionHash []byte    // SHA-256 of the cookie
	TokenHash   []byte    // SHA-256 of the token that signed in, or the identity provider's ID; it ends the session
	Person      string    // the name for timelines and the audit log; "" for none
	Subject     string    // of somebody who signed in with the identity provider: the person's id there; "" for a token
	Login       string    // with Subject: the readable id
	Groups      []string  // with Subject: the groups that gave the person a role
	CreatedAt   time.Time // when it began
	ExpiresAt   time.Time // when it ends
}

// Save keeps a new session, and forgets those that have expired.
func (s Sessions) Save(ctx context.Context, n Session, audit Audit) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM sessions WHERE expires_at < $1`, n.CreatedAt); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO sessions (session_hash, token_hash, person, created_at, expires_at, subject, login, groups)
			VALUES (@hash, @token, @person, @created, @expires, @subject, @login, @groups)`,
			pgx.StrictNamedArgs{
				"hash": n.SessionHash, "token": n.TokenHash, "person": n.Person, "created": n.CreatedAt,
				"expires": n.ExpiresAt, "subject": n.Subject, "login": n.Login,
				"groups": append([]string{}, n.Groups...),
			})
		if err != nil {
			return err
		}
		return writeAudit(ctx, tx, audit)
	})
	return wrap(err, "keep a session")
}

// Get returns a session that has not expired, or [ErrNotFound].
func (s Sessions) Get(ctx context.Context, sessionHash []byte, now time.Time) (Session, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT session_hash, token_hash, person, created_at, expires_at, subject, login, groups
		FROM sessions WHERE session_hash = $1 AND expires_at > $2`, sessionHash, now)
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Session])
	return found, wrap(err, "read a session")
}

// Delete ends a session.
func (s Sessions) Delete(ctx context.Context, sessionHash []byte, audit Audit) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM sessions WHERE session_hash = $1`, sessionHash); err != nil {
			return err
		}
		return writeAudit(ctx, tx, audit)
	})
	return wrap(err, "end a session")
}
