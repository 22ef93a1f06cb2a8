package provisioner

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var dueWithoutKey = prometheus.NewGauge(prometheus.GaugeOpts{
	Name: "staykey_due_without_key", Help: "Confirmed stays that check in within STAYKEY_DUE_WITHIN, or have begun, and have no issued key.",
})

// arrivalsEvery is how often arrivals without a key are looked for.
const arrivalsEvery = 15 * time.Second

// watchArrivals counts the stays that begin soon and have no key, and says so in the log whenever their number
// or the nearest of them changes.
func (p *Provisioner) watchArrivals(ctx context.Context) {
	tick := time.NewTicker(arrivalsEvery)
	defer tick.Stop()
	var said arrival
	for {
		said = p.sayArrivals(ctx, said)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// arrival is what was last said of arrivals.
type arrival struct {
	count                 int
	source, reservationID string
}

func (p *Provisioner) sayArrivals(ctx context.Context, said arrival) arrival {
	now := p.now()
	count, nearest, err := p.store.CountArrivalsWithoutKey(ctx, now, now.Add(p.options.DueWithin))
	if err != nil {
		if ctx.Err() == nil {
			p.log.Error("arrivals without a key can't be counted; trying again", "error", err)
		}
		return said
	}
	dueWithoutKey.Set(float64(count))
	is := arrival{count: count}
	if nearest != nil {
		is.source, is.reservationID = nearest.Source, nearest.ReservationID
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
