package main

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/store/storetest"
)

// TestSlowClientsAreCutOff: one that doesn't finish its header, and one that doesn't finish its body.
func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	address := strings.TrimPrefix(p.url, "http://")
	const head = "POST /webhooks/default HTTP/1.1\r\nHost: staykey\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct {
		sent  string
		limit time.Duration
	}{
		"header": {head, app.HeaderWithin},
		"body":   {head + "Content-Length: 100\r\n\r\n{", app.RequestWithin},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := io.WriteString(conn, c.sent); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(c.limit + time.Minute))
			if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
}
