package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
)

// remote is a running service, as commands for admins reach it.
type remote struct {
	URL       string `env:"STAYKEY_URL" placeholder:"URL" default:"http://127.0.0.1:8080" help:"The running service; default ${default}."`
	TokenFile string `placeholder:"FILE" help:"File with the token; default: STAYKEY_TOKEN, else STAYKEY_ADMIN_TOKEN."`
	JSON      bool   `name:"json" help:"Print the service's answer as JSON."`
}

// remoteTimeout is how long the service may take: a diagnosis asks Seam and itself.
const remoteTimeout = 45 * time.Second

// get asks the service. raw is its answer, and date the time of its clock.
func (r remote) get(ctx context.Context, path string, query url.Values, into any) (raw []byte,
	date time.Time, err error,
) {
	return r.call(ctx, http.MethodGet, path, query, nil, into)
}

// call asks the service, with a body of JSON unless body is nil, and decodes its answer into into.
func (r remote) call(ctx context.Context, method, path string, query url.Values, body, into any) (raw []byte,
	date time.Time, err error,
) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	req, err := r.request(ctx, method, path, query, body)
	if err != nil {
		return nil, date, err
	}

	resp, err := http.DefaultClient.Do(req) // #nosec G704 -- the admin's own service
	if err != nil {
		return nil, date, fmt.Errorf(
			"%s can't be reached: check that the service runs and that STAYKEY_URL is right: %w", r.URL, unwrapURL(err))
	}
	defer func() { _ = resp.Body.Close() }()

	date, _ = http.ParseTime(resp.Header.Get("Date"))
	if raw, err = io.ReadAll(io.LimitReader(resp.Body, 64<<20)); err != nil {
		return nil, date, fmt.Errorf("read what %s answers: %w", r.URL, err)
	}

	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, date, refusal(r.URL, resp, raw)
	}
	if err := r.decode(raw, into); err != nil {
		return nil, date, fmt.Errorf("%s does not answer like staykey: %w", r.URL, err)
	}
	return raw, date, nil
}

func (r remote) request(ctx context.Context, method, path string, query url.Values, body any) (*http.Request, error) {
	target := strings.TrimRight(r.URL, "/") + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}

	var sent io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(encoded)
	}

	req, err := http.NewRequestWithContext(ctx, method, target, sent)
	if err != nil {
		return nil, config.Problems{fmt.Sprintf("STAYKEY_URL: %q must be a URL such as http://127.0.0.1:8080", r.URL)}
	}

	token, err := config.AdminToken(r.TokenFile, r.URL)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, config.Problems{"STAYKEY_TOKEN: is required for " + r.URL}
	}

	req.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// decode reads an answer. What is shown in a terminal has its control characters escaped; --json prints the answer
// itself.
func (r remote) decode(raw []byte, into any) error {
	if r.JSON {
		return json.Unmarshal(raw, into)
	}
	shown, err := visibleJSON(raw)
	if err != nil {
		return err
	}
	return json.Unmarshal(shown, into)
}

func unwrapURL(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refusal words a problem of the service.
func refusal(address string, resp *http.Response, raw []byte) error {
	var p handlers.Problem
	if json.Unmarshal(raw, &p) != nil || p.Detail == "" {
		return fmt.Errorf("%s answers %s, and not like staykey: check STAYKEY_URL", address, resp.Status)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s refuses the token: set STAYKEY_TOKEN to a token from its STAYKEY_ADMIN_TOKEN or config file", address)
	}
	text := p.Detail
	for _, e := range p.Errors {
		text += "\n" + e.Field + ": " + e.Message
	}
	return errors.New(pms.Plain(text))
}

// show prints the raw answer, or a table.
func (r remote) show(out io.Writer, raw []byte, table func(w io.Writer)) error {
	if r.JSON {
		var b bytes.Buffer
		if err := json.Indent(&b, escapedJSON(raw), "", "  "); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, b.String())
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}
