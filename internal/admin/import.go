package admin

import (
	"context"
	"encoding/json"

	"github.com/staykey/staykey/internal/intake"
)

// Imported is the result of an imported event.
type Imported = intake.Imported

// Import stores events of the canonical format in a source, whatever the source's own format, or finds out what would
// happen to them. It waits up to ten seconds for them to be applied.
func (s Events) Import(ctx context.Context, source string, events []map[string]any, dryRun bool) ([]Imported, error) {
	if _, ok := s.source(source); !ok || !ActorOf(ctx).Sees(source) {
		return nil, s.noSource(ctx, source)
	}
	bodies := make([][]byte, len(events))
	for i, e := range events {
		body, err := json.Marshal(e)
		if err != nil {
			return nil, refuse(Malformed, "event not encoded")
		}
		bodies[i] = body
	}
	return s.intake.Import(ctx, source, bodies, dryRun, ActorOf(ctx).Audit(auditImport, ""))
}
