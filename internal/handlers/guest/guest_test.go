package guest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/handlers"
	guestpage "github.com/staykey/staykey/internal/handlers/guest"
)

// notReady are links whose key is not ready.
type notReady struct{ page guest.Page }

func (n notReady) Look(context.Context, string) (guest.Page, error) { return n.page, nil }

func (n notReady) Open(context.Context, string) (guest.Opened, error) {
	return guest.Opened{}, &guest.NotReadyError{Page: n.page}
}

func anybody(*http.Request) netip.Addr { return netip.Addr{} }

// A program learns why a key is not ready: what REST says of it, and what the guest sees.
func TestNotReadyHasTheReason(t *testing.T) {
	t.Parallel()
	reason := "gate_closed"
	for name, c := range map[string]struct {
		page   guest.Page
		reason string
		detail string
	}{
		"waits for a gate": {guest.Page{Why: guest.Held, Status: "waiting", Reason: &reason}, "gate_closed", "the key is not ready (waiting / gate_closed): held"},
		"link held back": {
			guest.Page{Why: guest.Held, Status: "issued", Gates: []string{"paid", "signed"}}, "gate_closed", "the key is not ready (issued / gate_closed): held by paid, signed",
		},
		"being created": {guest.Page{Why: guest.Preparing, Status: "provisioning"}, "provisioning", "the key is not ready (provisioning): preparing"},
		"shared identity": {
			guest.Page{Why: guest.Ask, Status: "issued", Shared: true}, "identity_shared", "the key is not ready (issued / identity_shared): ask",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			router := chi.NewRouter()
			guestpage.New(guestpage.Config{
				Links: notReady{c.page}, Limits: handlers.NewLimits(anybody), Log: slog.New(slog.DiscardHandler), Now: time.Now,
			}).Mount(router)
			r := httptest.NewRequest(http.MethodPost, "/k/0123456789012345678901", nil)
			r.Header.Set("Accept", "application/json")
			w := httptest.NewRecorder()
			router.ServeHTTP(middleware.NewWrapResponseWriter(w, r.ProtoMajor), r) // as the listener has it
			var problem struct {
				Status int    `json:"status"`
				Code   string `json:"code"`
				Reason string `json:"reason"`
				Detail string `json:"detail"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
				t.Fatal(err)
			}
			if w.Code != http.StatusConflict || problem.Status != http.StatusConflict || problem.Code != "key_not_ready" ||
				problem.Reason != c.reason || problem.Detail != c.detail {
				t.Errorf("%d %+v, want %q", w.Code, problem, c.detail)
			}
		})
	}
}
