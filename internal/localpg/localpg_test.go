package localpg

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/ulikunitz/xz"
)

// reachable makes a temporary directory that an unprivileged Postgres gets to.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "staykey-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	return dir
}

func TestStartStopAndStartAgain(t *testing.T) {
	t.Parallel()
	dir := reachable(t)
	ctx := context.Background()
	for round := range 2 {
		s, err := Start(ctx, Options{Dir: filepath.Join(dir, "pg")})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(ctx, s.DSN())
		if err != nil {
			t.Fatal(err)
		}
		var version, rows int
		if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int / 10000`).Scan(
			&version); err != nil || version < MinVersion {
			t.Errorf("version %d: %v", version, err)
		}
		if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS kept (x int)`); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, `INSERT INTO kept VALUES (1)`); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM kept`).Scan(&rows); err != nil || rows != round+1 {
			t.Errorf("round %d: %d rows, %v", round, rows, err)
		}
		_ = conn.Close(ctx)
		if _, err := Start(ctx, Options{Dir: filepath.Join(dir, "pg")}); err == nil ||
			!strings.Contains(err.Error(), "another") {
			t.Errorf("a second one on the same data: %v", err)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDownload serves an archive of binaries as Maven Central does; those in it hand over to real ones.
func TestDownload(t *testing.T) {
	t.Parallel()
	real, err := FindBinaries(context.Background(), Options{Log: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	archive := jar(t, map[string]string{
		"bin/postgres": script(real, "postgres"), "bin/initdb": script(real, "initdb"),
		"bin/pg_ctl": script(real, "pg_ctl"),
	})
	sum := sha256.Sum256(archive)
	requests := make(chan string, 10)
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r.URL.Path
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			_, _ = fmt.Fprint(w, hex.EncodeToString(sum[:]))
			return
		}
		_, _ = w.Write(archive)
	}))
	defer repository.Close()
	dir := reachable(t)
	o := Options{
		Dir: filepath.Join(dir, "pg"), CacheDir: filepath.Join(dir, "cache"), Repository: repository.URL,
		Log: func(string) {},
	}
	bin, err := download(o)
	if err != nil {
		t.Fatal(err)
	}
	if path := <-requests; !strings.Contains(path, "/io/zonky/test/postgres/embedded-postgres-binaries-") {
		t.Errorf("asked for %s", path)
	}
	s, err := startWith(context.Background(), o, bin)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	repository.Close()
	if again, err := download(o); err != nil || again != bin {
		t.Errorf("the cache is not used: %s %v", again, err)
	}
}

func TestDownloadThatFailsIsExplained(t *testing.T) {
	t.Parallel()
	repository := httptest.NewServer(http.NotFoundHandler())
	defer repository.Close()
	_, err := download(Options{CacheDir: t.TempDir(), Repository: repository.URL, Log: func(string) {}})
	if err == nil || !strings.Contains(err.Error(), "no version found") {
		t.Errorf("got %v", err)
	}
}

func script(dir, name string) string {
	return fmt.Sprintf("#!/bin/sh\nexec %s/%s \"$@\"\n", dir, name)
}

// jar packs files as the repository has them: a txz within a zip.
func jar(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var txz bytes.Buffer
	compressor, err := xz.NewWriter(&txz)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(compressor)
	for name, content := range files {
		if err := archive.WriteHeader(&tar.Header{
			Name: name, Mode: 0o755, Size: int64(len(content)),
			Typeflag: tar.TypeReg,
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compressor.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	zipped := zip.NewWriter(&out)
	file, err := zipped.Create("postgres-linux-x86_64.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(txz.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
