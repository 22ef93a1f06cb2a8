// Package doors checks the doors that guests' keys open, before the guests arrive. What it finds never closes a door
// and never changes a key: it is reported, for a person to fix.
//
//	doors.go      one replica at a time: which access systems are due, and reading them
//	schedule.go   pure: when an access system is due
//	judge.go      pure: what an answer of Seam changes in what is known of a door or an access group
//	damp.go       pure: when a problem that comes and goes is reported
//	risks.go      which stays are at risk
//
// An access system is read each morning of its properties' time zones, two hours before arrivals, and every hour while
// the doors of a stay are at risk. That is one call (a list of its doors); each access group that keys open is asked
// for once more a day.
//
// An answer counts only for what it says. A door, a field or a list that is missing, a failed call and an access
// system that Seam can't reach change nothing: they neither report a problem nor end one.
//
// # Contract
//
// [Checker.Run] works until its context ends. Replicas share the work by a lease in the database: one that dies delays
// it by the lease. All calls to Seam are reads in the background, after those that guests wait for. The result is in
// the database (store/door_health.go): REST and the page show it as door_at_risk, internal/notify
// sends it as mobile_key.at_risk, and the gauge staykey_stays_with_doors_at_risk counts the stays.
package doors

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

var (
	atRisk = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "staykey_stays_with_doors_at_risk",
		Help: "Stays in house, or arriving within 24 hours, with a door that Seam reports as offline, low on " +
			"battery or in privacy mode, or an access group without a door for mobile keys.",
	})
	readings = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "staykey_door_checks_total",
		Help: "Access systems whose doors this process read, by result (read, failed).",
	}, []string{"result"})
)

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{atRisk, readings} }

const (
	task  = "doors"
	lease = 30 * time.Second // how long a killed replica delays it
	// Doors are read from used before a stay begins, and reported from atRiskWithin before.
	used, atRiskWithin = 7 * 24 * time.Hour, 24 * time.Hour
	// kept is how long what is known of an access group that no key opens is kept.
	kept = 30 * 24 * time.Hour
	// groupReads is how many access groups are read at a time.
	groupReads = 4
)

// Options of a [Checker]. Zero values select the defaults.
type Options struct {
	After   func(time.Duration) <-chan time.Time // what waits for Every, default time.After
	Every   time.Duration                        // how often what is due is looked for, default 1 min
	ReadLag time.Duration                        // how long Seam's reads may lag, default 5 s
	Idle    func() bool                          // whether nothing may be read now, default never
	Now     func() time.Time                     // default time.Now
	Policy  func(source string) pms.Policy       // required
	Renewed time.Duration                        // how often the lease is renewed, default a third of it
}

// Checker is safe for concurrent use; any number of them may share a database.
type Checker struct {
	store   *store.Store
	seam    *seam.Client
	log     *slog.Logger
	options Options
}

// New returns a checker that is not running yet.
func New(s *store.Store, client *seam.Client, log *slog.Logger, o Options) *Checker {
	if o.After == nil {
		o.After = time.After
	}
	if o.Every <= 0 {
		o.Every = time.Minute
	}
	if o.ReadLag <= 0 {
		o.ReadLag = 5 * time.Second
	}
	if o.Idle == nil {
		o.Idle = func() bool { return false }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Renewed <= 0 {
		o.Renewed = lease / 3
	}
	return &Checker{store: s, seam: client, log: log, options: o}
}

func (c *Checker) now() time.Time { return c.options.Now().UTC() }

// Run checks doors whenever it is due and no other replica does it, until ctx ends.
func (c *Checker) Run(ctx context.Context) {
	scheduled := false
	for ctx.Err() == nil {
		if !scheduled {
			scheduled = c.store.Tasks.Schedule(ctx, task, c.now()) == nil
		}
		c.turn(ctx)
		c.count(ctx)
		select {
		case <-ctx.Done():
		case <-c.options.After(c.options.Every):
		}
	}
}

// count sets the gauge, which is the same from every replica.
func (c *Checker) count(ctx context.Context) {
	n, err := c.store.Doors.CountRisks(ctx)
	if atRisk.Set(float64(n)); err != nil {
		atRisk.Set(math.NaN())
	}
}

// turn checks what is due, if this replica gets the turn.
func (c *Checker) turn(ctx context.Context) {
	if c.options.Idle() {
		return
	}

	l, err := c.store.Tasks.Claim(ctx, task, c.now(), lease)
	if err != nil {
		if !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
			c.log.Warn("doors not checked; retrying", "error", err)
		}
		return
	}

	working, cancel := context.WithCancel(ctx)
	renewing := errgroup.Group{}
	renewing.Go(func() error {
		store.KeepLease(working, cancel, c.options.Renewed, func() error {
			return c.store.Tasks.Renew(working, l, lease)
		})
		return nil
	})
	result, err := c.check(seam.Background(working))
	cancel()
	_ = renewing.Wait()

	if err != nil && ctx.Err() == nil {
		c.log.Warn("doors not checked; retrying", "error", err)
	}
	if err := c.store.Tasks.Finish(context.WithoutCancel(ctx), l, c.now().Add(c.options.Every), result); err != nil {
		c.log.Warn("result of checking doors not stored", "error", err)
	}
}

// state is what is kept from one turn to the next.
type state struct {
	Systems map[string]reading `json:"systems"` // by id; those in use
}

// check reads the access systems that are due, and then looks which stays are at risk. It returns the state to keep;
// nil: as it was.
func (c *Checker) check(ctx context.Context) (any, error) {
	before := state{}
	if err := c.store.Tasks.Result(ctx, task, &before); err != nil {
		return nil, err
	}
	now := c.now()

	users, err := c.store.Doors.InUse(ctx, now, now.Add(ahead), now.Add(used))
	if err != nil {
		return nil, err
	}

	unreachable, err := c.unreachable(ctx)
	if err != nil {
		return nil, err
	}
	risks, err := c.store.Doors.Risks(ctx, nil, 0)
	if err != nil {
		return nil, err
	}

	after := state{Systems: map[string]reading{}}
	for _, s := range c.systems(users, risks) {
		last := before.Systems[s.id]
		if !unreachable[s.id] && ctx.Err() == nil {
			last = c.visit(ctx, s, last)
		}
		after.Systems[s.id] = last
	}

	if err := c.store.Doors.Forget(ctx, now.Add(-kept)); err != nil {
		c.log.Warn("old doors not deleted; retrying", "error", err)
	}
	return after, c.report(ctx)
}

// unreachable are the access systems that Seam can't reach: what it would show of them is old.
func (c *Checker) unreachable(ctx context.Context) (map[string]bool, error) {
	list, err := c.store.ACSSystems.Disconnections(ctx)
	ids := map[string]bool{}
	for _, d := range list {
		ids[d.ACSSystemID] = true
	}
	return ids, err
}

// visit reads an access system if it is due, and returns when it was read last.
func (c *Checker) visit(ctx context.Context, s system, last reading) reading {
	doors, groups, err := c.store.Doors.Of(ctx, s.id)
	if err != nil {
		c.log.Warn("doors not read from Postgres; retrying", "acs_system_id", s.id, "error", err)
		return last
	}
	r := &round{
		Checker: c, system: s, now: c.now(), doors: map[string]*store.Door{}, groups: map[string]*group{},
		histories: last.History.clone(),
	}
	r.load(doors, groups)
	ask := r.toAsk(last)
	if len(ask) == 0 && !s.due(last, r.now) || r.now.Before(last.NotBefore) {
		return last
	}
	r.asked = slices.ContainsFunc(ask, func(g *group) bool { return g.AskedAt == nil })
	if err := r.read(ctx, ask); err != nil {
		readings.WithLabelValues("failed").Inc()
		if ctx.Err() == nil {
			c.log.Warn("doors not read from Seam; keeping the last known state", "acs_system_id", s.id, "error",
				err)
		}
		last.NotBefore, last.History = r.now.Add(retryAfter), r.histories
		return last
	}
	readings.WithLabelValues("read").Inc()
	return reading{At: r.now, History: r.histories}
}

// round is one reading of an access system.
type round struct {
	*Checker
	system system
	now    time.Time
	doors  map[string]*store.Door
	groups map[string]*group

	histories histories // of the doors' problems
	asked     bool      // an admin has asked for a group's doors, or one is read for the first time
}

func (r *round) load(doors []store.Door, groups []store.DoorGroup) {
	for _, d := range doors {
		r.doors[d.EntranceID] = &d
	}
	for _, g := range groups {
		r.groups[g.GroupID] = &group{DoorGroup: g}
	}
	for _, id := range r.system.groups {
		if r.groups[id] == nil {
			r.groups[id] = &group{DoorGroup: store.DoorGroup{GroupID: id, SystemID: r.system.id}}
		}
		r.groups[id].UsedAt = r.now
	}
}

// toAsk are the groups in use that Seam must be asked for: once a day, and again where its answer is in doubt.
func (r *round) toAsk(last reading) []*group {
	var ask []*group
	morning := r.system.morning(r.now)
	for _, id := range r.system.groups {
		if g := r.groups[id]; g.due(morning, r.now, r.options.ReadLag) {
			ask = append(ask, g)
		}
	}
	return ask
}

// read asks Seam for the doors of the access system, and for those of the groups, and stores what it shows. What was
// shown before a failure counts.
func (r *round) read(ctx context.Context, ask []*group) error {
	listed, err := r.seam.Entrances(ctx, r.system.id)
	if err == nil {
		for _, e := range listed {
			if e.ACSSystemID == "" || e.ACSSystemID == r.system.id { // some answers ignore a filter
				r.see(e)
			}
		}
		err = r.readGroups(ctx, ask)
	}
	for _, id := range r.system.groups {
		r.groups[id].judge(r.doors, r.now, r.options.ReadLag)
	}
	return errors.Join(err, r.save(ctx))
}

func (r *round) see(e seam.Entrance) {
	d := r.doors[e.ACSEntranceID]
	if d == nil {
		d = &store.Door{EntranceID: e.ACSEntranceID, SystemID: r.system.id}
		r.doors[e.ACSEntranceID] = d
	}
	seeDoor(d, e, r.histories, r.asked, r.now)
}

// readGroups asks for groups. One that Seam refuses to show is asked for again the next day.
func (r *round) readGroups(ctx context.Context, ask []*group) error {
	lists := make([][]seam.Entrance, len(ask))
	refused := make([]bool, len(ask))
	reads, reading := errgroup.WithContext(ctx)
	reads.SetLimit(groupReads)
	for i, g := range ask {
		reads.Go(func() (err error) {
			lists[i], err = r.seam.EntrancesOfGroup(reading, g.GroupID)
			if kind := seam.KindOf(err); kind == seam.NotFound || kind == seam.Invalid {
				refused[i], err = true, nil
			} else if err == nil && lists[i] == nil {
				lists[i] = []seam.Entrance{}
			}
			return err
		})
	}

	err := reads.Wait()
	for i, g := range ask {
		switch {
		case refused[i]:
			g.AskedAt = &r.now
		case lists[i] != nil:
			for _, e := range lists[i] {
				r.see(e)
			}
			g.see(lists[i], r.now, r.options.ReadLag)
		}
	}
	return err
}

func (r *round) save(ctx context.Context) error {
	groups := make([]store.DoorGroup, 0, len(r.system.groups))
	for _, id := range r.system.groups {
		groups = append(groups, r.groups[id].DoorGroup)
	}
	// Doors of groups that no key opens at present are stored too: they count when most doors are offline, and would
	// otherwise stay offline.
	opened := map[string]bool{}
	for _, g := range r.groups {
		for _, door := range g.EntranceIDs {
			opened[door] = true
		}
	}
	var doors []store.Door
	for id, d := range r.doors {
		if opened[id] {
			doors = append(doors, *d)
		}
	}
	// What is known of other doors is not kept from one reading to the next.
	maps.DeleteFunc(r.histories, func(id string, _ map[string]history) bool { return !opened[id] })
	slices.SortFunc(doors, func(a, b store.Door) int { return compare(a.EntranceID, b.EntranceID) })
	return r.store.Doors.Save(ctx, doors, groups)
}
