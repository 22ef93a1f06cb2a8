package handlers_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

// laterReservation says something newer of the reservation than reservationBody.
var laterReservation = strings.NewReplacer("09:00:00.000Z\",\"data", "10:00:00.000Z\",\"data", "2030-11-04",
	"2030-11-05").Replace(reservationBody)

// eventOf is the id of the oldest event with these filters.
func (a *app) eventOf(query string) string {
	a.t.Helper()
	items := a.get("/v1/events?" + query).body["items"].([]any)
	if len(items) == 0 {
		a.t.Fatalf("no event with %s", query)
	}
	return items[len(items)-1].(map[string]any)["event_id"].(string)
}

// A replay is a second result of an event: the first one stays in the history.
func TestReplayKeepsHistory(t *testing.T) {
	t.Parallel()

	t.Run("an applied event that has been overtaken", func(t *testing.T) {
		t.Parallel()
		a := newApp(t)
		a.post(hook{id: "h0", body: listingBody})
		a.post(hook{id: "h1", body: reservationBody})
		a.apply()
		id := a.eventOf("reservation_id=3333122-433")
		first := a.get("/v1/events/" + id).body
		a.post(hook{id: "h2", body: laterReservation})
		a.apply()
		for range 2 {
			r := a.call("POST", "/v1/events/"+id+"/replay", "")
			if r.status != 202 || r.body["status"] != "accepted" || r.body["applied_at"] != first["applied_at"] {
				t.Fatalf("%d %s", r.status, r.rawBody)
			}
			if waiting := a.get("/v1/events/" + id).body; waiting["applied_at"] != first["applied_at"] ||
				waiting["first_status"] != "applied" {
				t.Errorf("while it waits: %v", waiting)
			}
			waiting := a.get("/v1/events?status=accepted").body["items"].([]any)[0].(map[string]any)
			if waiting["applied_at"] != first["applied_at"] {
				t.Errorf("while it waits, in the list: %v", waiting)
			}
			a.apply()
			e := a.get("/v1/events/" + id).body
			for field, want := range map[string]any{
				"status": "applied", "reason": nil,
				"applied_at": first["applied_at"], "replay_status": "superseded", "first_status": "applied",
			} {
				if e[field] != want {
					t.Errorf("%s is %v, want %v", field, e[field], want)
				}
			}
			if e["replayed_at"] == nil || e["replay_reason"] == nil {
				t.Errorf("the replay is missing: %v", e)
			}
			if got := a.get("/v1/events?reservation_id=3333122-433&status=applied").body["items"].([]any); len(
				got) != 2 || got[1].(map[string]any)["replay_status"] != "superseded" {
				t.Errorf("the list: %v", got)
			}
		}
	})

	t.Run("a rejected event that has become applicable", func(t *testing.T) {
		t.Parallel()
		a := newApp(t)
		a.withFormat("foreign", `error("not yet")`, pms.VerifySettings{Method: "bearer"})
		if r := a.send("POST", "/webhooks/foreign", "application/json", `{"id":1}`, "Authorization",
			"Bearer "+urlToken); r.status != 202 {
			t.Fatalf("%d %s", r.status, r.rawBody)
		}
		a.apply()
		id := a.eventOf("source=foreign")
		first := a.get("/v1/events/" + id).body
		if first["status"] != "rejected" {
			t.Fatal(first)
		}
		a.withFormat("foreign",
			`{reservation: {reservation_id: "R1", status: "confirmed", listing_id: "L", check_in: "2034-11-01T15:00:00Z", check_out: "2034-11-02T15:00:00Z"}}`, pms.VerifySettings{Method: "bearer"})
		a.call("POST", "/v1/events/"+id+"/replay", "")
		a.apply()
		e := a.get("/v1/events/" + id).body
		for field, want := range map[string]any{
			"status": "applied", "replay_status": "applied",
			"first_status": "rejected", "first_reason": first["reason"], "reservation_id": "R1",
		} {
			if e[field] != want {
				t.Errorf("%s is %v, want %v", field, e[field], want)
			}
		}
		applied := e["applied_at"]
		a.withFormat("foreign", `error("no longer")`, pms.VerifySettings{Method: "bearer"})
		a.call("POST", "/v1/events/"+id+"/replay", "")
		a.apply()
		e = a.get("/v1/events/" + id).body
		for field, want := range map[string]any{
			"status": "applied", "applied_at": applied, "replay_status": "rejected",
			"first_status": "rejected", "first_reason": first["reason"], "reservation_id": "R1",
		} {
			if e[field] != want {
				t.Errorf("after a replay that is rejected %s is %v, want %v", field, e[field], want)
			}
		}
	})
}

// A replay is not a new webhook: the source's counts don't include it.
func TestReplayIsNoWebhook(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.post(hook{id: "one", body: listingBody})
	a.apply()
	id := a.eventOf("source=default")
	for range 3 {
		a.call("POST", "/v1/events/"+id+"/replay", "")
		a.apply()
	}
	if err := a.store.Activity.Flush(context.Background(), a.applied); err != nil {
		t.Fatal(err)
	}
	if day := a.lastDay("default"); day["applied"] != 1.0 || len(day) != 1 {
		t.Errorf("one webhook came, and of the last day's there are %v", day)
	}
}

// An import is not a webhook: neither the source's counts nor the chart of what PMSs posted include it.
func TestImportIsNoWebhook(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a := newApp(t)
	a.post(hook{id: "one", body: listingBody})
	a.apply()

	imported := make(chan error, 1)
	go func() {
		event := strings.Replace(listingBody, `"timestamp":"2024`, `"timestamp":"2023`, 1) // another one
		results, err := a.applier.Import(ctx, "default", [][]byte{[]byte(event)}, false,
			store.Audit{Author: "a test", Action: "import"})
		if err == nil && results[0].Status != stay.EventApplied && results[0].Status != stay.EventSuperseded {
			err = fmt.Errorf("the event is %s: %s", results[0].Status, results[0].Reason)
		}
		imported <- err
	}()
	until.True(t, "the import", func() bool {
		a.apply()
		select {
		case err := <-imported:
			if err != nil {
				t.Error(err)
			}
			return true
		default:
			return false
		}
	})
	if err := a.store.Activity.Flush(ctx, a.applied); err != nil {
		t.Fatal(err)
	}

	if day := a.lastDay("default"); day["applied"] != 1.0 || len(day) != 1 {
		t.Errorf("one webhook came, and of the last day's there are %v", day)
	}
	v := a.visitor()
	v.signIn(adminToken)
	if page := v.see("/"); !strings.Contains(page.body, `aria-label="1 event and 0 keys created`) {
		t.Errorf("one webhook came, and the chart shows\n%s", page.body)
	}
}

func (a *app) lastDay(source string) map[string]any {
	a.t.Helper()
	for _, s := range a.get("/v1/sources").body["items"].([]any) {
		if m := s.(map[string]any); m["name"] == source {
			return m["last_day"].(map[string]any)
		}
	}
	a.t.Fatalf("no source %s", source)
	return nil
}

// Open pages are notified of every change, whatever the clock of the replica that made it and however long its
// transaction took.
func TestPagesHearOfEveryChange(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	ref := stay.Ref{Source: "default", ReservationID: "3333122-433"}
	hold := func(a *intake.Applier) error {
		return a.Act(ctx, ref, intake.Action{Kind: intake.ActionHold, By: "x", Why: "y"})
	}
	for name, change := range map[string]func(a *app) error{
		"a replica whose clock is behind": func(a *app) error {
			other := stay.Ref{Source: "a b/c", ReservationID: "3333122-433"}
			if err := a.applier.Act(ctx, other, intake.Action{Kind: intake.ActionHold, By: "x", Why: "y"}); err != nil {
				return err
			}
			before, err := a.store.Changes.Count(ctx)
			if err != nil {
				return err
			}
			late := intake.NewApplier(a.store, slog.New(slog.DiscardHandler), intake.Options{
				Now:    func() time.Time { return time.Now().Add(-time.Minute) },
				Source: func(name string) pms.Source { return a.sources[name] },
			})
			err = hold(late)
			if after, _ := a.store.Changes.Count(ctx); after == before {
				a.t.Error("no page is notified")
			}
			return err
		},
		"a replay": func(a *app) error {
			if r := a.call("POST", "/v1/events/"+a.eventOf("status=rejected&source=default")+"/replay",
				""); r.status != 202 {
				a.t.Errorf("%d %s", r.status, r.rawBody)
			}
			return nil
		},
		"the result of a replay": func(a *app) error {
			a.call("POST", "/v1/events/"+a.eventOf("status=rejected&source=default")+"/replay", "")
			before, err := a.store.Changes.Count(ctx)
			a.apply()
			if after, _ := a.store.Changes.Count(ctx); after == before {
				a.t.Error("no page is notified of the result of a replay")
			}
			return err
		},
		"a webhook": func(a *app) error { a.post(hook{id: "w", body: laterReservation}); return nil },
		"an action": func(a *app) error { return hold(a.applier) },
		"a listing's groups": func(a *app) error {
			a.call("PUT", "/v1/listings/default/2222222-2222",
				`{"name":"x"}`)
			return nil
		},
		"an event set aside": func(a *app) error {
			a.post(hook{id: "w", body: laterReservation})
			return a.store.Events.SetAside(ctx, 1, "x")
		},
		"what retention took": func(a *app) error {
			_, err := a.store.Pool().Exec(ctx, `DELETE FROM event_results WHERE seq = 1`)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := two(t)
			before, err := a.store.Changes.Count(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := change(a); err != nil {
				t.Fatal(err)
			}
			after, err := a.store.Changes.Count(ctx)
			if err != nil || after == before {
				t.Errorf("no page is notified: %v", err)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		a := two(t)
		before, _ := a.store.Changes.Count(ctx)
		a.get(onePath)
		a.get("/v1/events")
		a.apply()
		if after, err := a.store.Changes.Count(ctx); err != nil || after != before {
			t.Errorf("pages are notified without a change: %d, %d, %v", before, after, err)
		}
	})
}

// "Within 24 hours" begins 24 hours ago, not at a full hour; the page's chart counts the same.
func TestLastDayIs24Hours(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	now := time.Now()
	for _, tc := range []struct {
		ago     time.Duration
		counted bool
	}{
		{time.Minute, true},
		{time.Hour, true},
		{23*time.Hour + 2*time.Minute, true},
		{24*time.Hour - 2*time.Minute, true},
		{24*time.Hour + 2*time.Minute, false},
		{24*time.Hour + 59*time.Minute, false},
	} {
		source := "default"
		activity := store.NewActivity()
		activity.Add(source, stay.EventRejected, now.Add(-tc.ago))
		if _, err := a.store.Pool().Exec(t.Context(), `DELETE FROM activity`); err != nil {
			t.Fatal(err)
		}
		if err := a.store.Activity.Flush(t.Context(), activity); err != nil {
			t.Fatal(err)
		}
		if got := a.lastDay(source)["rejected"] == 1.0; got != tc.counted {
			t.Errorf("rejected %s ago: counted %v, want %v", tc.ago, got, tc.counted)
		}
		v := a.visitor()
		v.signIn(adminToken)
		if got := strings.Contains(v.see("/").body, "1 of them rejected or refused"); got != tc.counted {
			t.Errorf("rejected %s ago: on the page %v, want %v", tc.ago, got, tc.counted)
		}
	}
}

// Minutes older than a day are summed up to hours. Nothing is lost, and the last day is unchanged.
func TestActivityIsAddedUp(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	now := time.Date(2030, 11, 10, 12, 30, 0, 0, time.UTC)
	activity := store.NewActivity()
	for _, ago := range []time.Duration{
		time.Minute, 23 * time.Hour, 24*time.Hour + 20*time.Minute, 49 * time.Hour,
		49*time.Hour + time.Minute, 49*time.Hour + 2*time.Minute, 36 * 24 * time.Hour,
	} {
		activity.Add("default", stay.EventApplied, now.Add(-ago))
	}
	if err := a.store.Activity.Flush(t.Context(), activity); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.store.Activity.Prune(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		var rows, n int
		if err := a.store.Pool().QueryRow(t.Context(), `SELECT count(*), sum(n) FROM activity`).Scan(&rows,
			&n); err != nil || rows != 4 || n != 6 {
			t.Errorf("%d rows that count %d, want 4 that count 6: %v", rows, n, err)
		}
	}
}

// A replay is as urgent as its event was: many replays don't delay guests who arrive now.
func TestReplayIsAsUrgentAsItsEvent(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.post(hook{id: "r0", body: listingBody})
	a.post(hook{id: "r1", body: reservationBody})
	a.apply()
	urgent, other := a.eventOf("reservation_id=3333122-433"), a.eventOf("type=listing.created")
	if _, err := a.store.Pool().Exec(t.Context(), `UPDATE events SET urgent = event_id = $1`, urgent); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{urgent: true, other: false} {
		if r := a.call("POST", "/v1/events/"+id+"/replay", ""); r.status != 202 {
			t.Fatalf("%d %s", r.status, r.rawBody)
		}
		var got bool
		if err := a.store.Pool().QueryRow(t.Context(), `SELECT urgent FROM event_queue WHERE event_id = $1`,
			id).Scan(&got); err != nil || got != want {
			t.Errorf("its replay is urgent: %t, want %t: %v", got, want, err)
		}
	}
}

// Times of an event are in the zone that the configuration has for its source, and say so if there is none.
func TestEventsAreInTheSourcesZone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ timeZone, posted string }{
		"a source with a zone":    {"Asia/Tokyo", "18:00 JST"},
		"a source without a zone": {"", "09:00 UTC"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			source := a.sources["default"]
			source.Policy.TimeZone = c.timeZone
			a.sources["default"] = source
			a.post(hook{id: "one", body: listingBody})
			a.apply()
			v := a.visitor()
			v.signIn(adminToken)

			zone := c.posted[len("09:00"):]
			inZone := regexp.MustCompile(`<time datetime="[^"]+" title="[^"]+ UTC">[^<]*[0-9]` + zone)
			if page := v.see("/events"); !inZone.MatchString(page.body) {
				t.Errorf("the list has no time in%s:\n%s", zone, page.body)
			}
			page := v.see("/events/" + a.eventOf("source=default"))
			if n := len(inZone.FindAllString(page.body, -1)); n != 3 || !strings.Contains(page.body, c.posted) {
				t.Errorf("the event has %d times in%s, want 3, among them %s:\n%s", n, zone, c.posted, page.body)
			}
		})
	}
}
