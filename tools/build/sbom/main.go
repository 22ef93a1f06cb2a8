// Command sbom writes the software bill of materials of a built binary, as CycloneDX 1.6 JSON: the modules that the
// linker has put into it, as the binary itself tells (go version -m), with the toolchain. Nothing is taken from
// go.mod, which also names what isn't linked.
//
//	sbom bin/staykey VERSION > staykey-VERSION.cdx.json
package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom BINARY VERSION")
		os.Exit(2)
	}
	info, err := buildinfo.ReadFile(os.Args[1])
	if err == nil {
		encoder := cyclonedx.NewBOMEncoder(os.Stdout, cyclonedx.BOMFileFormatJSON).SetPretty(true)
		err = encoder.EncodeVersion(bill(info, os.Args[2]), cyclonedx.SpecVersion1_6)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// bill is reproducible: it has no serial number and no time.
func bill(info *debug.BuildInfo, version string) *cyclonedx.BOM {
	bom := cyclonedx.NewBOM()
	program := component(cyclonedx.ComponentTypeApplication, info.Main.Path, version)
	bom.Metadata = &cyclonedx.Metadata{Component: &program}
	toolchain := component(cyclonedx.ComponentTypeLibrary, "std", strings.TrimPrefix(info.GoVersion, "go"))
	toolchain.Description = "Go's standard library"

	components := []cyclonedx.Component{toolchain}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component(cyclonedx.ComponentTypeLibrary, m.Path, m.Version)
		if m.Sum != "" {
			c.Properties = &[]cyclonedx.Property{{Name: "go.sum", Value: m.Sum}}
		}
		components = append(components, c)
	}

	slices.SortFunc(components, func(a, b cyclonedx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	bom.Components = &components

	refs := make([]string, len(components))
	for i, c := range components {
		refs[i] = c.BOMRef
	}
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: program.BOMRef, Dependencies: &refs}}
	return bom
}

func component(kind cyclonedx.ComponentType, path, version string) cyclonedx.Component {
	url := "pkg:golang/" + path + "@" + version
	return cyclonedx.Component{Type: kind, BOMRef: url, Name: path, Version: version, PackageURL: url}
}
