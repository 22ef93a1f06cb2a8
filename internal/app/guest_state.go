package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/store"
)

// takenBackWithin is how long taking something back from a guest may last before it counts as overdue.
const takenBackWithin = 15 * time.Minute

var guestKeysOverdue = prometheus.NewDesc("staykey_guest_keys_overdue",
	"Instant keys and app sessions that ended at least 15 minutes ago and that Seam has not deleted yet, counted up to 10,000.", nil, nil)

// guestCollector reads from the database what guests should have lost.
type guestCollector struct {
	store *store.Store
	gone  func() bool // Postgres is known not to answer
}

// Describe implements prometheus.Collector.
func (c guestCollector) Describe(descs chan<- *prometheus.Desc) { descs <- guestKeysOverdue }

// Collect implements prometheus.Collector. What can't be read is not a number.
func (c guestCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := readingState(c.store, c.gone)
	defer cancel()
	value := notANumber
	if n, err := c.store.GuestStays.CountOverdue(ctx, time.Now().Add(-takenBackWithin)); err == nil {
		value = float64(n)
	}
	metrics <- prometheus.MustNewConstMetric(guestKeysOverdue, prometheus.GaugeValue, value)
}
