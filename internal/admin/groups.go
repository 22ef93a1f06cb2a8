package admin

import (
	"context"
	"slices"

	"github.com/staykey/staykey/internal/stay"
)

// AccessGroups are the access groups of the workspace, as far as the actor may know them: a token limited to some
// sources knows those that keys of its sources may open, and of others no more than the ids that its listings have.
type AccessGroups struct {
	Asked   bool               // Seam could be asked; else nothing is known
	Choices []stay.AccessGroup // those to pick from
	byID    map[string]stay.AccessGroup
	names   namedGroups // of all choices
}

// Named returns an access group by its id: without a name where the actor may not know it, and not at all where
// Seam doesn't.
func (g AccessGroups) Named(id string) (stay.AccessGroup, bool) {
	group, ok := g.byID[id]
	return group, ok
}

// SystemName is the name of an access system; its id where the actor can't know the name.
func (g AccessGroups) SystemName(id string) string {
	for _, one := range g.Choices {
		if one.SystemID == id && one.SystemName != "" {
			return one.SystemName
		}
	}
	return id
}

// All returns the workspace's access groups. Where Seam can't be asked it returns none, because pages can do
// without their names.
func (s Groups) All(ctx context.Context) AccessGroups {
	list, err := s.provisioner.AccessGroups(ctx)
	if err != nil {
		s.log.Warn("access groups not listed: showing their ids", "error", err)
		return AccessGroups{}
	}
	foreign, err := s.foreignGroups(ctx, list)
	if err != nil {
		s.log.Warn("owners of access groups not read: showing their ids", "error", err)
		return AccessGroups{}
	}
	g := AccessGroups{Asked: true, byID: map[string]stay.AccessGroup{}}
	for _, one := range list {
		if foreign[one.ID] {
			g.byID[one.ID] = stay.AccessGroup{ID: one.ID}
			continue
		}
		g.Choices = append(g.Choices, one)
		g.byID[one.ID] = one
	}
	g.names = namesOf(g.Choices)
	return g
}

// foreignGroups are those that none of the actor's sources may open.
func (s Groups) foreignGroups(ctx context.Context, list []stay.AccessGroup) (map[string]bool, error) {
	sources := ActorOf(ctx).Sources
	if sources == nil {
		return nil, nil
	}
	deniedTo := map[string]int{}
	for _, source := range sources {
		denied, err := s.provisioner.NotAllowed(ctx, source, idsOf(list))
		if err != nil {
			return nil, err
		}
		for _, id := range denied {
			deniedTo[id]++
		}
	}
	foreign := map[string]bool{}
	for id, n := range deniedTo {
		foreign[id] = n == len(sources)
	}
	return foreign, nil
}

// Of is like [Groups.All], with only those to pick from that keys of one source may open.
func (s Groups) Of(ctx context.Context, source string) (AccessGroups, error) {
	groups := s.All(ctx)
	denied, err := s.provisioner.NotAllowed(ctx, source, idsOf(groups.Choices))
	groups.Choices = slices.DeleteFunc(groups.Choices,
		func(g stay.AccessGroup) bool { return slices.Contains(denied, g.ID) })
	return groups, err
}

func idsOf(groups []stay.AccessGroup) []string {
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = g.ID
	}
	return ids
}
