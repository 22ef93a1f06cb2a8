//go:build clients

// Tests that generated clients compile and run against the program that ships: make clients-test.
package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

// TestGeneratedClients runs each generated client against a service with one reservation.
func TestGeneratedClients(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"typescript": {"node", "../../tools/web/client/out/client.js"},
		"go":         {"go", "run", "-C", "../../tools/build", "-tags", "clients", "./client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, env := simulated(t, storetest.DSN(t))
			p := launch(t, env)
			if got := p.post("default", "reservation.created", seedReservation()); got != 202 {
				t.Fatal(got)
			}
			p.until("3333122-433", "waiting")
			ctx, cancel := context.WithTimeout(context.Background(), until.Patience)
			defer cancel()
			run := exec.CommandContext(ctx, command[0], command[1:]...)
			run.Env = append(os.Environ(), "STAYKEY_URL="+p.url, "STAYKEY_TOKEN="+e2eToken)
			out, err := run.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "reservation 3333122-433 waiting") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
