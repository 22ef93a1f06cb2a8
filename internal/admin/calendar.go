package admin

import (
	"context"
	"slices"
	"strings"
	"time"

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
	NoRoom bool // the row of those that have no listing yet
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
		b.Rows = append(b.Rows, CalendarRow{CalendarListing: l})
	}
	from, until := b.span()
	stays, err := s.store.Calendar.StaysOf(ctx, refs, from, until, mostStays+1)
	if err != nil {
		return err
	}
	stays = b.cut(stays, mostStays)
	for _, one := range stays {
		b.put(b.rows[stay.ListingRef{Source: one.Source, ListingID: stay.Text(one.ListingID)}], one)
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
	if err != nil || len(stays) == 0 {
		return err
	}
	stays = b.cut(stays, mostNoRoom)
	b.Rows = append(b.Rows, CalendarRow{CalendarListing: store.CalendarListing{Known: true}, NoRoom: true})
	for _, one := range stays {
		b.put(len(b.Rows)-1, one)
	}
	if len(b.Rows[0].Bars) == 0 {
		b.Rows = nil
	}
	return nil
}

// cut leaves out the stays that are too many.
func (b *calendarBuild) cut(stays []store.CalendarStay, most int) []store.CalendarStay {
	if len(stays) <= most {
		return stays
	}
	b.Cut = true
	return stays[:most]
}

// put adds a stay to a row, unless it is on none of the days in its own time zone.
func (b *calendarBuild) put(row int, one store.CalendarStay) {
	zone := b.zones(one.Source, stay.Text(one.ListingID), b.Rows[row].TimeZone)
	day := func(at time.Time) int { return int(dateOf(at, zone).Sub(b.Days[0]) / oneDay) }
	in, out := day(one.CheckIn), day(one.CheckOut)
	if out < 0 || in >= len(b.Days) {
		return
	}
	bar := CalendarBar{CalendarStay: one, Zone: zone, Earlier: in < 0, Later: out >= len(b.Days)}
	end := min(2*out+1, 2*len(b.Days))
	bar.Start = max(2*in+1, 0)
	if in < 0 {
		bar.Start = 0
	}
	bar.Half = max(end-bar.Start, 1)
	b.Rows[row].Bars = append(b.Rows[row].Bars, bar)
}
