package pms

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the image has no zone database
)

// Clock times of a stay where neither listing nor source names one.
const (
	DefaultCheckInTime  = "15:00"
	DefaultCheckOutTime = "11:00"
)

// ErrNoTimeZone says that a local time can't be completed yet.
var ErrNoTimeZone = errors.New("no time zone is known")

var errMoment = errors.New(
	`must be an RFC 3339 instant such as "2026-11-01T15:00:00Z", or a local "2026-11-01" or "2026-11-01T15:00"`)

// Moment is a check-in or check-out as it was specified: an instant, or a local date with or without a time of day.
type Moment struct {
	text    string
	instant time.Time // zero: local
	local   time.Time // in UTC, to be read as wall clock
	dayOnly bool
	zone    string // of a local time that came with its own; "" for the listing's
}

// ParseMoment reads a moment. Instants are cut to milliseconds.
func ParseMoment(s string) (Moment, error) {
	if t, err := ParseInstant(s); err == nil {
		return Moment{text: s, instant: t}, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil && len(s) == len(layout) && plausible(t) {
			return Moment{text: s, local: t, dayOnly: layout == "2006-01-02"}, nil
		}
	}
	return Moment{}, errMoment
}

// ParseStoredMoment reads what [Moment.String] wrote: besides what [ParseMoment] takes, a local time with the name
// of its zone after it in brackets, as RFC 9557 writes it.
func ParseStoredMoment(s string) (Moment, error) {
	local, zone, ok := strings.Cut(s, "[")
	if !ok {
		return ParseMoment(s)
	}
	m, err := ParseMoment(local)
	if err != nil || !m.IsLocal() {
		return Moment{}, errMoment
	}
	return m.in(strings.TrimSuffix(zone, "]"))
}

// in gives a local time its own zone.
func (m Moment) in(zone string) (Moment, error) {
	if _, err := ParseTimeZone(zone); err != nil {
		return Moment{}, err
	}
	m.zone, m.text = zone, m.text+"["+zone+"]"
	return m, nil
}

// at gives a date its time of day: the time since the beginning of the day, which may reach into other days.
func (m Moment) at(d time.Duration) Moment {
	m.local, m.dayOnly = m.local.Add(d), false
	m.text = m.local.Format("2006-01-02T15:04")
	return m
}

// ParseInstant reads an RFC 3339 date-time, cut to milliseconds, in UTC.
func ParseInstant(s string) (time.Time, error) {
	// time.Parse takes a comma before the fraction and an hour of one digit; RFC 3339 has neither.
	if len(s) < 20 || (s[10] != 'T' && s[10] != 't') || s[13] != ':' || (len(s) > 20 && s[19] == ',') {
		return time.Time{}, errors.New("must be an RFC 3339 date-time with a zone")
	}
	upper := []byte(s)
	upper[10] = 'T'
	if upper[len(upper)-1] == 'z' {
		upper[len(upper)-1] = 'Z'
	}
	t, err := time.Parse(time.RFC3339Nano, string(upper))
	if err != nil {
		return time.Time{}, errors.New("must be an RFC 3339 date-time with a zone")
	}
	t = t.UTC().Truncate(time.Millisecond)
	if !plausible(t) {
		return time.Time{}, errors.New("must lie between the years 1970 and 2999")
	}
	return t, nil
}

// FormatInstant writes an instant as REST and timelines show it: RFC 3339, UTC, milliseconds.
func FormatInstant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func plausible(t time.Time) bool { return t.Year() >= 1970 && t.Year() < 3000 }

// String returns the moment as it was specified.
func (m Moment) String() string { return m.text }

// MarshalJSON writes the moment as it was specified.
func (m Moment) MarshalJSON() ([]byte, error) { return json.Marshal(m.text) }

// IsLocal reports whether the moment is a local one.
func (m Moment) IsLocal() bool { return m.instant.IsZero() }

// Resolve completes the moment: clock ("15:04") where only a date was specified, zone where no zone was. A nil
// zone gives [ErrNoTimeZone] for a local moment. A wall clock time that a change of clocks skips is read with
// the offset before the change, one that it repeats is the first of the two (RFC 5545 section 3.3.5).
func (m Moment) Resolve(zone *time.Location, clock string) (time.Time, error) {
	if !m.IsLocal() {
		return m.instant, nil
	}
	if m.zone != "" {
		if own, err := ParseTimeZone(m.zone); err == nil {
			zone = own
		}
	}
	if zone == nil {
		return time.Time{}, ErrNoTimeZone
	}
	wall := m.local
	if m.dayOnly {
		c, err := time.Parse("15:04", clock)
		if err != nil {
			return time.Time{}, fmt.Errorf("time of day %q: must be HH:MM", clock)
		}
		wall = wall.Add(time.Duration(c.Hour())*time.Hour + time.Duration(c.Minute())*time.Minute)
	}
	return wallToInstant(wall, zone), nil
}

// wallToInstant does on its own what time.Date leaves open: which offset counts around a change of clocks.
func wallToInstant(wall time.Time, zone *time.Location) time.Time {
	offsetAt := func(t time.Time) time.Duration {
		_, seconds := t.In(zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	// No zone is further than a day from UTC, and no two changes are within these two days.
	before := wall.Add(-offsetAt(wall.Add(-24 * time.Hour)))
	after := wall.Add(-offsetAt(wall.Add(24 * time.Hour)))
	sameWall := func(t time.Time) bool { return t.Add(offsetAt(t)).Equal(wall) }
	switch {
	case sameWall(before): // unambiguous, or the first of two
		return before.UTC()
	case sameWall(after):
		return after.UTC()
	default: // skipped
		return before.UTC()
	}
}

// zones holds the zones that were read: reading one takes longer than everything else that an event needs. They are
// no more than the database has.
var zones sync.Map // of *time.Location by name

// ParseTimeZone reads the name of an IANA time zone.
func ParseTimeZone(name string) (*time.Location, error) {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	if name == "" || name == "Local" {
		return nil, errors.New(`must be an IANA time zone such as "Europe/Madrid"`)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errors.New(`must be an IANA time zone such as "Europe/Madrid"`)
	}
	zones.Store(name, zone)
	return zone, nil
}

// zoneNamed is the IANA name of a time zone that a PMS names, by IANA's name or by Windows'.
func zoneNamed(name string) (string, error) {
	if iana, ok := windowsZones[name]; ok {
		return iana, nil
	}
	_, err := ParseTimeZone(name)
	return name, err
}

// ParseClock checks a time of day and returns it as HH:MM.
func ParseClock(s string) (string, error) {
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil && len(s) == len(layout) {
			return t.Format("15:04"), nil
		}
	}
	return "", errors.New(`must be a time of day such as "15:00"`)
}
