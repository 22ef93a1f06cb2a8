package handlers_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
)

// connection records whether it was given a deadline for reading.
type connection struct {
	*httptest.ResponseRecorder
	deadline bool
}

func (c *connection) SetReadDeadline(at time.Time) error {
	c.deadline = c.deadline || !at.IsZero()
	return nil
}

// No route of REST sets a deadline for the body: after the body has arrived, net/http would mistake its expiry for the
// client's disconnect, and cancel a request that still waits for a lock. Tried with and without a body and an
// Idempotency-Key.
func TestNoBodyHasADeadlineOfItsOwn(t *testing.T) {
	t.Parallel()
	a := two(t)
	fill := strings.NewReplacer("{source}", "default", "{reservation_id}", "3333122-433",
		"{listing_id}", "2222222-2222", "{name}", "none")
	tried := 0
	err := chi.Walk(a.routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if !strings.HasPrefix(route, "/v1/") || method == http.MethodGet || method == http.MethodHead {
			return nil
		}
		for _, body := range []string{"", `{"reason": "r", "name": "x"}`} {
			for _, key := range []string{"", "key" + method + route + body} {
				tried++
				r := httptest.NewRequest(method, fill.Replace(route), strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer "+adminToken)
				if body != "" {
					r.Header.Set("Content-Type", "application/json")
				}
				if key != "" {
					r.Header.Set("Idempotency-Key", key)
				}
				w := &connection{ResponseRecorder: httptest.NewRecorder()}
				a.routes.(http.Handler).ServeHTTP(w, r)
				if w.deadline || w.Code == http.StatusUnauthorized {
					t.Errorf("%s %s with body %q and key %q: %d, a deadline: %t",
						method, route, body, key, w.Code, w.deadline)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if tried < 60 {
		t.Errorf("%d requests were tried", tried)
	}
}
