package app

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/store"
)

// stopDeliveries is how long messages on their way may take to arrive at a graceful stop. What is cut off is sent
// again.
const stopDeliveries = 5 * time.Second

func subscriptionNames(list []notify.Subscription) []string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Name
	}
	return names
}

// subscriptions are those of the current configuration.
func (c *configured) subscriptions() []notify.Subscription { return c.sources.Load().Subscriptions }

// subscriptionSettings are what REST and the page show of them.
func (c *configured) subscriptionSettings() []admin.SubscriptionSettings {
	list := c.subscriptions()
	out := make([]admin.SubscriptionSettings, len(list))
	for i, sub := range list {
		out[i] = admin.SubscriptionSettings{
			Name: sub.Name, Kind: sub.Kind, URL: sub.Receiver(), Events: sub.Events, Sources: sub.Sources,
			Insecure: sub.Insecure, Secrets: len(sub.Secrets),
		}
	}
	return out
}

// testSubscription sends a test message.
func (s *service) testSubscription(ctx context.Context, name string) (store.Delivery, store.AttemptResult, error) {
	for _, sub := range s.configured.subscriptions() {
		if sub.Name == name {
			return s.notifier.Test(ctx, sub)
		}
	}
	return store.Delivery{}, store.AttemptResult{}, store.ErrNotFound
}

var (
	subscriptionUnreported = prometheus.NewDesc("staykey_subscription_undelivered_stays",
		"Stays whose current state a subscription may not have received, counted up to 10,000.",
		[]string{"subscription"}, nil)
	subscriptionFailing = prometheus.NewDesc("staykey_subscription_failing_seconds",
		"How long all attempts at a subscription's receiver have failed; 0 while it works.",
		[]string{"subscription"}, nil)
	subscriptionDisabled = prometheus.NewDesc("staykey_subscription_disabled", "1 while a subscription is disabled.",
		[]string{"subscription"}, nil)
)

// subscriptionCollector reads how subscriptions are doing when it is asked for.
type subscriptionCollector struct {
	store         *store.Store
	subscriptions func() []notify.Subscription
	gone          func() bool // Postgres is known not to answer
}

// Describe implements prometheus.Collector.
func (c subscriptionCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{subscriptionUnreported, subscriptionFailing, subscriptionDisabled} {
		descs <- d
	}
}

// Collect implements prometheus.Collector. A value that can't be read is NaN, so that nobody mistakes it for zero.
func (c subscriptionCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := readingState(c.store, c.gone)
	defer cancel()
	list := c.subscriptions()
	names, scopes := subscriptionNames(list), make([]store.Scope, len(list))
	for i, s := range list {
		scopes[i] = store.Scope{Subscription: s.Name, Sources: s.Sources}
	}

	states, err := c.store.Subscriptions.Named(ctx, names)
	unreported := map[string]int{}
	if err == nil {
		unreported, err = c.store.Subscriptions.UnreportedStays(ctx, scopes)
	}

	now := time.Now()
	for _, name := range names {
		values := []float64{math.NaN(), math.NaN(), math.NaN()}
		if state, seen := states[name]; err == nil && seen {
			values = []float64{float64(unreported[name]), 0, 0}
			if state.FailingSince != nil {
				values[1] = max(now.Sub(*state.FailingSince), 0).Seconds()
			}
			if state.DisabledAt != nil {
				values[2] = 1
			}
		}

		for i, d := range []*prometheus.Desc{subscriptionUnreported, subscriptionFailing, subscriptionDisabled} {
			metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, values[i], name)
		}
	}
}
