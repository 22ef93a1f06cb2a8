package admin

import (
	"context"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Erase removes what is known of a guest, named by the whole e-mail address. It may be repeated. author is as for
// [Actor.Author].
func (s GuestAccess) Erase(ctx context.Context, address, author string) (stay.Erasure, error) {
	a := ActorOf(ctx)
	if a.Sources != nil {
		return stay.Erasure{}, refuse(Forbidden,
			"this token is limited to some sources, but erasing a guest affects all sources: use another token")
	}
	address = strings.TrimSpace(address)
	if _, whole := pms.MentionsOf(address); !whole || strings.ContainsRune(address, 0) {
		return stay.Erasure{}, InvalidField("guest_email",
			"must be one complete e-mail address, such as jane@example.com")
	}
	// it reads many bodies, and must not end halfway
	result, err := s.provisioner.EraseGuest(store.Unhurried(ctx), address, a.Audit(auditErase, plainText(author)))
	switch {
	case err != nil:
		s.log.Error("guest not erased", "error", err)
		return stay.Erasure{}, refuse(Unavailable,
			"not everything was erased, because Postgres or Seam does not answer: try again in a moment")
	case len(result.Live) > 0:
		return stay.Erasure{}, refuse(Conflict,
			"nothing was erased, because stays of this guest are not over or not yet removed at Seam: "+
				named(result.Live)+"; cancel them in the PMS, or wait until they are over")
	case result.Unsettled > 0:
		return stay.Erasure{}, &Error{
			Kind: Conflict, RetryAfter: time.Second,
			Message: "nothing was erased, because events about this guest are being applied: try again in a moment",
		}
	}
	return result, nil
}

// named lists some reservations.
func named(refs []stay.Ref) string {
	const most = 5
	names := make([]string, 0, most+1)
	for i, ref := range refs {
		if i == most {
			names = append(names, "...")
			break
		}
		names = append(names, ref.Source+"/"+ref.ReservationID)
	}
	return strings.Join(names, ", ")
}
