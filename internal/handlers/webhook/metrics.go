package webhook

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
)

var webhookSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "staykey_webhook_duration_seconds",
	Help:    "Webhooks by source and result: accepted, duplicate, rejected, malformed, refused, over_limit, unavailable, abandoned.",
	Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
}, []string{"source", "result"})

var overLimit = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_webhooks_over_limit_total", Help: "Authentic webhooks answered 429, by source.",
}, []string{"source"})

var verified = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_webhooks_verified_total",
	Help: "Authentic webhooks by source and matching secret, counted from 1; 0 if no secret is needed.",
}, []string{"source", "secret"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{overLimit, verified, webhookSeconds}
}

// webhookResults are the results of webhooks, by the status of their answer.
var webhookResults = map[int]string{
	http.StatusAccepted: "accepted", http.StatusOK: "duplicate", http.StatusUnprocessableEntity: "rejected",
	http.StatusUnauthorized:    "refused",
	http.StatusTooManyRequests: "over_limit", http.StatusServiceUnavailable: "unavailable",
}

// measuredWebhook measures the webhooks of configured sources. Others are not labeled: anybody could choose their
// names.
func (s *Receiver) measuredWebhook(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	s.webhook(w, r)
	answer, ok := w.(middleware.WrapResponseWriter)
	if !ok || answer.Status() == http.StatusNotFound {
		return
	}
	took := time.Since(began)
	if s.isTest(r.Header) {
		return // only events of PMSs are measured
	}
	result := webhookResult(answer.Status(), took, r.Context().Err() != nil)
	webhookSeconds.WithLabelValues(chi.URLParam(r, "source"), result).Observe(took.Seconds())
}

// impatience is how soon a sender must hang up for that to count as its own decision. One that waited longer got no
// answer in reasonable time, which is an outage.
const impatience = time.Second

// webhookResult names the outcome of a webhook for the metric. gone means that the sender hung up before it was
// answered, so the client never received the status.
func webhookResult(status int, took time.Duration, gone bool) string {
	result, known := webhookResults[status]
	switch {
	case !known:
		return "malformed"
	case status == http.StatusServiceUnavailable && gone && took < impatience:
		return "abandoned"
	}
	return result
}
