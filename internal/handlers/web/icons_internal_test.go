package web

import (
	"encoding/xml"
	"regexp"
	"testing"
)

// TestIcons checks that templates name icons that exist, and that all that exist are used and drawn.
func TestIcons(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	list, err := files.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	use := regexp.MustCompile(`icon "([a-z-]+)"|"Icon" "([a-z-]+)"`)
	for _, f := range list {
		text, err := files.ReadFile("templates/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range use.FindAllStringSubmatch(string(text), -1) {
			named[found[1]+found[2]] = true
		}
	}
	if len(named) == 0 {
		t.Fatal("no template names an icon")
	}
	for name := range named {
		if icons[name] == "" {
			t.Errorf("there is no icon %q", name)
		}
	}
	for name, svg := range icons {
		var drawn struct {
			Shapes []struct{} `xml:",any"`
		}
		if err := xml.Unmarshal([]byte(svg), &drawn); err != nil || len(drawn.Shapes) == 0 {
			t.Errorf("%s draws nothing: %v\n%s", name, err, svg)
		}
		if !named[name] {
			t.Errorf("no template uses %q", name)
		}
	}
}
