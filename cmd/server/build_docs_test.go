package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func readAll(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every change is checked for SQL that is put together from values, for licences and for known vulnerabilities.
func TestEveryChangeIsChecked(t *testing.T) {
	t.Parallel()
	workflow, makefile := readAll(t, "../../.github/workflows/ci.yml"), readAll(t, "../../Makefile")
	for _, target := range []string{"test", "race", "lint", "licences", "vulnerabilities"} {
		if !regexp.MustCompile(`(?m)^      - run: make ` + target + `$`).MatchString(workflow) {
			t.Errorf("ci.yml doesn't run make %s", target)
		}
	}
	_, lint, _ := strings.Cut(makefile, "\nlint:")
	lint, _, _ = strings.Cut(lint, "\n\n")
	gosec := regexp.MustCompile(`gosec .*`).FindString(lint)
	// G601 has nothing to say since Go 1.22; the Makefile says why it is left out.
	all := strings.Replace(gosec, "-exclude=G601 ", "", 1)
	if gosec == "" || regexp.MustCompile(`-exclude=|-include=|-severity|-confidence`).MatchString(all) {
		t.Errorf("make lint doesn't run gosec with all of its rules but G601: %q", gosec)
	}
}

// Each direct dependency is pinned by its sum, and has its reason in the documentation.
func TestDependenciesAreDocumented(t *testing.T) {
	t.Parallel()
	sums := readAll(t, "../../go.sum")
	_, reasons, _ := strings.Cut(readAll(t, "../../docs/architecture.md"), "\n## Dependencies\n")
	direct := regexp.MustCompile(`(?m)^\t(\S+) (v\S+)$`).FindAllStringSubmatch(readAll(t, "../../go.mod"), -1)
	if len(direct) < 20 {
		t.Fatalf("go.mod has %d direct dependencies", len(direct))
	}
	major := regexp.MustCompile(`^v\d+$`)
	for _, d := range direct {
		module, version := d[1], d[2]
		if !strings.Contains(sums, module+" "+version+" h1:") {
			t.Errorf("%s has no sum", module)
		}
		parts := strings.Split(module, "/")
		name := parts[len(parts)-1]
		if major.MatchString(name) {
			name = parts[len(parts)-2]
		}
		// a row may name a project for all of its modules
		if !strings.Contains(reasons, name) && !strings.Contains(reasons,
			strings.Join(parts[1:min(3, len(parts))], "/")) {
			t.Errorf("docs/architecture.md has no reason for %s", module)
		}
	}
}

// The image has one static binary, no shell, and a user without rights.
func TestImageHasNoShell(t *testing.T) {
	t.Parallel()
	text := readAll(t, "../../deploy/Dockerfile")
	stages := regexp.MustCompile(`(?m)^FROM `).Split(text, -1)
	last := stages[len(stages)-1]
	if !strings.HasPrefix(last, "gcr.io/distroless/static-") || !strings.Contains(last, "\nUSER 65532:65532\n") ||
		regexp.MustCompile(`(?m)^(RUN|ADD) `).MatchString(last) {
		t.Errorf("the image's last stage:\n%s", last)
	}
	if copies := regexp.MustCompile(`(?m)^COPY .*$`).FindAllString(last, -1); len(copies) != 2 ||
		!strings.Contains(copies[0], "/out/staykey /usr/local/bin/staykey") ||
		!strings.Contains(copies[1], "/out/data /var/lib/staykey") {
		t.Errorf("the image has more than the binary and its directory: %v", copies)
	}
	if !strings.Contains(text, "CGO_ENABLED=0 go build -trimpath") {
		t.Error("the binary isn't static")
	}
}

// The recipe for Patroni has the timings and the replication of the cluster that the drills fail over.
func TestPatroniRecipeIsThatOfTheDrills(t *testing.T) {
	t.Parallel()
	_, recipe, _ := strings.Cut(readAll(t, "../../docs/operations.md"), "\n### Patroni\n")
	recipe, _, _ = strings.Cut(recipe, "\n## ")
	drill := readAll(t, "drills_patroni_linux_test.go")
	_, dcs, _ := strings.Cut(drill, "  dcs:\n")
	dcs, _, _ = strings.Cut(dcs, "  users:")
	lines := strings.Split(strings.TrimSpace(dcs), "\n")
	if len(lines) < 6 {
		t.Fatalf("the drills' settings are not where they were: %q", dcs)
	}
	for _, line := range append(lines, "target_session_attrs=read-write") {
		if !strings.Contains(recipe, strings.TrimSpace(line)) || !strings.Contains(drill, strings.TrimSpace(line)) {
			t.Errorf("docs/operations.md and the drills don't both have %q", line)
		}
	}
}
