package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// stayWith is a stay of the source default as its PMS reports it.
func stayWith(kind, at, in, out string) string {
	return fmt.Sprintf(
		`{"type":"reservation.%s","timestamp":"2024-10-20T%s:00.000Z","data":{"reservation_id":"3333122-433","guest_email":"jane@example.com","listing_id":"2222222-2222","check_in":"%s","check_out":"%s"}}`, kind, at, in, out)
}

const (
	madridListing = `{"type":"listing.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"listing_id":"2222222-2222","seam_access_group_ids":["555555-5555"],"time_zone":"Europe/Madrid"}}`
	cancelStay    = `{"type":"reservation.cancelled","timestamp":"2024-10-20T10:00:00.000Z","data":{"reservation_id":"3333122-433"}}`
)

// A window belongs to the stay as its PMS specified it: it survives changes that leave the dates, and lapses as a whole
// and for good, with a timeline entry, when the PMS moves check-in or check-out.
func TestWindowBelongsToTheStay(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, reason string
		events       []string
		put          string // of the listing
		holds        bool
	}{
		{"nothing happens", "", nil, "", true},
		{"the listing's check-out time changes", "the PMS moved nothing", nil, `{"check_out_time":"10:30"}`, true},
		{"the listing's time zone changes", "the PMS moved nothing", nil, `{"time_zone":"Atlantic/Canary"}`, true},
		{
			"the PMS says the same again", "",
			[]string{stayWith("updated", "10:00", "2030-11-01", "2030-11-04")},
			"",
			true,
		},
		{
			"the PMS says the same in other words", "15:00 and 11:00 are the listing's hours",
			[]string{stayWith("updated", "10:00", "2030-11-01T15:00", "2030-11-04T10:00:00Z")},
			"", true,
		},
		{"cancelled and reinstated", "it is the same stay", []string{
			cancelStay,
			stayWith("updated", "11:00", "2030-11-01", "2030-11-04"),
		}, "", true},
		{
			"the PMS moves check-in", "the end was agreed for another stay",
			[]string{stayWith("updated", "10:00", "2030-11-02", "2030-11-04")},
			"", false,
		},
		{
			"the PMS moves check-in past the agreed end", "access would end before it begins",
			[]string{stayWith("updated", "10:00", "2030-11-06", "2030-11-09")},
			"", false,
		},
		{"the PMS moves check-out", "", []string{stayWith("updated", "10:00", "2030-11-01", "2030-11-05")}, "", false},
		{
			"the PMS moves the stay and moves it back", "a lapsed window stays lapsed",
			[]string{
				stayWith("updated", "10:00", "2030-11-02", "2030-11-05"),
				stayWith("updated", "11:00", "2030-11-01", "2030-11-04"),
			},
			"", false,
		},
		{
			"reinstated with other days", "it is another stay",
			[]string{cancelStay, stayWith("updated", "11:00", "2030-12-01", "2030-12-04")},
			"", false,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.post(hook{id: "w0", body: madridListing})
			a.post(hook{id: "w1", body: stayWith("created", "09:00", "2030-11-01", "2030-11-04")})
			a.apply()
			r := a.call("POST", onePath+"/window",
				`{"reason":"late check-out, paid","author":"Maria","ends_at":"2030-11-04T15:00:00Z"}`)
			if r.status != http.StatusAccepted {
				t.Fatal(r.rawBody)
			}
			if tc.put != "" {
				if r := a.call("PUT", "/v1/listings/default/2222222-2222", tc.put); r.status != http.StatusOK {
					t.Fatal(r.rawBody)
				}
				a.apply()
			}
			for i, body := range tc.events {
				a.post(hook{id: fmt.Sprint("e", i), body: body})
				a.apply()
			}
			w, set := a.get(onePath + "/overrides").body["window"].(map[string]any)
			if holds := set && w["ends_at"] == "2030-11-04T15:00:00.000Z"; holds != tc.holds {
				t.Errorf("the window holds: %v, want %v: %s (%v)", holds, tc.holds, tc.reason, w)
			}
			reported := strings.Contains(a.get(onePath+"/timeline").rawBody,
				"the access times that Maria (admin) had set no longer apply")
			if reported == tc.holds {
				t.Errorf("the timeline says that the window has lapsed: %v", reported)
			}
		})
	}
}

// After a lapse another window can be set, for the moved stay.
func TestWindowAfterALapse(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.post(hook{id: "w0", body: madridListing})
	a.post(hook{id: "w1", body: stayWith("created", "09:00", "2030-11-01", "2030-11-04")})
	a.apply()
	a.call("POST", onePath+"/window", `{"reason":"x","ends_at":"2030-11-04T15:00:00Z"}`)
	a.post(hook{id: "w2", body: stayWith("updated", "10:00", "2030-11-11", "2030-11-14")})
	a.apply()
	if r := a.call("POST", onePath+"/window",
		`{"reason":"y","starts_at":"2030-11-11T10:00:00Z"}`); r.status != http.StatusAccepted {
		t.Fatal(r.rawBody)
	}
	a.post(hook{id: "w3", body: stayWith("updated", "11:00", "2030-11-11", "2030-11-14")})
	a.apply()
	w, _ := a.get(onePath + "/overrides").body["window"].(map[string]any)
	if w["starts_at"] != "2030-11-11T10:00:00.000Z" || w["ends_at"] != nil {
		t.Errorf("the window is %v", w)
	}
}

// A reconcile of a revoked stay removes nothing: its status stays what it is.
func TestReconcileOfARevokedStay(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.call("POST", onePath+"/revoke", `{"reason":"x"}`)
	if _, err := a.store.Pool().Exec(t.Context(),
		`UPDATE mobile_keys SET status = 'revoked' WHERE source = 'default'`); err != nil {
		t.Fatal(err)
	}
	r := a.call("POST", onePath+"/reconcile", "")
	if key := r.body["mobile_key"].(map[string]any); r.status != http.StatusAccepted || key["status"] != "revoked" {
		t.Errorf("%d, the key is %v", r.status, key["status"])
	}
}

// A revocation or a hold survives retention: the PMS may move the stay into the future at any time, and a key must not
// come back with it. Decisions about past days are deleted.
func TestDecisionsOutliveRetention(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"revoke", "hold"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			a := two(t)
			a.call("POST", onePath+"/window", `{"reason":"late check-out","ends_at":"2030-11-04T15:00:00Z"}`)
			if r := a.call("POST", onePath+"/"+kind, `{"reason":"does not pay"}`); r.status != http.StatusAccepted {
				t.Fatal(r.rawBody)
			}
			if _, err := a.store.Pool().Exec(ctx,
				`UPDATE reservations SET check_in = now() - interval '999 days', check_out = now() - interval '998 days'`); err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			for stage := store.PruneBodies; stage <= store.PruneReservations; stage++ {
				if _, err := a.store.Retention.PruneStays(ctx, stage, now, now, 100); err != nil {
					t.Fatal(err)
				}
			}
			a.get("/v1/reservations/a%20b%2Fc/3333122-433").mustBeProblem(t, http.StatusNotFound)
			a.post(hook{id: "back", body: stayWith("updated", "23:00", "2031-11-01T15:00:00Z", "2031-11-04T11:00:00Z")})
			a.apply()
			o := a.get(onePath + "/overrides").body
			field := map[string]string{"revoke": "revoked", "hold": "held"}[kind]
			if word, _ := o[field].(map[string]any); word == nil || o["window"] != nil {
				t.Errorf("of the decisions there are %v", o)
			}
			if strings.Contains(fmt.Sprint(o), "does not pay") {
				t.Errorf("its reason is kept for longer than the timeline: %v", o)
			}
		})
	}
}
