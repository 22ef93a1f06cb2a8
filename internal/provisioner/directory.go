package provisioner

import (
	"context"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// directory knows which access system each access group is on, so that a reservation costs no call for it.
// Groups are made in Salto KS and never move, so that what was found stays true until Seam says otherwise.
type directory struct {
	seam *seam.Client
	now  func() time.Time

	asking sync.Mutex // held while Seam is asked: who waits for it finds what the one before has learnt
	listed bool       // guarded by asking
	mu     sync.Mutex
	groups map[string]groupEntry

	latest   []seam.AccessGroup // the last list, for people to look at
	latestAt time.Time
}

type groupEntry struct {
	system    string
	known     bool
	checkedAt time.Time
	stale     bool // to be asked for again; until then it is what it was
}

// unknownFor is how long a group that Seam didn't know is not asked for again.
const unknownFor = time.Minute

func newDirectory(c *seam.Client, now func() time.Time) *directory {
	return &directory{seam: c, now: now, groups: map[string]groupEntry{}}
}

// system implements groupSystem.
func (d *directory) system(groupID string) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.groups[groupID]
	return e.system, e.known
}

// learn asks Seam for those of the groups that are not known: the whole list at first, then one by one,
// because something missing from a list may be missing for other reasons.
func (d *directory) learn(ctx context.Context, groupIDs []string) error {
	if len(d.missing(groupIDs)) == 0 {
		return nil
	}
	d.asking.Lock()
	defer d.asking.Unlock()
	missing := d.missing(groupIDs)
	if len(missing) == 0 {
		return nil
	}
	if err := d.list(ctx); err != nil && seam.KindOf(err) != seam.NotFound && seam.KindOf(err) != seam.Invalid {
		return err
	}
	for _, id := range d.missing(missing) {
		g, err := d.seam.AccessGroup(ctx, id)
		switch seam.KindOf(err) {
		case 0:
			d.put(id, g.ACSSystemID, true)
		case seam.NotFound, seam.Invalid: // an id that is no UUID may be refused as such
			d.put(id, "", false)
		default:
			return err
		}
	}
	return nil
}

// learnAll takes over the workspace's groups in one call, unless somebody has done so.
func (d *directory) learnAll(ctx context.Context) error {
	d.asking.Lock()
	defer d.asking.Unlock()
	if d.listed {
		return nil
	}
	return d.list(ctx)
}

func (d *directory) list(ctx context.Context) error {
	all, err := d.seam.AccessGroups(ctx, "")
	for _, g := range all {
		d.put(g.ACSAccessGroupID, g.ACSSystemID, true)
	}
	d.listed = d.listed || err == nil
	if err == nil {
		d.mu.Lock()
		d.latest, d.latestAt = all, d.now()
		d.mu.Unlock()
	}
	return err
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
		if !asked || e.stale || (!e.known && d.now().Sub(e.checkedAt) >= unknownFor) {
			missing = append(missing, id)
		}
	}
	return missing
}

func (d *directory) put(groupID, system string, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.groups[groupID] = groupEntry{system: system, known: known, checkedAt: d.now()}
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
