package handlers

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Summary is how everything stands.
type Summary struct {
	Reservations       map[string]int `json:"reservations" doc:"By status. Where there are so many that counting takes long, as of some seconds ago."`
	MobileKeys         map[string]int `json:"mobile_keys" doc:"By key status, likewise."`
	OldestWaiting      *Reservation   `json:"oldest_waiting"`
	ArrivalsWithoutKey []Reservation  `json:"arrivals_without_key" nullable:"false" doc:"Stays that begin within STAYKEY_DUE_WITHIN (24 hours), or are under way, without an issued key; the nearest first, at most 50."`
	EventBacklog       int            `json:"event_backlog" doc:"Events that are not applied yet, counted to 10,000."`
	OldestEventAt      *string        `json:"oldest_event_at" format:"date-time" doc:"When the oldest of them was received."`
	Provisioning       Provisioning   `json:"provisioning"`
}

// Provisioning is how the work at Seam goes, whatever the reservation.
type Provisioning struct {
	Paused       *string        `json:"paused" doc:"Why nothing is provisioned now; null while it is." example:"Seam does not accept SEAM_API_KEY: set a valid one"`
	Disconnected []Disconnected `json:"disconnected_access_systems" nullable:"false" doc:"Access systems that Seam can't reach."`
	LastSweep    *stay.Sweep    `json:"last_sweep" doc:"The last comparison of all live keys with Seam; null before the first, and for a token of single sources."`
}

// Disconnected is an access system that Seam can't reach.
type Disconnected struct {
	ACSSystemID string  `json:"acs_system_id"`
	Since       string  `json:"since" format:"date-time"`
	Problem     *string `json:"problem" doc:"Seam's error code." example:"acs_system_disconnected"`
}

// countsLast is for how many times as long as counting took its result is shown again, where it took longer than
// countsQuick: a million keys take a fifth of a second, and pages that ask for it each second should not keep Postgres busy.
const (
	countsLast  = 50
	countsQuick = 20 * time.Millisecond
)

// counted remembers what took long to count, by the sources that were counted.
type counted struct {
	mu   sync.Mutex
	last map[string]countedOnce
}

type countedOnce struct {
	counts store.Summary
	until  time.Time
}

func (s *server) counts(ctx context.Context) (store.Summary, error) {
	sources := actorOf(ctx).Sources
	of := "all"
	if sources != nil {
		of = "only " + strings.Join(sources, " ")
	}
	s.counted.mu.Lock()
	defer s.counted.mu.Unlock()
	began := time.Now()
	if last := s.counted.last[of]; began.Before(last.until) {
		return last.counts, nil
	}
	counts, err := s.Store.Summary(ctx, sources)
	if took := time.Since(began); err == nil && took > countsQuick {
		if s.counted.last == nil {
			s.counted.last = map[string]countedOnce{}
		}
		s.counted.last[of] = countedOnce{counts, time.Now().Add(countsLast * took)}
	}
	return counts, err
}

// provisioning is how the work at Seam goes, as far as the actor may know: disconnected access systems and the last sweep
// are about all sources, so that a token of single sources sees neither, on the page or in REST.
func (s *server) provisioning(ctx context.Context) (Provisioning, error) {
	p, err := s.Provisioning(ctx)
	if actorOf(ctx).Sources != nil {
		p.Disconnected, p.LastSweep = []Disconnected{}, nil
	}
	return p, err
}

func (s *server) summary(ctx context.Context, _ *struct{}) (*Output[Summary], error) {
	counts, err := s.counts(ctx)
	if err != nil {
		return nil, s.fromStore(err, "")
	}
	out := Summary{Reservations: counts.Reservations, MobileKeys: counts.Keys, ArrivalsWithoutKey: []Reservation{}}
	switch v, err := s.Store.OldestWaiting(ctx, actorOf(ctx).Sources); {
	case err == nil:
		r := showReservation(v)
		out.OldestWaiting = &r
	case !errors.Is(err, store.ErrNotFound):
		return nil, s.fromStore(err, "")
	}
	now := s.Now().UTC()
	arrivals, err := s.Store.ArrivalsWithoutKey(ctx, now, now.Add(s.DueWithin), actorOf(ctx).Sources, 50)
	if err != nil {
		return nil, s.fromStore(err, "")
	}
	for _, v := range arrivals {
		out.ArrivalsWithoutKey = append(out.ArrivalsWithoutKey, showReservation(v))
	}
	n, oldest, err := s.Store.Backlog(ctx, actorOf(ctx).Sources)
	if err != nil {
		return nil, s.fromStore(err, "")
	}
	out.EventBacklog, out.OldestEventAt = n, stampOrNull(oldest)
	if out.Provisioning, err = s.provisioning(ctx); err != nil {
		return nil, s.fromStore(err, "")
	}
	return &Output[Summary]{out}, nil
}
