// Command provenance writes where the files of a release come from: an in-toto statement with SLSA's provenance
// predicate (https://slsa.dev/spec/v1.0/provenance), of the files that SHA256SUMS names. It isn't signed: the
// release workflow signs one of its own.
//
//	provenance dist/SHA256SUMS VERSION COMMIT > dist/staykey-VERSION.intoto.json
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
)

type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

type predicate struct {
	BuildDefinition struct {
		BuildType            string            `json:"buildType"`
		ExternalParameters   map[string]string `json:"externalParameters"`
		InternalParameters   map[string]string `json:"internalParameters"`
		ResolvedDependencies []subject         `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	} `json:"runDetails"`
}

const repository = "https://github.com/staykey/staykey"

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: provenance SHA256SUMS VERSION COMMIT")
		os.Exit(2)
	}
	sums, err := os.ReadFile(os.Args[1])
	var s statement
	if err == nil {
		s, err = provenance(string(sums), os.Args[2], os.Args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "provenance:", err)
		os.Exit(1)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	_ = out.Encode(s)
}

func provenance(sums, version, commit string) (statement, error) {
	s := statement{Type: "https://in-toto.io/Statement/v1", PredicateType: "https://slsa.dev/provenance/v1"}
	for lines := bufio.NewScanner(strings.NewReader(sums)); lines.Scan(); {
		digest, name, ok := strings.Cut(lines.Text(), "  ")
		if raw, err := hex.DecodeString(digest); !ok || err != nil || len(raw) != 32 {
			return s, fmt.Errorf("%q is no line of sha256sum", lines.Text())
		}
		s.Subject = append(s.Subject, subject{Name: name, Digest: map[string]string{"sha256": digest}})
	}
	if len(s.Subject) == 0 {
		return s, fmt.Errorf("no file is named")
	}
	if raw, err := hex.DecodeString(commit); err != nil || len(raw) != 20 {
		return s, fmt.Errorf("%q is no commit: 40 hexadecimal digits are needed", commit)
	}
	build := &s.Predicate.BuildDefinition
	build.BuildType = repository + "/blob/main/Makefile#release"
	build.ExternalParameters = map[string]string{"target": "release", "version": version}
	build.InternalParameters = map[string]string{
		"go": runtime.Version(), "CGO_ENABLED": "0",
		"flags": "-trimpath -buildvcs=false",
	}
	build.ResolvedDependencies = []subject{{URI: "git+" + repository, Digest: map[string]string{"gitCommit": commit}}}
	s.Predicate.RunDetails.Builder.ID = repository + "/blob/main/Makefile"
	return s, nil
}
