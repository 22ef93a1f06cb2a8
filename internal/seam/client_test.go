package seam_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/seam"
)

// patience is longer than any answer takes, however busy the machine is.
const patience = time.Minute

// serve answers every call with handler and returns a client for it.
func serve(t *testing.T, handler http.HandlerFunc) *seam.Client {
	t.Helper()
	return serveFor(t, patience, handler)
}

// serveFor is serve for a client that gives up after the timeout.
func serveFor(t *testing.T, timeout time.Duration, handler http.HandlerFunc) *seam.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := seam.New(seam.Config{Endpoint: server.URL + "/", APIKey: "seam_key", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("seam-request-id", "req-1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	var got map[string]any
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer seam_key" ||
			r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Idempotency-Key") != "" {
			t.Errorf("%s with headers %v", r.Method, r.Header)
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, `{"acs_user":{"acs_user_id":"u"},"ok":true}`)
	})
	madrid := time.FixedZone("", 2*3600)
	_, err := c.CreateACSUser(context.Background(), seam.CreateACSUser{
		ACSSystemID: "s", UserIdentityID: "i", FullName: "R", ACSAccessGroupIDs: []string{"555555-5555"},
		AccessSchedule: seam.NewSchedule(time.Date(2024, 11, 1, 17, 0, 0, 123456789, madrid),
			time.Date(2024, 11, 4, 13, 0, 0, 0, madrid)),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"acs_system_id": "s", "user_identity_id": "i", "full_name": "R", "acs_access_group_ids": []any{"555555-5555"},
		"access_schedule": map[string]any{
			"starts_at": "2024-11-01T15:00:00.123Z",
			"ends_at":   "2024-11-04T11:00:00.000Z",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsReadTolerantly(t *testing.T) {
	t.Parallel()
	c := serve(t, answer(200,
		`{"ok":true,"new":{},"acs_user":{"acs_user_id":"u","acs_system_id":"s","full_name":"R","email_address":"not an address",
		"created_at":"2025-06-15T16:54:17.946482Z","external_type":"something_new","user_identity_id":null,"access_schedule":{"starts_at":"2024-11-01T16:00:00+01:00","ends_at":null},
		"errors":[{"error_code":"a_new_one","message":"x","created_at":"?"}],"pending_mutations":[{"mutation_code":"teleporting"}],"warnings":[{"warning_code":"salto_ks_user_not_subscribed"}],"unknown":[1,{"a":2}]}}`))
	u, err := c.ACSUser(context.Background(), "u")
	if err != nil {
		t.Fatal(err)
	}
	if u.ACSUserID != "u" || u.UserIdentityID != "" || len(u.Errors) != 1 || len(u.PendingMutations) != 1 ||
		u.Subscribed() ||
		!seam.ParseTime(u.AccessSchedule.StartsAt).Equal(time.Date(2024, 11, 1, 15, 0, 0, 0, time.UTC)) ||
		seam.ParseTime(u.CreatedAt).Nanosecond() != 946482000 {
		t.Errorf("got %+v", u)
	}
}

func TestErrorKinds(t *testing.T) {
	t.Parallel()
	const envelope = `{"error":{"type":"%s","message":"jane@example.com or +34 600 111 222 is taken","request_id":"in-body"},"ok":false}`
	typed := func(kind string) string { return strings.Replace(envelope, "%s", kind, 1) }
	closing := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		kind    seam.Kind
		typ     string
	}{
		"400 invalid input": {answer(400, typed("invalid_input")), seam.Invalid, "invalid_input"},
		"409":               {answer(409, typed("conflict")), seam.Invalid, "conflict"},
		"404 of Seam's": {
			answer(404, typed("acs_user_not_found")), seam.NotFound,
			"acs_user_not_found",
		},
		"400 that says not found": {
			answer(400, typed("user_identity_not_found")), seam.NotFound,
			"user_identity_not_found",
		},
		"404 of somebody else's":       {answer(404, "404 page not found"), seam.Lost, ""},
		"404 with another JSON body":   {answer(404, `{"error":{"code":404,"message":"no route"}}`), seam.Lost, ""},
		"404 with a text for an error": {answer(404, `{"error":"not found"}`), seam.Lost, ""},
		"422 of Seam's":                {answer(422, typed("unprocessable")), seam.Invalid, "unprocessable"},
		"400 with a page":              {answer(400, "<html><body>Bad Request</body></html>"), seam.Invalid, ""},
		"401":                          {answer(401, ""), seam.Unauthorized, ""},
		"403":                          {answer(403, typed("forbidden")), seam.Forbidden, "forbidden"},
		"429": {
			answer(429, typed("too_many_requests")), seam.RateLimited,
			"too_many_requests",
		},
		"500":                         {answer(500, "Not implemented!"), seam.Lost, ""},
		"503 with no body":            {answer(503, ""), seam.Lost, ""},
		"a redirect":                  {answer(302, ""), seam.Lost, ""},
		"200 that is not JSON":        {answer(200, "<html>"), seam.Lost, ""},
		"200 without the object":      {answer(200, `{"ok":true}`), seam.Lost, ""},
		"200 with another form of it": {answer(200, `{"acs_user":[]}`), seam.Lost, ""},
		"a connection that closes":    {closing, seam.Lost, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				c.handler(w, r)
			})
			var recorded []seam.Call
			ctx := seam.WithRecorder(context.Background(), func(c seam.Call) { recorded = append(recorded, c) })
			_, err := client.CreateACSUser(ctx, seam.CreateACSUser{})
			e := new(seam.Error)
			if !errors.As(err, &e) || e.Kind != c.kind || e.Type != c.typ {
				t.Fatalf("got %v, want %v %s", err, c.kind, c.typ)
			}
			if strings.Contains(err.Error(), "jane@") || strings.Contains(err.Error(), "600") {
				t.Errorf("guest data in %q", err)
			}
			if calls.Load() != 1 || len(recorded) != 1 ||
				recorded[0].Path != "/acs/users/create" || recorded[0].Err == nil {
				t.Errorf("%d calls, recorded %+v", calls.Load(), recorded)
			}
			if e.Status != 0 && c.typ != "" && e.RequestID != "req-1" {
				t.Errorf("request id %q", e.RequestID)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		client, err := seam.New(seam.Config{Endpoint: "http://127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.ACSUser(context.Background(), "u"); seam.KindOf(err) != seam.NotSent {
			t.Errorf("got %v", err)
		}
	})
}

// TestNoAnswerBeforeTheDeadline has Seam receive a call and stay silent. On a busy machine a short deadline may pass
// before the call is on its way, and then nothing was asked: such a try says so and is repeated with a longer one.
func TestNoAnswerBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	for timeout := 50 * time.Millisecond; ; timeout *= 2 {
		var calls atomic.Int32
		client := serveFor(t, timeout, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			calls.Add(1)
			<-r.Context().Done()
		})
		var recorded []seam.Call
		ctx := seam.WithRecorder(context.Background(), func(c seam.Call) { recorded = append(recorded, c) })
		_, err := client.CreateACSUser(ctx, seam.CreateACSUser{})
		if len(recorded) != 1 || recorded[0].Status != 0 || recorded[0].Err == nil {
			t.Errorf("recorded %+v", recorded)
		}
		if seam.KindOf(err) == seam.NotSent && calls.Load() == 0 && timeout < patience {
			continue
		}
		if seam.KindOf(err) != seam.Lost {
			t.Errorf("got %v after a deadline of %s and %d calls received, want it lost", err, timeout, calls.Load())
		}
		return
	}
}

// A call whose caller gave up says nothing about Seam, and the metric tells it from one that got no answer.
func TestAbandonedCallsAreMeasuredApart(t *testing.T) {
	t.Parallel()
	ctx, giveUp := context.WithCancel(t.Context())
	client := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		giveUp()
		<-r.Context().Done()
	})
	err := client.DeleteACSUser(ctx, "abandoned")
	if seam.KindOf(err) != seam.Lost {
		t.Errorf("got %v", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(seam.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(families); !strings.Contains(got, `value:"abandoned"`) {
		t.Errorf("not measured apart: %s", got)
	}
}

func TestRetryAfterHoldsEveryCallBack(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(429)
	}))
	t.Cleanup(server.Close)
	now := time.Now()
	c, err := seam.New(seam.Config{
		Endpoint: server.URL, APIKey: "k", Timeout: patience, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for range 3 {
		_, err := c.ACSUser(context.Background(), "u")
		e := new(seam.Error)
		if !errors.As(err, &e) || e.Kind != seam.RateLimited || e.RetryAfter < 25*time.Second ||
			e.RetryAfter > 30*time.Second {
			t.Errorf("got %v", err)
		}
	}
	if calls.Load() != 1 {
		t.Errorf("%d calls while Seam asks for a pause", calls.Load())
	}
}

func TestNewRefusesOddEndpoints(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"connect.getseam.com", "ftp://x", "http://", "::"} {
		if _, err := seam.New(seam.Config{Endpoint: bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
