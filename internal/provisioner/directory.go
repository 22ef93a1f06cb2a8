package provisioner

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// directory knows which access system each access group is on, so that a reservation costs no call for it. Groups are
// created in Salto KS and never move: what was found once is kept in Postgres, and remains true until Seam reports
// that the group doesn't exist.
type directory struct {
	seam  *seam.Client
	store *store.Store
	log   *slog.Logger
	now   func() time.Time

	asking sync.Mutex // locked while Seam is asked, so that callers who wait for it find what was learned meanwhile
	loaded bool       // what Postgres keeps has been read; guarded by asking
	listed bool       // Seam's whole list has been read; guarded by asking

	mu       sync.Mutex // guards what follows
	groups   map[string]groupEntry
	latest   []seam.AccessGroup // the last list, for people to look at
	latestAt time.Time
}

type groupEntry struct {
	system    string // "" while Seam doesn't report it
	unknown   bool   // Seam reported that it doesn't have it
	checkedAt time.Time
	stale     bool // needs to be read again; until then the old value counts
}

// unknownFor is how long a group that Seam didn't know is not asked for again.
const unknownFor = time.Minute

func newDirectory(c *seam.Client, s *store.Store, log *slog.Logger, now func() time.Time) *directory {
	return &directory{seam: c, store: s, log: log, now: now, groups: map[string]groupEntry{}}
}

// system implements [plan.GroupSystem]. A group that has not been asked for yet is known, but on no known system:
// nothing rules it out.
func (d *directory) system(groupID string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.groups[groupID]
	return e.system, !e.unknown
}

// learn asks Seam for those of the groups that are not known: first the whole list, then one by one, because a list
// may lack a group for other reasons.
func (d *directory) learn(ctx context.Context, groupIDs []string) error {
	if len(d.missing(groupIDs)) == 0 {
		return nil
	}
	d.asking.Lock()
	defer d.asking.Unlock()
	d.load(ctx)
	missing := d.missing(groupIDs)
	if len(missing) == 0 {
		return nil
	}
	listed := d.list(ctx)
	if listed != nil && seam.KindOf(listed) != seam.NotFound && seam.KindOf(listed) != seam.Invalid {
		return listed
	}
	for _, id := range d.missing(missing) {
		if err := d.ask(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// ask asks Seam for one group. Only an explicit "no such group" makes a known group unknown: any other refusal proves
// nothing.
func (d *directory) ask(ctx context.Context, id string) error {
	g, err := d.seam.AccessGroup(ctx, id)
	switch {
	case err == nil:
		d.put(ctx, []seam.AccessGroup{g})
	case seam.TypeOf(err) == groupUnknown:
		d.unknown(id)
	case seam.KindOf(err) == seam.NotFound || seam.KindOf(err) == seam.Invalid:
		// an id of another form may be refused in this way
		d.mu.Lock()
		e, asked := d.groups[id]
		if asked && !e.unknown {
			e.stale, e.checkedAt = false, d.now()
			d.groups[id] = e
		}
		d.mu.Unlock()
		if !asked {
			d.unknown(id)
		}
	default:
		return err
	}
	return nil
}

// load reads what earlier processes have learned. Without it, only time is lost.
func (d *directory) load(ctx context.Context) {
	if d.loaded {
		return
	}
	systems, err := d.store.AccessGroups.All(ctx)
	if err != nil {
		d.log.Warn("access groups not read from Postgres; asking Seam", "error", err)
		return
	}
	d.loaded = true
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, system := range systems {
		if _, asked := d.groups[id]; !asked {
			d.groups[id] = groupEntry{system: system, checkedAt: d.now()}
		}
	}
}

// learnAll reads all of the workspace's groups in one call, unless that has been done.
func (d *directory) learnAll(ctx context.Context) error {
	d.asking.Lock()
	defer d.asking.Unlock()
	d.load(ctx)
	if d.listed {
		return nil
	}
	return d.list(ctx)
}

func (d *directory) list(ctx context.Context) error {
	all, err := d.seam.AccessGroups(ctx, "")
	if err != nil {
		return err
	}
	d.put(ctx, all)
	d.listed = true
	d.mu.Lock()
	d.latest, d.latestAt = all, d.now()
	d.mu.Unlock()
	return nil
}

// shownFor is how long a list of access groups is shown before Seam is asked again.
const shownFor = 15 * time.Second

// all lists the workspace's access groups, at most shownFor old.
func (d *directory) all(ctx context.Context) ([]seam.AccessGroup, error) {
	d.asking.Lock()
	defer d.asking.Unlock()
	recent := func() ([]seam.AccessGroup, bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.latest, !d.latestAt.IsZero() && d.now().Sub(d.latestAt) < shownFor
	}
	if list, ok := recent(); ok {
		return list, nil
	}
	if err := d.list(ctx); err != nil {
		return nil, err
	}
	list, _ := recent()
	return list, nil
}

func (d *directory) missing(groupIDs []string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var missing []string
	for _, id := range groupIDs {
		e, asked := d.groups[id]
		incomplete := e.unknown || e.system == ""
		if !asked || e.stale || (incomplete && d.now().Sub(e.checkedAt) >= unknownFor) {
			missing = append(missing, id)
		}
	}
	return missing
}

// put records groups that Seam shows. One without a system keeps the one that is known.
func (d *directory) put(ctx context.Context, groups []seam.AccessGroup) {
	news := map[string]string{}
	d.mu.Lock()
	for _, g := range groups {
		before := d.groups[g.ACSAccessGroupID]
		system := cmp.Or(g.ACSSystemID, before.system)
		if system != "" && (system != before.system || before.unknown) {
			news[g.ACSAccessGroupID] = system
		}
		d.groups[g.ACSAccessGroupID] = groupEntry{system: system, checkedAt: d.now()}
	}
	d.mu.Unlock()
	if len(news) == 0 {
		return
	}
	if err := d.store.AccessGroups.Save(ctx, news, d.now()); err != nil {
		d.log.Warn("access groups not stored; asking Seam again after a restart", "error", err)
	}
}

// unknown records that Seam reports a group as not existing.
func (d *directory) unknown(groupID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.groups[groupID]
	d.groups[groupID] = groupEntry{system: e.system, unknown: true, checkedAt: d.now()}
}

// forget schedules another read of the groups: Seam has just refused one of them, or an admin wants to know.
func (d *directory) forget(groupIDs []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range groupIDs {
		if e, asked := d.groups[id]; asked { // marked, not deleted: other attempts are using it
			e.stale = true
			d.groups[id] = e
		}
	}
}
