package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// CalendarQuery asks for a part of the calendar.
type CalendarQuery struct {
	Paging
	Source string
	Query  string // part of a listing's id or name
	From   string // the first day, as 2026-11-26; "" is today
	Month  bool   // the month of that day; else two weeks from it
}

// How many stays a part of the calendar shows: a month of 500 listings has some 5,000.
const (
	mostStays  = 20_000
	mostNoRoom = 1_000
)

// CalendarDays is how many days two weeks have.
const CalendarDays = 14

// Calendar is which stay is where and when. A day is one of each property's own time zone.
type Calendar struct {
	At    time.Time
	Today time.Time // at midnight UTC, in the first time zone that the calendar has
	Days  []time.Time
	Rows  []CalendarRow
	Next  string // cursor of further listings; "" for none
	Cut   bool   // there are more stays than are shown
}

// CalendarRow is a listing with its stays.
type CalendarRow struct {
	store.CalendarListing
	Zone   *time.Location // of the listing
	NoRoom bool           // the row of those that have no listing yet
	Bars   []CalendarBar
}

// CalendarBar is where a stay is in its row, in half days: it begins in the middle of the day of check-in, and ends in
// the middle of that of check-out.
type CalendarBar struct {
	store.CalendarStay
	Zone        *time.Location
	Start, Half int  // the first half day, from 0; how many
	Earlier     bool // it began before the calendar
	Later       bool // it ends after it
	Urgent      bool // the guest can't get in, now or within [urgentAhead], unless a person helps

	// Undated means that check-in or check-out isn't known: the bar is on the days that the PMS sent. One that it
	// hasn't sent is the day next to the other one.
	Undated      bool
	CheckInText  *string // as the PMS sent it; nil for none, and where both times are known
	CheckOutText *string // like CheckInText
}

// Calendar returns a part of the calendar, listings by name.
func (s Days) Calendar(ctx context.Context, q CalendarQuery) (Calendar, error) {
	list := "calendar " + q.Source + " " + q.Query
	var after store.NameCursor
	if err := s.openCursor(list, q.Cursor, &after); err != nil {
		return Calendar{}, err
	}

	c := Calendar{At: s.now().UTC()}
	sources, zones := s.sourcesFor(ctx, q.Source), s.zones()
	c.Today, _ = s.todays(ctx, c.At, q.Source, zones, nil)
	first, err := parseDate(q.From)
	if err != nil {
		return c, err
	}
	if q.From == "" {
		first = c.Today
	}
	c.Days = calendarDays(first, q.Month)

	listings, err := s.store.Calendar.Listings(ctx, sources, strings.TrimSpace(q.Query), after, q.Limit+1)
	if err != nil {
		return c, err
	}
	shown := page(s.core, list, listings, q.Limit, func(l store.CalendarListing) any { return l.Cursor() })
	c.Next = shown.Next

	b := calendarBuild{&c, zones, map[stay.ListingRef]int{}}
	if q.Cursor == "" && q.Query == "" {
		if err := s.addNoRoom(ctx, &b, sources); err != nil {
			return c, err
		}
	}
	return c, s.addListings(ctx, &b, shown.Items)
}

// calendarDays are the days of two weeks from a day, or of its month.
func calendarDays(first time.Time, month bool) []time.Time {
	end := first.AddDate(0, 0, CalendarDays)
	if month {
		first = first.AddDate(0, 0, 1-first.Day())
		end = first.AddDate(0, 1, 0)
	}
	var days []time.Time
	for day := first; day.Before(end); day = day.AddDate(0, 0, 1) {
		days = append(days, day)
	}
	return days
}

// urgentAhead is how long before check-in a missing key is urgent.
const urgentAhead = oneDay

// urgent reports whether a guest can't get in, now or soon. What keeps guests from their keys is decided as on Today.
func (b CalendarBar) urgent(now time.Time) bool {
	e := entry{
		StayInTime: store.StayInTime{Status: b.Status, Reason: b.Reason, Attempts: b.Attempts, ChangedAt: b.ChangedAt},
		late:       !b.Undated && !b.CheckIn.After(now), undated: b.Undated,
	}
	return b.CheckOut.After(now) && !b.CheckIn.After(now.Add(urgentAhead)) && causeOf(e, now) != ""
}

// span is from the first to the last instant of the days, anywhere.
func (c *Calendar) span() (from, until time.Time) {
	return c.Days[0].Add(-zonesAhead), c.Days[len(c.Days)-1].Add(oneDay + zonesAfter)
}

// calendarBuild is a calendar while stays are put into it.
type calendarBuild struct {
	*Calendar
	zones func(source, listingID, timeZone string) *time.Location
	rows  map[stay.ListingRef]int // where each listing is
}

func (s Days) addListings(ctx context.Context, b *calendarBuild, listings []store.CalendarListing) error {
	refs := make([]stay.ListingRef, len(listings))
	for i, l := range listings {
		refs[i] = l.ListingRef
		b.rows[l.ListingRef] = len(b.Rows)
		b.Rows = append(b.Rows, CalendarRow{CalendarListing: l, Zone: b.zones(l.Source, l.ListingID, l.TimeZone)})
	}
	from, until := b.span()
	stays, err := s.store.Calendar.StaysOf(ctx, refs, from, until, mostStays+1)
	if err != nil {
		return err
	}
	undated, err := s.store.Calendar.UndatedOf(ctx, refs, b.Days[0], b.Days[len(b.Days)-1], mostStays+1)
	if err != nil {
		return err
	}
	row := func(one store.CalendarStay) int {
		return b.rows[stay.ListingRef{Source: one.Source, ListingID: stay.Text(one.ListingID)}]
	}
	for _, one := range cut(b, stays, mostStays) {
		b.put(row(one), CalendarBar{CalendarStay: one})
	}
	for _, one := range cut(b, undated, mostStays) {
		b.putUndated(row(one.CalendarStay), one)
	}
	// what nobody has set up is a row only where somebody stays there
	b.Rows = slices.DeleteFunc(b.Rows, func(r CalendarRow) bool { return !r.Known && len(r.Bars) == 0 })
	return nil
}

// addNoRoom adds a row for the stays whose room the PMS hasn't assigned, if there are any.
func (s Days) addNoRoom(ctx context.Context, b *calendarBuild, sources []string) error {
	if sources == nil {
		sources = s.visible(ctx)
	}
	from, until := b.span()
	stays, err := s.store.Calendar.StaysWithoutListing(ctx, sources, from, until, mostNoRoom+1)
	if err != nil {
		return err
	}
	undated, err := s.store.Calendar.UndatedWithoutListing(ctx, sources, b.Days[0], b.Days[len(b.Days)-1], mostNoRoom+1)
	if err != nil || len(stays)+len(undated) == 0 {
		return err
	}
	b.Rows = append(b.Rows, CalendarRow{CalendarListing: store.CalendarListing{Known: true}, NoRoom: true})
	for _, one := range cut(b, stays, mostNoRoom) {
		b.put(len(b.Rows)-1, CalendarBar{CalendarStay: one})
	}
	for _, one := range cut(b, undated, mostNoRoom) {
		b.putUndated(len(b.Rows)-1, one)
	}
	if len(b.Rows[0].Bars) == 0 {
		b.Rows = nil
	}
	return nil
}

// cut leaves out the stays that are too many.
func cut[T any](b *calendarBuild, stays []T, most int) []T {
	if len(stays) <= most {
		return stays
	}
	b.Cut = true
	return stays[:most]
}

// zoneOf is the time zone of a stay in a row.
func (b *calendarBuild) zoneOf(row int, one store.CalendarStay) *time.Location {
	return b.zones(one.Source, stay.Text(one.ListingID), b.Rows[row].TimeZone)
}

// put adds a stay to a row, unless it is on none of the days in its own time zone.
func (b *calendarBuild) put(row int, bar CalendarBar) {
	bar.Zone = b.zoneOf(row, bar.CalendarStay)
	day := func(at time.Time) int { return int(dateOf(at, bar.Zone).Sub(b.Days[0]) / oneDay) }
	in, out := day(bar.CheckIn), day(bar.CheckOut)
	if out < 0 || in >= len(b.Days) {
		return
	}
	bar.Earlier, bar.Later = in < 0, out >= len(b.Days)
	end := min(2*out+1, 2*len(b.Days))
	bar.Start = max(2*in+1, 0)
	if in < 0 {
		bar.Start = 0
	}
	bar.Half = max(end-bar.Start, 1)
	bar.Urgent = bar.urgent(b.At)
	b.Rows[row].Bars = append(b.Rows[row].Bars, bar)
}

// putUndated adds a stay to a row by the days that the PMS sent. One without any day is on none.
func (b *calendarBuild) putUndated(row int, one store.UndatedBar) {
	bar := CalendarBar{
		CalendarStay: one.CalendarStay, Undated: true, CheckInText: one.CheckInText, CheckOutText: one.CheckOutText,
	}
	zone := b.zoneOf(row, one.CalendarStay)
	bar.CheckIn = shownTime(&one.CheckIn, one.CheckInText, pms.DefaultCheckInTime, zone)
	bar.CheckOut = shownTime(&one.CheckOut, one.CheckOutText, pms.DefaultCheckOutTime, zone)
	switch {
	case bar.CheckIn.IsZero() && bar.CheckOut.IsZero():
		return
	case bar.CheckIn.IsZero():
		bar.CheckIn = bar.CheckOut.Add(-oneDay)
	case bar.CheckOut.IsZero():
		bar.CheckOut = bar.CheckIn.Add(oneDay)
	case bar.CheckOut.Before(bar.CheckIn):
		bar.CheckOut = bar.CheckIn
	}
	b.put(row, bar)
}
