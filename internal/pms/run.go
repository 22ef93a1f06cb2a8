package pms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"time"

	"github.com/itchyny/gojq"
)

// Limits of one run of a program. They are far above what a mapping needs, and keep a faulty one from stopping the
// others.
//
// The cost of a program is counted in jq's own steps, which depend only on the program and its input: a busy or slow
// machine never makes an event invalid. A single step can take long (a regular expression over a megabyte), so
// processor time is limited too. It is not elapsed time, because waiting for a processor is not the program's fault. An
// event whose program used too much of it is mapped again later, with a higher bound.
const (
	// mostSteps is how many steps any program may take; a mapping takes a few hundred for a reservation.
	mostSteps = 1_000_000
	// stepsPerByte is how many more it may take for each byte of the body and of fetched documents.
	stepsPerByte = 8
	// longestRun is the processor time that a program may use, times the patience of its mapping.
	longestRun = 2 * time.Second
	// maxMapped bounds all outputs together, in bytes: a thousand reservations are about one megabyte.
	maxMapped = 8 << 20
	// mappers is how many programs run at a time. They use processors and memory, and no client waits for them.
	mappers = 4
)

// ErrTooLong says that a mapping was stopped because it had used too much processor time. The cause may be the machine,
// so the mapping is tried again with more patience.
var ErrTooLong = errors.New("was stopped because it took too long")

// errTooMuch means that a program took more steps than any mapping needs. Trying again would have the same result.
var errTooMuch = errors.New("was stopped because it does not end")

// errFailed means that a program ended with a jq error.
var errFailed = errors.New("failed")

var (
	busy    = make(chan struct{}, mappers)
	started = time.Now() // used where a thread's processor time isn't available
)

// run runs the program and returns its outputs.
func (f *Format) run(ctx context.Context, m Mapping, input any) ([]any, error) {
	return f.runForm(ctx, f.code, m, input)
}

// runForm runs a form of the program. The error is errFailed if jq reported one; the outputs are then those before the
// error, followed by its mark.
func (f *Format) runForm(ctx context.Context, code *gojq.Code, m Mapping, input any) (outputs []any, err error) {
	select {
	case busy <- struct{}{}:
		defer func() { <-busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	defer func() {
		if recovered := recover(); recovered != nil {
			err = fmt.Errorf("the program %s made jq panic: %T", f.Name, recovered)
		}
	}()
	runtime.LockOSThread() // processor time is a thread's
	defer runtime.UnlockOSThread()

	limited := &budget{
		Context: ctx, steps: mostSteps + stepsPerByte*(len(m.Body)+documentsSize(m.Fetched)),
		until: processorTime() + cmp.Or(m.Within, f.LongestRun, longestRun)*time.Duration(max(m.Patience, 1)),
	}

	size := 0
	results := code.RunWithContext(limited, input)
	for {
		v, ok := results.Next()
		if !ok {
			return outputs, nil
		}
		if failure, is := v.(error); is {
			if limited.spent != nil {
				return nil, fmt.Errorf("the program %s %w", f.Name, limited.spent)
			}
			return append(outputs, failed(failure)), fmt.Errorf("the program %s %w: %w", f.Name, errFailed,
				withoutValues(failure))
		}
		if size += sizeOf(v); size > maxMapped {
			return nil, fmt.Errorf("the program %s has outputs of more than %d bytes", f.Name, maxMapped)
		}
		outputs = append(outputs, v)
	}
}

// budget is a context that ends when a program has used up its limits. jq checks it before each step, and that is how
// steps are counted.
type budget struct {
	context.Context
	steps int
	until time.Duration // of its thread's processor time
	spent error         // why it has ended
}

// lookEvery is how many steps pass between readings of the processor time.
const lookEvery = 4096

var ended = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done is closed once the budget is spent.
func (b *budget) Done() <-chan struct{} {
	if b.spent != nil {
		return ended
	}
	switch b.steps--; {
	case b.steps < 0:
		b.spent = errTooMuch
		return ended
	case b.steps%lookEvery == 0:
		if b.Context.Err() != nil {
			b.spent = b.Context.Err()
			return ended
		}
		if processorTime() > b.until {
			b.spent = ErrTooLong
			return ended
		}
	}
	return nil
}

// Err returns why the budget's context has ended.
func (b *budget) Err() error {
	if b.spent != nil {
		return b.spent
	}
	return b.Context.Err()
}

// typed and quoted are where jq quotes values in an error: a guest's, most often.
var (
	typed  = regexp.MustCompile(`(?s)(\b(?:null|boolean|number|string|array|object)) \(.*\)`)
	quoted = regexp.MustCompile(`(?s)".*"`)
)

// withoutValues returns a program's error without the values that jq quotes in it.
func withoutValues(err error) error {
	var own interface{ Value() any }
	if errors.As(err, &own) { // the program's author wrote it
		text, isText := own.Value().(string)
		if !isText {
			text = noText
		}
		return errors.New(printable(text, maxText))
	}
	return errors.New(printable(unquotedValues(err.Error()), maxText))
}

// noText replaces a value passed to error() that is not a text.
const noText = "error(), with a value that is no text"

// unquotedValues returns an error's message without the values that jq quotes in it.
func unquotedValues(text string) string {
	return quoted.ReplaceAllString(typed.ReplaceAllString(text, "$1"), `"…"`)
}

var _ interface{ Value() any } = gojq.ValueError(nil)

// sizeOf estimates how many bytes a value takes.
func sizeOf(v any) int {
	n := 16
	switch v := v.(type) {
	case string:
		n += len(v)
	case []any:
		for _, item := range v {
			n += sizeOf(item)
		}
	case map[string]any:
		for key, item := range v {
			n += len(key) + sizeOf(item)
		}
	}
	return n
}

func documentsSize(fetched map[string]any) int {
	n := 0
	for _, documents := range fetched {
		n += sizeOf(documents)
	}
	return n
}
