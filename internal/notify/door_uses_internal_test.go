package notify

import (
	"testing"
	"time"
)

// The first opening is sent once for each guest, a refusal while somebody may still stand at the door.
func TestDoorsThatGuestsUse(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.stay("R1")
	used := func(kind, guest string, ago time.Duration) {
		r.exec(`INSERT INTO door_uses (source, reservation_id, guest_key, `+kind+`_at, `+kind+
			`_entrance) VALUES ('default', 'R1', $1, $2, 'door')
			ON CONFLICT (source, reservation_id) DO UPDATE SET guest_key = $1, `+kind+`_at = $2`, guest,
			r.clock().Add(-ago))
	}
	r.key("R1", "issued", "")
	r.settle()
	wantTypes(t, receiver.take(), TypeReady)

	used("denied", "", 5*time.Minute)
	r.settle()
	got := receiver.take()
	wantTypes(t, got, TypeDenied)
	if d := got[0].Data.Denied; d == nil || d.At != "2024-11-01T11:55:00.000Z" || *d.EntranceID != "door" ||
		got[0].Data.FirstUsed != nil {
		t.Errorf("denied: %+v", d)
	}
	used("first_used", "", 0)
	r.settle()
	got = receiver.take()
	wantTypes(t, got, TypeFirstUsed)
	if d := got[0].Data.FirstUsed; d == nil || d.At != "2024-11-01T12:00:00.000Z" || d.Reason != nil ||
		got[0].Data.Denied != nil {
		t.Errorf("first used: %+v", d)
	}
	r.key("R1", "active", "")
	r.settle()
	wantTypes(t, receiver.take())

	r.pass(3 * time.Hour)
	used("denied", "", 2*time.Hour) // reported late: nobody is there any more
	r.settle()
	wantTypes(t, receiver.take())

	// What an earlier guest did is not the present one's.
	used("first_used", "joe", 0)
	r.settle()
	wantTypes(t, receiver.take())
	r.exec(`UPDATE acs_users SET guest_key = 'joe'`)
	used("first_used", "joe", -time.Minute)
	r.settle()
	wantTypes(t, receiver.take(), TypeFirstUsed)

	// A stay that is over has its end last, whatever is reported after it.
	r.key("R1", "expired", "")
	used("first_used", "joe", -2*time.Minute)
	r.settle()
	wantTypes(t, receiver.take(), TypeExpired)
}
