package handlers_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
)

// The proof of a webhook's sender is in no row and in no answer, whatever its header is called: with the proof and the
// body, anyone who reads the database could repeat the delivery. A gateway's headers are useless here; those that the
// format reads are kept.
func TestWhatProvesTheSenderIsNotStored(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	format, err := pms.ParseFormat("own.jq",
		`module {"verify": {"method": "hmac"}}; {reservation: {reservation_id: .body.id, listing_id: .headers["x-room"], status: "confirmed"}}`)
	if err != nil {
		t.Fatal(err)
	}
	const secret = "a secret of at least 16 characters"
	for method, settings := range map[string]pms.VerifySettings{
		"hmac":      {Method: "hmac", Header: "X-My-Digest"},
		"header":    {Method: "header", Header: "X-My-Digest"},
		"bearer":    {Method: "bearer"},
		"url-token": {Method: "url-token", Parameter: "key"},
	} {
		verifier, problems := pms.NewVerifier(settings, []string{secret})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		a.sources[method] = pms.Source{
			Name: method, Format: format, Verifier: verifier,
			Statuses: pms.DefaultStatuses(), Policy: pms.DefaultPolicy(),
		}
		body := `{"id": "of ` + method + `"}`
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		proof, path := hex.EncodeToString(mac.Sum(nil)), "/webhooks/"+method
		headers := []string{"X-Room", "12", "X-Api-Key", "a gateway's", "X-My-Digest", proof}
		switch method {
		case "header":
			headers[5], proof = secret, secret
		case "bearer":
			headers[4], headers[5], proof = "Authorization", "Bearer "+secret, secret
		case "url-token":
			headers, proof = headers[:4], secret
			path += "?key=" + strings.ReplaceAll(secret, " ", "+")
		}
		r := a.send(http.MethodPost, path, "application/json", body, headers...)
		if r.status != http.StatusAccepted {
			t.Fatalf("%s: %d %s", method, r.status, r.rawBody)
		}
		a.apply()
		var stored string
		err := a.store.Pool().QueryRow(t.Context(), `
			SELECT e.request::text || e::text || convert_from(e.body, 'UTF8') || r::text FROM events e
				JOIN event_results r USING (event_id) WHERE e.event_id = $1`, r.body["event_id"]).Scan(&stored)
		if err != nil {
			t.Fatal(err)
		}
		shown := a.get("/v1/events/" + r.body["event_id"].(string)).rawBody
		for where, text := range map[string]string{"the database": stored, "REST": string(shown)} {
			if strings.Contains(text, proof) || strings.Contains(text, "a gateway's") {
				t.Errorf("%s: %s has what proves the sender: %s", method, where, text)
			}
		}
		if !strings.Contains(stored, `"x-room": "12"`) {
			t.Errorf("%s: the format's own header is not kept: %s", method, stored)
		}
	}
}

// Profiles are only on the private listener, and only if enabled.
func TestProfilesArePrivate(t *testing.T) {
	t.Parallel()
	for _, wanted := range []bool{false, true} {
		public, private := handlers.New(handlers.Config{
			Log:     slog.New(slog.DiscardHandler),
			Metrics: prometheus.NewRegistry(), Profiling: wanted,
		})
		for _, path := range []string{
			"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2",
			"/debug/pprof/symbol", "/debug/pprof/cmdline", "/debug/pprof",
		} {
			answer := func(h http.Handler) int {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
				return w.Code
			}
			want := http.StatusNotFound
			if wanted && path != "/debug/pprof/cmdline" && path != "/debug/pprof" {
				want = http.StatusOK
			}
			if got := answer(private); got != want {
				t.Errorf("%s of the private listener, profiles wanted %t: %d, want %d", path, wanted, got, want)
			}
			if got := answer(public); got == http.StatusOK {
				t.Errorf("%s of the public listener: %d", path, got)
			}
		}
	}
}
