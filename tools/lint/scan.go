package main

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// finding is one phrase in one line.
type finding struct {
	file string // relative to the repository, with slashes
	line int
	text string // the words found
	rule rule
}

// passage is text that people read, and the line on which it begins.
type passage struct {
	line int
	text string
}

// skipped are directories and files without prose of ours.
var skipped = []string{
	".git", "bin", "dist", "tools/lint/rules.go", "tools/lint/rules_test.go",
	"tools/web/node_modules",
}

// check reads every file of the repository and returns what the rules find, exceptions aside.
func check(root string) ([]finding, error) {
	var found []finding
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}

		file = filepath.ToSlash(file)
		if isSkipped(file, entry) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}

		extract := extractor(file)
		if entry.IsDir() || extract == nil {
			return nil
		}

		content, err := os.ReadFile(path) // #nosec G304 G122 -- the project's own files
		if err != nil {
			return err
		}
		for _, p := range extract(string(content)) {
			found = append(found, apply(file, p)...)
		}
		return nil
	})
	return found, err
}

// isSkipped reports whether an entry has no prose of ours.
func isSkipped(file string, entry fs.DirEntry) bool {
	name := entry.Name()
	return within(file, skipped) ||
		entry.IsDir() && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".staykey"))
}

// within reports whether a file is one of the paths, or below one.
func within(file string, paths []string) bool {
	for _, p := range paths {
		if file == p || strings.HasPrefix(file, p+"/") || strings.HasSuffix(p, "*") && strings.HasPrefix(file,
			strings.TrimSuffix(p, "*")) {
			return true
		}
	}
	return false
}

// apply returns what the rules find in a passage, line by line. Phrases are not looked for across lines.
func apply(file string, p passage) []finding {
	var found []finding
	for i, line := range strings.Split(p.text, "\n") {
		for _, r := range rules {
			text := line
			if r.allow != nil {
				text = r.allow.ReplaceAllString(text, " ")
			}
			for _, words := range r.match.FindAllString(text, -1) {
				if !excepted(file, line) {
					found = append(found, finding{file: file, line: p.line + i, text: words, rule: r})
				}
			}
		}
	}
	return found
}

func excepted(file, line string) bool {
	for _, e := range exceptions {
		if (e.file == "" || e.file == file) && strings.Contains(line, e.text) {
			return true
		}
	}
	return false
}

// extractor returns the function that finds the prose of a kind of file, nil for a kind that has none.
func extractor(file string) func(string) []passage {
	base := file[strings.LastIndexByte(file, '/')+1:]
	switch filepath.Ext(base) {
	case ".go":
		return goProse
	case ".md":
		return markdown
	case ".html":
		return template
	case ".sql":
		return lines(sqlComment)
	case ".jq":
		return lines(regexp.MustCompile(`#(.*)$|"(?:[^"\\]|\\.)*"`))
	case ".sh", ".js", ".css", ".mjs":
		return lines(regexp.MustCompile(`(?:#|//|/\*)\s(.*)$`))
	case ".yml", ".yaml":
		if strings.HasPrefix(file, "deploy/monitoring/") {
			return everything
		}
		return lines(regexp.MustCompile(`#\s(.*)$`))
	}
	if base == "Makefile" || base == "Dockerfile" || file == ".ci/run" || file == ".env.example" {
		return lines(regexp.MustCompile(`#(.*)$|echo .*$`))
	}
	return nil
}

func everything(content string) []passage { return []passage{{1, content}} }

// lines returns what the expression finds in each line.
func lines(prose *regexp.Regexp) func(string) []passage {
	return func(content string) []passage {
		var all []passage
		for i, line := range strings.Split(content, "\n") {
			for _, found := range prose.FindAllString(line, -1) {
				all = append(all, passage{i + 1, found})
			}
		}
		return all
	}
}

// sqlWords are in every statement; its comments are prose, its names are not.
var (
	sqlWords   = regexp.MustCompile(`\b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|CREATE|ALTER|JOIN|WITH)\b`)
	sqlComment = regexp.MustCompile(`--(.*)$`)
)

// goProse returns the comments and the string literals, without import paths and struct tags' keys.
func goProse(content string) []passage {
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(content))
	var s scanner.Scanner
	s.Init(file, []byte(content), nil, scanner.ScanComments)
	var all []passage
	for {
		at, kind, literal := s.Scan()
		switch kind {
		case token.EOF:
			return all
		case token.COMMENT:
			all = append(all, passage{set.Position(at).Line, literal})
		case token.STRING:
			if text, err := strconv.Unquote(literal); err == nil && strings.ContainsRune(text, ' ') {
				switch {
				case literal[0] == '`' && sqlWords.MatchString(text):
					for _, c := range lines(sqlComment)(literal) {
						all = append(all, passage{set.Position(at).Line + c.line - 1, c.text})
					}
					continue
				case literal[0] == '`':
					text = literal
				default:
					text = strings.ReplaceAll(text, "\n", " ")
				}
				all = append(all, passage{set.Position(at).Line, text})
			}
		}
	}
}

var inlineCode = regexp.MustCompile("`[^`]*`")

// markdown returns the text outside of code. Comments in blocks of code are prose too: the reader copies them.
func markdown(content string) []passage {
	var all []passage
	code := false
	comment := regexp.MustCompile(`(?:^|\s)#\s(.*)$`)
	for i, line := range strings.Split(content, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
			continue
		}
		if code {
			line = comment.FindString(line)
		}
		all = append(all, passage{i + 1, inlineCode.ReplaceAllString(line, "`")})
	}
	return all
}

var action = regexp.MustCompile(`{{[^}]*}}`)

// template returns the text of a page without its actions.
func template(content string) []passage {
	return []passage{{1, action.ReplaceAllStringFunc(content,
		func(a string) string { return "`" + strings.Repeat("\n", strings.Count(a, "\n")) })}}
}
