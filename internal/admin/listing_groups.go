package admin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file lets people choose the groups of many listings at once. Each listing is changed by [Listings.Put],
// so that it is checked and written to the audit log as if it had been changed alone.

// Groups chooses the access groups of many listings at once. The page calls them doors, and so do messages.
type Groups struct{ *core }

// GroupQuery asks for listings to choose groups for.
type GroupQuery struct {
	Paging
	Source  string `query:"source"`
	Query   string `query:"q"`
	Missing bool   `query:"missing"` // only listings without doors
}

// GroupRow is a listing with its groups.
type GroupRow struct {
	Listing
	Waiting   int              // confirmed stays that are not over
	Suggested stay.AccessGroup // the group whose name is most like the listing's; zero for none
}

// List lists listings that are not deleted: first those that reservations name and nobody has set up, then those
// without groups, then the rest; each by name.
func (s Groups) List(ctx context.Context, q GroupQuery) (Page[GroupRow], error) {
	const list = "doors"
	var after store.GroupCursor
	if err := s.openCursor(list, q.Cursor, &after); err != nil {
		return Page[GroupRow]{}, err
	}

	f := store.GroupFilter{Query: q.Query, Missing: q.Missing, Sources: s.sourcesFor(ctx, q.Source)}
	rows, err := s.store.Listings.WithGroups(ctx, f, after, s.now().UTC(), q.Limit+1)
	if err != nil {
		return Page[GroupRow]{}, err
	}
	found := page(s.core, list, rows, q.Limit, func(l store.GroupListing) any { return l.Cursor() })
	doors := Page[GroupRow]{Next: found.Next}

	choices := s.choices(ctx)
	for _, l := range found.Items {
		row := GroupRow{Listing: l.Listing, Waiting: l.Waiting}
		name := stay.Text(l.Name)
		if name == "" {
			name = l.ListingID
		}

		groups, err := choices(l.Source)
		if err != nil {
			return doors, err
		}
		if suggested, is := suggestGroup(name, groups); is && !slices.Contains(l.Groups(), suggested.ID) {
			row.Suggested = suggested
		}
		doors.Items = append(doors.Items, row)
	}
	return doors, nil
}

// CountMissing counts, up to most, the listings without groups, those that nobody has set up among them.
func (s Groups) CountMissing(ctx context.Context, most int) (int, error) {
	return s.store.Listings.CountMissingGroups(ctx, ActorOf(ctx).Sources, s.now().UTC(), most)
}

// choices returns a function for the groups that listings of a source may have. It asks once for each source.
func (s Groups) choices(ctx context.Context) func(source string) ([]stay.AccessGroup, error) {
	known := map[string][]stay.AccessGroup{}
	return func(source string) ([]stay.AccessGroup, error) {
		if groups, ok := known[source]; ok {
			return groups, nil
		}
		groups, err := s.Of(ctx, source)
		known[source] = groups.Choices
		return groups.Choices, err
	}
}

// GroupMode is what happens to the groups that a listing has.
type GroupMode string

// The modes.
const (
	GroupsReplace GroupMode = "replace" // the listing has the chosen doors and no others
	GroupsAdd     GroupMode = "add"
	GroupsRemove  GroupMode = "remove"
)

// GroupsRefused is a listing whose groups could not be changed.
type GroupsRefused struct {
	stay.ListingRef
	Line int // of the file; 0 where there is none
	Why  string
}

// GroupsChanged is the result of changing the groups of many listings.
type GroupsChanged struct {
	Changed, Unchanged int
	Refused            []GroupsRefused
}

// refusedShown is how many refused listings are named to a person.
const refusedShown = 100

// FirstRefused are refused listings, as many as a person reads.
func (c GroupsChanged) FirstRefused() []GroupsRefused {
	return c.Refused[:min(len(c.Refused), refusedShown)]
}

// MoreRefused is how many listings were refused besides [GroupsChanged.FirstRefused].
func (c GroupsChanged) MoreRefused() int { return len(c.Refused) - len(c.FirstRefused()) }

// mostListings bounds how many listings are ticked or typed at once.
const mostListings = 2000

func fewEnough(n int) error {
	if n > mostListings {
		return InvalidField("listing", "too many listings at once")
	}
	return nil
}

// Change changes the groups of listings.
func (s Groups) Change(ctx context.Context, listings []stay.ListingRef, mode GroupMode,
	groups []string,
) (GroupsChanged, error) {
	if mode != GroupsReplace && mode != GroupsAdd && mode != GroupsRemove {
		return GroupsChanged{}, InvalidField("mode", "must be replace, add or remove")
	}
	if err := fewEnough(len(listings)); err != nil {
		return GroupsChanged{}, err
	}
	return s.set(ctx, listings, func(l ListingState) (map[string]any, error) {
		switch has := l.Groups(); mode {
		case GroupsAdd:
			return groupPatch(l, withoutRepeats(slices.Concat(has, groups))), nil
		case GroupsRemove:
			return groupPatch(l, slices.DeleteFunc(slices.Clone(has),
				func(id string) bool { return slices.Contains(groups, id) })), nil
		default:
			return groupPatch(l, withoutRepeats(groups)), nil
		}
	})
}

// UseSuggested adds to each listing the group whose name is most like its own. Listings without such a group
// stay unchanged.
func (s Groups) UseSuggested(ctx context.Context, listings []stay.ListingRef) (GroupsChanged, error) {
	if err := fewEnough(len(listings)); err != nil {
		return GroupsChanged{}, err
	}
	choices := s.choices(ctx)
	return s.set(ctx, listings, func(l ListingState) (map[string]any, error) {
		name := stay.Text(l.Name)
		if name == "" {
			name = l.ListingID
		}
		groups, err := choices(l.Source)
		if err != nil {
			return nil, err
		}
		suggested, is := suggestGroup(name, groups)
		if !is {
			return nil, refuse(Invalid, "no door has a name like this listing's")
		}
		return groupPatch(l, withoutRepeats(append(slices.Clone(l.Groups()), suggested.ID))), nil
	})
}

// TypedGroups are the groups that somebody typed for a listing: names, ids, or words and numbers that only one group's
// name has, separated by semicolons.
type TypedGroups struct {
	stay.ListingRef
	Text string
}

// GroupsTyped is the result of [Groups.SetTyped].
type GroupsTyped struct {
	GroupsChanged
	Groups map[stay.ListingRef][]string // what was understood, by listing; without those refused
}

// SetTyped gives listings without groups those that were typed for them. What a listing has got meanwhile stays.
func (s Groups) SetTyped(ctx context.Context, typed []TypedGroups) (GroupsTyped, error) {
	if err := fewEnough(len(typed)); err != nil {
		return GroupsTyped{}, err
	}
	choices := s.choices(ctx)
	refs, doors := make([]stay.ListingRef, len(typed)), map[stay.ListingRef]string{}
	for i, t := range typed {
		refs[i], doors[t.ListingRef] = t.ListingRef, t.Text
	}

	understood := map[stay.ListingRef][]string{}
	unset := func(l Listing) error {
		has := slices.Clone(l.Groups())
		if len(has) == 0 {
			return nil
		}
		groups, err := s.Of(ctx, l.Source)
		if err != nil {
			return err
		}
		for i, id := range has {
			has[i] = nameOrID(groups, id)
		}
		return refuse(Conflict, "somebody has set its doors meanwhile: "+strings.Join(has, ", "))
	}

	changed, err := s.set(ctx, refs, func(l ListingState) (map[string]any, error) {
		groups, err := choices(l.Source)
		if err != nil {
			return nil, err
		}
		ref := stay.ListingRef{Source: l.Source, ListingID: l.ListingID}
		ids, problem := groupsIn(doors[ref], func(door string) (string, string) { return groupLike(door, groups) })
		if problem == "" && len(ids) == 0 {
			problem = "is required"
		}
		if problem != "" {
			return nil, refuse(Invalid, problem)
		}
		understood[ref] = ids
		return groupPatch(l, ids), nil
	}, unset)

	for _, refused := range changed.Refused {
		delete(understood, refused.ListingRef)
	}
	return GroupsTyped{changed, understood}, err
}

// groupsIn reads groups separated by semicolons, each with a function.
func groupsIn(text string, read func(door string) (id, problem string)) (ids []string, problem string) {
	for door := range strings.SplitSeq(text, ";") {
		if door = strings.TrimSpace(door); door == "" {
			continue
		}
		id, problem := read(door)
		if problem != "" {
			return nil, problem
		}
		ids = append(ids, id)
	}
	return withoutRepeats(ids), ""
}

// groupLike finds a group by its id or its name, or else by words and numbers that no other group's name has: "101", or
// "gard 101" for "Garden Room 101". Numbers must be whole, words may be their beginnings.
func groupLike(door string, groups []stay.AccessGroup) (id, problem string) {
	id, problem = namesOf(groups).find(door)
	if problem == "" {
		return id, ""
	}
	numbers, words := nameParts(door)
	var found []stay.AccessGroup
	for _, g := range groups {
		groupNumbers, groupWords := nameParts(g.Name)
		if len(numbers)+len(words) > 0 && hasAll(groupNumbers, numbers, strings.EqualFold) &&
			hasAll(groupWords, words, strings.HasPrefix) {
			found = append(found, g)
		}
	}
	switch len(found) {
	case 0:
		return "", problem
	case 1:
		return found[0].ID, ""
	}
	shown := func(g stay.AccessGroup) string { return g.Name + " (" + g.ID + ")" } // several may have one name
	return "", "several doors match " + door + ": " + shown(found[0]) + ", " + shown(found[1])
}

// hasAll reports whether each of the wanted is like one of all.
func hasAll(all, wanted []string, like func(one, wanted string) bool) bool {
	for _, w := range wanted {
		if !slices.ContainsFunc(all, func(one string) bool { return like(one, w) }) {
			return false
		}
	}
	return true
}

// groupPatch is the body of the PUT that gives a listing its groups; nil where it has them.
func groupPatch(l ListingState, groups []string) map[string]any {
	if l.Known && slices.Equal(l.Groups(), groups) {
		return nil
	}
	if groups == nil {
		groups = []string{} // none, whatever the PMS says; null would be what the PMS says
	}
	return map[string]any{"seam_access_group_ids": groups}
}

// set changes each listing as a function says, or collects why not. Checks may refuse what a listing is by then.
func (s Groups) set(ctx context.Context, refs []stay.ListingRef,
	patch func(ListingState) (map[string]any, error), checks ...func(Listing) error,
) (GroupsChanged, error) {
	var result GroupsChanged
	for _, ref := range refs {
		changed, err := s.setOf(ctx, ref, patch, checks...)
		refusal, is := IsRefusal(err)
		switch {
		case is:
			result.Refused = append(result.Refused, GroupsRefused{ListingRef: ref, Why: reasonOf(refusal)})
		case err != nil:
			return result, err
		case changed:
			result.Changed++
		default:
			result.Unchanged++
		}
	}
	return result, nil
}

func (s Groups) setOf(ctx context.Context, ref stay.ListingRef,
	patch func(ListingState) (map[string]any, error), checks ...func(Listing) error,
) (changed bool, err error) {
	l, err := Listings(s).ToPut(ctx, ref)
	if err != nil {
		return false, err
	}
	fields, err := patch(l)
	if err != nil || fields == nil {
		return false, err
	}
	if err := s.mayGain(ctx, l.Listing, fields); err != nil {
		return false, err
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return false, err
	}
	_, _, err = Listings(s).putIf(ctx, ref, body, checks...)
	return err == nil, err
}

// mayGain refuses groups that a listing would gain and its source may not open: its stays would need attention. Groups
// that the listing has may stay.
func (s Groups) mayGain(ctx context.Context, l Listing, patch map[string]any) error {
	groups, _ := patch["seam_access_group_ids"].([]string)
	gained := gainedGroups(l, groups)
	if len(gained) == 0 {
		return nil
	}
	denied, err := s.provisioner.NotAllowed(ctx, l.Source, gained)
	if err != nil || len(denied) == 0 {
		return err
	}
	return deniedGroups(s.All(ctx), denied)
}

// gainedGroups are those of the groups that a listing doesn't have.
func gainedGroups(l Listing, groups []string) []string {
	return slices.DeleteFunc(slices.Clone(groups), func(id string) bool { return slices.Contains(l.Groups(), id) })
}

// deniedGroups refuses groups, by name, that a source may not open.
func deniedGroups(all AccessGroups, denied []string) error {
	names := make([]string, len(denied))
	for i, id := range denied {
		names[i] = nameOrID(all, id)
	}
	return refuse(Invalid, "the source may not open "+strings.Join(names, ", "))
}

func reasonOf(refusal *Error) string {
	if len(refusal.Fields) > 0 {
		return refusal.Fields[0].Message
	}
	return refusal.Message
}

func withoutRepeats(ids []string) []string {
	var once []string
	for _, id := range ids {
		if !slices.Contains(once, id) {
			once = append(once, id)
		}
	}
	return once
}
