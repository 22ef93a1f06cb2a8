package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/tools/chaos"
)

// guestStay is a stay whose guest comes for the key, and what must be true of it in the end.
type guestStay struct {
	id        string
	cancelled bool
	out       string // the last check-out
	given     []string
}

// TestGuestsAndDeliveriesKilledAtMarkedPoints has the program, built with marks, kill itself at each step of handing a
// key to a guest, of taking it back, and of delivering a message, while guests come and stays change and end. In the
// end every subscriber has heard the last state of every stay, in order; nothing is out there that isn't recorded; one
// instant key of a stay is in use; and what was handed out of a stay that ended shows nothing. STAYKEY_GUEST_POINTS
// makes it longer.
func TestGuestsAndDeliveriesKilledAtMarkedPoints(t *testing.T) {
	t.Parallel()
	markedProgram(t)
	dsn, receiver := storetest.DSN(t), newListener(t)
	r := layRig(t, dsn)
	r.env = withGuestLinks(t, r.env, fmt.Sprintf("subscriptions: [{name: app, url: %q, secrets: [%q], insecure: true}]",
		receiver.URL, outSecret))
	r.replicas = []*process{launch(t, r.env)}
	r.furnish()

	points := append(slices.Clone(point.Guest), point.Deliver...)
	order, struck := rand.Perm(len(points)), map[point.Name]bool{}
	var guests sync.WaitGroup
	var stays []*guestStay
	t.Cleanup(guests.Wait)
	come := func() {
		s := &guestStay{id: fmt.Sprintf("guest-%d", len(stays)), cancelled: len(stays)%2 == 0}
		stays = append(stays, s)
		guests.Go(func() { s.live(r) })
	}
	come()
	for n := range chaos.Size("STAYKEY_GUEST_POINTS", 3) {
		name := points[order[n%len(order)]]
		r.kill(0)
		r.kills-- // this one makes room only
		p := launchMarked(t, append(slices.Clone(r.env), "STAYKEY_CHAOS_POINT="+string(name),
			fmt.Sprintf("STAYKEY_CHAOS_AT=%d", 1+n/len(order)%3)))
		r.mu.Lock()
		r.replicas[0] = p
		r.mu.Unlock()
		// Guests come until one reaches it, if those of earlier rounds don't.
		deadline := time.NewTimer(until.Patience)
		for reached := false; !reached; {
			come()
			select {
			case <-p.done:
				reached = true
			case <-time.After(5 * time.Second): // how many guests come depends on it, and nothing else
			case <-deadline.C:
				t.Fatalf("%q was not reached", name)
			}
		}
		deadline.Stop()
		struck[name] = true
		r.kills++
		r.restart(0)
	}
	guests.Wait()
	r.result.Cells, r.result.Fired = min(len(points), r.kills), len(struck)
	judgeGuests(t, r, dsn, stays)
	judgeDeliveries(t, receiver, stays)
	r.result.Rig, r.result.Kills, r.result.Events = "guests and deliveries killed at marked points", r.kills,
		int(r.events.Load())
	if t.Failed() {
		r.result.Wrong++
	}
	chaos.Record(t, r.result)
}

// live is a stay from its booking to its end, with a guest who doesn't give up.
func (s *guestStay) live(r *crashRig) {
	in := time.Now().UTC().AddDate(0, 0, 3).Truncate(time.Hour)
	book := func(nights int) {
		s.out = in.AddDate(0, 0, nights).Format("2006-01-02T15:04:05.000Z")
		r.post("reservation.updated", map[string]any{
			"reservation_id": s.id, "listing_id": "A2", "guest_email": s.id + "@example.com",
			"check_in": in.Format(time.RFC3339), "check_out": s.out,
		})
	}
	book(2)
	s.handed(r)
	book(4)
	s.handed(r)
	if s.cancelled {
		r.post("reservation.cancelled", map[string]any{"reservation_id": s.id})
	}
}

// handed has the guest tap until the link gives a key, and the app ask until it has a session.
func (s *guestStay) handed(r *crashRig) {
	await := func(what string, reached func() bool) {
		until.Reached(r.t, func() bool { return r.t.Failed() || reached() },
			func() { r.t.Errorf("%s: waited for %s", s.id, what) })
	}
	await("the key", func() bool {
		key := r.any().key(s.id)
		schedule, _ := key["access_schedule"].(map[string]any)
		return key["status"] == "issued" && schedule["ends_at"] == s.out
	})
	auth := map[string]string{"Authorization": "Bearer " + e2eToken}
	var answer struct {
		Link  struct{ URL string } `json:"guest_link"`
		Key   string               `json:"instant_key_url"`
		Token string               `json:"client_session_token"`
	}
	ask := func(method, path string, header map[string]string) bool {
		status, _, body := r.any().ask(method, path, header)
		return status == http.StatusOK && json.Unmarshal([]byte(body), &answer) == nil
	}
	await("the link", func() bool {
		return ask("GET", "/v1/reservations/default/"+s.id, auth) &&
			answer.Link.URL != ""
	})
	await("an instant key", func() bool {
		return ask("POST", strings.TrimPrefix(answer.Link.URL, "https://keys.example.com"), asJSON)
	})
	await("a session", func() bool { return ask("POST", "/v1/reservations/default/"+s.id+"/app-session", auth) })
	s.given = append(s.given, answer.Key, answer.Token)
}

// handedRow is what the database has of something that was handed out.
type handedRow struct {
	ReservationID, Kind, SeamID, SessionID string
	Ending                                 bool
}

// judgeGuests waits until what is out there at Seam is what is recorded, and checks that it is as it should be.
func judgeGuests(t *testing.T, r *crashRig, dsn string, stays []*guestStay) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var problem string
	until.Reached(t, func() bool {
		rows, _ := conn.Query(context.Background(),
			`SELECT reservation_id, kind, coalesce(seam_id, '') AS seam_id, coalesce(session_id, '') AS session_id, ending_at IS NOT NULL AS ending FROM handed_out`)
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[handedRow])
		if err != nil {
			t.Fatal(err)
		}
		problem = wrongAtSeam(r.sim.State(), list, stays)
		return problem == ""
	}, func() { t.Errorf("what guests have: %s", problem) })
}

// wrongAtSeam says what is wrong with what guests have; "" for nothing.
func wrongAtSeam(state *simulator.State, recorded []handedRow, stays []*guestStay) string {
	known, inUse := map[string]bool{}, map[string]int{}
	for _, h := range recorded {
		known[h.SeamID], known[h.SessionID] = true, true
		if h.Kind == "instant_key" && h.SeamID != "" && !h.Ending {
			inUse[h.ReservationID]++
		}
	}
	for id := range state.InstantKeys {
		if !known[id] {
			return "instant key " + id + " is an orphan"
		}
	}
	for id, c := range state.Sessions {
		if !c.Revoked && !known[id] {
			return "client session " + id + " is an orphan"
		}
	}
	for _, s := range stays {
		want, shows := 1, 0
		if s.cancelled {
			want = 0
		}
		for _, secret := range s.given {
			if len(state.Shown(secret, time.Now())) > 0 {
				shows++
			}
		}
		if inUse[s.id] != want || s.cancelled && shows > 0 || !s.cancelled && shows == 0 {
			return fmt.Sprintf(
				"%s, cancelled %t: %d instant keys are in use, %d of %d things that its guest was given show a key",
				s.id, s.cancelled, inUse[s.id], shows, len(s.given))
		}
	}
	return ""
}

// judgeDeliveries waits until the subscriber has heard the last state of each stay, and checks what it has heard.
func judgeDeliveries(t *testing.T, receiver *listener, stays []*guestStay) {
	t.Helper()
	for _, s := range stays {
		var last message
		until.Reached(t, func() bool {
			last = message{}
			for _, m := range receiver.messages() {
				if m.Data.ReservationID == s.id {
					last = m
				}
			}
			if s.cancelled {
				return last.Type == "mobile_key.revoked"
			}
			return (last.Type == "mobile_key.ready" || last.Type == "mobile_key.changed") &&
				strings.Contains(last.Body, s.out)
		}, func() {
			t.Errorf("%s, cancelled %t, until %s: heard last %s", s.id, s.cancelled, s.out, last.Body)
		})
	}
	bodies, before := map[string]string{}, map[string]message{}
	for _, m := range receiver.messages() {
		if body, known := bodies[m.ID]; known && body != m.Body {
			t.Errorf("%s has two bodies:\n%s\n%s", m.ID, body, m.Body)
		}
		if b := before[m.Data.ReservationID]; m.ID != b.ID && m.Data.Sequence <= b.Data.Sequence {
			t.Errorf("%s: sequence %d after %d:\n%s\n%s", m.Data.ReservationID, m.Data.Sequence, b.Data.Sequence,
				b.Body, m.Body)
		}
		bodies[m.ID], before[m.Data.ReservationID] = m.Body, m
	}
}
