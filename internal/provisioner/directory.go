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

// directory knows which access system each access group is on, so that a reservation costs no call for it. Groups
// are made in Salto KS and never move: what was found once is kept in Postgres, and stays true until Seam says that
// it doesn't have the group.
type directory struct {
	seam  *seam.Client
	store *store.Store
	log   *slog.Logger
	now   func() time.Time

	asking sync.Mutex // held while Seam is asked: who waits for it finds what the one before has learnt
	loaded bool       // from Postgres; guarded by asking
	listed bool       // guarded by asking
	mu     sync.Mutex
	groups map[string]groupEntry

	latest   []seam.AccessGroup // the last list, for people to look at
	latestAt time.Time
}

type groupEntry struct {
	system    string // "" while Seam doesn't tell
	unknown   bool   // Seam reported that it doesn't have it
	checkedAt time.Time
	stale     bool // to be asked for again; until then it is what it was
}

// unknownFor is how long a group that Seam didn't know is not asked for again.
const unknownFor = time.Minute

func newDirectory(c *seam.Client, s *store.Store, log *slog.Logger, now func() time.Time) *directory {
	return &directory{seam: c, store: s, log: log, now: now, groups: map[string]groupEntry{}}
}

// system implements [plan.GroupSystem]. A group that nobody has asked for yet is known, and on no known system:
// nothing speaks against it.
func (d *directory) system(groupID string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.groups[groupID]
	return e.system, !e.unknown
}

// learn asks Seam for those of the groups that are not known: the whole list at first, then one by one,
// because something missing from a list may be missing for other reasons.
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

// ask asks Seam for one group. Only its own "no such group" makes a group unknown that was known before: any other
// refusal says nothing about it.
func (d *directory) ask(ctx context.Context, id string) error {
	g, err := d.seam.AccessGroup(ctx, id)
	switch {
	case err == nil:
		d.put(ctx, []seam.AccessGroup{g})
	case seam.TypeOf(err) == groupUnknown:
		d.unknown(id)
	case seam.KindOf(err) == seam.NotFound || seam.KindOf(err) == seam.Invalid: // an id of another form may be refused as such
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

// load takes over what was learnt before this process. Without it nothing is lost but time.
func (d *directory) load(ctx context.Context) {
	if d.loaded {
		return
	}
	systems, err := d.store.AccessGroups(ctx)
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

// learnAll takes over the workspace's groups in one call, unless somebody has done so.
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

// shownFor is for how long a list of access groups is shown before Seam is asked for another.
const shownFor = 15 * time.Second

// all lists the workspace's access groups, as they were some seconds ago at most.
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

// put takes over groups that Seam shows. One whose system it doesn't tell keeps the one that is known.
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
	if err := d.store.SaveAccessGroups(ctx, news, d.now()); err != nil {
		d.log.Warn("access groups not stored; asking Seam again after a restart", "error", err)
	}
}

// unknown records that Seam says that it doesn't have a group.
func (d *directory) unknown(groupID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.groups[groupID]
	d.groups[groupID] = groupEntry{system: e.system, unknown: true, checkedAt: d.now()}
}

// forget makes the groups be asked for again: Seam has just refused one of them, or an admin wants to know.
func (d *directory) forget(groupIDs []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range groupIDs {
		if e, asked := d.groups[id]; asked { // not deleted: other attempts are using it
			e.stale = true
			d.groups[id] = e
		}
	}
}
