package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/config"
)

func TestGuestLinksOfSources(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entry, publicURL string
		links, perStay   bool
		problem          string // in the only one
	}{
		"none":               {"", "", false, false, ""},
		"links":              {", guest_links: true", "https://keys.example.com", true, true, ""},
		"links, set twice":   {", guest_links: true, identity: per_stay", "https://keys.example.com", true, true, ""},
		"identity per stay":  {", identity: per_stay", "", false, true, ""},
		"identity per guest": {", identity: per_guest", "", false, false, ""},
		"links per guest": {
			", guest_links: true, identity: per_guest", "https://keys.example.com", true, false,
			"identity: per_guest can't be combined with guest_links",
		},
		"gates": {", gates: [{name: paid, holds: key}]", "", false, true, ""},
		"gates per guest": {
			", gates: [{name: paid, holds: key}], identity: per_guest", "", false, false,
			"identity: per_guest can't be combined with gates",
		},
		"gate without a name": {", gates: [{holds: key}]", "", false, true, "gates[0].name: is required"},
		"a gate's name": {
			", gates: [{name: Paid!, holds: key}]", "", false, true,
			`gates[0].name: "Paid!" must be lower-case letters`,
		},
		"a gate twice": {
			", gates: [{name: paid, holds: key}, {name: paid, holds: link}]", "", false, true,
			`gates[1].name: "paid" is defined twice`,
		},
		"what a gate holds": {
			", gates: [{name: paid, holds: door}]", "", false, true,
			`gates[0].holds: "door" must be key`,
		},
		"a gate's unknown key": {
			", gates: [{name: paid, holds: key, revokes: true}]", "", false, true,
			"gates[0].revokes: is unknown",
		},
		"another identity": {
			", identity: mine", "", false, false,
			`identity: "mine" must be per_guest or per_stay`,
		},
		"links without a URL": {
			", guest_links: true", "", true, true,
			"STAYKEY_PUBLIC_URL: is required for guest_links of source a",
		},
		"a color that is not": {
			", guest_page: {color: red}", "", false, false,
			`guest_page.color: "red" must be a color`,
		},
		"a logo that is not": {", guest_page: {logo: staykey.yaml}", "", false, false, "guest_page.logo:"},
		"an unknown key":     {", guest_page: {colour: red}", "", false, false, "guest_page.colour: is unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entry := "sources:\n  - {name: a, verify: {method: none}, insecure: true" + c.entry + "}\n"
			file := configFile(t, entry)
			var problems config.Problems
			set := config.ReadSources(file, "", "repair", func(string) string { return "" }, &problems)
			set.NeedURLs(c.publicURL, c.publicURL, &problems)
			if source := set.Of("a"); source.GuestLinks != c.links || source.Policy.OwnIdentity != c.perStay {
				t.Errorf("links %v, an identity per stay %v", source.GuestLinks, source.Policy.OwnIdentity)
			}
			if c.problem == "" && len(problems) > 0 || c.problem != "" &&
				(len(problems) != 1 || !strings.Contains(problems[0], c.problem)) {
				t.Errorf("problems: %q, want %q", problems, c.problem)
			}
		})
	}
}

func TestGuestPageOfSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "logo.svg"), []byte("<svg/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "staykey.yaml")
	if err := os.WriteFile(file, []byte(`sources:
  - name: a
    verify: {method: none}
    insecure: true
    guest_page: {name: Casa Azul, logo: logo.svg, color: "#0a6e5c", contact: "+34 600 000 000", address: "Calle Mayor 1", addresses: {"12": "Plaza 2"}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	var problems config.Problems
	page := config.ReadSources(file, "", "repair", func(string) string { return "" }, &problems).Of("a").GuestPage
	if len(problems) > 0 || page.Name != "Casa Azul" || page.Logo != "data:image/svg+xml;base64,PHN2Zy8+" ||
		page.Color != "#0a6e5c" {
		t.Errorf("got %+v %v", page, problems)
	}
	if page.AddressOf("12") != "Plaza 2" || page.AddressOf("13") != "Calle Mayor 1" {
		t.Errorf("addresses: %q and %q", page.AddressOf("12"), page.AddressOf("13"))
	}
}
