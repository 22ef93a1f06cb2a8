package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
)

// TestOutageOfSeamShows has Seam refuse every call while the service runs, as it does when it is overloaded. Readiness,
// the summary and the metric show that, and what Seam answers, until its first usable answer. Webhooks are accepted
// meanwhile. The test waits for a minute, which is what makes it an outage.
func TestOutageOfSeamShows(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	p.deliver("default", "listing.created", seedListing())
	paused := func() string { return p.metric("staykey_provisioner_paused") }
	waitUntil(t, "provisioning to begin", func() bool { return paused() == "0" })

	sim.Inject(simulator.Fault{Kind: simulator.Limited, RetryAfterText: "900", Count: -1})
	p.deliver("default", "reservation.created", seedReservation())
	waitUntil(t, "the metric", func() bool { return paused() == "1" })
	const why = "Seam gives no usable answer: Seam /"
	waitUntil(t, "readiness", func() bool {
		status, text := p.probe()
		return status == http.StatusOK && strings.Contains(text, why)
	})
	waitUntil(t, "deep readiness", func() bool {
		resp, err := http.Get(p.url + "/readyz?deep=1")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	var summary struct {
		Provisioning struct{ Paused *string }
	}
	if status := p.get("/v1/summary", &summary); status != http.StatusOK || summary.Provisioning.Paused == nil ||
		!strings.HasPrefix(*summary.Provisioning.Paused, why) {
		t.Errorf("summary: %d %+v", status, summary)
	}
	if status := p.post("default", "listing.created", seedListing()); status != http.StatusAccepted {
		t.Errorf("a webhook during the outage: %d", status)
	}

	sim.Heal()
	waitUntil(t, "the outage to end", func() bool {
		status, text := p.probe()
		return paused() == "0" && status == http.StatusOK && !strings.Contains(text, why)
	})
	waitUntil(t, "the log to have the beginning and the end", func() bool {
		log := p.log.String()
		return strings.Contains(log, "Seam gives no usable answer") && strings.Contains(log, "Seam answers again")
	})
}
