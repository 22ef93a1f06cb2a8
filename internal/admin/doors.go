package admin

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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

// The columns of the table of doors.
const (
	columnSource  = "source"
	columnListing = "listing_id"
	columnName    = "name"
	columnDoors   = "doors"
)

// Export writes all listings with the names of their doors as CSV. Somebody corrects the column doors and
// gives the table to [Doors.Read].
func (s Doors) Export(ctx context.Context, q DoorQuery, to io.Writer) error {
	w := csv.NewWriter(to)
	if err := writeSheet(w, columnSource, columnListing, columnName, columnDoors); err != nil {
		return err
	}

	groups := s.AccessGroups(ctx)
	q.Paging = Paging{Limit: 500}
	for {
		found, err := s.List(ctx, q)
		if err != nil {
			return err
		}
		for _, row := range found.Items {
			doors := make([]string, 0, len(row.Groups()))
			for _, id := range row.Groups() {
				doors = append(doors, nameOrID(groups, id))
			}
			name := stay.Text(row.Name)
			if err := writeSheet(w, row.Source, row.ListingID, name, strings.Join(doors, "; ")); err != nil {
				return err
			}
		}

		w.Flush()
		if q.Cursor = found.Next; q.Cursor == "" || w.Error() != nil {
			return w.Error()
		}
	}
}

// nameOrID is an access group's name where it is the only one of that name, and else its id.
func nameOrID(groups AccessGroups, id string) string {
	group, known := groups.Named(id)
	if !known || group.Name == "" || strings.ContainsAny(group.Name, ";\n") {
		return id
	}
	for _, other := range groups.Choices {
		if other.ID != id && strings.EqualFold(other.Name, group.Name) {
			return id
		}
	}
	return group.Name
}

// DoorLine is a row of a table of doors that somebody wants to apply.
type DoorLine struct {
	stay.ListingRef
	Line    int
	Name    string
	New     bool     // there is no such listing yet: applying the line makes it
	Before  []string // access groups
	After   []string
	Problem string // why it can't be applied; "" where it can
}

// Changes reports whether applying the line changes the listing.
func (l DoorLine) Changes() bool {
	return l.Problem == "" && (l.New || !slices.Equal(l.Before, l.After))
}

// Read reads a table as [Doors.Export] writes it, and says of each row what applying it changes. Doors
// are names or ids, separated by semicolons; none takes the listing's doors away.
func (s Doors) Read(ctx context.Context, table []byte) ([]DoorLine, error) {
	if !utf8.Valid(table) || bytes.ContainsRune(table, 0) {
		return nil, InvalidField("file", "must be a CSV file in UTF-8")
	}
	rows, err := readSheet(table, []string{columnSource, columnListing, columnName, columnDoors},
		[]string{columnListing, columnDoors}, mostDoors)
	if err != nil {
		return nil, InvalidField("file", err.Error())
	}

	choices, sources := s.choices(ctx), s.visible(ctx)
	seen := map[stay.ListingRef]int{}
	lines := make([]DoorLine, len(rows))
	for i, row := range rows {
		l := DoorLine{Line: row.Line, Name: row.Cells[columnName]}
		l.Source, l.ListingID = row.Cells[columnSource], row.Cells[columnListing]
		if l.Source == "" && len(sources) == 1 {
			l.Source = sources[0]
		}

		if err := s.readLine(ctx, &l, row.Cells[columnDoors], choices); err != nil {
			return nil, err
		}
		if first, again := seen[l.ListingRef]; again && l.Problem == "" {
			l.Problem = "the listing is on line " + strconv.Itoa(first) + ", too"
		}
		seen[l.ListingRef] = l.Line
		lines[i] = l
	}
	return lines, nil
}

func (s Doors) readLine(ctx context.Context, l *DoorLine, doors string,
	choices func(string) ([]stay.AccessGroup, error),
) error {
	if l.ListingID == "" || l.Source == "" {
		l.Problem = "source and listing_id must name a listing"
		return nil
	}
	state, err := Listings(s).ToPut(ctx, l.ListingRef)
	if refusal, is := IsRefusal(err); is {
		l.Problem = refusal.Message
		return nil
	}
	if err != nil {
		return err
	}
	if l.Before, l.New = state.Groups(), !state.Known; stay.Text(state.Name) != "" {
		l.Name = *state.Name
	}
	groups, err := choices(l.Source)
	if err != nil {
		return err
	}
	l.After, l.Problem = doorsIn(doors, func(door string) (string, string) { return doorNamed(door, groups, l.Before) })
	return nil
}

// doorNamed finds a door by its id or its name. What the listing has already may stay, whatever Seam says of it.
func doorNamed(door string, groups []stay.AccessGroup, has []string) (id, problem string) {
	if slices.Contains(has, door) {
		return door, ""
	}
	var named []string
	for _, g := range groups {
		if g.ID == door {
			return door, ""
		}
		if strings.EqualFold(g.Name, door) {
			named = append(named, g.ID)
		}
	}
	switch len(named) {
	case 0:
		return "", "no door is called " + door
	case 1:
		return named[0], ""
	}
	return "", "several doors are called " + door + ": use their ids, " + strings.Join(named, " or ")
}

// Apply applies the rows of a table that change something and have no problem.
func (s Doors) Apply(ctx context.Context, lines []DoorLine) (DoorsChanged, error) {
	var refs []stay.ListingRef
	byRef := map[stay.ListingRef]DoorLine{}
	var refused []DoorsRefused
	for _, l := range lines {
		switch {
		case l.Problem != "":
			refused = append(refused, DoorsRefused{l.ListingRef, l.Line, l.Problem})
		default:
			refs = append(refs, l.ListingRef)
			byRef[l.ListingRef] = l
		}
	}
	result, err := s.set(ctx, refs, func(l ListingState) (map[string]any, error) {
		line := byRef[stay.ListingRef{Source: l.Source, ListingID: l.ListingID}]
		patch := doorPatch(l, line.After)
		if !l.Known && line.Name != "" {
			patch["name"] = line.Name
		}
		return patch, nil
	})
	for i := range result.Refused {
		result.Refused[i].Line = byRef[result.Refused[i].ListingRef].Line
	}
	result.Refused = append(refused, result.Refused...)
	return result, err
}
