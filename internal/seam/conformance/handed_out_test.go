package conformance

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/seam"
)

func testHandedOut(t *testing.T, s suite) {
	ctx := context.Background()
	i := s.identity(t, "")
	key, err := s.c.CreateInstantKey(ctx, seam.CreateInstantKey{UserIdentityID: i.UserIdentityID, MaxUseCount: 3})
	if err != nil || key.URL == "" || key.ClientSessionID == "" || !seam.ParseTime(key.ExpiresAt).After(time.Now()) {
		t.Fatalf("instant key: %+v %v", key, err)
	}
	if got, err := s.c.InstantKey(ctx, key.InstantKeyID); err != nil || got.URL != key.URL {
		t.Errorf("read back: %+v %v", got, err)
	}
	listed, err := s.c.InstantKeys(ctx, i.UserIdentityID)
	if err != nil || !slices.ContainsFunc(listed,
		func(k seam.InstantKey) bool { return k.InstantKeyID == key.InstantKeyID }) {
		t.Errorf("listed: %+v %v", listed, err)
	}
	ask := seam.GetClientSession{
		UserIdentityID: i.UserIdentityID, UserIdentifierKey: "conformance_" + uuid.NewString(),
		ExpiresAt: seam.FormatTime(time.Now().Add(time.Hour)),
	}
	session, err := s.c.GetClientSession(ctx, ask)
	if err != nil || session.Token == "" {
		t.Fatalf("session: %+v %v", session, err)
	}
	if again, err := s.c.GetClientSession(ctx, ask); err != nil || again.ClientSessionID != session.ClientSessionID {
		t.Errorf("asked again: %+v %v", again, err)
	}
	sessions, err := s.c.ClientSessions(ctx, i.UserIdentityID)
	if err != nil || !slices.ContainsFunc(sessions,
		func(c seam.ClientSession) bool { return c.ClientSessionID == session.ClientSessionID }) {
		t.Errorf("sessions listed: %+v %v", sessions, err)
	}
	if err := s.c.RevokeClientSession(ctx, session.ClientSessionID); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if err := s.c.DeleteInstantKey(ctx, key.InstantKeyID); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := s.c.InstantKey(ctx, key.InstantKeyID); seam.KindOf(err) != seam.NotFound {
		t.Errorf("a deleted instant key: %v", err)
	}
	if err := s.c.DeleteInstantKey(ctx, uuid.NewString()); seam.KindOf(err) != seam.NotFound {
		t.Errorf("deleting an unknown instant key: %v", err)
	}
}
