package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/staykey/staykey/internal/pms"
)

// sourcesFile is the YAML of STAYKEY_CONFIG (contract section 7).
type sourcesFile struct {
	Sources []sourceEntry `yaml:"sources"`
}

type sourceEntry struct {
	Name         string       `yaml:"name"`
	Format       string       `yaml:"format"`
	Verify       *verifyEntry `yaml:"verify"`
	Insecure     bool         `yaml:"insecure"`
	ACSSystemID  string       `yaml:"acs_system_id"`
	TimeZone     string       `yaml:"time_zone"`
	CheckInTime  string       `yaml:"check_in_time"`
	CheckOutTime string       `yaml:"check_out_time"`
	Grace        struct {
		Before string `yaml:"before"`
		After  string `yaml:"after"`
	} `yaml:"grace"`
	KeepAfter string          `yaml:"keep_after"`
	RateLimit *rateLimitEntry `yaml:"rate_limit"`
	Drift     string          `yaml:"drift"`
}

type rateLimitEntry struct {
	PerSecond float64 `yaml:"per_second"`
	Burst     int     `yaml:"burst"`
}

type verifyEntry struct {
	Method  string   `yaml:"method"`
	Secrets []string `yaml:"secrets"`
}

var sourceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// loadSources reads the file. Every problem names the file and the source.
func loadSources(path string, getenv func(string) string, problems *configProblems) map[string]pms.Source {
	sources := map[string]pms.Source{}
	content, err := os.ReadFile(path) // #nosec G304 -- the operator names it
	if err != nil {
		problems.add("STAYKEY_CONFIG", "%v: it must name a readable YAML file", err)
		return sources
	}
	var file sourcesFile
	if err := yaml.UnmarshalWithOptions(content, &file, yaml.Strict()); err != nil {
		problems.add("STAYKEY_CONFIG", "%s: %s", path, strings.Join(strings.Fields(yaml.FormatError(err, false, false)), " "))
		return sources
	}
	if len(file.Sources) == 0 {
		problems.add("STAYKEY_CONFIG", "%s: sources: at least one is needed", path)
	}
	for i, entry := range file.Sources {
		r := &sourceReader{where: fmt.Sprintf("%s: sources[%d]", path, i), getenv: getenv, problems: problems}
		source := r.read(entry)
		if _, twice := sources[source.Name]; twice {
			r.fail("name", "%q comes twice", source.Name)
		}
		sources[source.Name] = source
	}
	return sources
}

// sourceReader checks one entry.
type sourceReader struct {
	where    string
	getenv   func(string) string
	problems *configProblems
}

func (r *sourceReader) fail(field, format string, args ...any) {
	r.problems.add("STAYKEY_CONFIG", "%s.%s: %s", r.where, field, fmt.Sprintf(format, args...))
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${NAME} by the environment's value; a missing one is a problem.
func (r *sourceReader) expand(field, text string) string {
	return variable.ReplaceAllStringFunc(text, func(match string) string {
		name := variable.FindStringSubmatch(match)[1]
		value := r.getenv(name)
		if value == "" {
			r.fail(field, "the environment variable %s is not set", name)
		}
		return value
	})
}

func (r *sourceReader) read(e sourceEntry) pms.Source {
	s := pms.Source{Name: r.expand("name", e.Name), Policy: pms.DefaultPolicy()}
	if !sourceName.MatchString(s.Name) {
		r.fail("name", "%q must be letters, digits, dots, dashes and underscores, at most 100", s.Name)
	}
	if format := r.expand("format", e.Format); format != "" && format != "staykey" {
		r.fail("format", `%q is not known to this version: use "staykey" and have the PMS, or a bridge, post the canonical format`, format)
	}
	r.verifier(&s, e)
	p := &s.Policy
	p.ACSSystemID = r.expand("acs_system_id", e.ACSSystemID)
	if p.TimeZone = r.expand("time_zone", e.TimeZone); p.TimeZone != "" {
		if _, err := pms.ParseTimeZone(p.TimeZone); err != nil {
			r.fail("time_zone", "%q %v", p.TimeZone, err)
		}
	}
	p.CheckInTime = r.clock("check_in_time", e.CheckInTime, p.CheckInTime)
	p.CheckOutTime = r.clock("check_out_time", e.CheckOutTime, p.CheckOutTime)
	p.GraceBefore = r.duration("grace.before", e.Grace.Before, 0)
	p.GraceAfter = r.duration("grace.after", e.Grace.After, 0)
	if p.Drift = pms.Drift(r.expand("drift", e.Drift)); p.Drift != "" && !p.Drift.Valid() {
		r.fail("drift", "%q must be repair or report", p.Drift)
	}
	p.KeepAfter = r.duration("keep_after", e.KeepAfter, p.KeepAfter)
	s.Limit = r.rateLimit(e.RateLimit)
	return s
}

func (r *sourceReader) verifier(s *pms.Source, e sourceEntry) {
	if e.Verify == nil {
		r.fail("verify", `is required: {method: standard-webhooks, secrets: ["${PMS_SECRET}"]}`)
		return
	}
	switch e.Verify.Method {
	case "standard-webhooks":
		if len(e.Verify.Secrets) == 0 {
			r.fail("verify.secrets", "at least one is needed")
		}
		for i, text := range e.Verify.Secrets {
			field := fmt.Sprintf("verify.secrets[%d]", i)
			if text = r.expand(field, text); text == "" {
				continue
			}
			secret, err := pms.ParseSecret(text)
			if err != nil {
				r.fail(field, "%v", err)
				continue
			}
			s.Secrets = append(s.Secrets, secret)
		}
	case "none":
		if !e.Insecure {
			r.fail("verify.method", "none lets anybody open doors: say insecure: true beside it, on the source, if that is what you want")
		}
		s.Insecure = true
	default:
		r.fail("verify.method", "%q must be standard-webhooks or none", e.Verify.Method)
	}
}

// rateLimit reads a source's limit; a burst that is not said is two seconds' worth.
func (r *sourceReader) rateLimit(e *rateLimitEntry) pms.RateLimit {
	if e == nil {
		return pms.RateLimit{}
	}
	if e.PerSecond <= 0 || e.PerSecond > 1e6 {
		r.fail("rate_limit.per_second", "%v must be a number of webhooks over 0, such as 50; leave rate_limit out for no limit", e.PerSecond)
	}
	limit := pms.RateLimit{PerSecond: e.PerSecond, Burst: e.Burst}
	if e.Burst < 0 || e.Burst > 1e6 {
		r.fail("rate_limit.burst", "%d must be a number of webhooks such as 100", e.Burst)
	}
	if e.Burst == 0 {
		limit.Burst = max(int(2*e.PerSecond), 1)
	}
	return limit
}

func (r *sourceReader) clock(field, text, otherwise string) string {
	if text = r.expand(field, text); text == "" {
		return otherwise
	}
	clock, err := pms.ParseClock(text)
	if err != nil {
		r.fail(field, "%q %v", text, err)
	}
	return clock
}

func (r *sourceReader) duration(field, text string, otherwise time.Duration) time.Duration {
	if text = r.expand(field, text); text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > 365*24*time.Hour {
		r.fail(field, "%q must be a duration such as 30m or 24h", text)
	}
	return d
}
