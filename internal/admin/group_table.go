package admin

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/staykey/staykey/internal/stay"
)

// Groups of listings as a table: somebody exports it, corrects it with a spreadsheet, and imports it again. Read says
// what each line would change, and Apply changes it.

// The columns of the table of groups.
const (
	columnSource  = "source"
	columnListing = "listing_id"
	columnName    = "name"
	columnDoors   = "doors"
)

// Export writes all listings with the names of their groups as CSV. Somebody corrects the column doors and
// gives the table to [Groups.Read].
func (s Groups) Export(ctx context.Context, q GroupQuery, to io.Writer) error {
	w := csv.NewWriter(to)
	if err := writeSheet(w, columnSource, columnListing, columnName, columnDoors); err != nil {
		return err
	}

	groups := s.All(ctx)
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

// GroupLine is a row of a table of groups that somebody wants to apply.
type GroupLine struct {
	stay.ListingRef
	Line    int
	Name    string
	New     bool     // there is no such listing yet: applying the line makes it
	Before  []string // access groups
	After   []string
	Problem string // why it can't be applied; "" where it can
}

// Changes reports whether applying the line changes the listing.
func (l GroupLine) Changes() bool {
	return l.Problem == "" && (l.New || !slices.Equal(l.Before, l.After))
}

// Read reads a table as [Groups.Export] writes it, and says of each row what applying it changes. Groups
// are names or ids, separated by semicolons; none takes the listing's groups away.
func (s Groups) Read(ctx context.Context, table []byte) ([]GroupLine, error) {
	if !utf8.Valid(table) || bytes.ContainsRune(table, 0) {
		return nil, InvalidField("file", "must be a CSV file in UTF-8")
	}
	rows, err := readSheet(table, []string{columnSource, columnListing, columnName, columnDoors},
		[]string{columnListing, columnDoors}, mostListings)
	if err != nil {
		return nil, InvalidField("file", err.Error())
	}

	choices, sources := s.choices(ctx), s.visible(ctx)
	seen := map[stay.ListingRef]int{}
	lines := make([]GroupLine, len(rows))
	for i, row := range rows {
		l := GroupLine{Line: row.Line, Name: row.Cells[columnName]}
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

func (s Groups) readLine(ctx context.Context, l *GroupLine, doors string,
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

	l.After, l.Problem = groupsIn(doors, func(door string) (id, problem string) {
		return groupNamed(door, groups, l.Before)
	})
	return nil
}

// groupNamed finds a group by its id or its name. What the listing has already may stay, whatever Seam says of it.
func groupNamed(door string, groups []stay.AccessGroup, has []string) (id, problem string) {
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
func (s Groups) Apply(ctx context.Context, lines []GroupLine) (GroupsChanged, error) {
	var refs []stay.ListingRef
	byRef := map[stay.ListingRef]GroupLine{}
	var refused []GroupsRefused
	for _, l := range lines {
		switch {
		case l.Problem != "":
			refused = append(refused, GroupsRefused{l.ListingRef, l.Line, l.Problem})
		default:
			refs = append(refs, l.ListingRef)
			byRef[l.ListingRef] = l
		}
	}
	result, err := s.set(ctx, refs, func(l ListingState) (map[string]any, error) {
		line := byRef[stay.ListingRef{Source: l.Source, ListingID: l.ListingID}]
		patch := groupPatch(l, line.After)
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
