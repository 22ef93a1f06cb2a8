package app

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers/rest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/writeback"
)

// stopWriting is how long calls to PMSs may take to end at a graceful stop. What is cut off is compared again.
const stopWriting = 5 * time.Second

// allSources are the sources of the current configuration, also retired ones.
func (c *configured) allSources() map[string]pms.Source {
	set := c.sources.Load()
	all := maps.Clone(set.Retired)
	if all == nil {
		all = map[string]pms.Source{}
	}
	maps.Copy(all, set.Sources)
	return all
}

// writesBack are the names of the sources that write into their PMS, sorted.
func (c *configured) writesBack() []string {
	var names []string
	for name, source := range c.allSources() {
		if source.WriteBack != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// newWriter makes what writes into PMSs. Texts are made of reservations as REST shows them.
func (s *service) newWriter(shown func(context.Context, []stay.Ref) (map[stay.Ref]admin.View, error),
	hashKey string,
) *writeback.Service {
	sealer := stay.NewSealer(s.config.SeamAPIKey)
	return writeback.New(s.store, s.log, writeback.Options{
		Sources: s.configured.allSources, Accounts: &s.accounts, HashKey: []byte(hashKey), First: s.config.RetryBase,
		Reservations: func(ctx context.Context, refs []stay.Ref) (map[stay.Ref]any, error) {
			views, err := shown(ctx, refs)
			if err != nil {
				return nil, err
			}
			out := make(map[stay.Ref]any, len(views))
			for ref, v := range views {
				encoded, err := json.Marshal(rest.ShowWithCode(v, sealer))
				if err != nil {
					return nil, err
				}
				if out[ref], err = pms.DecodeJSON(encoded); err != nil {
					return nil, err
				}
			}
			return out, nil
		},
	})
}

var (
	writeBackWaiting = prometheus.NewDesc("staykey_write_back_waiting",
		"Bookings whose field at the PMS waits to be written or cleared, counted up to 10,000.",
		[]string{"source"}, nil)
	writeBackFailed = prometheus.NewDesc("staykey_write_back_failed",
		"Bookings whose field at the PMS could not be written or cleared at the last attempt, counted up to 10,000.",
		[]string{"source"}, nil)
	writeBackFailing = prometheus.NewDesc("staykey_write_back_failing_seconds",
		"How long the oldest of them has failed; 0 if none does.", []string{"source"}, nil)
)

// writeBackCollector reads the state of write-back when it is asked for it.
type writeBackCollector struct {
	store *store.Store
	names func() []string
	gone  func() bool // Postgres is known not to answer
}

// Describe implements prometheus.Collector.
func (c writeBackCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{writeBackWaiting, writeBackFailed, writeBackFailing} {
		descs <- d
	}
}

// Collect implements prometheus.Collector. A value that can't be read is NaN, so that nobody mistakes it for zero.
func (c writeBackCollector) Collect(metrics chan<- prometheus.Metric) {
	names := c.names()
	if len(names) == 0 {
		return
	}
	ctx, cancel := readingState(c.store, c.gone)
	defer cancel()

	list, err := c.store.WriteBacks.Troubles(ctx)
	troubles := map[string]store.WriteBackTrouble{}
	for _, t := range list {
		troubles[t.Source] = t
	}

	now := time.Now()
	for _, name := range names {
		values := []float64{math.NaN(), math.NaN(), math.NaN()}
		if err == nil {
			t := troubles[name]
			values = []float64{float64(t.Waiting), float64(t.Failed), 0}
			if t.FailingSince != nil {
				values[2] = max(now.Sub(*t.FailingSince), 0).Seconds()
			}
		}

		for i, d := range []*prometheus.Desc{writeBackWaiting, writeBackFailed, writeBackFailing} {
			metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, values[i], name)
		}
	}
}

// writeBack reports fields of PMSs that can't be written.
func (d *diagnosis) writeBack(ctx context.Context) {
	names := d.configured.writesBack()
	if len(names) == 0 {
		return
	}
	list, err := d.store.WriteBacks.Troubles(ctx)
	if err != nil {
		d.found("write-back", admin.LevelError, "all", "check that Postgres runs", "write-back can't be read: %v", err)
		return
	}
	troubles := map[string]store.WriteBackTrouble{}
	for _, t := range list {
		troubles[t.Source] = t
	}
	sources := d.configured.allSources()
	for _, name := range names {
		set, t := sources[name].WriteBack, troubles[name]
		switch {
		case t.FailingSince != nil:
			d.found("write-back", admin.LevelError, name,
				"correct the cause; it is retried automatically (docs/write-back.md)",
				"%d bookings fail, the oldest since %s: %s",
				t.Failed, t.FailingSince.UTC().Format(time.RFC3339), stay.Text(t.LastError))
		case set.Preset.Quality == pms.QualityUnconfirmed:
			d.found("write-back", admin.LevelWarning, name, "compare a booking at the PMS with its reservation here",
				"the preset %s is not confirmed: sources about the PMS disagree", set.Preset.Name)
		default:
			d.found("write-back", admin.LevelOK, name, "", "%s is written at %s, %d bookings wait", set.Field,
				set.Preset.Name, t.Waiting)
		}
	}
}
