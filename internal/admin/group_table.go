package admin

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/staykey/staykey/internal/pms"
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
	w, err := newSheet(to, columnSource, columnListing, columnName, columnDoors)
	if err != nil {
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
			name := stay.Text(row.Name)
			if err := writeSheet(w, row.Source, row.ListingID, name, doorsCell(groups, row.Listing)); err != nil {
				return err
			}
		}

		w.Flush()
		if q.Cursor = found.Next; q.Cursor == "" || w.Error() != nil {
			return w.Error()
		}
	}
}

// doorsCell is the cell of a listing's groups.
func doorsCell(groups AccessGroups, l Listing) string {
	doors := make([]string, 0, len(l.Groups()))
	for _, id := range l.Groups() {
		doors = append(doors, nameOrID(groups, id))
	}
	return strings.Join(doors, "; ")
}

// nameOrID is an access group's name where it is the only one of that name, and else its id.
func nameOrID(groups AccessGroups, id string) string {
	group, known := groups.Named(id)
	if !known || group.Name == "" || strings.ContainsAny(group.Name, ";\n") ||
		len(groups.names.names[strings.ToLower(group.Name)]) > 1 {
		return id
	}
	return group.Name
}

// GroupLine is a row of a table of groups that somebody wants to apply.
type GroupLine struct {
	stay.ListingRef
	Line    int
	Name    string
	New     bool     // there is no such listing yet: applying the line creates it
	Before  []string // access groups
	After   []string // nil: unchanged
	ToPMS   bool     // After are the PMS's groups, which are no longer overridden
	Problem string   // why it can't be applied; "" where it can
}

// Changes reports whether applying the line changes the listing.
func (l GroupLine) Changes() bool {
	return l.Problem == "" && (l.New || l.ToPMS || l.After != nil && !slices.Equal(l.Before, l.After))
}

// Clears reports whether applying the line leaves a listing that has groups without any.
func (l GroupLine) Clears() bool {
	return l.Changes() && len(l.Before) > 0 && l.After != nil && len(l.After) == 0
}

// noDoors is the cell that removes all doors, also those from the PMS.
const noDoors = "none"

// Read reads a table as [Groups.Export] writes it, and returns what applying each row changes. Groups are names or ids,
// separated by semicolons. A cell that is as Export writes it changes nothing. An empty cell removes the groups that an
// admin has set, so that the PMS's groups, of now or later, apply; without those it changes nothing. [noDoors] removes
// them, too. A row that ends before the cell counts as one with an empty cell only if its listing has no groups.
func (s Groups) Read(ctx context.Context, table []byte) ([]GroupLine, error) {
	rows, err := readSheet(table, []string{columnSource, columnListing, columnName, columnDoors},
		[]string{columnListing, columnDoors}, mostLines)
	if err != nil {
		return nil, InvalidField("file", err.Error())
	}

	lines, refs := make([]GroupLine, len(rows)), make([]stay.ListingRef, len(rows))
	sources := s.visible(ctx)
	for i, row := range rows {
		l := GroupLine{Line: row.Line, Name: row.Cells[columnName], Problem: row.Problem}
		l.Source, l.ListingID = row.Cells[columnSource], row.Cells[columnListing]
		if l.Source == "" && len(sources) == 1 {
			l.Source = sources[0]
		}
		lines[i], refs[i] = l, l.ListingRef
	}

	reader, err := s.newGroupReader(ctx, refs)
	if err != nil {
		return nil, err
	}
	seen := map[stay.ListingRef]int{}
	for i, row := range rows {
		l := lines[i]
		if l.Problem == shortRow && len(reader.listings[l.ListingRef].Groups()) == 0 &&
			!slices.ContainsFunc(row.Lacks, func(c string) bool { return c != columnDoors && c != columnName }) {
			l.Problem = ""
		}
		if l.Problem != "" {
			continue
		}
		if err := reader.read(ctx, &l, row.Cells[columnDoors]); err != nil {
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

// mostLines bounds a table of groups, and linesAtOnce how many of its listings are read at once.
const (
	mostLines   = 20_000
	linesAtOnce = 1000
)

// groupReader reads the lines of a table of groups.
type groupReader struct {
	Groups
	all      AccessGroups
	listings map[stay.ListingRef]Listing // those of the table that are known
	choices  func(source string) ([]stay.AccessGroup, error)
	named    map[string]namedGroups // by source
}

func (s Groups) newGroupReader(ctx context.Context, refs []stay.ListingRef) (groupReader, error) {
	r := groupReader{
		s, s.All(ctx), make(map[stay.ListingRef]Listing, len(refs)), s.choices(ctx), map[string]namedGroups{},
	}
	for some := range slices.Chunk(refs, linesAtOnce) {
		found, err := s.store.Listings.Named(ctx, some)
		if err != nil {
			return r, err
		}
		maps.Copy(r.listings, found)
	}
	return r, nil
}

func (r groupReader) read(ctx context.Context, l *GroupLine, doors string) error {
	if l.ListingID == "" || l.Source == "" {
		l.Problem = "source and listing_id must name a listing"
		return nil
	}
	listing, known := r.listings[l.ListingRef]
	if _, configured := r.source(l.Source); !ActorOf(ctx).Sees(l.Source) || (!configured && !known) {
		l.Problem = r.noSource(ctx, l.Source).Message
		return nil
	}

	l.Before = listing.Groups()
	if stay.Text(listing.Name) != "" {
		l.Name = *listing.Name
	}
	if err := r.readDoors(l, listing, doors); err != nil {
		return err
	}
	l.New = !known && (l.Name != "" || len(l.After) > 0) // else there is nothing to create it with
	return nil
}

// readDoors reads what a line's cell of doors makes of the listing's groups.
func (r groupReader) readDoors(l *GroupLine, listing Listing, cell string) error {
	if cell == sheetText(sheetCell(doorsCell(r.all, listing))) {
		return nil
	}
	if cell == "" {
		if len(listing.AdminAccessGroupIDs) > 0 {
			l.After, l.ToPMS = append([]string{}, listing.AccessGroupIDs...), true
		}
		return nil
	}

	named, asked := r.named[l.Source]
	if !asked {
		groups, err := r.choices(l.Source)
		if err != nil {
			return err
		}
		named = namesOf(groups)
		r.named[l.Source] = named
	}
	l.After, l.Problem = groupsIn(cell, func(door string) (id, problem string) {
		for _, has := range l.Before { // may stay: an unchanged door is never refused
			if door == has || strings.EqualFold(door, nameOrID(r.all, has)) {
				return has, ""
			}
		}
		return named.find(door)
	})
	if l.Problem != "" && strings.EqualFold(cell, noDoors) {
		l.Problem = ""
		if len(l.Before) > 0 {
			l.After = []string{}
		}
	}
	return nil
}

// namedGroups are the ids of groups by id and by name, in lower case.
type namedGroups struct {
	ids   map[string]bool
	names map[string][]string
}

func namesOf(groups []stay.AccessGroup) namedGroups {
	n := namedGroups{make(map[string]bool, len(groups)), make(map[string][]string, len(groups))}
	for _, g := range groups {
		name := strings.ToLower(g.Name)
		n.ids[g.ID], n.names[name] = true, append(n.names[name], g.ID)
	}
	return n
}

// find finds a group by its id or its name.
func (n namedGroups) find(door string) (id, problem string) {
	if n.ids[door] {
		return door, ""
	}
	switch named := n.names[strings.ToLower(door)]; len(named) {
	case 0:
		return "", "no door is called " + door
	case 1:
		return named[0], ""
	default:
		return "", "several doors are called " + door + ": use their ids, " + strings.Join(named, " or ")
	}
}

// linesPut is how many listings one transaction changes.
const linesPut = 200

// Apply applies the rows of a table that change something and have no problem, some at a time. If it fails, earlier
// ones are applied, and the same table can be applied again.
func (s Groups) Apply(ctx context.Context, lines []GroupLine) (GroupsChanged, error) {
	var result GroupsChanged
	bySource := map[string][]GroupLine{}
	for _, l := range lines {
		switch {
		case l.Problem != "":
			result.Refused = append(result.Refused, GroupsRefused{l.ListingRef, l.Line, l.Problem})
		case l.Changes():
			bySource[l.Source] = append(bySource[l.Source], l)
		default:
			result.Unchanged++
		}
	}

	all := s.All(ctx)
	for _, source := range slices.Sorted(maps.Keys(bySource)) {
		for some := range slices.Chunk(bySource[source], linesPut) {
			refused, err := s.applySome(ctx, source, some, all)
			if err != nil {
				return result, err
			}
			result.Changed += len(some) - len(refused)
			result.Refused = append(result.Refused, refused...)
		}
	}
	return result, nil
}

// applySome applies lines of one source in one transaction, and returns those that are refused.
func (s Groups) applySome(ctx context.Context, source string, lines []GroupLine, all AccessGroups) (
	refused []GroupsRefused, err error,
) {
	refs := make([]stay.ListingRef, len(lines))
	for i, l := range lines {
		refs[i] = l.ListingRef
	}
	listings, err := s.store.Listings.Named(ctx, refs)
	if err != nil {
		return nil, err
	}
	denied, err := s.deniedOf(ctx, source, lines, listings)
	if err != nil {
		return nil, err
	}

	patches := map[stay.ListingRef]pms.ListingPatch{}
	for _, l := range lines {
		listing, known := listings[l.ListingRef]
		patch, err := l.patch(known)
		if wrong := among(s.mustBeAllowed(ctx, listing, l.sets()), denied); err == nil && len(wrong) > 0 {
			err = deniedGroups(all, wrong)
		}

		if refusal, is := IsRefusal(err); is {
			refused = append(refused, GroupsRefused{l.ListingRef, l.Line, reasonOf(refusal)})
			continue
		}
		if err != nil {
			return nil, err
		}
		patches[l.ListingRef] = patch
	}
	return refused, s.intake.PutListings(ctx, patches, ActorOf(ctx).Audit(auditPutListing, ""))
}

// deniedOf are the groups that lines of a source would set and the source may not open.
func (s Groups) deniedOf(ctx context.Context, source string, lines []GroupLine,
	listings map[stay.ListingRef]Listing,
) ([]string, error) {
	wanted := map[string]bool{}
	for _, l := range lines {
		for _, id := range s.mustBeAllowed(ctx, listings[l.ListingRef], l.sets()) {
			wanted[id] = true
		}
	}
	return s.provisioner.NotAllowed(ctx, source, slices.Sorted(maps.Keys(wanted)))
}

// mustBeAllowed are those of the groups that the listing's source must be allowed to open: what the listing gains and,
// for an actor limited to some sources, all, as [Listings.Put] has it.
func (s Groups) mustBeAllowed(ctx context.Context, l Listing, groups []string) []string {
	if ActorOf(ctx).Sources != nil {
		return groups
	}
	return gainedGroups(l, groups)
}

// among are those of the ids that are in a list.
func among(ids, list []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !slices.Contains(list, id) })
}

// sets are the groups that the line sets; nil if it leaves them to the PMS.
func (l GroupLine) sets() []string {
	if l.ToPMS {
		return nil
	}
	return l.After
}

// patch is what the line sets.
func (l GroupLine) patch(known bool) (pms.ListingPatch, error) {
	fields := map[string]any{}
	if l.After != nil {
		fields["seam_access_group_ids"] = l.sets()
	}
	if !known && l.Name != "" {
		fields["name"] = l.Name
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return pms.ListingPatch{}, err
	}
	return readPatch(l.ListingRef, body)
}
