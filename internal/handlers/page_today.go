package handlers

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
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

func (s *server) todayPage(w http.ResponseWriter, r *http.Request) {
	body, err := s.today(r.Context())
	if err != nil {
		s.refuse(w, r, s.fromStore(err, ""))
		return
	}
	s.render(w, r, http.StatusOK, "today", page{Title: "Today", Active: "today", Body: body})
}

func (s *server) today(ctx context.Context) (today, error) {
	sources, now := actorOf(ctx).Sources, s.Now().UTC()
	until := now.Add(24 * time.Hour)
	var t today
	counts, err := s.counts(ctx)
	if err != nil {
		return t, err
	}
	t.Attention, t.Empty = counts.Keys[store.KeyAttention], len(counts.Keys) == 0
	byStatus, err := s.Store.CountArrivals(ctx, now, until, sources)
	if err != nil {
		return t, err
	}
	for status, n := range byStatus {
		t.Arriving += n
		if hasKey(status) {
			t.WithKey += n
		}
	}
	arrivals, err := s.Store.Arrivals(ctx, now, until, sources, arrivalsShown)
	if err != nil {
		return t, err
	}
	if t.Arrivals, err = s.stayRows(ctx, arrivals); err != nil {
		return t, err
	}
	t.More = max(t.Arriving-len(arrivals), 0)
	t.All = nextLink("/reservations", url.Values{"status": {pms.Confirmed}, "check_in_from": {stamp(now)}, "check_in_to": {stamp(until)}}, nil)
	if t.First, err = s.needsAttention(ctx, now, until, sources); err != nil {
		return t, err
	}
	if t.Backlog, t.OldestEvent, err = s.Store.Backlog(ctx, sources); err != nil {
		return t, err
	}
	p, err := s.provisioning(ctx)
	if err != nil {
		return t, err
	}
	t.Troubles, t.LastSweep = troublesOf(p, t.Backlog, t.OldestEvent, now), p.LastSweep
	since := now.Add(-24 * time.Hour)
	s.flushActivity(ctx)
	activity, err := s.Store.ActivitySince(ctx, since, sources)
	t.Chart = newChart(activity, since)
	return t, err
}

// flushActivity has a page show what has just happened here; what other replicas have counted is seconds late.
func (s *server) flushActivity(ctx context.Context) {
	if s.Activity == nil {
		return
	}
	if err := s.Store.FlushActivity(ctx, s.Activity); err != nil {
		s.log.Warn("what happened could not be counted: the page's chart lacks it", "error", err)
	}
}

func hasKey(status string) bool { return status == store.KeyIssued || status == store.KeyActive }

// needsAttention are arrivals without a key, the nearest first, and then what else a person should see.
func (s *server) needsAttention(ctx context.Context, now, until time.Time, sources []string) ([]stayRow, error) {
	first, err := s.Store.ArrivalsWithoutKey(ctx, now, until, sources, attentionShown)
	if err != nil {
		return nil, err
	}
	rest, err := s.Store.Views(ctx, store.ReservationFilter{KeyStatus: store.KeyAttention, Sources: sources}, store.Place{}, attentionShown)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(rest, func(a, b store.View) int {
		return cmp.Or(checkInOf(a).Compare(checkInOf(b)), cmp.Compare(a.Reservation.ReservationID, b.Reservation.ReservationID))
	})
	for _, v := range rest {
		if !slices.ContainsFunc(first, func(f store.View) bool { return f.Reservation.Ref() == v.Reservation.Ref() }) {
			first = append(first, v)
		}
	}
	return s.stayRows(ctx, first[:min(len(first), attentionShown)])
}

func checkInOf(v store.View) time.Time {
	if v.Reservation.CheckIn == nil {
		return store.LastRank
	}
	return *v.Reservation.CheckIn
}

// SlowBacklog is how old a waiting event is when people should know.
const SlowBacklog = time.Minute

func troublesOf(p Provisioning, backlog int, oldest *time.Time, now time.Time) []trouble {
	var list []trouble
	if p.Paused != nil {
		list = append(list, trouble{"No keys are made or changed now: " + *p.Paused, "Webhooks are taken all the same, and what they say is done as soon as it can be."})
	}
	for _, d := range p.Disconnected {
		list = append(list, trouble{"Access system " + d.ACSSystemID + " is disconnected from Seam since " + d.Since + ".", "Reconnect it in the Seam console: its reservations go on by themselves then."})
	}
	if p.LastSweep != nil && p.LastSweep.HeldBack > 0 {
		list = append(list, trouble{"Many keys are missing at Seam at once, and are left alone.", "See whether the access system is the right one; then reconcile reservations one by one."})
	}
	if oldest != nil && now.Sub(*oldest) > SlowBacklog {
		list = append(list, trouble{"Events wait to be applied since " + pms.FormatInstant(*oldest) + ".", "See the log of the service, and the load of Postgres."})
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
	From                time.Time
	Events, Keys, Wrong int
	X                   int // of its left edge, in the chart's units
	EventsHeight        int
	KeysHeight          int
}

// The chart's size, in its own units.
const (
	chartHeight = 80
	hourWidth   = 20
)

func newChart(rows []store.ActivityRow, since time.Time) chart {
	c := chart{Hours: make([]chartHour, 24)}
	most := 1
	for i := range c.Hours {
		c.Hours[i].From, c.Hours[i].X = since.Add(time.Duration(i)*time.Hour), i*hourWidth
	}
	for _, row := range rows {
		i := int(max(row.Hour.Sub(since), 0) / time.Hour) // a minute that had begun by then is in the first hour
		if i >= len(c.Hours) {
			continue
		}
		h, n := &c.Hours[i], int(row.N)
		switch row.Kind {
		case store.EventApplied, store.EventSuperseded, store.EventIgnored:
			h.Events += n
			c.Events += n
		case store.EventRejected, store.ActivityRefused:
			h.Events, h.Wrong = h.Events+n, h.Wrong+n
			c.Events, c.Wrong = c.Events+n, c.Wrong+n
		case store.ActivityMade:
			h.Keys += n
			c.Keys += n
		}
		most = max(most, h.Events, h.Keys)
	}
	for i := range c.Hours {
		h := &c.Hours[i]
		h.EventsHeight, h.KeysHeight = barHeight(h.Events, most), barHeight(h.Keys, most)
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
