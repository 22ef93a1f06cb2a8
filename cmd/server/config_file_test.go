package main

import (
	"os"
	"path/filepath"
	"testing"
)

// configFile returns the path of a new config file, for STAYKEY_CONFIG.
func configFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "staykey.yaml")
	writeConfig(t, file, content)
	return file
}

func writeConfig(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
