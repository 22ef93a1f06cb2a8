package web

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// today is the first page: who arrives, and what needs a person.
type today struct {
	Troubles    []trouble
	Arriving    int // within 24 hours
	WithKey     int
	Attention   int // keys, whenever their stay is
	Backlog     int
	OldestEvent *time.Time
	First       []stayRow // what needs attention
	Arrivals    []stayRow // the nearest first
	More        int       // arrivals beyond those
	All         string    // the address of all arrivals
	Chart       chart
	Empty       bool // there is no reservation at all
	LastSweep   *stay.Sweep
}

// trouble is something that is wrong with all, not with a reservation.
type trouble struct{ What, Do string }

const (
	arrivalsShown  = 25
	attentionShown = 10
)

func (s *Pages) todayPage(w http.ResponseWriter, r *http.Request) {
	body, err := s.today(r.Context())
	if err != nil {
		s.refuse(w, r, s.problemOf(err))
		return
	}
	s.render(w, r, http.StatusOK, "today", page{Title: "Today", Active: "today", Body: body})
}

func (s *Pages) today(ctx context.Context) (today, error) {
	found, err := s.Admin.Today(ctx, arrivalsShown, attentionShown)
	if err != nil {
		return today{}, err
	}
	until := found.At.Add(24 * time.Hour)
	t := today{
		Arriving: found.Arriving, WithKey: found.WithKey, Attention: found.Attention, Empty: found.None,
		Backlog: found.Backlog.Events, OldestEvent: found.Backlog.OldestAt, LastSweep: found.Provisioning.LastSweep,
		Troubles: troublesOf(found.Provisioning, found.Backlog.OldestAt, found.At),
		More:     max(found.Arriving-len(found.Arrivals), 0),
		All: nextLink("/reservations", url.Values{
			"status": {pms.Confirmed}, "check_in_from": {pms.FormatInstant(found.At)}, "check_in_to": {pms.FormatInstant(until)},
		}, ""),
		Chart: newChart(found.Hours),
	}
	if t.Arrivals, err = s.stayRows(ctx, found.Arrivals); err != nil {
		return t, err
	}
	t.First, err = s.stayRows(ctx, found.First)
	return t, err
}

func troublesOf(p admin.Provisioning, oldest *time.Time, now time.Time) []trouble {
	var list []trouble
	if p.Paused != nil {
		list = append(list, trouble{"Keys are not being created or changed: " + *p.Paused, "Webhooks are still accepted and will be processed once this is fixed."})
	}
	for _, d := range p.Disconnected {
		list = append(list, trouble{"Access system " + d.ACSSystemID + " has been disconnected from Seam since " + d.Since + ".", "Reconnect it in the Seam console. Its reservations then resume automatically."})
	}
	if p.LastSweep != nil && p.LastSweep.HeldBack > 0 {
		list = append(list, trouble{"Many keys are missing at Seam at once, so none were changed.", "Check that the access system is the right one, then repair reservations one by one."})
	}
	if oldest != nil && now.Sub(*oldest) > admin.SlowBacklog {
		list = append(list, trouble{"Events have been waiting since " + pms.FormatInstant(*oldest) + ".", "Check the service's log and the load of Postgres."})
	}
	return list
}

// chart is what happened in each of 24 hours.
type chart struct {
	Hours  []chartHour
	Events int // of the day
	Keys   int
	Wrong  int
}

type chartHour struct {
	admin.Hour
	X            int // of its left edge, in the chart's units
	EventsHeight int
	KeysHeight   int
}

// The chart's size, in its own units.
const (
	chartHeight = 80
	hourWidth   = 20
)

func newChart(hours []admin.Hour) chart {
	var c chart
	most := 1
	for _, h := range hours {
		c.Events, c.Keys, c.Wrong = c.Events+h.Events, c.Keys+h.Keys, c.Wrong+h.Wrong
		most = max(most, h.Events, h.Keys)
	}
	for i, h := range hours {
		c.Hours = append(c.Hours, chartHour{
			Hour: h, X: i * hourWidth, EventsHeight: barHeight(h.Events, most), KeysHeight: barHeight(h.Keys, most),
		})
	}
	return c
}

// barHeight shows the smallest number as something.
func barHeight(n, most int) int {
	if n == 0 {
		return 0
	}
	return max(n*chartHeight/most, 2)
}
