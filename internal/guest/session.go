package guest

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Session is what an app with Seam's SDK needs.
type Session struct {
	Token      string
	ExpiresAt  time.Time
	IdentityID string
}

// AppSession returns a session for the app of a stay's guest. Asked again it returns the same one, which then lasts
// longer. Errors: [ErrUnknown] where the source has no links, [ErrGone], [NotReadyError], [ErrBusy],
// [ErrUnavailable], [store.ErrNotFound].
func (s *Service) AppSession(ctx context.Context, ref stay.Ref) (Session, error) {
	session, err := s.appSession(ctx, ref)
	count(bySession, err)
	return session, err
}

func (s *Service) appSession(ctx context.Context, ref stay.Ref) (Session, error) {
	state, err := s.store.GuestStays.State(ctx, ref)
	if err != nil {
		return Session{}, err
	}
	if !s.options.Source(ref.Source).Policy.OwnIdentity {
		return Session{}, ErrUnknown
	}
	if err := s.mayHand(state); err != nil {
		return Session{}, err
	}
	lease, until, err := s.lease(ctx, ref)
	if err != nil {
		return Session{}, err
	}
	defer s.drop(ctx, lease)
	a := appSession{opening{Service: s, lease: lease, until: until, calls: calls{ref: ref}}}
	return a.get(ctx)
}

// appSession is one request of an app's backend.
type appSession struct{ opening }

// get asks Seam for the session. The call may be repeated without making a second one; a mark is written all the
// same, so that the first one is never one that nobody knows of.
func (a *appSession) get(ctx context.Context) (Session, error) {
	h, ends, err := a.begin(ctx)
	if err != nil {
		return Session{}, err
	}
	a.reach(point.GuestMarked)
	got, err := a.seam.GetClientSession(a.guarded(a.because(ctx, "the guest's app asked for a session"), a.until),
		seam.GetClientSession{
			UserIdentityID: h.IdentityID, UserIdentifierKey: a.identifierKey(h.IdentityID),
			ExpiresAt: seam.FormatTime(ends),
		})
	a.reach(point.GuestMade)
	if err != nil {
		return Session{}, a.notMade(ctx, h, err)
	}
	h.SeamID, h.ExpiresAt = &got.ClientSessionID, timeOrNil(got.ExpiresAt)
	if h.ExpiresAt == nil {
		h.ExpiresAt = &ends
	}
	if err := a.record(ctx, h, got); err != nil {
		return Session{}, err
	}
	return Session{Token: got.Token, ExpiresAt: *h.ExpiresAt, IdentityID: h.IdentityID}, nil
}

// identifierKey distinguishes an app's session from those of instant keys.
func (s *Service) identifierKey(identityID string) string {
	return "staykey_app_" + stay.Keyed(s.salt, "app", identityID)
}

func (a *appSession) begin(ctx context.Context) (h store.HandedOut, ends time.Time, err error) {
	err = a.store.GuestStays.WithLease(ctx, a.lease, func(tx pgx.Tx, state *store.GuestState) error {
		if state == nil {
			return store.ErrNotFound
		}
		if err := a.mayHand(*state); err != nil {
			return err
		}
		h = a.mark(store.HandedSession, *state, a.guestKey(state.GuestEmail))
		ends = h.MarkedAt.Add(sessionLife)
		if state.EndsAt != nil && state.EndsAt.Before(ends) {
			ends = *state.EndsAt
		}
		return store.MarkHandedOut(ctx, tx, a.ref, &h, a.lookAt(h))
	})
	return h, ends, wrapped(err)
}

// record writes the session down, in the row that it has where it was asked for before.
func (a *appSession) record(ctx context.Context, h store.HandedOut, got seam.ClientSession) error {
	var refused error
	err := a.commitLast(ctx, func(ctx context.Context, tx pgx.Tx, b *pgx.Batch, state *store.GuestState) error {
		has, err := store.GuestHas(ctx, tx, a.ref)
		if err != nil {
			return err
		}
		refused = a.sessionRefusal(h, state, got.Of(h.IdentityID) && got.Token != "")
		if refused == nil && a.endsWithAKey(has, h, got) {
			refused = ErrUnavailable
		}
		a.queueSession(b, has, h, refused != nil)
		return nil
	})
	return a.recorded(err, refused)
}

// queueSession saves the row of a session, in place of other rows of the same session. One that came too late is
// revoked at once.
func (a *appSession) queueSession(b *pgx.Batch, has []store.HandedOut, h store.HandedOut, late bool) {
	now := a.now()
	what := fmt.Sprintf("client session %s was handed to the guest's app", *h.SeamID)
	for _, known := range has {
		if known.ID != h.ID && known.Kind == h.Kind && known.SeamID != nil && *known.SeamID == *h.SeamID {
			store.DeleteHandedOut(b, known.ID)
			h.Uses += known.Uses
		}
	}

	h.Uses++
	if late {
		h.EndingAt = &now
		store.DueGuestStay(b, a.ref, now)
		what += ", too late: it is revoked"
	}
	store.SaveHandedOut(b, h)
	a.note(now, what, map[string]any{"client_session_id": *h.SeamID})
}

func (a *appSession) sessionRefusal(h store.HandedOut, state *store.GuestState, fits bool) error {
	if state == nil {
		return store.ErrNotFound
	}
	if err := a.mayHand(*state); err != nil {
		return err
	}
	if !fits || *state.CredentialID != h.CredentialID || *state.IdentityID != h.IdentityID {
		return &NotReadyError{Page: a.page(*state, a.options.Source(state.Source))}
	}
	return nil
}

// endsWithAKey reports whether a session may be that of an instant key which is being taken back, and would be good
// for nothing moments later. Seam documents that get_or_create returns the session of the identifier key. If it
// returned another one, or doesn't name the key, the session may belong to any instant key of the identity.
func (a *appSession) endsWithAKey(has []store.HandedOut, h store.HandedOut, got seam.ClientSession) bool {
	if got.UserIdentifierKey == a.identifierKey(h.IdentityID) {
		return false
	}
	ends := false
	for _, key := range has {
		if key.Kind != store.HandedInstantKey || key.IdentityID != h.IdentityID {
			continue
		}
		holds := key.SeamID != nil && key.EndingAt == nil
		// It may be the session of a key that the guest keeps, also where Seam didn't name that key's session: to
		// revoke it would take the guest's key away.
		if holds && (key.SessionID == nil || *key.SessionID == got.ClientSessionID) {
			return false
		}
		ends = ends || !holds // lost, or being taken back
	}
	return ends
}

// StayOf returns a reservation as far as its link depends on it.
func StayOf(r store.Reservation) Stay {
	return Stay{Ref: r.Ref(), Status: r.Status, GuestEmail: r.GuestEmail}
}
