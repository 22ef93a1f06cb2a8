package provisioner

import (
	"fmt"

	"github.com/staykey/staykey/internal/stay"
)

// identityKeys computes the keys of user identities at Seam. They name guests and reservations only to those who have
// the salt.
type identityKeys struct {
	salt []byte
}

// guest is the identity key of an address.
func (k identityKeys) guest(address string) string { return stay.GuestKey(k.salt, address) }

// own is the key of a reservation's nth own identity.
func (k identityKeys) own(ref stay.Ref, n int) string {
	return "staykey_stay_" + stay.Keyed(k.salt, "stay", ref.Source, ref.ReservationID, fmt.Sprint(n))
}
