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

	p := launch(t, []string{
		"DATABASE_URL=" + fewConnections(t, storetest.DSN(t)), "STAYKEY_DEV_DIR=" + filepath.Join(t.TempDir(), "dev"),
	}, "serve", "--dev")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	script := ""
	for _, block := range blocks {
		script += block[1]
	}
	script = strings.NewReplacer("http://127.0.0.1:8080", p.url, "./bin/staykey", path).Replace(script)
	// The reader may have pasted the commands that the program prints: they book the same stay for other days.
	definitions, commands, _ := strings.Cut(script, "\npost listing.created")
	script = definitions + `
post listing.created '{"listing_id": "2222222-2222", "seam_access_group_ids": ["555555-5555"]}'
post reservation.created '{"reservation_id": "3333122-433", "guest_email": "jane@example.com", "listing_id": "2222222-2222",
  "check_in": "2029-11-01T15:00:00Z", "check_out": "2029-11-04T11:00:00Z"}'
until key | grep '"status":"issued"' > /dev/null; do sleep 1; done
post listing.created` + commands

	out, err := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if key := regexp.MustCompile(`.*"status":"issued".*`).Find(out); !strings.Contains(string(key),
		`"starts_at":"2030-11-01`) {
		t.Errorf("the key that is shown first is not for the days of the walk-through: %s", key)
	}
	for text, times := range map[string]int{
		`"status":"accepted"`: 6, // answers to the four events, and to the two before them
		`"status":"issued"`:   1,
		`"status":"revoked"`:  1,
		"3333122-433":         3,
	} {
		if n := strings.Count(string(out), text); n < times {
			t.Errorf("%q is there %d times, want %d:\n%s", text, n, times, out)
		}
	}
}

// TestReadmeFromKeyToPhone runs the commands from a key to its phone, as a reader would who has run the walk-through
// before.
func TestReadmeFromKeyToPhone(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocksOf := func(title string) (blocks []string) {
		_, section, _ := strings.Cut(string(readme), "\n## "+title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for _, found := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
			blocks = append(blocks, found[1])
		}
		return blocks
	}
	setup, blocks := blocksOf("From curl to mobile key"), blocksOf("From key to phone")
	if len(setup) == 0 || len(blocks) != 3 {
		t.Fatalf("%d blocks of commands from the key to the phone", len(blocks))
	}
	yaml := regexp.MustCompile("(?s)<<'YAML'\n(.*)YAML\n(.*) make run").FindStringSubmatch(blocks[0])
	if yaml == nil {
		t.Fatalf("the first block starts nothing:\n%s", blocks[0])
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "links.yaml"), []byte(yaml[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(strings.Fields(strings.Replace(yaml[2], "=links.yaml", "="+filepath.Join(dir, "links.yaml"), 1)),
		"DATABASE_URL="+fewConnections(t, storetest.DSN(t)), "STAYKEY_DEV_DIR="+filepath.Join(dir, "dev"))
	p := launch(t, env, "serve", "--dev")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	// The service has another address than in the README: curl is redirected, and the commands are unchanged.
	address := strings.TrimPrefix(p.url, "http://")
	if err := os.WriteFile(filepath.Join(dir, ".curlrc"), []byte("connect-to = 127.0.0.1:8080:"+address+"\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	definitions, _, _ := strings.Cut(setup[0], "\npost listing.created")
	script := strings.ReplaceAll(definitions+"\n"+blocks[1]+blocks[2], "./bin/staykey", path)
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), "HOME="+dir, "CURL_HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	link := regexp.MustCompile(`(?m)^http://127\.0\.0\.1:8080(/k/[\w-]+)$`).FindSubmatch(out)
	if link == nil || !regexp.MustCompile(`{"instant_key_url":"https://ik\.seam\.co/\w+","expires_at":"[^"]+"}`).Match(
		out) {
		t.Fatalf("neither a link nor an instant key:\n%s", out)
	}
	_, _, page := p.ask("GET", string(link[1]), map[string]string{"Accept-Language": "en"})
	for _, want := range []string{
		"Your key is ready", "Get my key", "Garden suite", "Casa Azul",
		"Friday, 1 November 2030, 16:00",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}
