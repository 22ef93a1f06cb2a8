package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestProvenance(t *testing.T) {
	t.Parallel()
	digest, commit := strings.Repeat("ab", 32), strings.Repeat("c", 40)
	s, err := provenance(digest+"  staykey-1-linux-amd64.tar.gz\n"+digest+"  staykey-1.cdx.json\n", "1", commit)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"_type":"https://in-toto.io/Statement/v1"`, `"name":"staykey-1.cdx.json","digest":{"sha256":"` + digest + `"}`,
		`"predicateType":"https://slsa.dev/provenance/v1"`, `"gitCommit":"` + commit + `"`, `"version":"1"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
	for _, wrong := range [][2]string{
		{"", commit},
		{"abc  file", commit},
		{digest + " file", commit},
		{digest + "  file", "unknown"},
	} {
		if _, err := provenance(wrong[0], "1", wrong[1]); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
