package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store/storetest"
)

const outSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"

// listener is a subscriber's server. It verifies what it gets, and can keep requests waiting.
type listener struct {
	*httptest.Server
	mu      sync.Mutex
	got     []message
	arrived chan struct{}  // gets one for each message
	hold    chan struct{}  // while it is not nil, requests wait for its end
	refuses map[string]int // statuses of paths that are refused
}

type message struct {
	ID, Body string
	Type     string
	Data     struct {
		ReservationID string `json:"reservation_id"`
		KeyStatus     string `json:"key_status"`
		Sequence      int64
		URL           string
	}
}

func newListener(t *testing.T) *listener {
	t.Helper()
	secret, err := pms.ParseSecret(outSecret)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{arrived: make(chan struct{}, 10_000)}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := l.refuses[r.URL.Path]; status != 0 {
			w.WriteHeader(status)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if _, err := (pms.StandardWebhooks{Secrets: []pms.Secret{secret}}).Verify(pms.Post{
			Header: r.Header,
			Body:   body,
		}, time.Now()); err != nil {
			t.Errorf("a message does not verify: %v", err)
		}
		m := message{ID: r.Header.Get("webhook-id"), Body: string(body)}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("a message is no JSON: %v", err)
		}
		l.mu.Lock()
		l.got = append(l.got, m)
		hold := l.hold
		l.mu.Unlock()
		l.arrived <- struct{}{}
		if hold != nil {
			<-hold
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) messages() []message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]message(nil), l.got...)
}

// mustHear waits for a message of that type whose body has part.
func (l *listener) mustHear(t *testing.T, kind, part string) {
	t.Helper()
	waitUntil(t, kind+" to be heard", func() bool {
		return slices.ContainsFunc(l.messages(), func(m message) bool {
			return m.Type == kind && strings.Contains(m.Body, part)
		})
	})
}

// config writes a config file with the subscription app.
func (l *listener) config(t *testing.T, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "staykey.yaml")
	content := fmt.Sprintf(
		"subscriptions:\n  - name: app\n    url: %s/hooks/a-secret-path\n    secrets: [%q]\n    insecure: true\n%s",
		l.URL, outSecret, more)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return "STAYKEY_CONFIG=" + path
}

// From a reservation to the message that its key is ready; killed while the receiver thinks, the service sends the same
// message again, and after a cancel the last word is that the key is revoked.
func TestEventsOut(t *testing.T) {
	t.Parallel()
	receiver := newListener(t)
	hold := make(chan struct{})
	receiver.hold = hold
	_, env := simulated(t, storetest.DSN(t))
	env = append(env, receiver.config(t, ""), "STAYKEY_PUBLIC_URL=https://keys.example.com")
	p := launch(t, env)
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	<-receiver.arrived
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.done
	receiver.mu.Lock()
	receiver.hold = nil
	receiver.mu.Unlock()
	close(hold)
	p = launch(t, env)
	<-receiver.arrived // when the lease has ended
	first := receiver.messages()
	if len(first) != 2 || first[0] != first[1] || first[0].Type != "mobile_key.ready" ||
		first[0].Data.URL != "https://keys.example.com/v1/reservations/default/3333122-433" {
		t.Fatalf("heard %+v", first)
	}
	p.deliver("default", "reservation.cancelled", map[string]any{"reservation_id": "3333122-433"})
	<-receiver.arrived
	last := receiver.messages()[2]
	if last.Type != "mobile_key.revoked" || last.Data.KeyStatus != "revoked" ||
		last.Data.Sequence <= first[0].Data.Sequence {
		t.Errorf("heard last: %+v", last)
	}

	out, problems, status := p.asks("subscriptions", "test", "app")
	if status != 0 {
		t.Errorf("subscriptions test: %d %s", status, problems)
	}
	mustSay(t, "subscriptions test", out, "accepted the test message")
	out, _, _ = p.asks("subscriptions", "disable", "app", "--reason", "maintenance")
	mustSay(t, "subscriptions disable", out, "app is disabled")
	out, _, _ = p.asks("subscriptions")
	mustSay(t, "subscriptions", out, "app", "disabled", "maintenance", receiver.URL)
	out, _, _ = p.asks("subscriptions", "enable", "app")
	mustSay(t, "subscriptions enable", out, "app is enabled")
	waitUntil(t, "the last delivery is noted", func() bool {
		out, _, _ = p.asks("deliveries", "--subscription", "app", "--status", "delivered", "--type",
			"mobile_key.revoked")
		return strings.Contains(out, last.ID)
	})
	out, _, _ = p.asks("deliveries", "show", last.ID)
	mustSay(t, "deliveries show", out, "mobile_key.revoked to app", "delivered", "accepted with 204")
	before := len(receiver.messages())
	out, _, _ = p.asks("deliveries", "resend", last.ID)
	mustSay(t, "deliveries resend", out, "resent", last.ID)
	waitUntil(t, "the message to be sent again", func() bool { return len(receiver.messages()) > before })
	for _, secret := range []string{"a-secret-path", outSecret, "jane@example.com"} {
		if strings.Contains(p.log.String()+fmt.Sprint(receiver.messages()), secret) {
			t.Errorf("%q is in the log, or in a message", secret)
		}
	}
}

// A subscription that is added by SIGHUP hears of the keys that exist.
func TestASubscriptionIsAddedWhileRunning(t *testing.T) {
	t.Parallel()
	receiver := newListener(t)
	_, env := simulated(t, storetest.DSN(t))
	path := configFile(t, "trusted_proxies: []\n")
	p := launch(t, append(env, "STAYKEY_CONFIG="+path))
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "issued")
	content, err := os.ReadFile(strings.TrimPrefix(receiver.config(t, ""), "STAYKEY_CONFIG="))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	<-receiver.arrived
	if got := receiver.messages(); got[0].Type != "mobile_key.ready" {
		t.Errorf("heard %+v", got)
	}
}

// The doctor tells a receiver that works from one that fails, one that is disabled and one that is new, with what to
// do, and fails for those that get nothing.
func TestDoctorReportsSubscriptions(t *testing.T) {
	t.Parallel()
	receiver := newListener(t)
	_, env := simulated(t, storetest.DSN(t))
	more := fmt.Sprintf(
		"  - {name: broken, url: %q, secrets: [%q], insecure: true}\n  - {name: off, url: %q, secrets: [%q], insecure: true}\n",
		receiver.URL+"/broken", strings.Replace(outSecret, "MDEy", "MDEz", 1), receiver.URL+"/off",
		strings.Replace(outSecret, "MDEy", "MDE0", 1))
	receiver.refuses = map[string]int{"/broken": http.StatusInternalServerError, "/off": http.StatusGone}
	p := launch(t, append(env, receiver.config(t, more)))
	p.deliver("default", "listing.created", seedListing())
	for _, id := range []string{"1", "2", "3", "4"} { // each is a try, so that the failures need no waiting
		stay := seedReservation()
		stay["reservation_id"], stay["guest_email"] = id, id+"@example.com"
		p.deliver("default", "reservation.created", stay)
	}
	var out string
	status := 0
	waitUntil(t, "the doctor to know", func() bool {
		out, _, status = p.asks("doctor")
		return strings.Contains(out, "failures in a row") && strings.Contains(out, "410 Gone") &&
			strings.Contains(out, "messages are delivered")
	})
	if status == 0 {
		t.Error("the doctor of a service whose subscribers hear nothing is content")
	}
	mustSay(t, "the doctor", out, "nothing delivered since", "the receiver answered 500",
		"correct the receiver; messages are retried automatically",
		"by staykey: the receiver answered 410 Gone", "staykey subscriptions enable off")
	if strings.Contains(out, receiver.URL+"/broken") {
		t.Error("the doctor shows a receiver's path, which may be secret")
	}
}
