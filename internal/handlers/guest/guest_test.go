package guest_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
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

// unknownLinks doesn't know any link.
type unknownLinks struct{}

func (unknownLinks) Look(context.Context, string) (guest.Page, error) {
	return guest.Page{}, guest.ErrUnknown
}

func (unknownLinks) Open(context.Context, string) (guest.Opened, error) {
	return guest.Opened{}, guest.ErrUnknown
}

// Strangers who announce a body and don't send it are answered at once, so that they hold no turn that other guests need: any number
// of them, from any number of addresses.
func TestStalledRequestsHoldNoTurn(t *testing.T) {
	t.Parallel()
	var clients atomic.Uint32
	everyoneAnother := func(*http.Request) netip.Addr { // each request is a client of its own
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], clients.Add(1))
		return netip.AddrFrom4(address)
	}
	router := chi.NewRouter()
	guestpage.New(guestpage.Config{
		Links: unknownLinks{}, Limits: handlers.NewLimits(everyoneAnother), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}).Mount(router)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		router.ServeHTTP(middleware.NewWrapResponseWriter(w, r.ProtoMajor), r) // as the listener has it
	}))
	var stalled []net.Conn
	t.Cleanup(func() {
		for _, c := range stalled {
			_ = c.Close()
		}
		server.Close()
	})
	for i := range 100 { // over three times the turns
		method := []string{http.MethodGet, http.MethodPost}[i%2]
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		stalled = append(stalled, c)
		_, err = c.Write([]byte(method + " /k/0123456789012345678901 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"))
		if err == nil {
			err = c.SetReadDeadline(time.Now().Add(time.Minute)) // only what hangs misses it
		}
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("the %s whose body doesn't come is not answered: %v", method, err)
		}
		if answer.StatusCode != http.StatusNotFound {
			t.Fatalf("%s %d: %d", method, i, answer.StatusCode)
		}
	}
}
