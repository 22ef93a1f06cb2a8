package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRules(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sent behind the commit":                        "behind",
		"behind 15 minutes it is attention":             "behind",
		"the configuration is taken anew":               "anew",
		"Mend the listing":                              "mend",
		"what is wished":                                "wish",
		"The story, newest first":                       "story",
		"Whoever needs a new reason":                    "whoever, whatever there is",
		"there is to be no key":                         "is to be",
		"no Docker engine could be had":                 "is had",
		"print what they came to":                       "comes to",
		"provisioning goes on":                          "goes on",
		"it resolves by itself":                         "by itself",
		"how it stands, and why":                        "how it stands",
		"nothing is told of it":                         "told",
		"what the PMS said":                             "said",
		"a parameter that there is not":                 "that there is",
		"the SQL beside it":                             "beside",
		"restore a back-up":                             "back-up, set-up",
		"everything stays as it was":                    "stays as it was",
		"nobody but staykey":                            "nobody but",
		"what becomes of keys":                          "what becomes of",
		"token of single sources":                       "of single sources",
		"a key of another workspace, it is of another":  "is of another",
		"an event that comes again":                     "comes again",
		"holds the page against the code":               "holds against",
		"retries for ever":                              "for ever",
		"blackened before it is stored":                 "blackened",
		"tells whether a key is live":                   "tells whether",
		"it goes the way of your PMS's events":          "goes the way",
		"test events are listed apart":                  "kept apart",
		"a copy of it, word for word":                   "word for word",
		"others have got hold of a link":                "got hold of",
		"retried ever more seldom":                      "ever more seldom",
		"whether an action has sense":                   "has sense",
		"the link is no longer good":                    "no longer good",
		"a load balancer that is somewhere behind here": "behind",
	} {
		if found := apply("x.md", passage{1, text}); len(found) == 0 ||
			!slices.ContainsFunc(found, func(f finding) bool { return f.rule.Phrase == want }) {
			t.Errorf("%q: found %v, want %s", text, found, want)
		}
	}
	for _, text := range []string{
		"two replicas behind a load balancer", "behind a reverse proxy", "keys are left behind",
		"the replica's clock is behind",
		"back up the database, set up the source", "after the commit", "it stands for a booking", "comment",
		"amendment", "historian",
		"reports whether a key is live", "mendable words such as recommended", "no more than five",
	} {
		if found := apply("x.md", passage{1, text}); len(found) > 0 {
			t.Errorf("%q: found %v", text, found)
		}
	}
}

// Each kind of file is read for its prose, and not for its code.
func TestProse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason, file, content string
		lines                 []int
	}{
		{
			"comments and strings of Go, identifiers not", "a.go",
			"package a\n\n// a story\nfunc story() { print(\"a story\", `x\na story`) }\n",
			[]int{3, 4, 5},
		},
		{"a single word is a name", "a.go", "package a\n\nvar x = \"story\"\n", nil},
		{"Markdown, code not", "a.md", "a story\n`story`\n```sh\nstory # a story\nstory\n```\n", []int{1, 4}},
		{"a page's text, actions not", "a.html", "<p>{{.Story}}\n{{with\nstory}} a story</p>", []int{3}},
		{"comments of SQL", "a.sql", "SELECT story -- a story\n", []int{1}},
		{"comments of YAML", "a.yml", "story: a # a story\n", []int{1}},
		{"everything of alert rules", "deploy/monitoring/alerts.yml", "summary: a story\n", []int{1}},
		{"a Makefile's help", "Makefile", "story: ## a story\n", []int{1}},
	} {
		root := t.TempDir()
		path := filepath.Join(root, filepath.FromSlash(c.file))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := check(root)
		if err != nil {
			t.Fatal(err)
		}
		var lines []int
		for _, f := range found {
			lines = append(lines, f.line)
		}
		if !slices.Equal(lines, c.lines) {
			t.Errorf("%s: lines %v, want %v", c.reason, lines, c.lines)
		}
	}
}

// Each exception has a reason.
func TestExceptions(t *testing.T) {
	t.Parallel()
	for _, e := range exceptions {
		if e.reason == "" || e.text == "" {
			t.Errorf("the exception %+v has no text or no reason", e)
		}
	}
}
