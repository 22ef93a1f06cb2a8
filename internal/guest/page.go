package guest

import (
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Readiness is whether a key can be handed out, and if not, why, as shown to its guest.
type Readiness string

// The reasons.
const (
	Ready     Readiness = ""          // it can
	Preparing Readiness = "preparing" // it is being made or changed
	TooEarly  Readiness = "too_early" // it is made at [Page.ReadyFrom]
	NoRoom    Readiness = "no_room"   // the room is not known yet
	Withheld  Readiness = "held"      // the property has to release it, for example after a payment
	Ask       Readiness = "ask"       // the property's staff has to help
)

// Page is what a guest sees of a stay.
type Page struct {
	Source    string
	Language  string // of the guest, a BCP 47 tag; "" if the PMS doesn't send it
	Property  string // the listing's name, "" where it has none
	Address   string
	Operator  pms.GuestPage
	CheckIn   *time.Time // in the property's zone
	CheckOut  *time.Time
	OpensFrom *time.Time // when the key opens doors, in the property's zone
	OpensTo   *time.Time
	ReadyFrom *time.Time // of TooEarly
	// ReadySince is when the key became ready: settled at Seam, and withheld by no gate. Nil unless Readiness is Ready.
	ReadySince *time.Time
	Readiness  Readiness
	BackupCode bool     // the guest can ask for a code that opens the doors now
	Gates      []string // of Withheld: those that are not open
	OnHold     bool     // of Ask: an admin holds the stay, so that nothing may be created
	Shared     bool     // of Ask: the key exists, and its user identity may show the keys of other stays
	Status     string   // of the mobile key, for programs of the operator
	Reason     *string  // of the mobile key, the same
}

// isGone reports whether the link of a stay is no longer useful: the stay is cancelled, or over.
func isGone(state store.GuestState, now time.Time) bool {
	if state.Status != pms.Confirmed || state.KeyStatus == stay.KeyExpired {
		return true
	}
	if state.CheckOut == nil || now.Before(*state.CheckOut) {
		return false
	}
	return state.EndsAt == nil || !now.Before(*state.EndsAt) // access may last longer than the stay
}

// judge reports whether a key can be handed out, and if not, why. guest is who the stay's guest is now.
func judge(state store.GuestState, guest string) Readiness {
	switch {
	case state.OnHold:
		return Ask
	case len(state.ClosedGates) > 0:
		return Withheld
	case state.KeyStatus == stay.KeyIssued || state.KeyStatus == stay.KeyActive:
		return judgeKey(state, guest)
	case state.KeyStatus == stay.KeyProvisioning:
		return Preparing
	case state.KeyStatus != stay.KeyWaiting || state.Reason == nil:
		return Ask
	}
	switch *state.Reason {
	case stay.ReasonBeforeHorizon:
		return TooEarly
	case stay.ReasonNoRoom, stay.ReasonListingUnknown, stay.ReasonNoGroups, stay.ReasonNoSystem, stay.ReasonNoTimeZone,
		stay.ReasonNoDates:
		return NoRoom
	case stay.ReasonGateClosed:
		return Withheld
	default:
		return Ask
	}
}

// judgeKey judges a key that exists. It may still be an earlier guest's, whose change was not carried out yet, or
// be of an identity that shows more than this stay.
func judgeKey(state store.GuestState, guest string) Readiness {
	switch {
	case state.CredentialID == nil || state.IdentityID == nil || state.KeyGuest == nil || *state.KeyGuest != guest:
		return Preparing
	case !state.OwnIdentity:
		return Ask
	}
	return Ready
}

// wantsKey reports whether a stay should have a key now.
func (s *Service) wantsKey(state store.GuestState) bool {
	before, after := s.grace(state)
	return state.WantsKey(before, after, s.now())
}

// grace is how much earlier than a stay its access begins, and how much later it ends.
func (s *Service) grace(state store.GuestState) (before, after time.Duration) {
	return s.options.Source(state.Source).Policy.Grace(stay.Text(state.ListingID))
}

// readiness reports whether a stay's key can be handed out, and if not, why.
func (s *Service) readiness(state store.GuestState) Readiness {
	is := judge(state, s.guestKey(state.GuestEmail))
	if is == Ready && !s.wantsKey(state) {
		return Ask
	}
	return is
}

// page is what a stay's guest sees.
func (s *Service) page(state store.GuestState, source pms.Source) Page {
	p := Page{
		Source: state.Source, Operator: source.GuestPage, Readiness: s.readiness(state),
		Status: state.KeyStatus, Reason: state.Reason,
	}

	p.Gates, p.BackupCode = state.ClosedGates, s.offersCode(state)
	if state.Language != nil {
		p.Language = *state.Language
	}
	p.OnHold = state.OnHold
	isOpen := state.KeyStatus == stay.KeyIssued || state.KeyStatus == stay.KeyActive
	p.Shared = p.Readiness == Ask && !p.OnHold && isOpen && !state.OwnIdentity
	listing := ""
	if state.ListingID != nil {
		listing = *state.ListingID
	}
	if state.Name != nil {
		p.Property = *state.Name
	}
	p.Address = source.GuestPage.AddressOf(listing)

	zoneName := ""
	if state.TimeZone != nil {
		zoneName = *state.TimeZone
	}
	zone := source.Policy.Complete(listing, zoneName, "", "").Zone
	if zone == nil {
		zone = time.UTC
	}

	local := func(t *time.Time) *time.Time {
		if t == nil {
			return nil
		}
		in := t.In(zone)
		return &in
	}

	p.CheckIn, p.CheckOut, p.OpensFrom, p.OpensTo = local(state.CheckIn), local(state.CheckOut), local(state.StartsAt),
		local(state.EndsAt)
	if p.Readiness == Ready {
		p.ReadySince = local(later(state.SettledAt, state.GatesSetAt))
	}

	if p.Readiness == TooEarly && state.CheckIn != nil {
		before, _ := source.Policy.Grace(listing)
		at := state.CheckIn.Add(-before - source.Policy.Horizon)
		p.ReadyFrom = local(&at)
	}
	return p
}

// later is the later of two times, of which each may be unknown.
func later(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}

// holds reports whether something that was handed out still may be out there: the key that it shows is the guest's,
// and nobody removes it, or wants it removed.
func (s *Service) holds(h store.HandedOut, state *store.GuestState, live []store.LiveKey) bool {
	if state == nil || !s.wantsKey(*state) || h.GuestKey != s.guestKey(state.GuestEmail) || h.EndingAt != nil {
		return false
	}
	if slices.Contains([]string{stay.KeyRevoking, stay.KeyRevoked, stay.KeyExpired}, state.KeyStatus) {
		return false
	}
	return slices.Contains(live, store.LiveKey{
		CredentialID: h.CredentialID, IdentityID: h.IdentityID,
		GuestKey: h.GuestKey,
	})
}

// reusable returns the instant key that is good to be handed out once more, nil for none.
func reusable(has []store.HandedOut, state store.GuestState, guest string, now time.Time) *store.HandedOut {
	for _, h := range slices.Backward(has) {
		fits := h.Kind == store.HandedInstantKey && h.SeamID != nil && h.EndingAt == nil && h.GuestKey == guest &&
			h.CredentialID == *state.CredentialID && h.IdentityID == *state.IdentityID
		if fits && h.Uses < usesOfKey && h.ExpiresAt != nil && h.ExpiresAt.After(now.Add(spare)) {
			return &h
		}
	}
	return nil
}

// limited returns how long a link must not be used after these uses; 0 for no limit. recent are the last ones, oldest
// first.
func limited(recent []time.Time, now time.Time) time.Duration {
	if len(recent) < OpeningsAnHour {
		return 0
	}
	return max(0, recent[len(recent)-OpeningsAnHour].Add(time.Hour).Sub(now))
}

// used adds a use to the last ones.
func used(recent []time.Time, now time.Time) []time.Time {
	recent = append(slices.Clone(recent), now)
	return recent[max(0, len(recent)-OpeningsAnHour):]
}
