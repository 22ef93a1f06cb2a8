package provisioner

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/store"
)

var (
	dueWithoutKey = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "staykey_due_without_key", Help: "Confirmed stays that check in within STAYKEY_DUE_WITHIN, or have begun, and have no issued key.",
	})
	overdueRemovals = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "staykey_removals_overdue", Help: "Keys that should have been gone for 15 minutes and may still open doors.",
	})
)

// watchEvery is how often guests without a key, and keys without a guest, are looked for.
const watchEvery = 15 * time.Second

// watch counts the stays that begin soon and have no key, and the keys that should be gone, and says so in the log whenever
// their number or the first of them changes.
func (p *Provisioner) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var arrivals, removals watched
	for {
		arrivals = p.watchArrivals(ctx, arrivals)
		removals = p.watchRemovals(ctx, removals)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watched is what was last said of some reservations: how many there are, and which is the first.
type watched struct {
	count int
	first store.Ref
}

func (p *Provisioner) watchArrivals(ctx context.Context, said watched) watched {
	now := p.now()
	count, nearest, err := p.store.CountArrivalsWithoutKey(ctx, now, now.Add(p.options.DueWithin))
	if err != nil {
		if ctx.Err() == nil {
			p.log.Error("arrivals without a key can't be counted; trying again", "error", err)
		}
		return said
	}
	dueWithoutKey.Set(float64(count))
	is := watched{count: count}
	if nearest != nil {
		is.first = nearest.Ref
	}
	switch {
	case is == said:
	case nearest == nil:
		p.log.Info("every stay that begins soon has its key", "within", p.options.DueWithin.String())
	default:
		p.log.Warn("stays that begin soon have no issued key", "count", count, "within", p.options.DueWithin.String(), "source", nearest.Source,
			"reservation_id", nearest.ReservationID, "check_in", nearest.CheckIn, "status", nearest.Status, "reason", nearest.Reason)
	}
	return is
}

func (p *Provisioner) watchRemovals(ctx context.Context, said watched) watched {
	count, first, err := p.store.CountOverdueRemovals(ctx, p.now().Add(-removedWithin))
	if err != nil {
		if ctx.Err() == nil {
			p.log.Error("keys that should be gone can't be counted; trying again", "error", err)
		}
		return said
	}
	overdueRemovals.Set(float64(count))
	is := watched{count: count}
	if first != nil {
		is.first = first.Ref
	}
	switch {
	case is == said:
	case first == nil:
		p.log.Info("every key that should be gone is")
	default:
		p.log.Warn("keys that should be gone may still open doors", "count", count, "source", first.Source, "reservation_id", first.ReservationID,
			"since", first.Since, "status", first.Status, "reason", first.Reason)
	}
	return is
}
