//go:build proxy

package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var nginxBlock = regexp.MustCompile("(?s)```nginx\n(.*?)```")

// TestNginxOfTheDocs runs nginx with the configuration of docs/operations.md. Only addresses are replaced, and TLS is
// left out.
func TestNginxOfTheDocs(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	block := nginxBlock.FindSubmatch(doc)
	if block == nil {
		t.Fatal("docs/operations.md has no configuration of nginx")
	}
	p := withAdminListener(t)
	proxy := func(network string) string {
		return startNginx(t, string(block[1]), "127.0.0.1:8080", strings.TrimPrefix(p.url, "http://"),
			"127.0.0.1:8081", strings.TrimPrefix(p.page, "http://"), "203.0.113.0/24", network)
	}
	hotel, elsewhere := proxy("127.0.0.0/8"), proxy("203.0.113.0/24")
	for _, c := range []struct {
		proxy, host, path string
		want              int
	}{
		{hotel, "keys.example.com", "/webhooks/default", http.StatusMethodNotAllowed},
		{hotel, "keys.example.com", "/readyz?deep=1", http.StatusOK},
		{hotel, "keys.example.com", "/k/unknown", http.StatusNotFound},
		{hotel, "keys.example.com", "/v1/summary", http.StatusNotFound},
		{hotel, "keys.example.com", "/sign-in", http.StatusNotFound},
		{hotel, "admin.keys.example.com", "/v1/summary", http.StatusUnauthorized},
		{hotel, "admin.keys.example.com", "/sign-in", http.StatusOK},
		{hotel, "admin.keys.example.com", "/webhooks/default", http.StatusNotFound},
		{elsewhere, "keys.example.com", "/webhooks/default", http.StatusMethodNotAllowed},
		{elsewhere, "admin.keys.example.com", "/sign-in", http.StatusForbidden},
	} {
		r := request(t, http.MethodGet, "http://"+c.proxy+c.path)
		r.Host = c.host
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s%s: %d, want %d", c.host, c.path, resp.StatusCode, c.want)
		}
	}
	p.url = "http://" + elsewhere // the first host is the default
	if got := p.post("default", "listing.created", seedListing()); got != http.StatusAccepted {
		t.Errorf("a webhook by way of nginx: %d", got)
	}
}

// startNginx starts nginx with these servers, in which old texts are replaced by new ones, and returns its address.
func startNginx(t *testing.T, servers string, oldnew ...string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", ownLoopback()+":0") // an address of its own: nobody else gets the port
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	_ = l.Close()
	dir := t.TempDir()
	servers = strings.NewReplacer(append(oldnew, "listen 443 ssl", "listen "+address)...).Replace(servers)
	config := "daemon off; worker_processes 1; pid " + dir + "/pid; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n"
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		config += temp + "_temp_path " + filepath.Join(dir, temp) + ";\n"
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config+servers+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.Command("nginx", "-p", dir, "-c", file)
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); <-ended })
	waitUntil(t, "nginx to listen", func() bool {
		select {
		case <-ended:
			t.Fatalf("nginx ended:\n%s", out.String())
		default:
		}
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return address
}
