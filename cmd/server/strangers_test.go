package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/store/storetest"
)

// openConns are connections that strangers opened and leave alone.
type openConns struct {
	mu   sync.Mutex
	list []net.Conn
}

// open opens connections from 8 loopback addresses, sends something over each, and leaves them. One that the service
// closes is opened no more: what counts is that somebody tried.
func (h *openConns) open(t *testing.T, address string, n int, sent string) {
	t.Helper()
	var opening sync.WaitGroup
	for stranger := range 8 {
		opening.Go(func() {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(stranger+1))}}
			for range n / 8 {
				conn, err := dialer.DialContext(t.Context(), "tcp4", address)
				if err != nil {
					t.Errorf("connect: %v", err)
					return
				}
				_, _ = io.WriteString(conn, sent) // it may be closed already
				h.mu.Lock()
				h.list = append(h.list, conn)
				h.mu.Unlock()
			}
		})
	}
	opening.Wait()
}

func (h *openConns) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, conn := range h.list {
		_ = conn.Close()
	}
}

// strangers is how many connections the test opens: enough to reach every ceiling. STAYKEY_STRANGERS=10000 is the flood
// that docs/security.md reports; it needs as many file descriptors.
func strangers(t *testing.T) (idle, stalled int) {
	text := os.Getenv("STAYKEY_STRANGERS")
	if text == "" {
		return app.MaxConnections + 400, 400
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("STAYKEY_STRANGERS: %v", err)
	}
	return n, n / 10
}

// Whatever strangers hold, idle connections and large bodies that don't come, a signed webhook from elsewhere is
// answered, a large one too, and so is the readiness probe.
func TestStrangersHoldConnections(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, pooled(t, storetest.DSN(t), fewer))
	p := launch(t, env)
	address := strings.TrimPrefix(p.url, "http://")
	idle, stalled := strangers(t)
	client := http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127,
		0, 2, 1)}}).DialContext, DisableKeepAlives: true}}
	answer := func(name string, padding int) (took time.Duration) {
		t.Helper()
		body, err := json.Marshal(map[string]any{
			"type":      "listing.created",
			"timestamp": time.Now().UTC().Format(time.RFC3339), "data": seedListing(),
			"padding": strings.Repeat("x", padding),
		})
		if err != nil {
			t.Fatal(err)
		}
		var sent time.Time
		status := p.untilTaken(func() int {
			sent = time.Now()
			req, err := http.NewRequest(http.MethodPost, p.url+"/webhooks/default", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("webhook-id", "msg_"+name)
			req.Header.Set("webhook-timestamp", fmt.Sprint(sent.Unix()))
			req.Header.Set("webhook-signature", e2eSecret.Sign("msg_"+name, sent, body))
			resp, err := client.Do(req)
			if err != nil {
				t.Fatalf("the %s webhook: %v", name, err)
			}
			_ = resp.Body.Close()
			return resp.StatusCode
		})
		if status != http.StatusAccepted {
			t.Errorf("the %s webhook: %d", name, status)
		}
		return time.Since(sent)
	}
	answer("first", 0) // opens what later ones use
	alone := answer("lone", 0)
	var h openConns
	defer h.close()
	h.open(t, address, idle, "GET /healthz HTTP/1.1\r\nHost: staykey\r\n\r\n")
	h.open(t, address, stalled,
		"POST /webhooks/default HTTP/1.1\r\nHost: staykey\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat(" ", 33000))
	small, large := answer("small", 0), answer("large", 60_000)
	t.Logf(
		"next to %d idle and %d stalled connections a small webhook was answered in %s and a large one in %s; without them a small one in %s", idle, stalled, small, large, alone)
	metrics := p.metrics()
	if inUse := metrics["staykey_connections"]; inUse == 0 || inUse > app.MaxConnections ||
		metrics["staykey_connections_limit"] != app.MaxConnections {
		t.Errorf("%v of %v connections are in use", inUse, metrics["staykey_connections_limit"])
	}
	if metrics["staykey_connections_closed_total"]+metrics["staykey_connections_refused_total"] == 0 {
		t.Error("no connection was closed for others")
	}
}

// metrics are the service's metrics without labels.
func (p *process) metrics() map[string]float64 {
	p.t.Helper()
	resp, err := http.Get(p.ops + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(raw)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil {
			all[name] = n
		}
	}
	return all
}
