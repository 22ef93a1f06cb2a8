package admin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file lets people choose the doors of many listings at once. Each listing is changed by [Listings.Put],
// so that it is checked and written to the audit log as if it had been changed alone.

// Doors chooses the access groups of many listings at once, and reports doors that don't work.
type Doors struct{ *core }

// DoorQuery asks for listings to choose doors for.
type DoorQuery struct {
	Paging
	Source  string `query:"source"`
	Query   string `query:"q"`
	Missing bool   `query:"missing"` // only listings without doors
}

// DoorRow is a listing with its doors.
type DoorRow struct {
	Listing
	Waiting   int              // confirmed stays that are not over
	Suggested stay.AccessGroup // the door whose name is most like the listing's; zero for none
}

// List lists listings that are not deleted: first those that reservations name and nobody has set up, then those
// without doors, then the rest; each by name.
func (s Doors) List(ctx context.Context, q DoorQuery) (Page[DoorRow], error) {
	const list = "doors"
	var after store.DoorCursor
	if err := s.openCursor(list, q.Cursor, &after); err != nil {
		return Page[DoorRow]{}, err
	}

	f := store.DoorFilter{Query: q.Query, Missing: q.Missing, Sources: s.sourcesFor(ctx, q.Source)}
	rows, err := s.store.Listings.WithDoors(ctx, f, after, s.now().UTC(), q.Limit+1)
	if err != nil {
		return Page[DoorRow]{}, err
	}
	found := page(s.core, list, rows, q.Limit, func(l store.DoorListing) any { return l.Cursor() })
	doors := Page[DoorRow]{Next: found.Next}

	choices := s.choices(ctx)
	for _, l := range found.Items {
		row := DoorRow{Listing: l.Listing, Waiting: l.Waiting}
		name := stay.Text(l.Name)
		if name == "" {
			name = l.ListingID
		}

		groups, err := choices(l.Source)
		if err != nil {
			return doors, err
		}
		if suggested, is := suggestDoors(name, groups); is && !slices.Contains(l.Groups(), suggested.ID) {
			row.Suggested = suggested
		}
		doors.Items = append(doors.Items, row)
	}
	return doors, nil
}

// CountMissing counts, up to most, the listings without doors, those that nobody has set up among them.
func (s Doors) CountMissing(ctx context.Context, most int) (int, error) {
	return s.store.Listings.CountMissingDoors(ctx, ActorOf(ctx).Sources, s.now().UTC(), most)
}

// choices returns a function for the doors that listings of a source may have. It asks once for each source.
func (s Doors) choices(ctx context.Context) func(source string) ([]stay.AccessGroup, error) {
	known := map[string][]stay.AccessGroup{}
	return func(source string) ([]stay.AccessGroup, error) {
		if groups, ok := known[source]; ok {
			return groups, nil
		}
		groups, err := s.AccessGroupsOf(ctx, source)
		known[source] = groups.Choices
		return groups.Choices, err
	}
}

// DoorMode is what happens to the doors that a listing has.
type DoorMode string

// What happens to them.
const (
	DoorsReplace DoorMode = "replace" // the listing has the chosen doors and no others
	DoorsAdd     DoorMode = "add"
	DoorsRemove  DoorMode = "remove"
)

// DoorsRefused is a listing whose doors could not be changed.
type DoorsRefused struct {
	stay.ListingRef
	Line int // of the file; 0 where there is none
	Why  string
}

// DoorsChanged is the result of changing the doors of many listings.
type DoorsChanged struct {
	Changed, Unchanged int
	Refused            []DoorsRefused
}

// mostDoors bounds how many listings are changed by one request.
const mostDoors = 2000

// Change changes the doors of listings.
func (s Doors) Change(ctx context.Context, listings []stay.ListingRef, mode DoorMode,
	groups []string,
) (DoorsChanged, error) {
	if mode != DoorsReplace && mode != DoorsAdd && mode != DoorsRemove {
		return DoorsChanged{}, InvalidField("mode", "must be replace, add or remove")
	}
	return s.set(ctx, listings, func(l ListingState) (map[string]any, error) {
		switch has := l.Groups(); mode {
		case DoorsAdd:
			return doorPatch(l, withoutRepeats(slices.Concat(has, groups))), nil
		case DoorsRemove:
			return doorPatch(l, slices.DeleteFunc(slices.Clone(has),
				func(id string) bool { return slices.Contains(groups, id) })), nil
		default:
			return doorPatch(l, withoutRepeats(groups)), nil
		}
	})
}

// UseSuggested adds to each listing the door whose name is most like its own. Listings without such a door
// stay unchanged.
func (s Doors) UseSuggested(ctx context.Context, listings []stay.ListingRef) (DoorsChanged, error) {
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
		suggested, is := suggestDoors(name, groups)
		if !is {
			return nil, refuse(Invalid, "no door has a name like this listing's")
		}
		return doorPatch(l, withoutRepeats(append(slices.Clone(l.Groups()), suggested.ID))), nil
	})
}

// TypedDoors are the doors that somebody typed for a listing: names, ids, or words and numbers that only one door's
// name has, separated by semicolons.
type TypedDoors struct {
	stay.ListingRef
	Doors string
}

// DoorsTyped is the result of [Doors.SetTyped].
type DoorsTyped struct {
	DoorsChanged
	Doors map[stay.ListingRef][]string // what was understood, by listing; without those refused
}

// SetTyped gives listings without doors those that were typed for them. What a listing has got meanwhile stays.
func (s Doors) SetTyped(ctx context.Context, typed []TypedDoors) (DoorsTyped, error) {
	choices := s.choices(ctx)
	refs, doors := make([]stay.ListingRef, len(typed)), map[stay.ListingRef]string{}
	for i, t := range typed {
		refs[i], doors[t.ListingRef] = t.ListingRef, t.Doors
	}

	understood := map[stay.ListingRef][]string{}
	unset := func(l Listing) error {
		has := slices.Clone(l.Groups())
		if len(has) == 0 {
			return nil
		}
		groups, err := s.AccessGroupsOf(ctx, l.Source)
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
		ids, problem := doorsIn(doors[ref], func(door string) (string, string) { return doorLike(door, groups) })
		if problem == "" && len(ids) == 0 {
			problem = "is required"
		}
		if problem != "" {
			return nil, refuse(Invalid, problem)
		}
		understood[ref] = ids
		return doorPatch(l, ids), nil
	}, unset)

	for _, refused := range changed.Refused {
		delete(understood, refused.ListingRef)
	}
	return DoorsTyped{changed, understood}, err
}

// doorsIn reads doors separated by semicolons, each with a function.
func doorsIn(text string, read func(door string) (id, problem string)) (ids []string, problem string) {
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

// doorLike finds a door by its id or its name, or else by words and numbers that no other door's name has: "101", or
// "gard 101" for "Garden Room 101". Numbers must be whole, words may be their beginnings.
func doorLike(door string, groups []stay.AccessGroup) (id, problem string) {
	id, problem = doorNamed(door, groups, nil)
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

// doorPatch is the body of the PUT that gives a listing its doors; nil where it has them.
func doorPatch(l ListingState, groups []string) map[string]any {
	if l.Known && slices.Equal(l.Groups(), groups) {
		return nil
	}
	if groups == nil {
		groups = []string{} // none, whatever the PMS says; null would be what the PMS says
	}
	return map[string]any{"seam_access_group_ids": groups}
}

// set changes each listing as a function says, or collects why not. Checks may refuse what a listing is by then.
func (s Doors) set(ctx context.Context, refs []stay.ListingRef,
	patch func(ListingState) (map[string]any, error), checks ...func(Listing) error,
) (DoorsChanged, error) {
	var result DoorsChanged
	if len(refs) > mostDoors {
		return result, InvalidField("listing", "too many listings at once")
	}
	for _, ref := range refs {
		changed, err := s.setOf(ctx, ref, patch, checks...)
		refusal, is := IsRefusal(err)
		switch {
		case is:
			result.Refused = append(result.Refused, DoorsRefused{ListingRef: ref, Why: reasonOf(refusal)})
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

func (s Doors) setOf(ctx context.Context, ref stay.ListingRef,
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
	body, err := json.Marshal(fields)
	if err != nil {
		return false, err
	}
	_, _, err = Listings(s).putIf(ctx, ref, body, checks...)
	return err == nil, err
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
