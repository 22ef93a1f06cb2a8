package guest_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/handlers"
	guestpage "github.com/staykey/staykey/internal/handlers/guest"
	"github.com/staykey/staykey/internal/handlers/rest"
)

// notReady are links whose key is not ready.
type notReady struct{ page guest.Page }

func (n notReady) Look(context.Context, string) (guest.Page, error) { return n.page, nil }

func (n notReady) ShowCode(context.Context, string) (guest.Code, guest.Page, error) {
	return guest.Code{}, n.page, guest.ErrNoCode
}

func (n notReady) Open(context.Context, string) (guest.Opened, error) {
	return guest.Opened{}, &guest.NotReadyError{Page: n.page}
}

func anybody(*http.Request) netip.Addr { return netip.Addr{} }

// A program learns why a key is not ready: what REST says of it, and in words.
func TestNotReadyHasTheReason(t *testing.T) {
	t.Parallel()
	reason, noRoom, tooEarly := "gate_closed", "no_room_assigned", "before_horizon"
	for name, c := range map[string]struct {
		page   guest.Page
		reason string
		detail string
	}{
		"waits for a gate": {
			guest.Page{Readiness: guest.Withheld, Status: "waiting", Reason: &reason},
			"gate_closed",
			"the key is not ready (waiting / gate_closed): the property has to release it first",
		},
		"link withheld": {
			guest.Page{Readiness: guest.Withheld, Status: "issued", Gates: []string{"paid", "signed"}},
			"gate_closed",
			"the key is not ready (issued / gate_closed): the property has to release it first, by the gates paid, signed",
		},
		"being created": {
			guest.Page{Readiness: guest.Preparing, Status: "provisioning"},
			"provisioning",
			"the key is not ready (provisioning): it is being created or changed, try again in a moment",
		},
		"shared identity": {
			guest.Page{Readiness: guest.Ask, Status: "issued", Shared: true},
			"identity_shared",
			"the key is not ready (issued / identity_shared): the property's staff has to help",
		},
		"no room": {
			guest.Page{Readiness: guest.NoRoom, Status: "waiting", Reason: &noRoom},
			"no_room_assigned",
			"the key is not ready (waiting / no_room_assigned): the room is not assigned, or not set up yet",
		},
		"too early": {
			guest.Page{Readiness: guest.TooEarly, Status: "waiting", Reason: &tooEarly},
			"before_horizon",
			"the key is not ready (waiting / before_horizon): it is created nearer to check-in",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			router := chi.NewRouter()
			guestpage.New(guestpage.Config{
				Links: notReady{c.page}, Limits: handlers.NewLimits(anybody), Log: slog.New(slog.DiscardHandler),
				Now: time.Now,
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
			if w.Code != http.StatusConflict || problem.Status != http.StatusConflict ||
				problem.Code != "key_not_ready" ||
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

func (unknownLinks) ShowCode(context.Context, string) (guest.Code, guest.Page, error) {
	return guest.Code{}, guest.Page{}, guest.ErrUnknown
}

func (unknownLinks) Open(context.Context, string) (guest.Opened, error) {
	return guest.Opened{}, guest.ErrUnknown
}

// lateBody doesn't come until it is released.
type lateBody struct{ asked, released chan struct{} }

func (b lateBody) Read([]byte) (int, error) {
	b.asked <- struct{}{}
	<-b.released
	return 0, io.EOF
}

func (lateBody) Close() error { return nil }

// Strangers who announce a body and don't send it hold no turn that other guests need: any number of them, from any
// number of addresses.
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
		Links: unknownLinks{}, Limits: handlers.NewLimits(everyoneAnother), Log: slog.New(slog.DiscardHandler),
		Now: time.Now,
	}).Mount(router)
	ask := func(method string, body io.ReadCloser) int {
		r := httptest.NewRequest(method, "/k/0123456789012345678901", nil)
		r.Body = body
		w := httptest.NewRecorder()
		router.ServeHTTP(middleware.NewWrapResponseWriter(w, r.ProtoMajor), r) // as the listener has it
		return w.Code
	}
	const stalled = 100 // over three times the turns
	late := lateBody{asked: make(chan struct{}), released: make(chan struct{})}
	answers := make(chan int, stalled)
	for i := range stalled {
		go func() { answers <- ask([]string{http.MethodGet, http.MethodPost}[i%2], late) }()
	}
	for range stalled {
		select {
		case <-late.asked:
		case status := <-answers:
			t.Fatalf("answered with %d before its body had come", status)
		}
	}
	if status := ask(http.MethodGet, http.NoBody); status != http.StatusNotFound {
		t.Errorf("a guest among them: %d", status)
	}
	close(late.released)
	for range stalled {
		if status := <-answers; status != http.StatusNotFound {
			t.Errorf("once its body has come: %d", status)
		}
	}
	if status := ask(http.MethodPost, io.NopCloser(strings.NewReader(strings.Repeat("x",
		handlers.SmallBody+1)))); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", status)
	}
}

// brokenBody breaks off.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// What links answer is in the document, also to bodies, which guests don't send.
func TestAnswersAreDocumented(t *testing.T) {
	t.Parallel()
	raw, err := rest.OpenAPI("1")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct{ Responses map[string]any }
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	router := chi.NewRouter()
	guestpage.New(guestpage.Config{
		Links: unknownLinks{}, Limits: handlers.NewLimits(anybody), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}).Mount(router)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		known := document.Paths[guest.Route][strings.ToLower(method)].Responses
		for name, c := range map[string]struct {
			body io.Reader
			want int
		}{
			"no body":    {http.NoBody, http.StatusNotFound},
			"too large":  {strings.NewReader(strings.Repeat("x", 1<<20)), http.StatusRequestEntityTooLarge},
			"breaks off": {brokenBody{}, http.StatusRequestTimeout},
		} {
			r := httptest.NewRequest(method, "/k/0123456789012345678901", c.body)
			w := httptest.NewRecorder()
			router.ServeHTTP(middleware.NewWrapResponseWriter(w, r.ProtoMajor), r) // as the listener has it
			if _, documented := known[strconv.Itoa(w.Code)]; w.Code != c.want || !documented {
				t.Errorf("%s, %s: status %d (documented: %v), want %d", method, name, w.Code, documented, c.want)
			}
		}
	}
}
