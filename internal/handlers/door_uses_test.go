package handlers_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store"
)

// Openings and refusals that Seam reports show at the stay of their ACS user: the first opening and the last refusal of
// the current guest.
func TestDoorsThatGuestsUse(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.post(
		hook{
			body: `{"type":"reservation.created","timestamp":"2026-10-20T09:00:00.000Z","data":{"reservation_id":"R1","listing_id":"L","guest_email":"jane@example.com","check_in":"2030-11-01T15:00:00Z","check_out":"2030-11-04T11:00:00Z"}}`,
		})
	a.apply()
	ctx := context.Background()
	user := func(id, guest string) {
		t.Helper()
		if err := a.store.InTx(ctx, func(tx pgx.Tx) error {
			now := time.Now()
			u := store.ACSUser{
				Source: "default", ReservationID: "R1", ACSSystemID: "s", UserIdentityKey: id,
				UserIdentityID: id, GuestKey: guest,
			}
			if err := store.SaveUserIdentity(ctx, tx, store.UserIdentity{Key: id, CreatedAt: now}); err != nil {
				return err
			}
			var slot pgx.Batch
			store.QueueSlot(&slot, &u, 1, time.Now())
			if err := tx.SendBatch(ctx, &slot).Close(); err != nil {
				return err
			}
			u.ACSUserID, u.MadeAt = &id, &now
			return store.SaveACSUser(ctx, tx, u)
		}); err != nil {
			t.Fatal(err)
		}
	}
	sent := 0
	post := func(body string) {
		t.Helper()
		sent++
		id, now := fmt.Sprint("evt", sent), time.Now()
		req, _ := http.NewRequest(http.MethodPost, a.url+"/seam/webhooks", bytes.NewReader([]byte(body)))
		req.Header.Set("svix-id", id)
		req.Header.Set("svix-timestamp", fmt.Sprint(now.Unix()))
		req.Header.Set("svix-signature", seamKey.Sign(id, now, []byte(body)))
		if r := a.do(req); r.status != 204 {
			t.Errorf("%s: %d %s", body, r.status, r.rawBody)
		}
	}
	key := func() map[string]any { return a.get("/v1/reservations/default/R1").body["mobile_key"].(map[string]any) }
	want := func(used, denied any, why any) {
		t.Helper()
		k := key()
		at, reason := any(nil), any(nil)
		if d, is := k["denied"].(map[string]any); is {
			at, reason = d["at"], d["reason"]
		}
		if k["first_used_at"] != used || at != denied || reason != why {
			t.Errorf("first used %v, denied %v (%v), want %v, %v (%v)", k["first_used_at"], at, reason, used,
				denied, why)
		}
	}
	event := func(kind, user, at, more string) string {
		return fmt.Sprintf(
			`{"event_type":"lock.%s","acs_user_id":%q,"acs_system_id":"s","acs_entrance_id":"door","occurred_at":%q%s}`,
			kind, user, at, more)
	}
	user("u1", "jane")
	want(nil, nil, nil)
	post(event("unlocked", "nobody", "2026-01-02T03:00:00Z", ""))
	post(`{"event_type":"lock.unlocked","device_id":"a lock of somebody else's","occurred_at":"2026-01-02T03:00:00Z"}`)
	want(nil, nil, nil)
	post(event("access_denied", "u1", "2026-01-02T03:04:05Z", `,"reason":"outside_access_schedule"`))
	post(event("access_denied", "u1", "2026-01-02T03:05:05Z", `,"reason":"again"`)) // the same guest, a minute later
	want(nil, "2026-01-02T03:04:05.000Z", "outside_access_schedule")
	post(event("unlocked", "u1", "2026-01-02T04:00:00Z", `,"method":"unknown"`))
	post(event("unlocked", "u1", "2026-01-02T05:00:00Z", ""))
	want("2026-01-02T04:00:00.000Z", "2026-01-02T03:04:05.000Z", "outside_access_schedule")
	post(event("unlocked", "u1", "2026-01-02T03:30:00Z", "")) // reported late
	want("2026-01-02T03:30:00.000Z", "2026-01-02T03:04:05.000Z", "outside_access_schedule")
	// whatever a vendor writes, no guest data is kept
	post(event("access_denied", "u1", "2026-01-02T06:00:00Z", `,"reason":"Jane Doe is unknown"`))
	want("2026-01-02T03:30:00.000Z", "2026-01-02T06:00:00.000Z", nil)

	user("u2", "joe") // another guest
	want(nil, nil, nil)
	post(event("unlocked", "u1", "2026-01-02T07:00:00Z", "")) // the first one's phone, late
	want(nil, nil, nil)
	post(event("unlocked", "u2", "2026-01-02T08:00:00Z", ""))
	want("2026-01-02T08:00:00.000Z", nil, nil)

	var kinds int
	if err := a.store.Pool().QueryRow(ctx,
		`SELECT count(*) FROM timeline WHERE summary IN ('The guest opened a door for the first time', 'A door was refused to the guest')`).Scan(&kinds); err != nil || kinds != 5 {
		t.Errorf("%d entries in the timeline, %v", kinds, err)
	}
}
