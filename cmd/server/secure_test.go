package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store/storetest"
)

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// writeCertificate makes a certificate for loopback, and returns its pool.
func writeCertificate(t *testing.T, certFile, keyFile, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	first := writeCertificate(t, certFile, keyFile, "first")
	_, env := simulated(t, storetest.DSN(t))
	// at the address of its certificate
	p := launch(t, append(env, "STAYKEY_LISTEN=127.0.0.1:0", "STAYKEY_TLS_CERT="+certFile, "STAYKEY_TLS_KEY="+keyFile))
	address := strings.Replace(p.url, "http://", "https://", 1)
	ask := func(pool *x509.CertPool) (*http.Response, error) {
		client := http.Client{Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: pool},
			ForceAttemptHTTP2: true,
		}}
		resp, err := client.Get(address + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return resp, err
	}
	resp, err := ask(first)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Strict-Transport-Security") == "" || resp.ProtoMajor != 2 {
		t.Errorf("HTTP/%d, Strict-Transport-Security %q", resp.ProtoMajor, resp.Header.Get("Strict-Transport-Security"))
	}
	waitUntil(t, "the health check over TLS", func() bool {
		_, problems, status := command(t, []string{"STAYKEY_TLS_CERT=" + certFile}, "healthcheck", "--url",
			address+"/readyz")
		if status != 0 {
			t.Log(problems) // a starved Postgres may not answer in the time that readiness gives it
		}
		return status == 0
	})
	second := writeCertificate(t, certFile, keyFile, "second")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the renewed certificate to be shown", func() bool { _, err := ask(second); return err == nil })
	if _, err := ask(first); err == nil {
		t.Error("the old certificate is still shown")
	}
	if err := os.WriteFile(certFile, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the refusal to be logged", func() bool {
		return strings.Contains(p.log.String(),
			"certificate not reloaded")
	})
	if _, err := ask(second); err != nil {
		t.Errorf("a wrong file took the certificate away: %v", err)
	}
	problem, err := http.Post(p.ops+"/-/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = problem.Body.Close() }()
	text, err := io.ReadAll(problem.Body)
	if err != nil || problem.StatusCode != http.StatusUnprocessableEntity ||
		!strings.Contains(string(text), "the configuration was reloaded, but not the certificate") {
		t.Errorf("POST /-/reload: %d %s %v", problem.StatusCode, text, err)
	}
}

// The service runs with a role that may not change the schema, once migrate has been run apart.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner := storetest.EmptyDSN(t)
	if out, problems, status := command(t, []string{"DATABASE_URL=" + owner}, "migrate", "up"); status != 0 {
		t.Fatalf("migrate: %s%s", out, problems)
	}
	conn, err := pgx.Connect(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	role := fmt.Sprintf("staykey_app_%d", time.Now().UnixNano())
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, grants, found := strings.Cut(string(page), "```sql\n")
	grants, _, closed := strings.Cut(grants, "```")
	if !found || !closed {
		t.Fatal("docs/operations.md has no block of SQL")
	}
	if _, err := conn.Exec(ctx, strings.ReplaceAll(grants, "staykey_app", role)); err != nil {
		t.Fatalf("the SQL of docs/operations.md: %v", err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(ctx, owner)
		if err == nil {
			_, err = conn.Exec(ctx, `DROP OWNED BY `+role+`; DROP ROLE `+role)
			_ = conn.Close(ctx)
		}
		if err != nil {
			t.Errorf("drop the role: %v", err)
		}
	})
	u := mustURL(t, owner)
	u.User = url.UserPassword(role, "change-me")
	_, env := simulated(t, u.String())
	p := launch(t, env)
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "issued")
	app, err := pgx.Connect(ctx, u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = app.Close(ctx) }()
	for _, ddl := range []string{
		`CREATE TABLE mine (x int)`, `ALTER TABLE events ADD COLUMN x int`,
		`DROP TABLE timeline`, `TRUNCATE events`,
	} {
		if _, err := app.Exec(ctx, ddl); err == nil {
			t.Errorf("the role may %s", ddl)
		}
	}
}

// What starts a new version waits for its migrations: staykey migrate status --wait.
func TestMigrationsAreWaitedFor(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + storetest.EmptyDSN(t)}
	out, problems, status := command(t, env, "migrate", "status", "--wait", "1ms")
	if status != exitNotReady || !strings.Contains(problems, "not migrated after 1ms") {
		t.Fatalf("nobody migrated: exit %d: %s%s", status, out, problems)
	}
	type result struct {
		out, problems string
		status        int
	}
	waited := make(chan result, 1)
	go func() {
		var r result
		r.out, r.problems, r.status = command(t, env, "migrate", "status", "--wait", "1h")
		waited <- r
	}()
	if out, problems, status := command(t, env, "migrate", "up"); status != 0 {
		t.Fatalf("migrate: %s%s", out, problems)
	}
	if r := <-waited; r.status != 0 || strings.Contains("\n"+r.out, "\nmissing") {
		t.Errorf("somebody migrated: exit %d: %s%s", r.status, r.out, r.problems)
	}
}
