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

// readyz answers 503 while webhooks can't be taken. Trouble at Seam doesn't count: a load balancer that took the
// replicas out of service would refuse webhooks, too. A monitor from outside, which wants to know whether guests get
// their keys, asks for ?deep. The detail is for the private listener.
func (s *router) readyz(w http.ResponseWriter, r *http.Request, detailed bool) {
	ready := s.Ready(r.Context())
	if ready.Ready && ready.Degraded && r.URL.Query().Has("deep") {
		writeDegraded(w, ready, detailed)
		return
	}
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
			p.Detail = "not ready: " + ready.troubles()
		}
		p.Write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

// writeDegraded answers a monitor: webhooks can be taken, and something else is wrong.
func writeDegraded(w http.ResponseWriter, ready Readiness, detailed bool) {
	p := NewProblem(http.StatusServiceUnavailable,
		"degraded: webhooks are stored, but keys may not be created; see the private listener's /readyz for the cause")
	if detailed {
		p.Detail = "degraded: " + ready.troubles()
	}
	p.Write(w)
}

// troubles are all entries of the detail that aren't ok.
func (r Readiness) troubles() string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(r.Detail)) {
		if what := r.Detail[name]; what != "ok" {
			text += name + ": " + what + "; "
		}
	}
	return text
}
