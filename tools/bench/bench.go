package main

import (
	"context"
	"time"
)

// This command is one run of several measurements. Each part is a type of its own, which embeds what it works with:
//
//	bench          a run: what it runs on (rig), how often, and what came out (results)
//
//	webhooks       posts events to servers and waits until they are applied     webhooks.go
//	queues         fills a queue with stays and drains it                       provision.go
//	tables         fills tables and reads their lists                           big.go
//
//	acceptance     accept, stock: how fast webhooks are made durable            accept.go
//	provisioning   latency, drain: from a webhook to a key                      provision.go
//	eventsOut      out: from a key to a subscriber                              out.go
//	features       features: what guest links, gates and so on cost             features.go
//	sweeps         sweep: calls of a sweep                                      sweep.go
//	waiting        what waits harms neither others nor the machine               waiting.go
//	costs          cost: rows, bytes and processor time of one event            cost.go
//	growth         growth: one operation at growing sizes                       growth.go
//	disk           disk: what a stay leaves on disk                             disk.go
//	pages          pages: how fast the page is                                  pages.go
//	bigRun         big: everything with millions of rows                        big.go, big_lists.go
//
// How much a part measures are fields of its own: none can see those of another.
type bench struct {
	*rig
	*results
	rounds, replicas int
}

// on is the same run on another rig. The results are those of the run.
func (b *bench) on(r *rig) *bench {
	c := *b
	c.rig = r
	return &c
}

type (
	webhooks struct {
		*bench
		lengths
	}
	queues struct {
		*bench
		drained int
	}
	tables struct{ *bench }

	acceptance   struct{ webhooks }
	provisioning struct {
		queues
		stays int
	}
	eventsOut struct {
		queues
		stays int
	}
	features struct {
		*bench
		webhooks
		queues
	}
	sweeps struct {
		queues
		swept int
	}
	waiting struct {
		*bench
		compared time.Duration
	}
	costs struct {
		*bench
		costEvents, costKeys int
		settings             []string
	}
	growth struct {
		tables
		sizes      []int
		costEvents int
	}
	disk struct {
		*bench
		kept     int
		settings []string
	}
	pages struct {
		tables
		tableRows
		loads int
	}
	bigRun struct {
		*bench
		tables
		webhooks
		tableRows
	}
)

// measurement is one part of a run.
type measurement func(context.Context) error

// measurements are all parts by name.
var measurements = map[string]func(*bench, plan) measurement{
	"accept": func(b *bench, p plan) measurement { return acceptance{webhooks{b, p.lengths}}.accept },
	"stock":  func(b *bench, p plan) measurement { return acceptance{webhooks{b, p.lengths}}.stock },
	"latency": func(b *bench, p plan) measurement {
		return provisioning{queues{b, p.drained}, p.stays}.latency
	},
	"drain": func(b *bench, p plan) measurement { return provisioning{queues{b, p.drained}, p.stays}.drain },
	"out":   func(b *bench, p plan) measurement { return eventsOut{queues{b, p.drained}, p.stays}.out },
	"features": func(b *bench, p plan) measurement {
		return features{b, webhooks{b, p.lengths}, queues{b, p.drained}}.features
	},
	"sweep":  func(b *bench, p plan) measurement { return sweeps{queues{b, p.swept}, p.swept}.sweep },
	"beside": func(b *bench, p plan) measurement { return waiting{b, p.compared}.beside },
	"memory": func(b *bench, p plan) measurement { return waiting{b, p.compared}.memory },
	"cost": func(b *bench, p plan) measurement {
		return costs{b, p.costEvents, p.costKeys, p.settings}.cost
	},
	"growth": func(b *bench, p plan) measurement { return growth{tables{b}, p.sizes, p.costEvents}.growth },
	"disk":   func(b *bench, p plan) measurement { return disk{b, p.kept, p.settings}.disk },
	"pages":  func(b *bench, p plan) measurement { return pages{tables{b}, p.tableRows, p.loads}.pages },
	"big": func(b *bench, p plan) measurement {
		return bigRun{b, tables{b}, webhooks{b, p.lengths}, p.tableRows}.big
	},
}
