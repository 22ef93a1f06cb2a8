package internal_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	codeBlock = regexp.MustCompile("(?s)```.*?```")
	heading   = regexp.MustCompile(`(?m)^#{1,6} (.*)$`)
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linkText  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	unslugged = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchorsOf are the anchors of a page's headings, as GitHub names them. Of two with the same text, the second isn't
// linked anywhere.
func anchorsOf(page string) map[string]bool {
	anchors := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(page, -1) {
		text := linkText.ReplaceAllString(h[1], "$1")
		text = unslugged.ReplaceAllString(strings.ToLower(strings.TrimSpace(text)), "")
		anchors[strings.ReplaceAll(text, " ", "-")] = true
	}
	return anchors
}

// Every link between pages leads to a file and a heading that exist.
func TestLinksBetweenPages(t *testing.T) {
	t.Parallel()
	pages := map[string]string{} // by path
	walk(t, func(file string) error {
		if path.Ext(file) != ".md" {
			return nil
		}
		text, err := os.ReadFile(file)
		pages[filepath.ToSlash(file)] = codeBlock.ReplaceAllString(string(text), "")
		return err
	})

	links := 0
	for file, text := range pages {
		for _, l := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(l[1], ":") { // another site
				continue
			}
			links++
			name, anchor, _ := strings.Cut(l[1], "#")
			target := file
			if name != "" {
				target = path.Join(path.Dir(file), name)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which doesn't exist", file, l[1])
			} else if page, is := pages[target]; is && anchor != "" && !anchorsOf(page)[anchor] {
				t.Errorf("%s links to %s, and there is no such heading", file, l[1])
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links were found", links)
	}
}
