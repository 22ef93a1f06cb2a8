package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Doors that may not open are sent once for each change of which and why, and so is their end. Names of doors are in no
// message.
func TestDoorsAtRisk(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.stay("R1")
	risk := func(problems ...string) {
		t.Helper()
		r.exec(`DELETE FROM door_risks`)
		if len(problems) == 0 {
			return
		}
		doors := make([]string, len(problems))
		for i, p := range problems {
			doors[i] = fmt.Sprintf(`{"acs_access_group_id": "g1", "acs_entrance_id": "door", "name": "Jane's room", "problem": %q, "since": %q}`, p, r.clock().Format(time.RFC3339))
		}
		r.exec(`INSERT INTO door_risks (source, reservation_id, doors, since) VALUES ('default', 'R1', $1::text::jsonb, $2)`, "["+strings.Join(doors, ",")+"]", r.clock())
	}
	r.key("R1", "issued", "")
	r.settle()
	wantTypes(t, receiver.take(), TypeReady)

	risk("offline")
	r.settle()
	got := receiver.take()
	wantTypes(t, got, TypeAtRisk)
	if d := got[0].Data.Doors; len(d) != 1 || *d[0].EntranceID != "door" || d[0].GroupID != "g1" ||
		d[0].Problem != "offline" || d[0].Since != "2024-11-01T12:00:00.000Z" {
		t.Errorf("doors: %+v", d)
	}
	if strings.Contains(string(encode(got[0].Data)), "Jane") {
		t.Errorf("the message names the door: %s", encode(got[0].Data))
	}
	r.pass(time.Hour)
	risk("offline") // the same, found again
	r.settle()
	wantTypes(t, receiver.take())

	risk("battery_low", "offline")
	r.settle()
	got = receiver.take()
	wantTypes(t, got, TypeAtRisk)
	if d := got[0].Data.Doors; len(d) != 2 {
		t.Errorf("doors: %+v", d)
	}

	// While the key needs a person, its doors are not reported; after that they are, if they still may not open.
	r.key("R1", "attention", "not_subscribed")
	r.settle()
	wantTypes(t, receiver.take(), TypeAttention)
	risk("offline")
	r.settle()
	wantTypes(t, receiver.take())
	r.key("R1", "active", "")
	r.settle()
	wantTypes(t, receiver.take(), TypeRecovered, TypeReady, TypeAtRisk)

	risk()
	r.settle()
	wantTypes(t, receiver.take(), TypeRecovered)

	risk("offline")
	r.settle()
	wantTypes(t, receiver.take(), TypeAtRisk)
	r.key("R1", "expired", "")
	r.settle()
	wantTypes(t, receiver.take(), TypeExpired)
	risk()
	r.settle()
	wantTypes(t, receiver.take())
}
