package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

type importCommand struct {
	Database database `embed:""`
	File     string   `arg:"" placeholder:"FILE" help:"A .csv with a header of field names, a .json (a list) or an .ndjson (an object a line) of reservations and listings, with the fields of the canonical format."`
	Source   string   `required:"" placeholder:"NAME" help:"The source that they belong to."`
	AsOf     string   `placeholder:"TIME" help:"When the file was true, RFC 3339: what the PMS posted later wins. Default: when the file was last changed."`
	DryRun   bool     `help:"Check everything and write nothing."`
}

// importBatch is how many rows are stored at a time, and importNote how many between two notes of progress.
const (
	importBatch = 500
	importNote  = 5000
)

// imported counts what became of the rows.
type imported struct{ rows, fresh, known, wrong int }

// Run stores each row as an event. Rows that were imported before, from the same file, are known by their content.
func (c *importCommand) Run(ctx context.Context, streams *streams) error {
	if !sourceName.MatchString(c.Source) {
		return configProblems{fmt.Sprintf("--source: %q must be letters, digits, dots, dashes and underscores", c.Source)}
	}
	asOf, err := c.asOf()
	if err != nil {
		return err
	}
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var keep func([]store.Event) (fresh int, err error)
	if !c.DryRun {
		db, err := c.Database.open(ctx)
		if err != nil {
			return err
		}
		defer db.Close()
		keep = func(events []store.Event) (fresh int, err error) {
			accepted, err := db.InsertEvents(ctx, events)
			for _, a := range accepted {
				if !a.Duplicate {
					fresh++
				}
			}
			return fresh, err
		}
	}
	count, err := c.rows(ctx, file, asOf, streams, keep)
	word := map[bool]string{true: "would be stored", false: "are stored, and applied by the running service"}[c.DryRun]
	_, _ = fmt.Fprintf(streams.out, "%d rows: %d %s, %d were known, %d are wrong\n", count.rows, count.fresh, word, count.known, count.wrong)
	if err == nil && count.wrong > 0 {
		err = fmt.Errorf("%d rows are wrong: correct them and import the file again, the others are known by then", count.wrong)
	}
	return err
}

func (c *importCommand) asOf() (time.Time, error) {
	if c.AsOf != "" {
		t, err := pms.ParseInstant(c.AsOf)
		if err != nil {
			return t, configProblems{fmt.Sprintf("--as-of: %q %v", c.AsOf, err)}
		}
		return t, nil
	}
	info, err := os.Stat(c.File)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime().UTC().Truncate(time.Millisecond), nil
}

// rows reads the file, tells of rows that are wrong, and keeps the others.
func (c *importCommand) rows(ctx context.Context, file io.Reader, asOf time.Time, streams *streams, keep func([]store.Event) (int, error)) (count imported, err error) {
	var batch []store.Event
	seen := map[string]bool{}
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		fresh := len(batch)
		if keep != nil {
			if fresh, err = keep(batch); err != nil {
				return fmt.Errorf("behind row %d: %w (import the file again: what is stored is known)", count.rows-len(batch), err)
			}
		}
		count.fresh, count.known = count.fresh+fresh, count.known+len(batch)-fresh
		batch = batch[:0]
		return ctx.Err()
	}
	err = eachRow(file, strings.ToLower(filepath.Ext(c.File)), func(where string, row map[string]any, wrong error) error {
		count.rows++
		if count.rows%importNote == 0 {
			_, _ = fmt.Fprintf(streams.err, "%d rows\n", count.rows)
		}
		var event store.Event
		if wrong == nil {
			event, wrong = importedEvent(c.Source, row, asOf)
		}
		if wrong != nil {
			count.wrong++
			_, _ = fmt.Fprintf(streams.err, "%s: %s: %v\n", c.File, where, wrong)
			return nil
		}
		if seen[*event.EventKey] {
			count.known++
			return nil
		}
		seen[*event.EventKey] = true
		if batch = append(batch, event); len(batch) == importBatch {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	return count, err
}

// importedEvent makes the event that a row stands for.
func importedEvent(source string, row map[string]any, asOf time.Time) (store.Event, error) {
	envelope := row
	if _, whole := row["data"]; !whole {
		kind := "listing.updated"
		if _, is := row["reservation_id"]; is {
			kind = "reservation.updated"
		}
		envelope = map[string]any{"type": kind, "timestamp": pms.FormatInstant(asOf), "data": row}
	}
	body, err := json.Marshal(envelope)
	if err != nil {
		return store.Event{}, err
	}
	parsed, err := pms.ParseStaykey(body)
	switch {
	case err != nil:
		return store.Event{}, err
	case len(parsed.Invalid) > 0:
		return store.Event{}, errors.New(strings.ReplaceAll(pms.Reasons(parsed.Invalid), "data.", ""))
	case parsed.Ignored:
		return store.Event{}, fmt.Errorf("the type %q means nothing here", parsed.Type)
	}
	sum := sha256.Sum256(body)
	key := "import_" + hex.EncodeToString(sum[:16])
	now := time.Now().UTC().Truncate(time.Microsecond)
	e := store.Event{
		EventID: uuid.New(), Source: source, EventKey: &key, Type: parsed.Type, Status: store.EventAccepted, OccurredAt: &parsed.OccurredAt, ReceivedAt: now,
		Body: body, Request: []byte(`{"format":"` + pms.CanonicalFormat + `"}`), // whatever the source's format
	}
	switch change := parsed.Change(); {
	case change.Reservation != nil:
		e.ReservationID, e.ListingID = &change.Reservation.ReservationID, change.Reservation.ListingID
	case change.Listing != nil:
		e.ListingID = &change.Listing.ListingID
	}
	return e, nil
}

// eachRow calls fn with each row and where it is; wrong says why it can't be read.
func eachRow(file io.Reader, extension string, fn func(where string, row map[string]any, wrong error) error) error {
	switch extension {
	case ".csv":
		return eachRecord(file, fn)
	case ".ndjson", ".jsonl":
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for n := 1; lines.Scan(); n++ {
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			row, err := asObject(lines.Bytes())
			if err := fn(fmt.Sprintf("line %d", n), row, err); err != nil {
				return err
			}
		}
		return lines.Err()
	case ".json":
		d := json.NewDecoder(file)
		if open, err := d.Token(); err != nil || open != json.Delim('[') {
			return errors.New("a .json file must be a list of objects")
		}
		for n := 1; d.More(); n++ {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return fmt.Errorf("item %d: %w", n, err)
			}
			row, err := asObject(raw)
			if err := fn(fmt.Sprintf("item %d", n), row, err); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%q must be .csv, .json or .ndjson", extension)
}

func asObject(text []byte) (map[string]any, error) {
	v, err := pms.DecodeJSON(text)
	if err != nil {
		return nil, err
	}
	row, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("must be an object")
	}
	return row, nil
}

// eachRecord reads a CSV file. An empty cell is none; access groups are separated by spaces or semicolons.
func eachRecord(file io.Reader, fn func(where string, row map[string]any, wrong error) error) error {
	r := csv.NewReader(file)
	r.ReuseRecord, r.TrimLeadingSpace = true, true
	head, err := r.Read()
	if err != nil {
		return fmt.Errorf("line 1 must be the names of the fields: %w", err)
	}
	names := make([]string, len(head))
	for i, name := range head {
		names[i] = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")) // spreadsheets put a mark in front
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		line, _ := r.FieldPos(0)
		where := fmt.Sprintf("line %d", line)
		if broken := new(csv.ParseError); errors.As(err, &broken) {
			where = fmt.Sprintf("line %d", broken.Line)
		}
		row := map[string]any{}
		for i, cell := range record {
			switch name := names[min(i, len(names)-1)]; {
			case name == "seam_access_group_ids":
				row[name] = strings.FieldsFunc(cell, func(c rune) bool { return c == ' ' || c == ';' || c == ',' })
			case cell != "":
				row[name] = cell
			case name == "listing_id":
				row[name] = nil // no room yet
			}
		}
		if err := fn(where, row, err); err != nil {
			return err
		}
	}
}
