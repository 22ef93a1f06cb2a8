package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/store"
)

// urgentWithin is how near a check-in must be for its event to overtake a backlog.
const urgentWithin = 24 * time.Hour

// collect fetches the documents that the format needs for an event, and further ones that those refer to. Each request
// is recorded in the event's tries.
func (f *Fetcher) collect(ctx context.Context, source pms.Source, e *store.EventFetch) (map[string]any, error) {
	m, err := intake.MappingOf(store.Event{Body: e.Body, Request: e.Request})
	if err != nil {
		return nil, err
	}
	c := f.client(source)

	all := map[string]any{}
	for range rounds {
		event, err := source.Map(ctx, m)
		if err != nil {
			return nil, mapError(err)
		}

		if len(event.Fetches) == 0 {
			e.Urgent = event.ArrivesWithin(time.Now(), urgentWithin)
			return all, checkMeaning(event, all)
		}

		now := map[string][]any{}
		for _, want := range event.Fetches {
			if _, have := all[want.Kind]; have {
				return nil, fmt.Errorf("the format %s asks for %q repeatedly", source.Format.Name, want.Kind)
			}
			documents, err := f.documents(ctx, source, c, e, want)
			if err != nil {
				return nil, err
			}
			if now[want.Kind] == nil {
				now[want.Kind] = []any{} // an empty list, not null: it was requested
			}
			now[want.Kind] = append(now[want.Kind], documents...)
		}

		for kind, documents := range now {
			all[kind] = documents
		}
		m.Fetched = all
	}
	return nil, fmt.Errorf("the format %s wants more than %d documents one after another", source.Format.Name, rounds)
}

// documents fetches one kind of documents. Optional ones that the PMS doesn't have, or hasn't delivered for a while,
// are left out.
func (f *Fetcher) documents(ctx context.Context, source pms.Source, c client, e *store.EventFetch,
	want pms.Fetch,
) ([]any, error) {
	documents, err := c.get(ctx, want, func(t store.Try) { e.Note(t); count(source.Name, t) })
	if err == nil && e.Attempts == 0 && isStale(source.Fetch.Documents[want.Kind], want, documents) {
		return nil, &pmsapi.Error{Cause: pmsapi.Early, Message: "the PMS's document is older than its webhook"}
	}
	if err == nil || !want.Optional || ctx.Err() != nil {
		return documents, err
	}
	a := pmsapi.Attempt{Number: e.Attempts + 1, Since: e.Since(time.Now())}
	switch api, paused := new(pmsapi.Error), new(pmsapi.PausedError); {
	case errors.As(err, &api):
		a.Cause = api.Cause
	case errors.As(err, &paused):
		a.Cause, a.Number = pmsapi.Silent, 0
	default:
		return nil, err
	}
	if !doWithout(a) {
		return nil, err
	}
	return []any{}, nil
}

func count(source string, t store.Try) {
	answer := fmt.Sprint(t.Status)
	if t.Status == 0 {
		answer = "failed"
	}
	requests.WithLabelValues(source, answer).Inc()
}

// mapError describes the failure of a program. One that ran out of time is run again.
func mapError(err error) error {
	if errors.Is(err, pms.ErrTooLong) {
		return &pmsapi.Error{Cause: pmsapi.Failing, Message: err.Error()}
	}
	return err
}

// checkMeaning reports whether a format found anything in its documents. A program that ignores documents says why.
// Otherwise the PMS may not have updated them yet.
func checkMeaning(e pms.Event, documents map[string]any) error {
	if len(documents) == 0 || len(e.Invalid) != 1 || e.Invalid[0].Field != "fetched" {
		return nil
	}
	return &pmsapi.Error{Cause: pmsapi.Failing, Message: "the PMS's documents say nothing of what the webhook is about"}
}

// isStale reports whether a document is known to be older than the change that it was fetched for.
func isStale(d pms.Document, want pms.Fetch, documents []any) bool {
	if d.Modified == "" || want.AsOf.IsZero() {
		return false
	}
	for _, document := range documents {
		if at, err := pms.ReadInstant(pms.Lookup(document, d.Modified)); err == nil &&
			at.Before(want.AsOf.Add(-tolerance)) {
			return true
		}
	}
	return false
}
