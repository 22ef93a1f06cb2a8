package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/pms"
)

type mapCommand struct {
	Format     string            `xor:"what" placeholder:"FORMAT" help:"Map a webhook's body: staykey, a preset, or the path of a .jq file."`
	WriteBack  string            `xor:"what" placeholder:"PRESET" help:"Instead of --format: show what write-back would send for a reservation as REST returns it. A preset, or the path of a .jq file."`
	Field      string            `placeholder:"FIELD" help:"With --write-back: the field; default the preset's."`
	Text       string            `placeholder:"JQ" help:"With --write-back: a jq program over the reservation that returns the text; default the guest's link."`
	With       map[string]string `placeholder:"NAME=VALUE" help:"With --write-back: the preset's own settings, such as property."`
	Payload    string            `arg:"" optional:"" default:"-" placeholder:"FILE" help:"The payload that the PMS posted, or the reservation; - or nothing reads standard input."`
	Query      map[string]string `placeholder:"NAME=VALUE" help:"Parameters of the webhook's URL."`
	Header     map[string]string `placeholder:"NAME=VALUE" help:"Headers of the webhook."`
	Form       bool              `help:"The payload is a URL-encoded form."`
	Fetched    map[string]string `placeholder:"KIND=FILE" help:"Fetched documents, as JSON files by kind."`
	EveryGuest bool              `help:"Map every guest, as guests.every_guest of a source does."`
}

// mappedEvent is the result of a mapping, as printed.
type mappedEvent struct {
	Type         string      `json:"type,omitempty"`
	Changes      []any       `json:"changes"`
	Rejected     []rejected  `json:"rejected,omitempty"`
	Ignored      string      `json:"ignored,omitempty"`
	Disconnected string      `json:"disconnected,omitempty"`
	Fetches      []pms.Fetch `json:"fetches,omitempty"`
}

// rejected is an item that can't be read.
type rejected struct {
	Where         string           `json:"where"`
	ReservationID string           `json:"reservation_id,omitempty"`
	ListingID     string           `json:"listing_id,omitempty"`
	Errors        []pms.FieldError `json:"errors"`
}

// Run prints the changes, with notes of what was dropped of them, and the items that can't be read. It fails if
// there are any, with everything that is wrong and its place in the program.
func (c *mapCommand) Run(ctx context.Context, streams *streams) error {
	switch {
	case c.WriteBack != "":
		return c.previewWriteBack(ctx, streams)
	case c.Format == "":
		return config.Problems{"--format=FORMAT or --write-back=PRESET is required"}
	}
	source := pms.Source{Statuses: pms.DefaultStatuses(), Guests: c.EveryGuest}
	if c.Format != pms.CanonicalFormat {
		format, err := pms.LoadFormat(c.Format)
		if err != nil {
			return err
		}
		source.Format = format
	}
	m, err := c.mapping(streams)
	if err != nil {
		return err
	}
	if source.Format != nil && len(bytes.TrimSpace(m.Body)) == 0 && source.Format.TakesQueries() {
		m.Request.Kind = "query"
	}

	e, err := source.Map(ctx, m)
	if err != nil {
		return err
	}
	if len(e.Invalid) == 0 {
		encoder := json.NewEncoder(streams.out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(mappedOf(e)); err != nil {
			return err
		}
	}
	return c.problems(source, append(e.Invalid, e.RejectedErrors()...))
}

// mappedOf is what is printed of an event.
func mappedOf(e pms.Event) mappedEvent {
	out := mappedEvent{Type: e.Type, Changes: []any{}, Ignored: e.Why, Disconnected: e.Disconnected, Fetches: e.Fetches}
	if e.Ignored && e.Why == "" {
		out.Ignored = "staykey doesn't use this type"
	}
	for _, change := range e.Changes {
		out.Changes = append(out.Changes, change)
	}
	for _, item := range e.Rejected {
		out.Rejected = append(out.Rejected, rejected{item.Where, item.ReservationID, item.ListingID, item.Errors})
	}
	return out
}

// problems are what is wrong with an event, each with its place in the program; nil if nothing is.
func (c *mapCommand) problems(source pms.Source, errs []pms.FieldError) error {
	var problems config.Problems
	for _, f := range errs {
		where := ""
		if source.Format != nil {
			if place := source.Format.Where(f.Field); place != "" {
				where = fmt.Sprintf("%s:%s: ", filepath.Base(c.Format), place)
			}
		}
		problems = append(problems, where+f.Field+": "+f.Message)
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

func (c *mapCommand) mapping(streams *streams) (m pms.Mapping, err error) {
	if c.Payload == "-" || c.Payload == "" {
		m.Body, err = io.ReadAll(streams.in)
	} else {
		m.Body, err = os.ReadFile(c.Payload)
	}
	if err != nil {
		return m, err
	}

	m.Request, m.ReceivedAt = pms.Request{Query: c.Query, Headers: map[string]string{}}, time.Now()
	for name, value := range c.Header {
		m.Request.Headers[strings.ToLower(name)] = value
	}

	if c.Form {
		m.Request.Kind = "form"
	}

	for kind, file := range c.Fetched {
		text, err := os.ReadFile(file) // #nosec G304 -- the user names it
		if err != nil {
			return m, err
		}
		document, err := pms.DecodeJSON(text)
		if err != nil {
			return m, errors.New(file + ": " + err.Error())
		}
		if m.Fetched == nil {
			m.Fetched = map[string]any{}
		}
		m.Fetched[kind] = []any{document}
	}
	return m, nil
}
