package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/pms"
)

var blocks = regexp.MustCompile("(?ms)^ *```(yaml|jq|json)\n(.*?)^ *```$")

// read returns a page's blocks of code, by their language.
func read(t *testing.T, page string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, b := range blocks.FindAllStringSubmatch(string(text), -1) {
		found[b[1]] = append(found[b[1]], b[2])
	}
	return found
}

// Every preset is in each list of presets.
func TestPresetsAreListed(t *testing.T) {
	t.Parallel()
	text := func(file string) string {
		content, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	_, gates, _ := strings.Cut(text("docs/gates.md"), "## What presets say")
	_, readme, _ := strings.Cut(text("README.md"), "\nPresets: ")
	readme, _, _ = strings.Cut(readme, ". For another")
	for _, preset := range pms.Presets() {
		title, _, _ := strings.Cut(strings.TrimPrefix(text("docs/sources/"+preset+".md"), "# "), "\n")
		if !strings.Contains(readme, title) {
			t.Errorf("the list of presets in README.md lacks %s", title)
		}
		if !strings.Contains(gates, title) {
			t.Errorf("the table of presets in docs/gates.md lacks %s", title)
		}
		if !strings.Contains(text("docs/sources/README.md"), "| ["+preset+"]("+preset+".md) |") {
			t.Errorf("the table of presets in docs/sources/README.md lacks %s", preset)
		}
	}
}

// Every configuration that the pages about sources show is one, and every preset has its page.
func TestSourcesPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own := read(t, "../../docs/sources/your-own.md")
	program, payload := filepath.Join(dir, "mypms.jq"), filepath.Join(dir, "payload.json")
	for file, content := range map[string]string{program: own["jq"][0], payload: own["json"][0]} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pages, err := filepath.Glob("../../docs/sources/*.md")
	if err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string {
		if strings.HasSuffix(name, "_WHSEC") {
			return e2eSecret.String()
		}
		return "the value of " + name
	}
	shown := map[string]bool{}
	for _, page := range pages {
		for i, block := range read(t, page)["yaml"] {
			block = strings.ReplaceAll(block, "/etc/staykey/mypms.jq", program)
			file := filepath.Join(dir, filepath.Base(page)+string(rune('a'+i)))
			if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			var problems config.Problems
			set := config.LoadSources(file, "", getenv, &problems)
			if len(problems) > 0 {
				t.Errorf("%s:\n%s", page, problems.Error())
			}
			for _, source := range set.Sources {
				if source.Format == nil {
					continue
				}
				shown[source.Format.Name+" in "+filepath.Base(page)] = true
				if source.Format.Fetch != nil && source.Fetch == nil && source.Format.Name != "beds24" {
					t.Errorf("%s shows no fetch block", page)
				}
			}
		}
	}
	for _, preset := range pms.Presets() {
		if !shown[preset+" in "+preset+".md"] {
			t.Errorf("docs/sources/%s.md shows no configuration of the preset", preset)
		}
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"map", "--format", program, payload},
		&streams{out: &out, err: &out}); code != 0 {
		t.Errorf("map: %d %s", code, out.String())
	}
	for _, want := range []string{
		`"reservation_id": "7731"`, `"status": "confirmed"`, `"listing_id": "12"`,
		`"check_in": "2031-07-01T16:00"`, `"check_out": "2031-07-08"`, `"guest_name": "Jane Doe"`,
		`"type": "booking.changed"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("map does not say %s:\n%s", want, out.String())
		}
	}
}

func TestMapAndConfigCheck(t *testing.T) {
	const twoSecrets = `sources:
  - {name: a, time_zone: Europe/Madrid, verify: {method: standard-webhooks, secrets: ["${TEST_UNSET_A}"]}}
  - {name: b, verify: {method: standard-webhooks, secrets: ["${TEST_UNSET_B}"]}}
`
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	payloads := "../../internal/pms/testdata/payloads/"
	wrong := write("wrong.jq",
		"{reservation: {\n  reservation_id: .body.id,\n  status: \"sold\",\n  check_in: .body.from\n}}")
	for name, c := range map[string]struct {
		args []string
		in   string
		code int
		want []string
	}{
		"a preset": {
			[]string{
				"map", "--format", "lodgify",
				payloads + "lodgify/booking_change.array_variant.json",
			},
			"", 0,
			[]string{`"reservation_id": "123456"`, `"check_in": "2022-05-21"`},
		},
		"from standard input": {
			[]string{"map", "--format", "staykey"},
			`{"type": "listing.deleted", "timestamp": "2026-01-01T00:00:00Z", "data": {"listing_id": "L"}}`, 0,
			[]string{`"deleted": true`},
		},
		"a query": {[]string{
			"map", "--format", "beds24", "--query", "bookid=7", "--query",
			"status=new",
		}, "", 0, []string{`"kind": "booking"`, `"7"`}},
		"a form": {
			[]string{"map", "--format", "hostfully", "--form"},
			"event_type=BOOKING_CANCELLED&lead_uid=u1", 0,
			[]string{`"reservation_id": "u1"`, `"status": "cancelled"`},
		},
		"with a document": {
			[]string{
				"map", "--format", "hostfully", "--fetched",
				"lead=" + payloads + "hostfully/NEW_BOOKING.fetched_lead.json", payloads + "hostfully/NEW_BOOKING.json",
			},
			"", 0,
			[]string{`"check_in": "2026-05-10T16:00:00"`},
		},
		"everything that is wrong": {
			[]string{"map", "--format", wrong},
			`{"id": 1, "from": "soon"}`, 2,
			[]string{
				"wrong.jq:3:3: reservation.status: \"sold\" must be one of",
				"wrong.jq:4:3: reservation.check_in: must be an RFC 3339",
			},
		},
		"what was dropped": {
			[]string{"map", "--format", "uplisting"},
			`{"id": 1, "status": "confirmed", "check_in": "2026-01-01", "arrival_time": "late"}`, 0,
			[]string{`"field": "reservation.check_in.time"`, `"check_in": "2026-01-01"`},
		},
		"good and bad items": {
			[]string{"map", "--format", "lodgify"},
			`[{"action": "booking_change", "booking": {"id": 1, "status": "Declined"}}, {"action": "booking_change", "booking": {"id": 2, "status": "Booked", "date_arrival": "bad"}}]`, 2,
			[]string{
				`"status": "cancelled"`, `"where": "[1].reservation"`, `"reservation_id": "2"`,
				"[1].reservation.check_in: must be",
			},
		},
		"a program that fails": {
			[]string{"map", "--format", wrong},
			`[1]`, 2,
			[]string{
				"wrong.jq:2:3: reservation.reservation_id: the program failed here: expected an object but got: array",
			},
		},
		"no such format": {
			[]string{"map", "--format", "nobody"},
			`{}`, 1,
			[]string{`"nobody" is not a format: it must be staykey, one of apaleo,`},
		},
		"a config that is right": {
			[]string{
				"config", "check",
				write("right.yaml",
					"sources:\n  - name: a\n    format: mews\n    verify: {method: none}\n    insecure: true\n"),
			},
			"", 0,
			[]string{
				"a (mews): 0 secrets, its events wait as needs_fetch: it has no fetch block, INSECURE: anybody may post",
				"is valid: 1 source",
			},
		},
		"one without its secrets": {
			[]string{"config", "check", write("unset.yaml", twoSecrets)},
			"", 2,
			[]string{"the environment variable TEST_UNSET_A is not set", "TEST_UNSET_B"},
		},
		"and with none wanted": {
			[]string{"config", "check", "--no-secrets", write("none.yaml", twoSecrets)},
			"", 0,
			[]string{"not set, and not checked: TEST_UNSET_A, TEST_UNSET_B", "is valid: 2 sources"},
		},
		"none wanted, and wrong": {
			[]string{
				"config", "check", "--no-secrets",
				write("typo.yaml", strings.Replace(twoSecrets, "time_zone", "time_zon", 1)),
			},
			"", 2,
			[]string{"time_zon: is unknown", "is not valid"},
		},
		"one that is not": {[]string{
			"config", "check",
			write("wrong.yaml", "sources:\n  - name: a\n   format: mews\n"),
		}, "", 2, []string{"wrong.yaml:3:4: "}},
	} {
		var out bytes.Buffer
		code := run(t.Context(), c.args, &streams{in: strings.NewReader(c.in), out: &out, err: &out})
		if code != c.code {
			t.Errorf("%s: exit %d, want %d:\n%s", name, code, c.code, out.String())
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s does not say %q:\n%s", name, want, out.String())
			}
		}
	}
}

// A file without sources is right where the environment has the source default, as at a start.
func TestConfigCheckUsesTheEnvironment(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	content := "tokens:\n  - {name: desk, hash: \"sha256:" + strings.Repeat("ab", 32) + "\", sources: [default]}\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(filepath.Dir(file), "secret")
	if err := os.WriteFile(secret, []byte(outSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]int{
		"STAYKEY_WEBHOOK_SECRET=" + outSecret:   0,
		"STAYKEY_WEBHOOK_SECRET_FILE=" + secret: 0, "NOTHING=": 2,
	} {
		out, problems, status := command(t, []string{setting}, "config", "check", file)
		if status != want {
			t.Errorf("%s: exit %d: %s%s", setting, status, out, problems)
		}
	}
}
