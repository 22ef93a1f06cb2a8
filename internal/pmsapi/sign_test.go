package pmsapi

import (
	"net/http"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
)

// The signature was computed by openssl over the lines that Smoobu's documentation names.
func TestSmoobuSignature(t *testing.T) {
	t.Parallel()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
		"https://login.smoobu.com/api/reservations/4101?b=2&a=1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	signSmoobu(req, []byte(`{"notice":"x"}`), pms.Credentials{ClientID: "usr_live_abc", ClientSecret: "secret"},
		time.Date(2026, 4, 1, 14, 0, 0, 0, time.FixedZone("", 7200)), "550e8400-e29b-41d4-a716-446655440000")
	for name, want := range map[string]string{
		"X-API-Key": "usr_live_abc", "X-Timestamp": "2026-04-01T12:00:00Z",
		"X-Nonce":     "550e8400-e29b-41d4-a716-446655440000",
		"X-Signature": "wCWZmaQH9O7jV8eoUDbsxU2Uw8b1as+BkHqJRsnfny0=",
	} {
		if got := req.Header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
