package record

import "slices"

// Groups are the access groups of an ACS user, the doors that it opens: all that may be open.
type Groups struct {
	AccessGroupIDs []string // Seam's ids
	GroupsRead     bool     // they were read back since they were last changed
}

// GroupsChanging is part of the mark of a change of access groups: they have to be read back.
func (g *Groups) GroupsChanging() { g.GroupsRead = false }

// GroupAdded records that Seam has accepted an access group.
func (g *Groups) GroupAdded(group string) {
	g.AccessGroupIDs = append(g.without(group), group)
	slices.Sort(g.AccessGroupIDs)
}

// GroupRemoved records that an access group was removed, or doesn't exist any more.
func (g *Groups) GroupRemoved(group string) { g.AccessGroupIDs = g.without(group) }

// without is a copy: what [User.Refused] restores may share the list.
func (g *Groups) without(group string) []string {
	return slices.DeleteFunc(slices.Clone(g.AccessGroupIDs), func(id string) bool { return id == group })
}

// ReadGroups records the access groups that Seam lists. A list may be incomplete for a while: a group that was opened
// and is no longer wanted counts as open until it is closed, and one that is wanted is simply opened again. shown
// reports whether the list is exactly what is recorded.
func (g *Groups) ReadGroups(listed, wanted []string) (shown bool) {
	listed, recorded := sorted(listed), sorted(g.AccessGroupIDs)
	if slices.Equal(listed, recorded) {
		g.AccessGroupIDs, g.GroupsRead = recorded, true
		return true
	}
	for _, id := range recorded {
		if !slices.Contains(listed, id) && !slices.Contains(wanted, id) {
			listed = append(listed, id)
		}
	}
	slices.Sort(listed)
	g.AccessGroupIDs, g.GroupsRead = listed, false
	return false
}

// ReadBackGroups records whether Seam lists exactly the recorded access groups, and reports it. What differs is not
// recorded here: it is compared after the read lag.
func (g *Groups) ReadBackGroups(listed []string) (shown bool) {
	recorded := slices.Clone(g.AccessGroupIDs)
	shown = g.ReadGroups(listed, listed)
	g.AccessGroupIDs = recorded
	return shown
}

// leaveGroup restores what was recorded of one group.
func (g *Groups) leaveGroup(recorded Groups, group string) {
	if slices.Contains(recorded.AccessGroupIDs, group) {
		g.GroupAdded(group)
	} else {
		g.GroupRemoved(group)
	}
}

// sameGroups reports whether two records have the same groups.
func (g *Groups) sameGroups(other Groups) bool {
	return slices.Equal(sorted(g.AccessGroupIDs), sorted(other.AccessGroupIDs))
}

func sorted(ids []string) []string { return slices.Compact(slices.Sorted(slices.Values(ids))) }

// union are the groups of a create, and those of earlier creates if both may have taken effect.
func union(groups, others []string, both bool) []string {
	all := slices.Clone(groups)
	if both {
		all = append(all, others...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
