package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/store/storetest"
)

// TestReadme runs the commands of the README's walk-through as a reader would paste them.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "\n## From curl to mobile key\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1)
	if !found || len(blocks) < 2 {
		t.Fatalf("%d blocks of commands in the walk-through", len(blocks))
	}

	p := launch(t, []string{"DATABASE_URL=" + storetest.DSN(t), "STAYKEY_DEV_DIR=" + filepath.Join(t.TempDir(), "dev")}, "serve", "--dev")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	script := ""
	for _, block := range blocks {
		script += block[1]
	}
	script = strings.NewReplacer("http://127.0.0.1:8080", p.url, "./bin/staykey", path).Replace(script)

	out, err := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for text, times := range map[string]int{
		`"status":"accepted"`: 4, // answers to the four events
		`"status":"issued"`:   1,
		`"status":"revoked"`:  1,
		"3333122-433":         3,
	} {
		if n := strings.Count(string(out), text); n < times {
			t.Errorf("%q is there %d times, want %d:\n%s", text, n, times, out)
		}
	}
}
