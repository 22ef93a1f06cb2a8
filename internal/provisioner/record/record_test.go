package record

import (
	"slices"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
)

var (
	noon     = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	checkIn  = noon.Add(24 * time.Hour)
	checkOut = noon.Add(72 * time.Hour)
)

// in returns an ACS user in each phase, reached by the transitions that lead there.
func in(t *testing.T, p Phase) *User {
	t.Helper()
	user := InSlot(stay.Ref{}, "", "s", "", "i")
	user.ID = 1
	u := &user
	steps := map[Phase][]func(){
		Claimed: {},
		Marked:  {func() { u.MarkCreate(checkIn, checkOut, []string{"a"}, 1, noon) }},
		Lost:    {func() { u.MarkCreate(checkIn, checkOut, []string{"a"}, 1, noon); u.CreateLost(noon) }},
		Aside: {func() {
			u.MarkCreate(checkIn, checkOut, []string{"a"}, 1, noon)
			u.CreateLost(noon)
			u.SetAside(noon)
		}},
		Made:      {func() { made(u) }},
		Unsure:    {func() { made(u); u.ChangeSent(2, noon) }},
		Missing:   {func() { made(u); u.NotSeen(noon) }},
		Removed:   {func() { made(u); u.NotSeen(noon); u.FoundGone(noon) }},
		Contested: {func() { made(u); u.Contest(noon) }},
		Displaced: {func() { made(u); u.Contest(noon); u.Displace(noon) }},
		Removing:  {func() { made(u); u.DeleteSent(noon); u.DeleteKnown() }},
	}
	for _, step := range steps[p] {
		step()
	}
	if got := u.Phase(); got != p {
		t.Fatalf("a user that should be %s is %s", p, got)
	}
	return u
}

func made(u *User) {
	u.MarkCreate(checkIn, checkOut, []string{"a"}, 1, noon)
	u.Created("u", checkIn, checkOut, []string{"a"}, noon)
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Hour)
	for _, c := range []struct {
		name   string
		from   []Phase
		do     func(*User)
		to     Phase
		reason string
	}{
		{
			"MarkCreate",
			[]Phase{Claimed, Marked, Lost},
			func(u *User) { u.MarkCreate(checkIn, checkOut, nil, 1, later) },
			Marked, "a create is always marked first",
		},
		{"CreateLost", []Phase{Marked}, func(u *User) { u.CreateLost(later) }, Lost, "it may have made something"},
		{
			"Created",
			[]Phase{Marked},
			func(u *User) { u.Created("u", checkIn, checkOut, nil, later) }, Made,
			"Seam has answered",
		},
		{
			"Adopted",
			[]Phase{Lost, Aside},
			func(u *User) { u.Adopted("u", nil, later) }, Made,
			"a look-up has found what the lost create made",
		},
		{
			"SetAside",
			[]Phase{Lost},
			func(u *User) { u.SetAside(later) }, Aside,
			"the slot is somebody else's, and the lost create is looked for",
		},
		{
			"ChangeSent",
			[]Phase{Made, Unsure},
			func(u *User) { u.ChangeSent(3, later) }, Unsure,
			"the result is not known",
		},
		{"ChangeLost", []Phase{Unsure}, func(u *User) { u.ChangeLost(later) }, Unsure, "still not known"},
		{"ChangeKnown", []Phase{Unsure}, func(u *User) { u.ChangeKnown(later) }, Made, "known"},
		{"NotSeen", []Phase{Made, Unsure, Missing}, func(u *User) { u.NotSeen(later) }, Missing, "once proves nothing"},
		{"Seen", []Phase{Missing, Removed, Made}, func(u *User) { u.Seen() }, Made, "it is there"},
		{
			"Seen",
			[]Phase{Displaced},
			func(u *User) { u.Seen() }, Displaced,
			"that it is there doesn't give it its identity back",
		},
		{
			"FoundGone",
			[]Phase{Made, Unsure, Missing, Removed, Contested, Displaced},
			func(u *User) { u.FoundGone(later) }, Removed,
			"somebody deleted it",
		},
		{
			"DeleteSent",
			[]Phase{Made, Unsure, Missing, Removed, Removing, Contested, Displaced},
			func(u *User) { u.DeleteSent(later) },
			Removing, "from every state with an id",
		},
		{
			"Contest",
			[]Phase{Made, Contested},
			func(u *User) { u.Contest(later) }, Contested,
			"once proves nothing",
		},
		{
			"Displace",
			[]Phase{Contested, Displaced},
			func(u *User) { u.ReadLink(false); u.Displace(later) }, Displaced,
			"its identity is somebody else's, so that it can't be linked again",
		},
		{
			"Uncontested",
			[]Phase{Contested, Displaced, Made},
			func(u *User) { u.Uncontested() }, Made,
			"its identity is its own",
		},
		{
			"ChangeSent, ChangeKnown",
			[]Phase{Displaced},
			func(u *User) { u.ChangeSent(3, later); u.ChangeKnown(later) }, Displaced,
			"it is narrowed, and still serves nobody",
		},
		{"ToRepair", []Phase{Made}, func(u *User) { u.ToRepair([]Part{Hours}) }, Made, "the plan repairs it"},
		{
			"LeaveDrift",
			[]Phase{Made},
			func(u *User) { u.LeaveDrift(in(t, Made), []Part{Hours}, "other hours") }, Made,
			"what differs is only reported",
		},
		{"AgreedGone", []Phase{Missing, Displaced}, func(u *User) { u.AgreedGone(later) }, Removed, "nothing shows it, twice"},
		{"DeleteDoubted", []Phase{Removing}, func(u *User) { u.DeleteDoubted() }, Removing, "one 404 proves nothing"},
		{
			"DeletedNotSeen",
			[]Phase{Removing},
			func(u *User) { u.DeletedNotSeen(later) }, Removing,
			"once proves nothing",
		},
		{
			"DeletedSeen",
			[]Phase{Removing},
			func(u *User) { u.DeletedSeen(true) }, Removing,
			"it is deleted again later",
		},
		{"StillThere", []Phase{Removing}, func(u *User) { u.StillThere() }, Made, "the delete had no effect"},
		{
			"DeleteSent, StillThere",
			[]Phase{Displaced},
			func(u *User) { u.DeleteSent(later); u.StillThere() }, Displaced,
			"the delete had no effect, and its identity is still somebody else's",
		},
		{
			"LookOnly",
			[]Phase{Removing},
			func(u *User) { u.LookOnly() }, Lost,
			"a lost create is looked for after its user is gone",
		},
	} {
		for _, from := range c.from {
			u := in(t, from)
			if c.do(u); u.Phase() != c.to {
				t.Errorf("%s from %s leads to %s, want %s: %s", c.name, from, u.Phase(), c.to, c.reason)
			}
		}
	}
}

// What is known about a delete: that Seam accepted it is certain until there is doubt; without it, only what nothing
// has shown since a first time counts.
func TestWhatIsKnownOfADelete(t *testing.T) {
	t.Parallel()
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	for name, c := range map[string]struct {
		do      func(*User)
		certain bool
		first   time.Time // since when nothing shows it, if nothing does 9 minutes after the delete
	}{
		"accepted":                {func(u *User) { u.DeleteKnown() }, true, at(9)},
		"accepted, and seen":      {func(u *User) { u.DeleteKnown(); u.DeletedSeen(false) }, true, at(9)},
		"accepted, then refused":  {func(u *User) { u.DeleteKnown(); u.DeletedSeen(true) }, false, at(9)},
		"accepted, once in vain":  {func(u *User) { u.DeletesInVain = 1; u.DeleteKnown() }, false, at(9)},
		"not found":               {func(u *User) { u.DeleteDoubted() }, false, at(9)},
		"not found, and not seen": {func(u *User) { u.DeleteDoubted(); u.DeletedNotSeen(at(1)) }, false, at(1)},
		"not found, not seen, seen": {func(u *User) {
			u.DeleteDoubted()
			u.DeletedNotSeen(at(1))
			u.DeletedSeen(false)
		}, false, at(9)},
		"lost":           {func(u *User) { u.DeleteLost(at(2)) }, false, at(9)},
		"lost, not seen": {func(u *User) { u.DeleteLost(at(2)); u.DeletedNotSeen(at(1)) }, false, at(1)},
		"lost, not seen, seen": {func(u *User) {
			u.DeleteLost(at(2))
			u.DeletedNotSeen(at(1))
			u.DeletedSeen(false)
		}, false, at(9)},
		"not seen, and sent again": {func(u *User) { u.DeletedNotSeen(at(1)); u.DeleteSent(at(2)) }, false, at(9)},
	} {
		u := in(t, Made)
		u.DeleteSent(noon)
		c.do(u)
		if got := u.IsDeleteCertain(); got != c.certain {
			t.Errorf("%s: certain is %t", name, got)
		}
		if got := u.DeletedNotSeen(at(9)); !got.Equal(c.first) {
			t.Errorf("%s: nothing shows it since %s instead of %s", name, got.Format(time.TimeOnly),
				c.first.Format(time.TimeOnly))
		}
	}
}

// A refusal restores exactly the state before the call.
func TestRefusedRestores(t *testing.T) {
	t.Parallel()
	marks := map[string]func(*User){
		"create": func(u *User) {
			u.MarkCreate(checkIn.Add(-time.Hour), checkOut.Add(time.Hour), []string{"b"}, 1, noon.Add(time.Hour))
		},
		"change": func(u *User) {
			u.ChangeSent(9, noon.Add(time.Hour))
			u.ScheduleSent(checkIn, checkOut.Add(time.Hour))
			u.GroupsChanging()
		},
		"delete": func(u *User) { u.DeleteSent(noon.Add(time.Hour)) },
		"key":    func(u *User) { u.MarkKey(noon.Add(time.Hour)) },
	}
	for name, mark := range marks {
		for _, p := range []Phase{Claimed, Lost, Made, Unsure, Removed} {
			if (name == "create") != (p == Claimed || p == Lost) {
				continue
			}
			u := in(t, p)
			before := u.Row
			mark(u)
			if u.Refused(); u.Phase() != p || !same(before, u.Row) {
				t.Errorf("after a refused %s from %s: %s, %+v instead of %+v", name, p, u.Phase(), u.Row, before)
			}
		}
	}
}

func same(a, b Row) bool {
	groups := slices.Equal(a.AccessGroupIDs, b.AccessGroupIDs)
	a.AccessGroupIDs, b.AccessGroupIDs = nil, nil
	times := func(x, y *time.Time) bool { return (x == nil) == (y == nil) && (x == nil || x.Equal(*y)) }
	return groups && times(a.MarkedAt, b.MarkedAt) && times(a.LostAt, b.LostAt) && times(a.StartsAt, b.StartsAt) &&
		times(a.EndsAt, b.EndsAt) &&
		times(a.ChangedAt, b.ChangedAt) && times(a.DeletedAt, b.DeletedAt) && times(a.RemovedAt, b.RemovedAt) &&
		times(a.CredentialMarkedAt, b.CredentialMarkedAt) &&
		a.Unsure == b.Unsure && a.UnsureGeneration == b.UnsureGeneration && a.GroupsRead == b.GroupsRead &&
		a.Settled == b.Settled
}

// What Seam doesn't keep is counted up to a limit, each part separately; a repair that was not made doesn't count, and
// one that was kept ends the count.
func TestWhatIsNotKeptIsCounted(t *testing.T) {
	t.Parallel()
	u, door := in(t, Made), AccessGroup("a")
	for range MaxUnkept + 1 {
		u.ToRepair([]Part{door})
	}
	u.ToRepair([]Part{Hours})
	if !u.IsUnkept(door) || u.IsUnkept(Hours) || !u.WasRepaired(Hours) || u.Unkept != MaxUnkept {
		t.Errorf("%d repairs of a door and one of the hours: %v, at most %d", MaxUnkept+1, u.UnkeptBy, u.Unkept)
	}
	u.RepairPostponed(door)
	u.RepairPostponed(Hours)
	u.RepairPostponed(Link)
	if u.IsUnkept(door) || u.WasRepaired(Hours) || u.Unkept != MaxUnkept-1 {
		t.Errorf("after repairs that were not made: %v, at most %d", u.UnkeptBy, u.Unkept)
	}
	u.ToRepair([]Part{Hours})
	if u.KeptBut([]Part{Hours}); u.WasRepaired(door) || !u.WasRepaired(Hours) || u.Unkept != 1 {
		t.Errorf("after the door was kept: %v, at most %d", u.UnkeptBy, u.Unkept)
	}
	if u.DeletedInVain(); u.Unkept != 1 {
		t.Error("a delete in vain counts as a repair")
	}
	if u.Kept(); len(u.UnkeptBy) != 0 || u.Unkept != 0 {
		t.Errorf("after all was kept: %v, at most %d", u.UnkeptBy, u.Unkept)
	}
}

// Drift that is left is reported with what was recorded: nothing of what was read of those parts stays.
func TestLeftDriftRestoresTheRecord(t *testing.T) {
	t.Parallel()
	read := func() *User {
		u := in(t, Made)
		u.ScheduleSet(checkIn, checkOut.Add(time.Hour))
		u.GroupAdded("b")
		u.GroupRemoved("a")
		u.ReadLink(false)
		u.ForgetKey()
		u.SurplusKeys = []string{"c"}
		u.GroupsRead = false
		return u
	}
	u, recorded := read(), in(t, Made)
	u.LeaveDrift(recorded, []Part{Hours, AccessGroup("a"), AccessGroup("b"), Link, MobileKey, SecondKeys}, "everything")
	if !u.EndsAt.Equal(checkOut) || !slices.Equal(u.AccessGroupIDs, []string{"a"}) || u.Unlinked || !u.GroupsRead ||
		u.CredentialMarkedAt == nil || len(u.SurplusKeys) > 0 || *u.Drift != "everything" {
		t.Errorf("%+v", u)
	}
	u = read()
	u.LeaveDrift(recorded, []Part{AccessGroup("a")}, "a door")
	if u.EndsAt.Equal(checkOut) || !slices.Equal(u.AccessGroupIDs, []string{"a", "b"}) || !u.Unlinked || u.GroupsRead ||
		u.CredentialMarkedAt != nil || len(u.SurplusKeys) == 0 {
		t.Errorf("only the door is left: %+v", u)
	}
}

// A refusal restores the doors, too, whatever happened to the list meanwhile.
func TestDoorsAreCopied(t *testing.T) {
	t.Parallel()
	u := in(t, Made)
	u.ChangeSent(2, noon)
	u.GroupsChanging()
	u.GroupAdded("0")
	if u.GroupRemoved("a"); !slices.Equal(u.AccessGroupIDs, []string{"0"}) {
		t.Errorf("the doors are %v", u.AccessGroupIDs)
	}
	if u.Refused(); !slices.Equal(u.AccessGroupIDs, []string{"a"}) {
		t.Errorf("a refusal leaves %v", u.AccessGroupIDs)
	}
	shown := u.ReadBackGroups([]string{"b"})
	if shown || u.GroupsRead || !slices.Equal(u.AccessGroupIDs, []string{"a"}) {
		t.Errorf("other doors read back: %t, %v", shown, u.AccessGroupIDs)
	}
}

// An identity that is gone can be created again; what has its key since is not ours by the record alone.
func TestIdentity(t *testing.T) {
	t.Parallel()
	i := NewIdentity("k", true, noon)
	i.Create(noon)
	i.Unseen(noon)
	if i.Unseen(noon.Add(time.Hour)); !i.LostAt.Equal(noon) {
		t.Errorf("the first refusal that nothing explains was at %s", i.LostAt)
	}
	if i.Is("1", false); i.LostAt != nil || i.MadeByUs || *i.ID != "1" {
		t.Errorf("somebody else's: %+v", i)
	}
	if i.Gone(nil); i.ID != nil {
		t.Errorf("one that is gone: %+v", i)
	}
}

// Until a change is known the wider window counts, and a second create covers what the lost one may have made.
func TestTheWiderWindowCounts(t *testing.T) {
	t.Parallel()
	u := in(t, Made)
	u.ChangeSent(2, noon)
	u.ScheduleSent(checkIn.Add(time.Hour), checkOut.Add(48*time.Hour))
	if !u.StartsAt.Equal(checkIn) || !u.EndsAt.Equal(checkOut.Add(48*time.Hour)) {
		t.Errorf("an extension that may be lost counts as %s to %s", u.StartsAt, u.EndsAt)
	}
	u = in(t, Lost)
	u.MarkCreate(checkIn.Add(time.Hour), checkOut.Add(-time.Hour), []string{"b"}, 1, noon.Add(time.Hour))
	if !u.MarkedAt.Equal(noon) || !u.StartsAt.Equal(checkIn) || !u.EndsAt.Equal(checkOut) ||
		len(u.AccessGroupIDs) != 2 {
		t.Errorf("the mark of a second create forgets the first: %+v", u.Row)
	}
}

func TestKeyPhases(t *testing.T) {
	t.Parallel()
	u := in(t, Made)
	if u.KeyPhase() != KeyMarked || !u.HasNewUsersMark() {
		t.Errorf("a new user's key is %d", u.KeyPhase())
	}
	u.KeyCreateLost(noon)
	if u.KeyPhase() != KeyLost {
		t.Errorf("a lost key is %d", u.KeyPhase())
	}
	yes := true
	key := func(id string) seam.Credential {
		return seam.Credential{ACSCredentialID: id, AccessMethod: "mobile_key", IsMultiPhoneSync: &yes}
	}
	unsure := key("c3")
	unsure.IsMultiPhoneSync = nil
	u.TakeKeys([]seam.Credential{key("c1"), key("c2"), unsure})
	if u.KeyPhase() != KeyMade || *u.CredentialID != "c1" || !slices.Equal(u.SurplusKeys, []string{"c2"}) {
		t.Errorf("of two keys and one that may be a child: %s is kept, %v are surplus", *u.CredentialID, u.SurplusKeys)
	}
	u.KeyNotSeen(noon)
	if u.KeyPhase() != KeyMissing {
		t.Errorf("a key that was not seen once is %d", u.KeyPhase())
	}
	u.TakeKeys([]seam.Credential{key("c1")})
	if u.KeyPhase() != KeyMade {
		t.Errorf("a key that is seen again is %d", u.KeyPhase())
	}
	if u.KeyDeleted("c1"); u.KeyPhase() != NoKey {
		t.Errorf("a deleted key is %d", u.KeyPhase())
	}
}

// Anything that an answer leaves out is unchanged, and a door that a list leaves out is not forgotten while it may be
// open.
func TestMissingFieldsChangeNothing(t *testing.T) {
	t.Parallel()
	u := in(t, Made)
	if u.ReadSchedule(seam.ACSUser{}) || !u.StartsAt.Equal(checkIn) || !u.ShowsSchedule(seam.ACSUser{}) {
		t.Error("an answer without a schedule has changed it")
	}
	rounded := seam.NewSchedule(checkIn.Add(40*time.Second), checkOut)
	if !u.ReadSchedule(seam.ACSUser{AccessSchedule: &rounded}) || !u.StartsAt.Equal(checkIn) {
		t.Error("a schedule that was only rounded counts as another")
	}
	other := seam.NewSchedule(checkIn.Add(time.Hour), checkOut)
	if u.ShowsSchedule(seam.ACSUser{AccessSchedule: &other}) {
		t.Error("another schedule counts as the one that was sent")
	}
	u.SuspendedAt = &noon
	if u.ReadState(seam.ACSUser{}, noon); u.SuspendedAt == nil {
		t.Error("an answer without the field has lifted the suspension")
	}
	u.AccessGroupIDs = []string{"a", "b", "c"}
	if u.ReadGroups([]string{"a"}, []string{"a", "c"}) || !slices.Equal(u.AccessGroupIDs, []string{"a", "b"}) ||
		u.GroupsRead {
		t.Errorf("of a, b and c the list has a, and a and c are wanted: %v", u.AccessGroupIDs)
	}
	if !u.ReadGroups([]string{"b", "a"}, nil) || !u.GroupsRead {
		t.Error("the list has what is recorded, and the doors are not read")
	}
}

// An ACS user that existed before its create is unsure until it is compared, with the hours that Seam shows or none.
func TestReturned(t *testing.T) {
	t.Parallel()
	u := &User{}
	u.MarkCreate(checkIn, checkOut, []string{"a"}, 1, noon)
	u.Returned(seam.ACSUser{ACSUserID: "u"}, noon.Add(time.Hour))
	if u.Phase() != Unsure || u.StartsAt != nil || u.EndsAt != nil || u.GroupsRead || u.KeyPhase() != NoKey {
		t.Errorf("an ACS user without hours: %+v", u)
	}
	u.Refused()
	if u.ACSUserID == nil {
		t.Error("a refusal of a later call forgets the ACS user")
	}
}

// Once an ACS user is gone, its row awaits no create, and the next one has a mark of its own: other people's ACS users
// may have come since the first.
func TestMarkAfterLookOnly(t *testing.T) {
	t.Parallel()
	u, again := &User{}, noon.Add(48*time.Hour)
	u.MarkCreate(checkIn, checkOut, nil, 1, noon)
	u.Created("u", checkIn, checkOut, nil, noon.Add(time.Second))
	u.DeleteSent(again)
	u.LookOnly()
	if u.Phase() != Lost || u.AwaitsCreate() || !u.LostAt.Equal(noon.Add(time.Second)) {
		t.Errorf("a row that only looks: %+v", u)
	}
	if u.StartsAt == nil || !u.StartsAt.Equal(checkIn) || u.EndsAt == nil || !u.EndsAt.Equal(checkOut) {
		t.Errorf("a row that only looks has forgotten the hours: %v to %v", u.StartsAt, u.EndsAt)
	}
	u.MarkCreate(checkIn.Add(time.Hour), checkOut.Add(-time.Hour), nil, 1, again)
	if !u.AwaitsCreate() || !u.MarkedAt.Equal(again) {
		t.Errorf("the next create: %+v", u)
	}
	if !u.StartsAt.Equal(checkIn.Add(time.Hour)) || !u.EndsAt.Equal(checkOut.Add(-time.Hour)) {
		t.Errorf("the next create has the hours %s to %s", u.StartsAt, u.EndsAt)
	}
}

// An ACS user is displaced, and then gone, since the first time that this was known.
func TestDisplacedSinceTheFirstTime(t *testing.T) {
	t.Parallel()
	u := in(t, Displaced)
	u.Seen()
	u.Contest(noon.Add(time.Hour))
	u.Displace(noon.Add(time.Hour))
	u.FoundGone(noon.Add(2 * time.Hour))
	if u.Phase() != Removed || !u.RemovedAt.Equal(noon) {
		t.Errorf("%s since %s", u.Phase(), u.RemovedAt)
	}
}
