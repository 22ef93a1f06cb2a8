package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// results reads what go test -json prints.
type results struct {
	failed func() // called once, when the first test has failed

	rest   []byte                      // of a line that is not complete yet
	all    strings.Builder             // what was printed, by tests or not
	ofTest map[string]*strings.Builder // what each test has printed
	first  string                      // the first test that failed
}

// event is a line of go test -json.
type event struct{ Action, Test, Output string }

// Write implements io.Writer. It is called by one goroutine.
func (r *results) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for {
		line, rest, whole := bytes.Cut(r.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		r.rest = rest
		var e event
		if json.Unmarshal(line, &e) != nil { // of the go command
			e = event{Output: string(line) + "\n"}
		}
		r.take(e)
	}
}

func (r *results) take(e event) {
	_, _ = r.all.WriteString(e.Output)
	if e.Test == "" || r.first != "" {
		return
	}
	if r.ofTest == nil {
		r.ofTest = map[string]*strings.Builder{}
	}
	if r.ofTest[e.Test] == nil {
		r.ofTest[e.Test] = &strings.Builder{}
	}
	_, _ = r.ofTest[e.Test].WriteString(e.Output)
	if e.Action == "fail" {
		r.first = e.Test
		r.failed()
	}
}

// conclude returns the first failure of a mutant's rig, whose go test ended with err.
func (r *results) conclude(m mutant, err error) (complaint string, _ error) {
	out := r.all.String()
	switch {
	case r.first != "" && strings.Contains(out, "go build:"):
		return "", fmt.Errorf("a program that the rig builds doesn't build: %s", out)
	case r.first != "":
		return firstComplaint(r.ofTest[r.first].String()), nil
	case strings.Contains(out, "[build failed]"), strings.Contains(out, "[setup failed]"):
		return "", fmt.Errorf("the mutant doesn't build: %s", out)
	case strings.Contains(out, "[no tests to run]"):
		return "", fmt.Errorf("no test matches %s", m.tests)
	case err == nil:
		return "", errors.New("the rig is green without the protection")
	default:
		return "", fmt.Errorf("%w: %s", err, out)
	}
}

// complaint is a failure of a test, not a line of the service's log.
var complaint = regexp.MustCompile(`(?m)^\s+(?:\w+_test|until)\.go:\d+: (.*)$`)

func firstComplaint(out string) string {
	for _, match := range complaint.FindAllStringSubmatch(out, -1) {
		line := strings.TrimSpace(match[1])
		if line == "" || strings.Contains(line, " wrong, ") ||
			regexp.MustCompile(`^\d\d\.\d{3} |^[^:]+: /[a-z_/ ]+$|STAYKEY_WORLD_SEED|log of the service`).MatchString(
				line) {
			continue // a history, or figures
		}
		if len(line) > 160 {
			line = line[:160] + "…"
		}
		return strings.ReplaceAll(line, "|", "\\|")
	}
	return "it fails"
}
