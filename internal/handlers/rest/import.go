package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// MaxImport is how many events one request may import.
const MaxImport = 500

// ImportRequest are events to import.
type ImportRequest struct {
	Events []map[string]any `json:"events" minItems:"1" maxItems:"500" nullable:"false" doc:"Events of the canonical format: type, timestamp and data. Anything that the PMS posted after the timestamp takes precedence."`
	DryRun bool             `json:"dry_run,omitempty" doc:"Only report the result, and change nothing."`
}

// ImportedEvent is the result of an imported event.
type ImportedEvent struct {
	EventID *string          `json:"event_id" format:"uuid" doc:"Null if nothing is stored."`
	Status  string           `json:"status" enum:"applied,superseded,ignored,rejected,accepted,known,invalid" doc:"accepted: stored, not applied yet. known: imported before. invalid: not an event, nothing is stored."`
	Reason  *string          `json:"reason"`
	Errors  []pms.FieldError `json:"errors" nullable:"false"`
}

// ImportReport has the result of each event, in the order of the request.
type ImportReport struct {
	DryRun bool            `json:"dry_run"`
	Items  []ImportedEvent `json:"items" nullable:"false"`
}

type importInput struct {
	Source string `path:"source" example:"default"`
	Body   ImportRequest
}

func (s *API) importOperation(api huma.API) {
	op := operation("import-events", http.MethodPost, "/v1/sources/{source}/import", "Sources",
		"Import reservations and listings", withBody(http.StatusForbidden, http.StatusNotFound)...)
	op.Description = "For bookings made before the PMS was connected. Events use the canonical format, whatever the " +
		"source's own format. An event that was imported before with the same content is known and changes " +
		"nothing. The request waits up to ten seconds for the events to be applied."
	op.MaxBodyBytes = handlers.MaxBody
	huma.Register(api, op, func(ctx context.Context, in *importInput) (*Output[ImportReport], error) {
		done, err := s.Admin.Events.Import(ctx, in.Source, in.Body.Events, in.Body.DryRun)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		report := ImportReport{DryRun: in.Body.DryRun, Items: make([]ImportedEvent, len(done))}
		for i, d := range done {
			report.Items[i] = showImported(d)
		}
		return &Output[ImportReport]{report}, nil
	})
}

func showImported(d admin.Imported) ImportedEvent {
	e := ImportedEvent{Status: d.Status, Reason: stay.OrNil(d.Reason), Errors: append([]pms.FieldError{}, d.Errors...)}
	if d.EventID != uuid.Nil {
		id := d.EventID.String()
		e.EventID = &id
	}
	return e
}
