package main

import (
	"runtime/debug"
	"testing"
)

func TestBill(t *testing.T) {
	t.Parallel()
	bom := bill(&debug.BuildInfo{
		GoVersion: "go1.26.8", Main: debug.Module{Path: "example.com/p"},
		Deps: []*debug.Module{
			{Path: "b", Version: "v1", Sum: "h1:b"},
			{Path: "a", Version: "v1", Replace: &debug.Module{Path: "c", Version: "v2"}},
		},
	}, "1.2.3")
	if got := bom.Metadata.Component.PackageURL; got != "pkg:golang/example.com/p@1.2.3" {
		t.Errorf("the program is %s", got)
	}
	var got []string
	for _, c := range *bom.Components {
		got = append(got, c.PackageURL)
	}
	want := []string{"pkg:golang/b@v1", "pkg:golang/c@v2", "pkg:golang/std@1.26.8"}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] ||
		len(*(*bom.Dependencies)[0].Dependencies) != 3 {
		t.Errorf("components %v, want %v", got, want)
	}
}
