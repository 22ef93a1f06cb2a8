package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

// writtenHostaway is Hostaway's API, as far as a door code needs it.
type writtenHostaway struct {
	mu    sync.Mutex
	code  string
	puts  int
	fails bool // whatever is written
	wrong []string
}

func (h *writtenHostaway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/v1/accessTokens":
		_, _ = io.WriteString(w,
			`{"token_type": "Bearer", "expires_in": 15897600, "access_token": "hostaway-access-token"}`)
		return
	case r.Header.Get("Authorization") != "Bearer hostaway-access-token" ||
		r.URL.Path != "/v1/reservations/3333122-433":
		h.wrong = append(h.wrong, r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusForbidden)
		return
	case r.Method == http.MethodPut && h.fails:
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"status": "fail", "message": "doorCode is too long"}`)
		return
	case r.Method == http.MethodPut:
		var sent struct {
			DoorCode *string `json:"doorCode"`
		}
		if json.Unmarshal(body, &sent) != nil || sent.DoorCode == nil {
			h.wrong = append(h.wrong, string(body))
			return
		}
		h.code, h.puts = *sent.DoorCode, h.puts+1
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": "success",
		"result": map[string]any{"id": 1, "doorCode": h.code},
	})
}

func (h *writtenHostaway) now() (string, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.code, h.puts
}

// launchWithHostaway starts the program with links that it writes to a PMS.
func launchWithHostaway(t *testing.T, api http.Handler, more ...string) *process {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	_, env := simulated(t, storetest.DSN(t))
	file := configFile(t, guestLinksYAML+`    write_back: {to: hostaway, url: "`+server.URL+
		`/v1", client_id: "the-client", client_secret: "hostaway-client-secret", field: doorCode}`+"\n")
	return launch(t, slices.Concat(env, more,
		[]string{"STAYKEY_CONFIG=" + file, "STAYKEY_PUBLIC_URL=https://keys.example.com"}))
}

// The program that ships writes the link into the PMS when the key is issued, shows it, and clears it when the stay is
// cancelled.
func TestWriteBackFromWebhookToField(t *testing.T) {
	t.Parallel()
	api := &writtenHostaway{}
	p := launchWithHostaway(t, api, "STAYKEY_LOG_LEVEL=debug")
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "issued")
	status := func() (string, any) {
		_, body := p.rest("GET", "/v1/reservations/default/3333122-433")
		w, _ := body["write_back"].(map[string]any)
		is, _ := w["status"].(string)
		return is, w["last_error"]
	}
	until.True(t, "the link is written", func() bool { is, _ := status(); return is == "written" })
	browser := p.signedIn()
	mustShow := func(page, doctor string) {
		t.Helper()
		if shown := browser.page("/reservations/default/3333122-433"); !strings.Contains(shown, "In the PMS") ||
			!strings.Contains(shown, page) {
			t.Errorf("the page lacks %q", page)
		}
		if out, _, _ := p.asks("doctor"); !strings.Contains(out, doctor) {
			t.Errorf("the doctor doesn't say %q:\n%s", doctor, out)
		}
	}
	mustShow("doorCode is filled in at hostaway.", "doorCode is written at hostaway")
	link := p.guestLink("3333122-433")
	if code, puts := api.now(); code != "https://keys.example.com"+link || puts != 1 {
		t.Errorf("the door code is %q after %d writes", code, puts)
	}
	p.deliver("default", "reservation.cancelled", map[string]any{"reservation_id": "3333122-433"})
	until.True(t, "the field is cleared", func() bool { is, _ := status(); return is == "cleared" })
	if code, puts := api.now(); code != "" || puts != 2 {
		t.Errorf("the door code is %q after %d writes", code, puts)
	}
	mustShow("doorCode is empty at hostaway.", "doorCode is written at hostaway")
	if len(api.wrong) > 0 {
		t.Errorf("requests that Hostaway doesn't know: %q", api.wrong)
	}
	if _, failed := status(); failed != nil {
		t.Errorf("last_error is %v", failed)
	}
	resp, err := http.Get(p.ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, _ := io.ReadAll(resp.Body)
	metrics := string(raw)
	for _, want := range []string{
		`staykey_write_back_failing_seconds{source="default"} 0`,
		`staykey_write_back_requests_total{answer="200",call="change",source="default"} 2`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	for _, secret := range []string{
		strings.TrimPrefix(link, "/k/"), "hostaway-client-secret",
		"hostaway-access-token",
	} {
		if strings.Contains(p.log.String()+p.out.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
}

// A PMS that refuses the text: the key is the guest's all the same, and the page and the doctor say what is wrong.
func TestWriteBackThatIsRefused(t *testing.T) {
	t.Parallel()
	api := &writtenHostaway{fails: true}
	p := launchWithHostaway(t, api)
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "issued")
	until.True(t, "the refusal to be recorded", func() bool {
		_, body := p.rest("GET", "/v1/reservations/default/3333122-433")
		w, _ := body["write_back"].(map[string]any)
		return w["status"] == "failed"
	})
	if status := p.key("3333122-433")["status"]; status != "issued" {
		t.Errorf("the key is %v", status)
	}
	if shown := p.signedIn().page("/reservations/default/3333122-433"); !strings.Contains(shown,
		"doorCode could not be changed at hostaway") {
		t.Error("the page doesn't say that the field could not be changed")
	}
	out, _, status := p.asks("doctor")
	if status == 0 || !strings.Contains(out, "1 bookings fail, the oldest since") {
		t.Errorf("the doctor, with status %d, says:\n%s", status, out)
	}
	if link := strings.TrimPrefix(p.guestLink("3333122-433"), "/k/"); strings.Contains(out, link) {
		t.Error("the doctor shows the link")
	}
}

// signedIn is a browser's session of an admin.
type signedIn struct {
	p      *process
	client *http.Client
}

func (p *process) signedIn() signedIn {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	resp, err := client.PostForm(p.url+"/sign-in", url.Values{"token": {e2eToken}})
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return signedIn{p, client}
}

func (s signedIn) page(path string) string {
	s.p.t.Helper()
	resp, err := s.client.Get(s.p.url + path)
	if err != nil {
		s.p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Request.URL.Path != path {
		s.p.t.Fatalf("%s: %d at %s, %v", path, resp.StatusCode, resp.Request.URL.Path, err)
	}
	return string(raw)
}
