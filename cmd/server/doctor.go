package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/config"
)

type doctorCommand struct {
	Remote remote        `embed:""`
	Wait   time.Duration `placeholder:"DURATION" help:"Wait this long for the service to be ready, such as 2m; exit 3 if it isn't by then."`
}

// waitReady asks /readyz every second until it answers 200, for as long as the command may wait.
func (c *doctorCommand) waitReady(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last error
	for {
		_, _, err := c.Remote.get(waiting, "/readyz", nil, &struct{}{})
		if err == nil {
			return nil
		}
		if problems := config.Problems(nil); errors.As(err, &problems) {
			return err
		}
		if waiting.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-waiting.Done():
			return statusError{fmt.Errorf("not ready after %s: %w", c.Wait, last), exitNotReady}
		case <-tick.C:
		}
	}
}

// Run has a running service check its configuration against Seam, Postgres and its webhooks. The error says that
// something is wrong.
func (c *doctorCommand) Run(ctx context.Context, out *streams) error {
	if c.Wait > 0 {
		if err := c.waitReady(ctx); err != nil {
			return err
		}
	}
	var d admin.Diagnosis
	asked := time.Now().Truncate(time.Second)
	_, date, err := c.Remote.get(ctx, "/v1/diagnosis", nil, &d)
	if err != nil {
		return err
	}
	if !date.IsZero() {
		clock := app.CompareClocks("this machine and the service", date, asked)
		d.Findings = append(d.Findings, clock)
		d.OK = d.OK && clock.Level != admin.LevelError
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, f := range d.Findings {
		counts[f.Level]++
	}

	err = c.Remote.show(out.out, raw, func(w io.Writer) {
		for _, f := range d.Findings {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s: %s\n", f.Level, strings.ReplaceAll(f.Check, "_", " "),
				f.Subject, f.Message)
			if f.Do != "" {
				_, _ = fmt.Fprintf(w, "\t\t-> %s\n", f.Do)
			}
		}
		_, _ = fmt.Fprintf(w, "\n%d ok, %s, %s\n", counts[admin.LevelOK],
			counted(counts[admin.LevelWarning], "warning"), counted(counts[admin.LevelError], "error"))
	})
	if err == nil && !d.OK {
		return fmt.Errorf("%d of %d checks failed", counts[admin.LevelError], len(d.Findings))
	}
	return err
}
