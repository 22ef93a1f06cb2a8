package admin

import (
	"context"
	"errors"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// GuestAccess is what guests are given besides their mobile key (links, app sessions, backup codes), and erasing a
// guest.
type GuestAccess struct{ *core }

// Guests give keys to guests.
type Guests interface {
	// Links returns the links of those of the stays that have one.
	Links(context.Context, []guest.Stay) (map[stay.Ref]stay.GuestLink, error)
	// AppSession returns a session for the app of a stay's guest.
	AppSession(context.Context, stay.Ref) (guest.Session, error)
	// BackupCode returns the PIN of a stay.
	BackupCode(context.Context, stay.Ref) (guest.Code, error)
	// Renew gives a stay another link.
	Renew(context.Context, guest.Stay, store.Audit) error
}

// Actions of guests' keys in the audit log.
const (
	ActionAppSession = "app_session"
	ActionRenewLink  = "renew_guest_link"
	ActionShowCode   = "show_backup_code"
)

// addLinks fills in the guests' links.
func (s Reservations) addLinks(ctx context.Context, views ...*View) error {
	if s.config.Guests == nil || len(views) == 0 {
		return nil
	}
	stays := make([]guest.Stay, len(views))
	for i, v := range views {
		stays[i] = guest.StayOf(v.Reservation)
	}
	links, err := s.config.Guests.Links(ctx, stays)
	if err != nil {
		return err
	}
	for _, v := range views {
		if link, has := links[v.Reservation.Ref()]; has {
			v.GuestLink = &link
		}
	}
	return nil
}

// pointers are the views themselves, to be filled in.
func pointers(views []View) []*View {
	list := make([]*View, len(views))
	for i := range views {
		list[i] = &views[i]
	}
	return list
}

// AppSession returns a session for the app of a stay's guest. It is for a token that may write, or of the scope guest.
func (s GuestAccess) AppSession(ctx context.Context, ref stay.Ref) (guest.Session, error) {
	if err := visible(ctx, ref); err != nil {
		return guest.Session{}, err
	}
	if s.config.Guests == nil {
		return guest.Session{}, refuse(Conflict, noLinks)
	}
	session, err := s.config.Guests.AppSession(ctx, ref)
	if err != nil {
		return guest.Session{}, refusedSession(err)
	}
	audit := ActorOf(ctx).Audit(ActionAppSession, "").About(ref.Source, ref.ReservationID, "")
	audit.At = s.now().UTC()
	return session, s.store.Audit.Add(ctx, audit)
}

const noLinks = "nothing is handed out, because stays of this source may share user identities: set guest_links: true or identity: per_stay"

// refusedSession turns what the guest's side says into the admin's error.
func refusedSession(err error) error {
	notReady := new(guest.NotReadyError)
	switch {
	case errors.As(err, &notReady):
		return &Error{
			Kind: Conflict, Code: CodeKeyNotReady, Reason: notReady.Reason(),
			Message: "the key can't be handed out now: " + notReady.Explain(),
		}
	case errors.Is(err, guest.ErrGone):
		return refuse(Conflict, "the stay is over or cancelled: there is no key to hand out")
	case errors.Is(err, guest.ErrUnknown):
		return refuse(Conflict, noLinks)
	case errors.Is(err, guest.ErrBusy), errors.Is(err, guest.ErrUnavailable):
		return &Error{
			Kind:       Unavailable,
			Message:    "Seam is not answering, or the same key is being handed out: try again in a moment",
			RetryAfter: guest.RetryAfter,
		}
	}
	return notFound(err, noReservation)
}

// RenewLink gives a stay another link: the old one stops working. person is who uses the token, "" for
// nobody in particular.
func (s GuestAccess) RenewLink(ctx context.Context, ref stay.Ref, person, reason string) (View, error) {
	v, err := Reservations(s).Get(ctx, ref)
	if err != nil {
		return v, err
	}
	if v.GuestLink == nil {
		return v, refuse(Conflict,
			"this reservation has no link: it is cancelled, or its source has no guest_links: true")
	}
	reason = plainText(reason)
	if err := intake.CheckLength("reason", reason); err != nil {
		return v, refusedAction(err)
	}
	audit := ActorOf(ctx).Audit(ActionRenewLink, plainText(person)).About(ref.Source, ref.ReservationID, reason)
	if err := s.config.Guests.Renew(ctx, guest.StayOf(v.Reservation), audit); err != nil {
		return v, err
	}
	return v, Reservations(s).addLinks(ctx, &v)
}
