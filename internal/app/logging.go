package app

import (
	"io"
	"log/slog"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/logs"
)

// newLogger writes to standard error, as the configuration says. What repeats in an outage is counted instead of
// written; flush writes the counts. What it writes is redacted as a whole: the record is rendered first, and then
// secrets and addresses are replaced, whatever kind of value they were in. The redactor follows reloads of the
// configuration.
func newLogger(c config.Config, out io.Writer) (log *slog.Logger, flush func()) {
	c.HideSecrets()
	options := &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: durationsAsText}
	redacted := redactedWriter{out, c.Redactor}
	var handler slog.Handler = slog.NewJSONHandler(redacted, options)
	if c.LogFormat == "text" {
		handler = slog.NewTextHandler(redacted, options)
	}
	bounded := logs.Bound(handler)
	return slog.New(bounded), bounded.Flush
}

// durationsAsText writes durations as people do, and as settings take them: 15m0s. In JSON they would be numbers of
// nanoseconds.
func durationsAsText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// redactedWriter redacts each record; slog's handlers write one at a time, as a whole.
type redactedWriter struct {
	out      io.Writer
	redactor *config.Redactor
}

// Write implements io.Writer.
func (w redactedWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.out, w.redactor.Redact(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
