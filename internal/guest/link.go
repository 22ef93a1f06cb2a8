package guest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// idLength is how long the id in a link is: 22 characters of six bits each, of an HMAC.
const idLength = 22

// Path is where links begin.
const Path = "/k/"

// linkID derives the id of a stay's link: the same for as long as the counter is, and impossible
// to guess without the key.
func (s *Service) linkID(ref stay.Ref, counter int32) string {
	h := hmac.New(sha256.New, s.linkKey)
	for _, part := range []string{ref.Source, ref.ReservationID, fmt.Sprint(counter)} {
		_, _ = fmt.Fprintf(h, "%d:%s;", len(part), part)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))[:idLength]
}

func hashOf(id string) []byte {
	sum := sha256.Sum256([]byte(id))
	return sum[:]
}

// Stay is a reservation, as far as its link depends on it.
type Stay struct {
	stay.Ref
	Status     string
	GuestEmail *string
}

// Links returns the links of those of the stays that have one: the confirmed ones of sources with links. A stay has
// the same link for as long as it is the same guest's and nobody renews it. What is needed to find the stay by its
// link is recorded first.
func (s *Service) Links(ctx context.Context, stays []Stay) (map[stay.Ref]stay.GuestLink, error) {
	stays = slices.DeleteFunc(slices.Clone(stays), func(st Stay) bool {
		return st.Status != pms.Confirmed || !s.options.Source(st.Source).GuestLinks
	})
	if len(stays) == 0 {
		return nil, nil
	}
	refs := make([]stay.Ref, len(stays))
	for i, st := range stays {
		refs[i] = st.Ref
	}

	known, err := s.store.GuestStays.Links(ctx, refs)
	if err != nil {
		return nil, err
	}
	var fresh []store.NewGuestLink
	for _, st := range stays {
		if n := s.missing(st, known[st.Ref]); n != nil {
			fresh = append(fresh, *n)
		}
	}
	if len(fresh) > 0 {
		if err := s.store.GuestStays.SaveLinks(ctx, fresh, s.now()); err != nil {
			return nil, err
		}
		if known, err = s.store.GuestStays.Links(ctx, refs); err != nil {
			return nil, err
		}
	}
	links := make(map[stay.Ref]stay.GuestLink, len(stays))
	for _, ref := range refs {
		l := known[ref]
		links[ref] = stay.GuestLink{
			URL: s.options.PublicURL + Path + s.linkID(ref, l.Counter), OpenedAt: l.OpenedAt,
			Openings: int(l.Openings),
		}
	}
	return links, nil
}

// missing is the record that a stay's link needs before it works; nil if it has it.
func (s *Service) missing(st Stay, l store.GuestLink) *store.NewGuestLink {
	n := store.NewGuestLink{Ref: st.Ref, Before: l.Counter, Counter: l.Counter, GuestKey: l.GuestKey}
	switch guest := s.guestKey(st.GuestEmail); {
	case guest == "":
	case l.GuestKey == "":
		n.GuestKey = guest
	case l.GuestKey != guest:
		n.GuestKey, n.Counter = guest, l.Counter+1
	}
	n.Hash = hashOf(s.linkID(st.Ref, n.Counter))
	recorded := slices.ContainsFunc(l.Hashes, func(h []byte) bool { return hmac.Equal(h, n.Hash) })
	if recorded && n.Counter == l.Counter && n.GuestKey == l.GuestKey {
		return nil
	}
	return &n
}

// find returns what decides about the stay of a link: [ErrUnknown], or [ErrGone] where the link has expired.
func (s *Service) find(ctx context.Context, id string) (store.GuestState, pms.Source, int32, error) {
	if len(id) != idLength {
		return store.GuestState{}, pms.Source{}, 0, ErrUnknown
	}

	ref, counter, err := s.store.GuestStays.OfLink(ctx, hashOf(id))
	if errors.Is(err, store.ErrNotFound) {
		return store.GuestState{}, pms.Source{}, 0, ErrUnknown
	}
	if err != nil {
		return store.GuestState{}, pms.Source{}, 0, err
	}

	source := s.options.Source(ref.Source)
	if !source.GuestLinks {
		return store.GuestState{}, source, 0, ErrUnknown
	}

	state, err := s.store.GuestStays.State(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		return state, source, 0, ErrGone
	}
	if err != nil {
		return state, source, 0, err
	}

	if !s.linkHolds(state, counter) || isGone(state, s.now()) {
		return state, source, counter, ErrGone
	}
	return state, source, counter, nil
}

// linkHolds reports whether a link is still the stay's, and its guest the same.
func (s *Service) linkHolds(state store.GuestState, counter int32) bool {
	guest := s.guestKey(state.GuestEmail)
	return state.Counter == counter && (guest == "" || state.LinkGuest == "" || state.LinkGuest == guest)
}

// Look returns what a link's guest sees. It creates nothing, at Seam or here. It returns [ErrUnknown] or [ErrGone].
func (s *Service) Look(ctx context.Context, id string) (Page, error) {
	state, source, _, err := s.find(ctx, id)
	if err != nil {
		return Page{Operator: source.GuestPage}, err
	}
	return s.page(state, source), nil
}

// Renew replaces the link of a stay. The old one stops working, and the instant keys that it gave out are deleted; an
// app's session is not. It returns [ErrUnknown] if the stay has no link.
func (s *Service) Renew(ctx context.Context, st Stay, audit store.Audit) error {
	if st.Status != pms.Confirmed || !s.options.Source(st.Source).GuestLinks {
		return ErrUnknown
	}
	now := s.now()
	audit.At = now
	entry := store.Entry{
		Ref: st.Ref, At: now, Kind: stay.TimelineAction, Summary: audit.Author + " renewed the guest's link",
		Detail: map[string]any{"action": audit.Action, "by": audit.Author},
	}
	if err := s.store.GuestStays.RenewLink(ctx, st.Ref, now, []store.Entry{entry}, audit); err != nil {
		return err
	}
	s.Wake()
	return nil
}
