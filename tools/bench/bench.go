package main

import "context"

// This command is one run of several measurements. Each part is a type of its own, which embeds what it works with:
//
//	bench          a run: how much is measured (plan), what it runs on (rig) and what came out (results)
//
//	webhooks       posts events to servers and waits until they are applied     accept.go
//	queues         fills a queue with stays and drains it                       provision.go
//	tables         fills tables and reads their lists                           big.go
//
//	acceptance     accept, stock: how fast webhooks are made durable            accept.go
//	provisioning   latency, drain: from a webhook to a key                      provision.go
//	eventsOut      out: from a key to a subscriber                              out.go
//	features       features: what guest links, gates and the like cost          features.go
//	sweeps         sweep: calls of a sweep                                      sweep.go
//	waiting        what waits harms neither others nor the machine               waiting.go
//	costs          cost: rows, bytes and processor time of one event            cost.go
//	growth         growth: one operation at growing sizes                       growth.go
//	disk           disk: what a stay leaves on disk                             disk.go
//	pages          pages: how fast the page is                                  pages.go
//	bigRun         big: everything with millions of rows                        big.go
type bench struct {
	plan
	*rig
	*results
}

// on is the same run on another rig, with a plan that may be changed. The results are those of the run.
func (b *bench) on(r *rig) *bench { return &bench{b.plan, r, b.results} }

type (
	webhooks struct{ *bench }
	queues   struct{ *bench }
	tables   struct{ *bench }

	acceptance   struct{ webhooks }
	provisioning struct{ queues }
	eventsOut    struct{ queues }
	sweeps       struct{ queues }
	growth       struct{ tables }
	pages        struct{ tables }
	waiting      struct{ *bench }
	costs        struct{ *bench }
	disk         struct{ *bench }

	bigRun struct {
		*bench
		tables
		webhooks
	}
	features struct {
		*bench
		webhooks
		queues
	}
)

// measurement is one part of a run.
type measurement func(context.Context) error

// measurements are all parts by name.
var measurements = map[string]func(*bench) measurement{
	"accept":   func(b *bench) measurement { return acceptance{webhooks{b}}.accept },
	"stock":    func(b *bench) measurement { return acceptance{webhooks{b}}.stock },
	"latency":  func(b *bench) measurement { return provisioning{queues{b}}.latency },
	"drain":    func(b *bench) measurement { return provisioning{queues{b}}.drain },
	"out":      func(b *bench) measurement { return eventsOut{queues{b}}.out },
	"features": func(b *bench) measurement { return features{b, webhooks{b}, queues{b}}.features },
	"sweep":    func(b *bench) measurement { return sweeps{queues{b}}.sweep },
	"beside":   func(b *bench) measurement { return waiting{b}.beside },
	"memory":   func(b *bench) measurement { return waiting{b}.memory },
	"cost":     func(b *bench) measurement { return costs{b}.cost },
	"growth":   func(b *bench) measurement { return growth{tables{b}}.growth },
	"disk":     func(b *bench) measurement { return disk{b}.disk },
	"pages":    func(b *bench) measurement { return pages{tables{b}}.pages },
	"big":      func(b *bench) measurement { return bigRun{b, tables{b}, webhooks{b}}.big },
}
