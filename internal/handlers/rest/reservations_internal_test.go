package rest

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/admin"
)

// An ACS user whose identity is another's still exists at Seam, and is shown without that identity; one that somebody
// deleted isn't shown.
func TestWhatIsShownOfAUserThatIsOut(t *testing.T) {
	t.Parallel()
	id, key, at := "u", "k", time.Unix(1_900_000_000, 0)
	user := admin.ACSUser{
		ACSUserID: &id, CredentialID: &key, UserIdentityID: "i", ACSSystemID: "s", StartsAt: &at, EndsAt: &at,
		AccessGroupIDs: []string{"g"}, RemovedAt: &at,
	}
	if m := showReservation(admin.View{User: &user}).MobileKey; m.ACSUserID != nil || len(m.AccessGroupIDs) > 0 {
		t.Errorf("one that was deleted: %+v", m)
	}
	user.ContestedAt = &at
	m := showReservation(admin.View{User: &user}).MobileKey
	if m.ACSUserID == nil || m.ACSCredentialID == nil || m.UserIdentityID != nil || m.AccessSchedule == nil ||
		len(m.AccessGroupIDs) != 1 {
		t.Errorf("one whose identity is another's: %+v", m)
	}
}
