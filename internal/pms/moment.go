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

// Check-in and check-out times if neither the listing nor the source sets them.
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

// ParseStoredMoment reads what [Moment.String] wrote: what [ParseMoment] accepts, and local times followed by the name
// of their zone in brackets (RFC 9557).
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

// in sets the zone of a local time.
func (m Moment) in(zone string) (Moment, error) {
	if _, err := ParseTimeZone(zone); err != nil {
		return Moment{}, err
	}
	m.zone, m.text = zone, m.text+"["+zone+"]"
	return m, nil
}

// at sets the time of day of a date, as the time since the beginning of the day. It may be in another day.
func (m Moment) at(d time.Duration) Moment {
	m.local, m.dayOnly = m.local.Add(d), false
	m.text = m.local.Format("2006-01-02T15:04")
	return m
}

// ParseInstant reads an RFC 3339 date-time, cut to milliseconds, in UTC.
func ParseInstant(s string) (time.Time, error) {
	// time.Parse accepts a comma before the fraction and one-digit hours; RFC 3339 doesn't.
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

// HasTime reports whether the moment has a time of day: it isn't only a date.
func (m Moment) HasTime() bool { return !m.dayOnly }

// Resolve completes the moment with clock ("15:04") if it has no time, and with zone if it has no zone. It returns
// [ErrNoTimeZone] if zone is needed and nil. A local time that a clock change skips is read with the offset before the
// change; of one that it repeats, the first counts (RFC 5545 section 3.3.5).
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

// wallToInstant converts a local time. Unlike time.Date, it defines which offset counts around a clock change.
func wallToInstant(wall time.Time, zone *time.Location) time.Time {
	offsetAt := func(t time.Time) time.Duration {
		_, seconds := t.In(zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	// Every zone is within a day of UTC, and these two days hold at most one clock change.
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

// zones caches loaded zones: loading one takes longer than the rest of an event. It can't outgrow the zone database.
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
