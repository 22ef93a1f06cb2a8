package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/store"
)

// client asks the PMS of one source for documents, with the client of the source's account.
type client struct {
	settings *pms.FetchSettings
	api      *pmsapi.Client
}

func (f *Fetcher) client(source pms.Source) client {
	return client{source.Fetch, f.accounts.Of(source.Fetch.Account(), f.first)}
}

// get asks for the documents that a format wants, and notes each request.
func (c client) get(ctx context.Context, want pms.Fetch, note func(store.Try)) ([]any, error) {
	d := c.settings.Documents[want.Kind]
	ids := [][]string{want.IDs}
	if !d.Batched() {
		ids = ids[:0]
		for _, id := range want.IDs {
			ids = append(ids, []string{id})
		}
	}

	var documents []any
	for _, some := range ids {
		began := time.Now()
		document, status, err := c.one(ctx, want, d, some)
		if paused := new(pmsapi.PausedError); errors.As(err, &paused) {
			return nil, err // there was no request to note
		}

		try := store.Try{
			At: began.UTC(), Document: want.Kind + " " + strings.Join(some, ", "),
			DurationMS: time.Since(began).Milliseconds(), Status: status,
		}
		if len(try.Document) > 200 {
			try.Document = fmt.Sprintf("%d of %s", len(some), want.Kind)
		}
		if err != nil {
			try.Error = err.Error()
		}

		note(try)
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
	return documents, nil
}

// one sends one request.
func (c client) one(ctx context.Context, want pms.Fetch, d pms.Document, ids []string) (document any,
	status int, err error,
) {
	address, err := c.settings.Address(want, ids[0])
	if err != nil {
		return nil, 0, err
	}
	request := pmsapi.Request{Method: d.Method, Address: address, Message: d.Message}
	if d.Method == http.MethodPost {
		fields, _ := d.Filled(ids).(map[string]any)
		if fields == nil {
			fields = map[string]any{}
		}
		request.JSON = fields
	}
	answer, err := c.api.Do(ctx, request, func(a pmsapi.Answer) (err error) {
		document, err = c.read(a, d)
		return err
	})
	return document, answer.Status, err
}

// read extracts the document from an answer, or says why it can't.
func (c client) read(a pmsapi.Answer, d pms.Document) (any, error) {
	switch {
	case a.Status != http.StatusOK:
		return nil, c.api.Refused(a, d.Message)
	case len(a.Text) > pmsapi.MaxAnswer:
		return nil, &pmsapi.Error{
			Status: a.Status, Cause: pmsapi.Unknown,
			Message: fmt.Sprintf("the PMS's answer is larger than %d MiB", pmsapi.MaxAnswer>>20),
		}
	}
	if err := pms.CheckJSON(a.Text); err != nil {
		return nil, &pmsapi.Error{Status: a.Status, Cause: pmsapi.Failing, Message: "the PMS's answer is not JSON"}
	}
	document, err := pms.DecodeJSON(a.Text)
	switch {
	case err != nil:
		return nil, &pmsapi.Error{Status: a.Status, Cause: pmsapi.Failing, Message: "the PMS's answer is not JSON"}
	case d.OK != "" && !isTrue(pms.Lookup(document, d.OK)):
		return nil, &pmsapi.Error{
			Status: a.Status, RetryAfter: pmsapi.RetryAfter(a.Header), Cause: pmsapi.Failing,
			Message: "the PMS refused: it answered " + a.Line + " and " + d.OK + " is not true" +
				c.api.Quote(a.Text, d.Message),
		}
	case d.Require != "" && isEmpty(pms.Lookup(document, d.Require)):
		return nil, &pmsapi.Error{
			Status: a.Status, Cause: pmsapi.Failing, Message: "the PMS's answer has nothing in " +
				d.Require + c.api.Quote(a.Text, d.Message),
		}
	}
	return document, nil
}

func isTrue(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return v == "true" || v == "1"
	case json.Number:
		return v.String() == "1"
	}
	return false
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
