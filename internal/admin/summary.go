package admin

import (
	"context"
	"errors"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Overview counts: keys and arrivals, how the service is doing, and what is left to set up.
type Overview struct{ *core }

// Provisioning is how the work at Seam is going, whatever the reservation.
type Provisioning struct {
	Paused       *string        `json:"paused" doc:"Why no key is created or changed: provisioning is paused, or Seam has given no usable answer for a minute (attempts continue then). Null otherwise." example:"Seam refuses SEAM_API_KEY: set a valid one"`
	Disconnected []Disconnected `json:"disconnected_access_systems" nullable:"false" doc:"Access systems that Seam can't reach."`
	LastSweep    *Sweep         `json:"last_sweep" doc:"The last comparison of all live keys with Seam. Null before the first one, and for tokens limited to some sources."`
}

// Sweep is a [stay.Sweep], with its time as answers write it.
type Sweep struct {
	At string `json:"at" format:"date-time"`
	stay.Sweep
}

// ShowSweep returns what answers show of a sweep.
func ShowSweep(s stay.Sweep) *Sweep { return &Sweep{At: pms.FormatInstant(s.At), Sweep: s} }

// Disconnected is an access system that Seam can't reach.
type Disconnected struct {
	ACSSystemID string  `json:"acs_system_id"`
	Since       string  `json:"since" format:"date-time"`
	Problem     *string `json:"problem" doc:"Seam's error code." example:"acs_system_disconnected"`
}

// Summary is the state of everything that the actor sees.
type Summary struct {
	Reservations       map[string]int // by status
	MobileKeys         map[string]int // by key status
	OldestWaiting      *View          // nil: no key waits
	ArrivalsWithoutKey []View         // within Config.DueWithin, or under way; the nearest first, at most 50
	Backlog            Backlog
	Provisioning       Provisioning
}

// Backlog are events that are not applied yet.
type Backlog struct {
	Events   int        // counted to 10,000
	OldestAt *time.Time // since when one of them has been waiting; nil if there is none
}

// SlowBacklog is how old a waiting event is when people should know.
const SlowBacklog = time.Minute

// arrivalsShown bounds the arrivals without a key in a summary.
const arrivalsShown = 50

// Summary returns the state of everything that the actor sees.
func (s Overview) Summary(ctx context.Context) (Summary, error) {
	sources, now := ActorOf(ctx).Sources, s.now().UTC()
	counts, err := s.store.Keys.Summary(ctx, sources)
	if err != nil {
		return Summary{}, err
	}
	out := Summary{Reservations: counts.Reservations, MobileKeys: counts.Keys}
	oldest, err := s.store.Keys.OldestWaiting(ctx, sources)
	switch {
	case err == nil:
		oldest = Reservations(s).withStopped(Reservations(s).withGates(oldest))
		out.OldestWaiting = &oldest
	case !errors.Is(err, store.ErrNotFound):
		return Summary{}, err
	}
	if out.ArrivalsWithoutKey, err = s.store.Keys.ArrivalsWithoutKey(ctx, now, now.Add(s.config.DueWithin), sources,
		arrivalsShown); err != nil {
		return Summary{}, err
	}
	out.ArrivalsWithoutKey = Reservations(s).views(out.ArrivalsWithoutKey)
	shown := pointers(out.ArrivalsWithoutKey)
	if out.OldestWaiting != nil {
		shown = append(shown, out.OldestWaiting)
	}
	if err := Reservations(s).addLinks(ctx, shown...); err != nil {
		return Summary{}, err
	}
	if out.Backlog.Events, out.Backlog.OldestAt, err = s.store.Events.Backlog(ctx, sources); err != nil {
		return Summary{}, err
	}
	out.Provisioning, err = s.provisioning(ctx)
	return out, err
}

// provisioning is how the work at Seam is going, as far as the actor may know: disconnected access systems and the
// last sweep are about all sources, so that a token limited to some sources sees neither.
func (s Overview) provisioning(ctx context.Context) (Provisioning, error) {
	p, err := s.config.Provisioning(ctx)
	if ActorOf(ctx).Sources != nil {
		p.Disconnected, p.LastSweep = []Disconnected{}, nil
	}
	return p, err
}

// Operation is the state of the service, apart from the guests of a day.
type Operation struct {
	Attention    int  // keys that need attention, whenever their stay is; counted to attentionCounted
	None         bool // there is no reservation at all
	NoKey        bool // no key has ever opened a door, so that setting up isn't finished
	Backlog      Backlog
	Provisioning Provisioning
	Hours        []Hour // the last 24, the oldest first
}

// attentionCounted bounds what is counted for a number that nobody reads to its last digit.
const attentionCounted = 1000

// Operation returns the state of the service.
func (s Overview) Operation(ctx context.Context) (Operation, error) {
	var o Operation
	sources := ActorOf(ctx).Sources
	has, err := s.store.Reservations.Exist(ctx, sources)
	if err != nil {
		return o, err
	}
	o.None = !has
	if has, err = s.store.Keys.Exist(ctx, sources); err != nil {
		return o, err
	}
	o.NoKey = !has
	if o.Attention, err = s.store.Keys.CountAttention(ctx, sources, attentionCounted); err != nil {
		return o, err
	}
	if o.Backlog.Events, o.Backlog.OldestAt, err = s.store.Events.Backlog(ctx, sources); err != nil {
		return o, err
	}
	if o.Provisioning, err = s.provisioning(ctx); err != nil {
		return o, err
	}
	o.Hours, err = s.hours(ctx, s.now().UTC().Add(-24*time.Hour))
	return o, err
}

// Hour is what happened within an hour.
type Hour struct {
	From   time.Time
	Events int // that PMSs posted
	Wrong  int // of them rejected, or not authentic
	Keys   int // mobile keys that were made
}

// hours counts what happened in each of the 24 hours since a time.
func (s Overview) hours(ctx context.Context, since time.Time) ([]Hour, error) {
	Sources(s).flushActivity(ctx)
	rows, err := s.store.Activity.Since(ctx, since, ActorOf(ctx).Sources)
	if err != nil {
		return nil, err
	}
	hours := make([]Hour, 24)
	for i := range hours {
		hours[i].From = since.Add(time.Duration(i) * time.Hour)
	}
	for _, row := range rows {
		i := int(max(row.Hour.Sub(since), 0) / time.Hour) // a minute that had begun by then is in the first hour
		if i >= len(hours) {
			continue
		}
		h, n := &hours[i], int(row.N)
		switch row.Kind {
		case stay.EventApplied, stay.EventSuperseded, stay.EventIgnored:
			h.Events += n
		case stay.EventRejected, store.ActivityRefused:
			h.Events += n
			h.Wrong += n
		case store.ActivityMade:
			h.Keys += n
		}
	}
	return hours, nil
}
