package admin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file answers what a front desk asks first: who arrives, stays and leaves on a day, and who can't get in. A
// day is one of each property's own time zone. All stays that touch the day are read once, small, and everything is
// worked out from them here, so that each count is the length of its list.
//
// A stay whose check-in or check-out isn't known, because its PMS sent local times and no time zone is known, or not
// both dates, is on the days that were sent. A side that wasn't sent is open, today: nobody knows whether the guest is
// in house, so the stay is a problem of today until the PMS sends it.

// Days reads stays by day: arrivals and departures, what keeps guests from their keys, and the calendar of listings.
type Days struct{ *core }

// DayPart is one list of a day.
type DayPart string

// The lists of a day. A stay of a single day is an arrival and a departure.
const (
	DayProblems   DayPart = "problems"   // without a working key, and a person can help; the longest waiting first
	DayArrivals   DayPart = "arrivals"   // check-in is on the day; the earliest first
	DayInHouse    DayPart = "in_house"   // arrived before the day and leaves after it; the next to leave first
	DayDepartures DayPart = "departures" // check-out is on the day; the earliest first
)

// DayParts returns every list of a day.
func DayParts() []DayPart { return []DayPart{DayProblems, DayArrivals, DayInHouse, DayDepartures} }

// DayQuery asks for a day.
type DayQuery struct {
	Paging
	Source string  `query:"source"`
	Date   string  `query:"date"`   // as 2026-11-26; "" is today, which is another day in other time zones
	Part   DayPart `query:"part"`   // the list to return
	Reason string  `query:"reason"` // of DayProblems: only those with this cause, see [Cause.Reason]; "" for all
}

// Day is what happens on a day.
type Day struct {
	At          time.Time
	First, Last time.Time // the day, at midnight UTC: today may be two days, in different time zones
	IsToday     bool

	Counts map[DayPart]int // how long each list is
	Ready  int             // arrivals with a working key
	Late   int             // problems whose check-in has passed: these guests can't get in
	Causes []Cause         // of the problems, the most urgent first
	Stays  Page[Stay]      // the list that was asked for
}

// Cause is a reason for which guests have no key, with those whom it concerns.
type Cause struct {
	Reason   string // a code of [stay.Reasons], or the status of keys without one
	Guests   int
	Late     int               // of them, those whose check-in has passed
	Listings []stay.ListingRef // of all of them, sorted
	First    []Stay            // the longest waiting, at most causeShown
}

const (
	causeShown = 5
	slowMaking = 2 * time.Minute // a key that is being created for longer is a problem

	zonesAhead = 14 * time.Hour // a date begins so much before it begins in UTC, somewhere
	zonesAfter = 12 * time.Hour // and ends so much after it ends there
	longestDay = 26 * time.Hour // more than a day on which clocks change
	oneDay     = 24 * time.Hour
)

// Get returns a day, with one of its lists.
func (s Days) Get(ctx context.Context, q DayQuery) (Day, error) {
	p := q.Paging
	q.Paging = Paging{}
	list := "day " + q.Source + " " + q.Date + " " + string(q.Part) + " " + q.Reason
	var after store.Cursor
	if err := s.openCursor(list, p.Cursor, &after); err != nil {
		return Day{}, err
	}
	b, err := s.read(ctx, q)
	if err != nil {
		return Day{}, err
	}
	if b.Causes, err = s.causesOf(ctx, &b); err != nil {
		return Day{}, err
	}
	part := afterCursor(b.list(q.Part, q.Reason), q.Part, after)
	part = part[:min(len(part), p.Limit+1)]
	shown, err := s.staysOf(ctx, part)
	if err != nil {
		return Day{}, err
	}
	b.Stays = page(s.core, list, shown, p.Limit, func(v Stay) any { return cursorInDay(q.Part, entryOf(v)) })
	return b.Day, nil
}

// board is a day while it is worked out.
type board struct {
	Day
	lists map[DayPart][]entry
}

// entry is a stay of a board.
type entry struct {
	store.StayInTime        // CheckIn and CheckOut as [shownTime] returns them
	cause            string // of DayProblems; "" for no problem
	late             bool   // check-in has passed, and check-out hasn't
	undated          bool   // check-in or check-out isn't known, so that nobody is late for certain
}

// shownTime is the time by which a list of a day has a check-in or check-out: one that isn't known is where the local
// time that was sent would be in the zone, and zero if none was.
func shownTime(at *time.Time, text *string, clock string, zone *time.Location) time.Time {
	switch {
	case at != nil && !at.IsZero():
		return *at
	case text == nil:
		return time.Time{}
	}
	m, err := pms.ParseStoredMoment(*text)
	if err != nil {
		return time.Time{}
	}
	shown, err := m.Resolve(zone, clock)
	if err != nil {
		return time.Time{}
	}
	return shown
}

// undatedEntry is the entry of a stay of which a time isn't known.
func undatedEntry(one store.UndatedStay, zone *time.Location) entry {
	e := entry{StayInTime: one.StayInTime, undated: true}
	e.CheckIn = shownTime(&one.CheckIn, one.CheckInText, pms.DefaultCheckInTime, zone)
	e.CheckOut = shownTime(&one.CheckOut, one.CheckOutText, pms.DefaultCheckOutTime, zone)
	return e
}

// list is one of the board's lists.
func (b *board) list(part DayPart, reason string) []entry {
	if part != DayProblems || reason == "" {
		return b.lists[part]
	}
	return slices.DeleteFunc(slices.Clone(b.lists[part]), func(e entry) bool { return e.cause != reason })
}

// read reads the stays that touch a day and puts each on its lists.
func (s Days) read(ctx context.Context, q DayQuery) (board, error) {
	now := s.now().UTC()
	day, err := parseDate(q.Date)
	if err != nil {
		return board{}, err
	}

	from, until := now.Add(-longestDay), now.Add(longestDay)
	if q.Date != "" {
		from, until = day.Add(-zonesAhead), day.Add(oneDay+zonesAfter)
	}
	stays, err := s.store.Calendar.StaysBetween(ctx, from, until, s.sourcesFor(ctx, q.Source))
	if err != nil {
		return board{}, err
	}

	zones := s.zones()
	b := board{Day: Day{At: now, Counts: map[DayPart]int{}}, lists: map[DayPart][]entry{}}
	b.First, b.Last = s.todays(ctx, now, q.Source, zones, stays)
	if b.IsToday = q.Date == "" || (b.First.Equal(day) && b.Last.Equal(day)); q.Date != "" {
		b.First, b.Last = day, day
	}

	dateIn := func(zone *time.Location) time.Time {
		if q.Date != "" {
			return day
		}
		return dateOf(now, zone)
	}
	for _, one := range stays {
		zone := zones(one.Source, stay.Text(one.ListingID), one.TimeZone)
		b.add(entry{StayInTime: one}, dateIn(zone), zone)
	}

	undated, err := s.store.Calendar.UndatedBetween(ctx, b.First.Add(-oneDay), b.Last.Add(oneDay),
		s.sourcesFor(ctx, q.Source))
	if err != nil {
		return board{}, err
	}
	for _, one := range undated {
		zone := zones(one.Source, stay.Text(one.ListingID), one.TimeZone)
		b.add(undatedEntry(one, zone), dateIn(zone), zone)
	}
	b.finish()
	return b, nil
}

// lastDay is the day on which it is today in the time zone where days begin last.
func (s *core) lastDay() time.Time { return dateOf(s.now().Add(-zonesAfter), time.UTC) }

// add puts a stay on the lists of a date.
func (b *board) add(e entry, date time.Time, zone *time.Location) {
	arrives, leaves, between := e.on(date, zone, b.IsToday)
	if !arrives && !leaves && !between {
		return
	}
	e.late = !e.undated && !e.CheckIn.After(b.At) && e.CheckOut.After(b.At)
	e.cause = causeOf(e, b.At)
	put := func(part DayPart, on bool) {
		if on {
			b.lists[part] = append(b.lists[part], e)
		}
	}
	put(DayArrivals, arrives)
	put(DayDepartures, leaves)
	put(DayInHouse, between && !e.CheckIn.IsZero())
	put(DayProblems, e.cause != "")
	if arrives && works(e.Status) {
		b.Ready++
	}
	if e.cause != "" && e.late {
		b.Late++
	}
}

// on reports whether a stay begins or ends on a date, or lasts over it. A side that isn't known at all is open today,
// and on no other date.
func (e entry) on(date time.Time, zone *time.Location, isToday bool) (arrives, leaves, between bool) {
	in, out := dateOf(e.CheckIn, zone), dateOf(e.CheckOut, zone)
	arrives, leaves = in.Equal(date), out.Equal(date)
	if arrives || leaves {
		return arrives, leaves, false
	}
	if noIn, noOut := e.CheckIn.IsZero(), e.CheckOut.IsZero(); noIn || noOut {
		return false, false, isToday && (noIn || in.Before(date)) && (noOut || out.After(date))
	}
	return false, false, in.Before(date) && out.After(date)
}

// finish sorts the lists and counts them.
func (b *board) finish() {
	for _, part := range DayParts() {
		slices.SortFunc(b.lists[part],
			func(x, y entry) int { return compareCursors(cursorInDay(part, x), cursorInDay(part, y)) })
		b.Counts[part] = len(b.lists[part])
	}
}

// sourcesFor are the sources that the actor asks about: one, or all that the actor sees; nil for all there are.
func (s *core) sourcesFor(ctx context.Context, source string) []string {
	sources := ActorOf(ctx).Sources
	switch {
	case source == "":
		return sources
	case !ActorOf(ctx).Sees(source):
		return []string{}
	}
	return []string{source}
}

// zones returns a function for the time zone of a listing of a source. It remembers, because a day asks thousands
// of times.
func (s *core) zones() func(source, listingID, timeZone string) *time.Location {
	sources, known := s.config.Sources(), map[[3]string]*time.Location{}
	return func(source, listingID, timeZone string) *time.Location {
		policy := sources[source].Policy
		if _, configured := policy.Listings[listingID]; !configured {
			listingID = ""
		}
		key := [3]string{source, listingID, timeZone}
		zone, ok := known[key]
		if !ok {
			if zone = policy.Complete(listingID, timeZone, "", "").Zone; zone == nil {
				zone = time.UTC
			}
			known[key] = zone
		}
		return zone
	}
}

// todays are the first and the last date that it is at the properties: where sources have a time zone, and where
// the stays are.
func (s Days) todays(ctx context.Context, now time.Time, source string,
	zones func(source, listingID, timeZone string) *time.Location, stays []store.StayInTime,
) (first, last time.Time) {
	see := func(zone *time.Location) {
		date := dateOf(now, zone)
		if first.IsZero() || date.Before(first) {
			first = date
		}
		if date.After(last) {
			last = date
		}
	}
	for name, of := range s.config.Sources() {
		if of.Policy.TimeZone != "" && ActorOf(ctx).Sees(name) && (source == "" || source == name) {
			see(zones(name, "", ""))
		}
	}
	for _, one := range stays {
		see(zones(one.Source, stay.Text(one.ListingID), one.TimeZone))
	}
	if first.IsZero() {
		see(time.UTC)
	}
	return first, last
}

// dateOf is the date of an instant in a zone, at midnight UTC.
func dateOf(at time.Time, zone *time.Location) time.Time {
	y, m, d := at.In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// parseDate reads a date; "" is the zero time.
func parseDate(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, InvalidField("query.date", "must be a date, such as 2026-11-26")
	}
	return day, nil
}

// cursorInDay is the cursor of a stay in a list of a day.
func cursorInDay(part DayPart, e entry) store.Cursor {
	at := e.CheckIn
	if part == DayInHouse || part == DayDepartures {
		at = e.CheckOut
	}
	return store.Cursor{At: at, Source: e.Source, ID: e.ReservationID}
}

func compareCursors(a, b store.Cursor) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Source, b.Source), cmp.Compare(a.ID, b.ID))
}

// afterCursor is the rest of a sorted list after a cursor; all of it after the zero cursor.
func afterCursor(list []entry, part DayPart, after store.Cursor) []entry {
	if after == (store.Cursor{}) {
		return list
	}
	i, found := slices.BinarySearchFunc(list, after,
		func(e entry, at store.Cursor) int { return compareCursors(cursorInDay(part, e), at) })
	if found {
		i++
	}
	return list[i:]
}

// entryOf is what a board knows of a stay's times.
func entryOf(one Stay) entry {
	r, zone := one.Reservation, cmp.Or(one.Zone, time.UTC)
	e := entry{StayInTime: store.StayInTime{Ref: r.Ref()}}
	e.CheckIn = shownTime(r.CheckIn, r.CheckInText, pms.DefaultCheckInTime, zone)
	e.CheckOut = shownTime(r.CheckOut, r.CheckOutText, pms.DefaultCheckOutTime, zone)
	return e
}
