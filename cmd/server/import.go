package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/handlers/rest"
	"github.com/staykey/staykey/internal/importfile"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// import reads a file (internal/importfile), sends it to a running service in batches, and prints the results. It needs
// the service's URL and a token that may write, and no database.

type importCommand struct {
	File          string `arg:"" placeholder:"FILE" help:"A .csv with a header of field names, a .json (a list) or an .ndjson (an object per line) of reservations and listings, with the fields of the canonical format."`
	Source        string `required:"" placeholder:"NAME" help:"The source of the rows."`
	AsOf          string `placeholder:"TIME" help:"Export time of the file, RFC 3339; newer PMS events take precedence. Default: the file's modification time."`
	DryRun        bool   `help:"Only report the result of each row, and change nothing."`
	IgnoreUnknown bool   `help:"Ignore unknown fields instead of refusing them."`
	Remote        remote `embed:""`
}

// importBatch is how many rows are sent at a time, and importBytes about how many bytes at most.
const (
	importBatch = 200
	importBytes = 512 << 10
	importNote  = 2 * time.Second // between two notes of progress
)

// imported counts the result of the rows.
type imported struct{ rows, applied, superseded, waiting, known, wrong int }

// Run imports a file. Rows that were imported before, from the same file, are known by their content.
func (c *importCommand) Run(ctx context.Context, streams *streams) error {
	if !config.SourceName.MatchString(c.Source) {
		return config.Problems{fmt.Sprintf("--source: %q must be letters, digits, dots, dashes and underscores",
			c.Source)}
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
	info, err := file.Stat()
	if err != nil {
		return err
	}

	run := &importRun{command: c, out: streams, asOf: asOf, size: info.Size(), noted: time.Now()}
	reader := &countingReader{r: file, n: &run.read}
	err = importfile.Each(reader, strings.ToLower(filepath.Ext(c.File)), c.IgnoreUnknown,
		func(r importfile.Row) error { return run.add(ctx, r) })
	if err == nil {
		err = run.flush(ctx)
	}

	if err != nil && !run.answered {
		return fmt.Errorf("%s: %w. Nothing was imported", c.File, err)
	}
	run.summary()
	if err != nil {
		return fmt.Errorf("%s: %w (after %s). Correct it and import the file again: already imported rows are skipped",
			c.File, err, counted(run.count.rows-len(run.batch), "row"))
	}
	if run.count.wrong > 0 {
		are := "are"
		if run.count.wrong == 1 {
			are = "is"
		}
		return fmt.Errorf("%s %s invalid. Correct and import the file again: already imported rows are skipped",
			counted(run.count.wrong, "row"), are)
	}
	return nil
}

func (c *importCommand) asOf() (time.Time, error) {
	if c.AsOf != "" {
		t, err := pms.ParseInstant(c.AsOf)
		if err != nil {
			return t, config.Problems{fmt.Sprintf("--as-of: %q %v", c.AsOf, err)}
		}
		return t, nil
	}
	info, err := os.Stat(c.File)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime().UTC().Truncate(time.Millisecond), nil
}

// importRun is an import under way.
type importRun struct {
	command *importCommand
	out     *streams
	asOf    time.Time
	size    int64 // of the file
	read    int64 // of it, so far
	noted   time.Time
	count   imported
	batch   []map[string]any
	where   []string // of the batch's rows
	bytes   int      // of the batch, about

	answered bool // the service has answered for a batch
}

// add takes a row, and sends those that are enough for a request.
func (r *importRun) add(ctx context.Context, row importfile.Row) error {
	r.count.rows++
	if row.Wrong != nil {
		r.reportInvalid(row.Where, row.Wrong.Error())
		return nil
	}
	r.batch = append(r.batch, row.Event(r.asOf))
	r.where = append(r.where, row.Where)
	r.bytes += row.Bytes
	if len(r.batch) < importBatch && r.bytes < importBytes {
		return nil
	}
	return r.flush(ctx)
}

func (r *importRun) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	var report rest.ImportReport
	request := rest.ImportRequest{Events: r.batch, DryRun: r.command.DryRun}
	_, _, err := r.command.Remote.call(ctx, http.MethodPost, "/v1/sources/"+url.PathEscape(r.command.Source)+"/import",
		nil, request, &report)
	if err != nil {
		return fmt.Errorf("import into the source %q: %w", r.command.Source, err)
	}
	if len(report.Items) != len(r.batch) {
		return errors.New("the service has not answered for every row: is it the same version as this command?")
	}
	r.answered = true
	for i, item := range report.Items {
		r.note(r.where[i], item)
	}
	r.batch, r.where, r.bytes = r.batch[:0], r.where[:0], 0
	if time.Since(r.noted) >= importNote {
		r.noted = time.Now()
		_, _ = fmt.Fprintf(r.out.err, "%3d %%, %d rows\n", 100*r.read/max(r.size, 1), r.count.rows)
	}
	return ctx.Err()
}

func (r *importRun) note(where string, item rest.ImportedEvent) {
	switch item.Status {
	case stay.EventApplied:
		r.count.applied++
	case stay.EventSuperseded:
		r.count.superseded++
	case stay.EventAccepted:
		r.count.waiting++
	case intake.ImportKnown:
		r.count.known++
	default: // invalid, rejected, ignored
		why := orDash(item.Reason)
		if len(item.Errors) > 0 {
			why = pms.Reasons(item.Errors)
		}
		r.reportInvalid(where, strings.ReplaceAll(why, "data.", ""))
	}
}

func (r *importRun) reportInvalid(where, why string) {
	r.count.wrong++
	_, _ = fmt.Fprintf(r.out.err, "%s: %s: %s\n", r.command.File, where, why)
}

// summary prints the results of the rows.
func (r *importRun) summary() {
	applied, superseded := "were applied", "were outdated and changed nothing"
	if r.command.DryRun {
		applied, superseded = "would be applied", "are outdated and would change nothing"
	}
	_, _ = fmt.Fprintf(r.out.out, "%s: %d %s, %d %s, %d already imported, %d invalid\n",
		counted(r.count.rows, "row"), r.count.applied, applied, r.count.superseded, superseded, r.count.known,
		r.count.wrong)
	if r.count.waiting > 0 {
		_, _ = fmt.Fprintf(r.out.out, "%d more are stored and will be applied: the service was busy\n", r.count.waiting)
	}
}

type countingReader struct {
	r io.Reader
	n *int64
}

// Read implements io.Reader.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	*c.n += int64(n)
	return n, err
}
