//go:build webhooks

package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
)

// TestOfficialLibraries makes the libraries of Standard Webhooks and Svix (npm, tools/web) verify messages as they
// arrive, with each secret of a subscription. It takes real time: the libraries have no other clock.
func TestOfficialLibraries(t *testing.T) {
	t.Parallel()
	type arrived struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	secrets := []pms.Secret{
		pms.Secret("the new secret, 24 bytes"),
		pms.Secret("the old secret of a rotation, with more bytes in it"),
	}
	var mu sync.Mutex
	var input bytes.Buffer
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		if _, err := body.ReadFrom(r.Body); err != nil {
			t.Errorf("read a message: %v", err)
		}
		headers := map[string]string{}
		for name := range r.Header {
			headers[strings.ToLower(name)] = r.Header.Get(name)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, secret := range secrets {
			if err := json.NewEncoder(&input).Encode(arrived{secret.String(), headers, body.String()}); err != nil {
				t.Errorf("note a message: %v", err)
			}
		}
	}))
	t.Cleanup(server.Close)
	r := newRig(t, Subscription{Name: "app", URL: server.URL, Secrets: secrets, Insecure: true})
	r.pass(time.Since(r.clock()))
	r.stay("R1 \u00e9\u4e16") // not ASCII alone
	for _, status := range []string{"issued", "attention", "issued", "expired", "revoked"} {
		r.key("R1 \u00e9\u4e16", status, "")
		r.settle()
	}
	if _, _, err := r.Test(context.Background(), r.subscriptions[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "verify-webhooks.mjs")
	cmd.Dir, cmd.Stdin = "../../tools/web", &input
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "14 messages verified") {
		t.Errorf("%v: %s", err, out)
	}
}
