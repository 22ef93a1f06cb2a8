//go:build webhooks

package notify

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
)

// TestSamples runs the programs of docs/samples: what they post must be signed, and a valid event.
func TestSamples(t *testing.T) {
	t.Parallel()
	const samples = "../../docs/samples/"
	inWeb, err := os.MkdirTemp("../../tools/web", "sample-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(inWeb) })
	node := filepath.Join(inWeb, "send.mjs") // next to the packages of tools/web
	text, err := os.ReadFile(samples + "send.mjs")
	if err == nil {
		err = os.WriteFile(node, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string]*exec.Cmd{
		"node":   exec.Command("node", node),
		"python": exec.Command("python3", samples+"send.py"),
		"php":    exec.Command("php", samples+"send.php"),
		"go":     exec.Command("go", "run", "-C", "../../tools/build", "./send"),
	} {
		t.Run(name, func(t *testing.T) {
			secret := pms.Secret("a secret of the samples, 32 byte")
			posted := make(chan pms.Event, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				verifier := pms.StandardWebhooks{Secrets: []pms.Secret{secret}}
				delivery := pms.Post{Header: r.Header, Body: body}
				if _, err := verifier.Verify(delivery, time.Now()); err != nil {
					t.Errorf("the signature: %v", err)
				}
				event, err := pms.ParseStaykey(body)
				if err != nil {
					t.Errorf("%s: %v", body, err)
				}
				posted <- event
				w.WriteHeader(http.StatusAccepted)
			}))
			defer server.Close()
			ctx, cancel := context.WithTimeout(context.Background(), hangs)
			defer cancel()
			run := exec.CommandContext(ctx, command.Path, command.Args[1:]...)
			run.Env = append(os.Environ(), "STAYKEY_WEBHOOK_URL="+server.URL,
				"STAYKEY_WEBHOOK_SECRET="+secret.String())
			out, err := run.CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("202")) {
				t.Fatalf("%v: %s", err, out)
			}
			event := <-posted
			if len(event.Invalid) > 0 || len(event.Changes) != 1 ||
				*event.Changes[0].Reservation.GuestName != "Jané Doe" {
				t.Errorf("%+v", event)
			}
		})
	}
}
