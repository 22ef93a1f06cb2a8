// Package internal_test checks which package may import which (docs/architecture.md).
package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/staykey/staykey/"

// allowed are the packages of ours that a package may import, tests aside. What is not listed may import none of them.
// Of the packages of handlers only webhook, which stores events, imports the store, and none imports another one: what
// they share is in handlers, admin and guest.
var allowed = map[string][]string{
	"cmd/server": {
		"internal/admin", "internal/app", "internal/config", "internal/handlers",
		"internal/handlers/rest", "internal/importfile", "internal/intake", "internal/pms", "internal/seam/simulator",
		"internal/stay", "internal/store", "internal/writeback", "migrations",
	},
	"internal/admin": {
		"internal/guest", "internal/intake", "internal/pms", "internal/stay", "internal/store",
	},
	"internal/app": {
		"internal/admin", "internal/config", "internal/doors", "internal/fair", "internal/fetch",
		"internal/guest", "internal/handlers", "internal/handlers/guest", "internal/handlers/rest",
		"internal/handlers/web", "internal/handlers/webhook", "internal/intake", "internal/jobs", "internal/localpg",
		"internal/logs", "internal/notify", "internal/pms", "internal/pmsapi", "internal/provisioner",
		"internal/retention", "internal/seam", "internal/seam/simulator", "internal/sso", "internal/stay",
		"internal/store", "internal/tracing", "internal/writeback", "migrations",
	},
	"internal/config": {
		"internal/admin", "internal/notify", "internal/pms", "internal/retention", "internal/seam",
		"internal/sso", "internal/stay",
	},
	"internal/doors": {
		"internal/pms", "internal/seam", "internal/stay", "internal/store",
	},
	"internal/fetch": {
		"internal/intake", "internal/jobs", "internal/pms", "internal/pmsapi", "internal/store",
	},
	"internal/guest": {
		"internal/pms", "internal/point", "internal/seam", "internal/stay", "internal/store",
	},
	"internal/handlers": {
		"internal/admin", "internal/fair", "internal/logs", "internal/pms",
	},
	"internal/handlers/guest": {
		"internal/guest", "internal/handlers",
	},
	"internal/handlers/rest": {
		"internal/admin", "internal/guest", "internal/handlers", "internal/pms", "internal/stay",
	},
	"internal/handlers/web": {
		"docs/sources", "internal/admin", "internal/fair", "internal/handlers", "internal/lang", "internal/pms",
		"internal/sso", "internal/stay",
	},
	"internal/handlers/webhook": {
		"internal/admin", "internal/handlers", "internal/intake", "internal/pms", "internal/point",
		"internal/stay", "internal/store", "internal/tracing",
	},
	"internal/importfile": {
		"internal/pms",
	},
	"internal/intake": {
		"internal/pms", "internal/point", "internal/stay", "internal/store", "internal/tracing",
	},
	"internal/localpg/pgtest/run": {
		"internal/localpg", "internal/localpg/pgtest",
	},
	"internal/notify": {
		"internal/pms", "internal/point", "internal/stay", "internal/store",
	},
	"internal/pmsapi": {
		"internal/pms",
	},
	"internal/provisioner": {
		"internal/pms", "internal/point", "internal/provisioner/plan", "internal/provisioner/record",
		"internal/provisioner/rows", "internal/seam", "internal/stay", "internal/store", "internal/tracing",
	},
	"internal/provisioner/plan": {
		"internal/pms", "internal/provisioner/record", "internal/seam", "internal/stay",
	},
	"internal/provisioner/record": {
		"internal/seam", "internal/stay",
	},
	"internal/provisioner/rows": {
		"internal/provisioner/record", "internal/store",
	},
	"internal/retention": {
		"internal/stay", "internal/store",
	},
	"internal/store": {
		"internal/stay",
	},
	"internal/store/storetest": {
		"internal/localpg/pgtest", "internal/point", "internal/store", "internal/until", "migrations",
	},
	"internal/writeback": {
		"internal/pms", "internal/pmsapi", "internal/point", "internal/stay", "internal/store",
	},
	"tools/bench": {
		"internal/handlers", "internal/handlers/webhook", "internal/intake", "internal/localpg",
		"internal/pms", "internal/seam", "internal/seam/simulator", "internal/stay", "internal/store", "migrations",
	},
	"tools/chaos": {
		"tools/report",
	},
	"tools/chaos/run": {
		"tools/chaos",
	},
	"tools/drill": {
		"tools/report",
	},
	"tools/drill/table": {
		"tools/drill",
	},
}

// pure reports whether a package must depend on only its arguments.
func pure(name string) bool {
	return name == "internal/stay" || name == "internal/provisioner/plan" || name == "internal/provisioner/record"
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	seen := map[string]bool{}
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		seen[name] = true
		for _, i := range p.Imports {
			ours, is := strings.CutPrefix(i, module)
			if is && !slices.Contains(allowed[name], ours) {
				t.Errorf("%s must not import %s", name, ours)
			}
			if pure(name) && slices.Contains([]string{
				"context", "net", "net/http", "os", "database/sql",
				"github.com/jackc/pgx/v5",
			}, i) {
				t.Errorf("%s imports %s: it must be pure", name, i)
			}
			if strings.Contains(i, "testcontainers") && !strings.Contains(name, "pgtest") {
				t.Errorf("%s imports testcontainers: the binary that ships must not", name)
			}
		}
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("%s is listed here and does not exist", name)
		}
	}
}

// A new reader finds every package in the two maps of the house, and nothing in them that is gone.
func TestMapsNameEveryPackage(t *testing.T) {
	t.Parallel()
	for file, parents := range map[string][]string{
		"docs/architecture.md": {"internal", "tools"}, "CONTRIBUTING.md": {"internal"},
	} {
		text, err := os.ReadFile("../" + file) // #nosec G304 -- the repository's own files
		if err != nil {
			t.Fatal(err)
		}
		for _, parent := range parents {
			entries, err := os.ReadDir("../" + parent)
			if err != nil {
				t.Fatal(err)
			}
			exists := map[string]bool{}
			for _, e := range entries {
				name := parent + "/" + e.Name()
				exists[name] = true
				if e.IsDir() && !strings.Contains(string(text), "`"+name+"`") {
					t.Errorf("%s doesn't say what %s is for", file, name)
				}
			}
			for _, named := range regexp.MustCompile("`("+parent+"/[a-z]+)`").FindAllStringSubmatch(string(text), -1) {
				if !exists[named[1]] {
					t.Errorf("%s names %s, which doesn't exist", file, named[1])
				}
			}
		}
	}
}

// The environment is read in one place, where every setting is documented and checked. Rigs and measurements have their
// own.
func TestEnvironmentIsReadInOnePlace(t *testing.T) {
	t.Parallel()
	reads := regexp.MustCompile(`\bos\.(Getenv|LookupEnv|Environ)\b`)
	own := []string{"internal/config/", "internal/localpg/", "internal/point/", "internal/store/storetest/", "tools/"}
	found := 0
	err := fs.WalkDir(os.DirFS(".."), ".", func(path string, _ fs.DirEntry, err error) error {
		top, _, _ := strings.Cut(path, "/")
		if err != nil || !slices.Contains([]string{"cmd", "internal", "tools"}, top) ||
			!strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(filepath.Join("..", path)) // #nosec G304 -- the repository's own files
		if err != nil || !reads.Match(text) {
			return err
		}
		found++
		if !slices.ContainsFunc(own, func(dir string) bool { return strings.HasPrefix(path, dir) }) {
			t.Errorf("%s reads the environment: let internal/config do it", path)
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d files read the environment: %v", found, err)
	}
}
