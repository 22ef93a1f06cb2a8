package pms

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// FetchSettings say how to fetch a source's documents: the format's part, and the account's credentials.
type FetchSettings struct {
	FetchManifest
	Credentials
}

// Account is the account whose credentials fetch the documents.
func (s FetchSettings) Account() Account { return Account{s.AccountManifest, s.Credentials} }

var placeholder = regexp.MustCompile(`\{([a-z_]+)\}`)

// check finds mistakes of the manifest's author.
func (m FetchManifest) check() error {
	if err := m.AccountManifest.check("fetch."); err != nil {
		return err
	}
	if len(m.Documents) == 0 {
		return errors.New("fetch.documents: at least one is needed")
	}
	for kind, d := range m.Documents {
		if !strings.HasPrefix(d.Path, "/") || strings.HasPrefix(d.Path, "//") || strings.Contains(d.Path, "#") {
			return fmt.Errorf("fetch.documents.%s.path: must begin with a slash: it is appended to the URL of the API",
				kind)
		}
		if d.Method != "" && d.Method != "GET" && d.Method != "POST" {
			return fmt.Errorf("fetch.documents.%s.method: %q must be GET or POST", kind, d.Method)
		}
	}
	return nil
}

// CheckFetchURL checks the URL of a PMS's API: it must use TLS, except on this machine.
func CheckFetchURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New(`must be a URL such as "https://api.example.com/v1"`)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || (u.Scheme == "http" && (u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback()))) {
		return nil
	}
	return errors.New("must begin with https://")
}

// Address returns a document's URL: the configured URL and the document's path with the ids filled in. Ids are escaped,
// so that none can lead to another path or host.
func (m FetchManifest) Address(f Fetch, id string) (string, error) {
	d, known := m.Documents[f.Kind]
	if !known {
		return "", fmt.Errorf("the format fetches %q and has no address for it", f.Kind)
	}
	if id == "" {
		return "", errors.New("a document without an id has no address")
	}
	return fillAddress(m.URL, d.Path, func(name string) (string, error) {
		switch name {
		case "id":
			return id, nil
		case "ids":
			return strings.Join(f.IDs, ","), nil
		}
		if f.With[name] == "" {
			return "", fmt.Errorf("the address of a %s needs %q: %w", f.Kind, name, errNoValue)
		}
		return f.With[name], nil
	})
}

// fillAddress joins an API's URL and a path, and replaces names in braces by their values, escaped.
func fillAddress(base, path string, valueOf func(name string) (string, error)) (string, error) {
	var wrong error
	value := func(name string) string {
		text, err := valueOf(name)
		if err != nil {
			wrong = err
		}
		return text
	}

	path, query, hasQuery := strings.Cut(path, "?")
	fill := func(text string, escape func(string) string) string {
		return placeholder.ReplaceAllStringFunc(text,
			func(match string) string { return escape(value(strings.Trim(match, "{}"))) })
	}

	segment := func(value string) string { // dots alone would lead to another path
		if value != "" && strings.Trim(value, ".") == "" {
			wrong = fmt.Errorf("%q can't be a part of an address", value)
		}
		return url.PathEscape(value)
	}

	address := strings.TrimSuffix(base, "/") + fill(path, segment)
	if !hasQuery || wrong != nil {
		return address, wrong
	}

	separator := "?"
	for _, parameter := range strings.Split(query, "&") {
		filled := fill(parameter, url.QueryEscape)
		if errors.Is(wrong, errNoValue) { // one that is not known is left out
			wrong = nil
			continue
		}
		address, separator = address+separator+filled, "&"
	}
	return address, wrong
}

// errNoValue says that an event doesn't have what an address needs.
var errNoValue = errors.New("the event has no value for it")

// Batched reports whether one request can ask for several ids.
func (d Document) Batched() bool {
	return strings.Contains(d.Path, "{ids}") || d.Method == "POST"
}

// Filled is the body of a POST with the ids filled in.
func (d Document) Filled(ids []string) any { return fillIDs(d.Body, ids) }

func fillIDs(v any, ids []string) any {
	switch v := v.(type) {
	case string:
		if v == "{ids}" {
			return ids
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = fillIDs(value, ids)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = fillIDs(value, ids)
		}
		return out
	}
	return v
}
