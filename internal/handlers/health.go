package handlers

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
)

// Readiness is whether the service can do its work.
type Readiness struct {
	Ready    bool              `json:"-"`
	Degraded bool              `json:"-"`
	Detail   map[string]string `json:"detail"`
}

func (s *router) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}

// readyz answers 503 while webhooks can't be taken. Trouble at Seam is none of that. The detail is for the
// private listener.
func (s *router) readyz(w http.ResponseWriter, r *http.Request, detailed bool) {
	ready := s.Ready(r.Context())
	body := map[string]any{"status": "ready"}
	if ready.Degraded {
		body["status"] = "degraded"
	}
	if detailed {
		body["detail"] = ready.Detail
	}
	if !ready.Ready {
		p := NewProblem(http.StatusServiceUnavailable, "not ready: see the private listener's /readyz for the cause")
		if detailed {
			p.Detail = "not ready: "
			for _, name := range slices.Sorted(maps.Keys(ready.Detail)) {
				if what := ready.Detail[name]; what != "ok" {
					p.Detail += name + ": " + what + "; "
				}
			}
		}
		p.Write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
