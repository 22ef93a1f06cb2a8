package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// ReplayReport is the result of a replay.
type ReplayReport struct {
	DryRun      bool               `json:"dry_run"`
	Items       []Event            `json:"items" nullable:"false" doc:"The replayed events, or in a dry run their results. Events without a body are left out."`
	Differences []admin.Difference `json:"differences" nullable:"false" doc:"In a dry run: what all events together would change."`
	NextCursor  *string            `json:"next_cursor" doc:"Pass it as cursor to continue with older events; null on the last page."`
}

// ReplayInput is a replay by filter.
type ReplayInput struct{ Body admin.ReplayRequest }

func (s *API) replayOperation(api huma.API) {
	replay := operation("replay-events", http.MethodPost, "/v1/events/replay", "Events", "Replay events by filter",
		withBody(http.StatusForbidden)...)
	replay.Description = "Each event keeps its place in the order: outdated events change nothing. With dry_run " +
		"nothing is changed, and the answer lists what would change. Set event_ids or at least one filter."
	huma.Register(api, replay, func(ctx context.Context, in *ReplayInput) (*Output[ReplayReport], error) {
		replayed, err := s.Admin.Events.Replay(ctx, in.Body)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[ReplayReport]{showReplay(replayed, in.Body.DryRun)}, nil
	})
}

func showReplay(replayed admin.Replayed, dryRun bool) ReplayReport {
	report := ReplayReport{
		DryRun: dryRun, Items: []Event{}, Differences: append([]admin.Difference{}, replayed.Differences...),
		NextCursor: stay.OrNil(replayed.Next),
	}
	for _, e := range replayed.Events {
		report.Items = append(report.Items, showEvent(e))
	}
	return report
}
