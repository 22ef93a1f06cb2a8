package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

// A backup code is written into the PMS, written again when Salto changes it, and cleared when the stay is cancelled.
// It is in nothing else that leaves the service: no event, no trace, no log.
func TestWriteBackOfABackupCode(t *testing.T) {
	t.Parallel()
	api := &writtenHostaway{}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	receiver := newListener(t)
	var mu sync.Mutex
	var exported bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.Copy(&exported, body)
	}))
	t.Cleanup(collector.Close)

	sim, env := simulated(t, storetest.DSN(t))
	p := launch(t, withGuestLinks(t, append(env, "STAYKEY_LOG_LEVEL=debug",
		"OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL),
		"    backup_code: true",
		`    write_back: {to: hostaway, url: "`+server.URL+
			`/v1", client_id: "the-client", client_secret: "hostaway-client-secret", field: doorCode, text: .backup_code.code}`,
		fmt.Sprintf("subscriptions: [{name: app, url: %q, secrets: [%q], insecure: true}]", receiver.URL, outSecret)))
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", begunReservation())
	p.until("3333122-433", "active")
	written := func(what string, is func(string) bool) (code string) {
		t.Helper()
		until.True(t, what, func() bool { code, _ = api.now(); return is(code) })
		return code
	}
	first := written("the code to be written", func(code string) bool { return code != "" })
	_, body := p.rest("GET", "/v1/reservations/default/3333122-433")
	shown, _ := body["backup_code"].(map[string]any)
	id, _ := shown["acs_credential_id"].(string)
	if at := sim.State().Credentials[id].Code; first != at || shown["status"] != "ready" {
		t.Errorf("the field has %q, Seam has %q, and REST says %v", first, at, shown)
	}

	const second = "84620135792468"
	sim.Change(func(st *simulator.State) {
		c := st.Credentials[id]
		c.Code = second
		st.Credentials[id] = c
	})
	user, _ := p.key("3333122-433")["acs_user_id"].(string)
	postSeamEvent(p, fmt.Sprintf(
		`{"event_id":"e1","event_type":"acs_credential.reissued","acs_credential_id":%q,"acs_user_id":%q,"acs_system_id":"11111111-1111-1111-1111-111111111111"}`, id, user))
	written("the other code to be written", func(code string) bool { return code == second })

	p.deliver("default", "reservation.cancelled", map[string]any{"reservation_id": "3333122-433"})
	written("the field to be cleared", func(code string) bool { return code == "" })
	p.until("3333122-433", "revoked")
	if _, writes := api.now(); writes != 3 || len(api.wrong) > 0 {
		t.Errorf("%d writes instead of 3, and requests that Hostaway doesn't know: %q", writes, api.wrong)
	}
	until.True(t, "the end to be heard", func() bool {
		for _, m := range receiver.messages() {
			if strings.Contains(m.Body, `"revoked"`) {
				return true
			}
		}
		return false
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil { // what is left is exported
		t.Fatal(err)
	}
	<-p.done
	mu.Lock()
	defer mu.Unlock()
	if exported.Len() == 0 {
		t.Error("no trace was exported")
	}
	for _, digits := range []string{first, second} {
		for where, text := range map[string]string{
			"a trace": exported.String(),
			"the log": p.log.String() + p.out.String(),
		} {
			if simulator.HasDigits(text, digits) {
				t.Errorf("%s has the code", where)
			}
		}
		for _, m := range receiver.messages() {
			if simulator.HasDigits(m.Body, digits) {
				t.Errorf("an event has the code: %s", m.Body)
			}
		}
	}
}
