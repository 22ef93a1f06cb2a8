package handlers

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/intake"
)

// ReplayReport is the result of a replay.
type ReplayReport struct {
	DryRun      bool                `json:"dry_run"`
	Items       []Event             `json:"items" nullable:"false" doc:"The events that are applied again, or, of a dry run, what would become of them. Those whose body has been removed are not among them."`
	Differences []intake.Difference `json:"differences" nullable:"false" doc:"Of a dry run: what all of them together would change."`
	NextCursor  *string             `json:"next_cursor" doc:"Give it as cursor to go on with older events; null where there are no more."`
}

// ReplayInput is a replay by filter.
type ReplayInput struct{ Body admin.ReplayRequest }

func (s *server) replayOperation(api huma.API) {
	replay := operation("replay-events", http.MethodPost, "/v1/events/replay", "Events", "Apply events again, by filter", withBody(http.StatusForbidden)...)
	replay.Description = "Each keeps its place in the order: it changes nothing if what it says has been overtaken. With dry_run nothing is changed, and the answer says what would be. Either event_ids or at least one of the filters is needed."
	huma.Register(api, replay, func(ctx context.Context, in *ReplayInput) (*Output[ReplayReport], error) {
		replayed, err := s.admin.Replay(ctx, in.Body)
		if err != nil {
			return nil, s.problemOf(err)
		}
		report := ReplayReport{
			DryRun: in.Body.DryRun, Items: []Event{}, Differences: append([]intake.Difference{}, replayed.Differences...),
			NextCursor: orNil(replayed.Next),
		}
		for _, e := range replayed.Events {
			report.Items = append(report.Items, showEvent(e))
		}
		return &Output[ReplayReport]{report}, nil
	})
}
