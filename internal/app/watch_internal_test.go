package app

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWatchedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, secret := filepath.Join(dir, "staykey.yaml"), filepath.Join(dir, "secret")
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(config, "a")
	write(secret, "s")
	w := watch([]string{config, secret})
	for i, step := range []struct {
		reason string
		do     func()
		want   []string
	}{
		{"nothing happened", func() {}, nil},
		{"a file differs for the first time: it may be half written", func() { write(config, "ab") }, nil},
		{"it is still being written", func() { write(config, "abc") }, nil},
		{"it was the same twice", func() {}, []string{config}},
		{"it was reported", func() {}, nil},
		{"a file that differs and is restored hasn't changed", func() { write(secret, "t") }, nil},
		{"restored", func() { write(secret, "s") }, nil},
		{"restored twice", func() {}, nil},
		{"both differ, one of them by being replaced", func() {
			write(config, "d")
			write(secret+".new", "u")
			if err := os.Rename(secret+".new", secret); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"a file that is gone has not changed", func() {
			if err := os.Remove(config); err != nil {
				t.Fatal(err)
			}
		}, []string{secret}},
		{"it is there again", func() { write(config, "d") }, []string{config}},
	} {
		step.do()
		if got := w.changed(); !slices.Equal(got, step.want) {
			t.Fatalf("step %d, %s: changed %v, want %v", i, step.reason, got, step.want)
		}
	}
}
