package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/handlers/rest"
)

type actCommand struct {
	Action       string        `arg:"" enum:"reconcile,hold,release,revoke,reissue,window" help:"reconcile, hold, release, revoke, reissue or window."`
	Reservations []string      `arg:"" optional:"" name:"source/id" help:"Reservations, as default/3333122-433: a source, a slash, and the id as the PMS sent it."`
	File         string        `placeholder:"FILE" help:"File with one reservation per line; - is standard input."`
	Reason       string        `placeholder:"TEXT" help:"Why; required, except for a reconcile. Don't include guest data."`
	Author       string        `placeholder:"NAME" help:"Person who uses the token, if several people share it."`
	Earlier      time.Duration `placeholder:"DURATION" help:"With window: how long before check-in access begins, such as 2h."`
	Later        time.Duration `placeholder:"DURATION" help:"With window: how long after check-out access ends, such as 2h."`
	Remote       remote        `embed:""`
}

// errRefused ends a command whose service refused a part of what was asked.
var errRefused = errors.New("some reservations were refused")

func refusedAny(report rest.BatchReport) bool {
	return slices.ContainsFunc(report.Items, func(r rest.BatchResult) bool { return r.Code != nil })
}

// Run acts on the reservations, a hundred per request, and fails if one of them refuses.
func (c *actCommand) Run(ctx context.Context, out *streams) error {
	refs, err := c.refs()
	if err != nil {
		return err
	}
	refused := false
	for part := range slices.Chunk(refs, admin.MostActedOn) {
		asked := rest.BatchAction{
			Action: c.Action, Reason: c.Reason, Author: c.Author, Reservations: part,
			EarlierMinutes: int(c.Earlier / time.Minute), LaterMinutes: int(c.Later / time.Minute),
		}
		var report rest.BatchReport
		raw, _, err := c.Remote.call(ctx, http.MethodPost, "/v1/reservations/actions", nil, asked, &report)
		if err != nil {
			return err
		}
		if err := showBatch(c.Remote, out.out, raw, report); err != nil {
			return err
		}
		refused = refused || refusedAny(report)
	}
	if refused {
		return errRefused
	}
	return nil
}

// refs are the reservations that the arguments and the file name, in their order, each once.
func (c *actCommand) refs() ([]rest.ReservationRef, error) {
	names := c.Reservations
	if c.File != "" {
		lines, err := readLines(c.File)
		if err != nil {
			return nil, err
		}
		names = append(names, lines...)
	}
	if len(names) == 0 {
		return nil, config.Problems{"reservations: name at least one, as default/3333122-433, or a file with --file"}
	}
	refs := make([]rest.ReservationRef, 0, len(names))
	for _, name := range names {
		source, id, ok := strings.Cut(name, "/") // names of sources have no slash; ids may
		if !ok || source == "" || id == "" {
			return nil, config.Problems{fmt.Sprintf("reservations: %q must be a source, a slash and an id, as default/3333122-433", name)}
		}
		if ref := (rest.ReservationRef{Source: source, ReservationID: id}); !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

// readLines reads the lines of a file that are not empty; - is standard input.
func readLines(name string) (lines []string, err error) {
	from := os.Stdin
	if name != "-" {
		from, err = os.Open(name) // #nosec G304 -- the admin's own file
		if err != nil {
			return nil, err
		}
		defer func() { _ = from.Close() }()
	}
	scan := bufio.NewScanner(from)
	for scan.Scan() {
		if line := strings.TrimSpace(scan.Text()); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, scan.Err()
}

func showBatch(r remote, out io.Writer, raw []byte, report rest.BatchReport) error {
	return r.show(out, raw, func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "RESERVATION\tRESULT\tWHY")
		for _, one := range report.Items {
			_, _ = fmt.Fprintf(w, "%s/%s\t%s\t%s\n", one.Source, one.ReservationID, one.Status, orDash(one.Message))
		}
		if report.UndoUntil != nil && !report.Undone {
			_, _ = fmt.Fprintf(w, "\nundo until %s: staykey undo %s\n", *report.UndoUntil, report.UndoID)
		}
	})
}
