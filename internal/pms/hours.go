package pms

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// This file reads dates and hours as PMSs and their users write them. The canonical format is strict and uses none of
// it.

// edge is which end of a stay a time is about: of a range of hours, a check-in means the start and a check-out the end.
type edge int

const (
	startOfStay edge = iota
	endOfStay
)

var errHour = errors.New(`must be a time of day such as "15:00", "3 PM" or 15`)

var (
	hourForms = []*regexp.Regexp{
		// 15:00, 15:00:00, 9.30, 15h, 15h30, 3 PM, 3:30 p.m., 34:00, -10:00
		regexp.MustCompile(`^(-?)([0-9]{1,2})(?:[:.h]([0-5][0-9])(?::[0-5][0-9](?:\.[0-9]+)?)?|h|:)? ?(a\.?m?\.?|p\.?m?\.?|uhr|hrs?|h|o'clock)?$`),
		// 1500, 930
		regexp.MustCompile(`^()([0-9]{1,2})([0-5][0-9]) ?(a\.?m?\.?|p\.?m?\.?|uhr|hrs?|h)?$`),
	}
	decimalHour = regexp.MustCompile(`^-?[0-9]{1,2}\.[0-9]+$`)
	hourRange   = regexp.MustCompile(`^(.*[0-9m.hr])\s*(?:-|–|—|\bto\b|\bbis\b|\buntil\b)\s*([0-9].*|noon|midnight)$`)
	namedHours  = map[string]time.Duration{
		"noon": 12 * time.Hour, "midday": 12 * time.Hour, "12 noon": 12 * time.Hour,
		"midnight": 24 * time.Hour,
	}
)

// furthestHour is how far an hour can be from the beginning of its day: some PMSs send 34:00 for 10:00 on the next day,
// and -10:00 for 14:00 on the day before.
const furthestHour = 72 * time.Hour

// readHour reads an hour: the time since the beginning of its day. Numbers are hours: 15.5 is 15:30.
func readHour(v any, of edge) (time.Duration, bool) {
	text, ok := asText(v)
	if !ok {
		return 0, false
	}
	if d, ok := readClock(text); ok {
		return d, true
	}
	// Programs put a narrow no-break space before "PM", and people type two.
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	if _, isText := v.(string); !isText ||
		(decimalHour.MatchString(text) && len(text[strings.IndexByte(text, '.'):]) == 2) {
		if hours, err := strconv.ParseFloat(text, 64); err == nil && hours >= 0 && hours < 72 {
			return time.Duration(hours * float64(time.Hour)).Round(time.Minute), true
		}
	}
	if part := hourRange.FindStringSubmatch(text); part != nil {
		return readRange(part[1], part[2], of)
	}
	d, _, ok := readOneHour(text)
	return d, ok
}

// readClock reads the most common form, "15:00", quickly.
func readClock(text string) (d time.Duration, ok bool) {
	if len(text) != len("15:00") || text[2] != ':' {
		return 0, false
	}
	var digits [4]int
	for i, at := range []int{0, 1, 3, 4} {
		if text[at] < '0' || text[at] > '9' {
			return 0, false
		}
		digits[i] = int(text[at] - '0')
	}
	hours, minutes := 10*digits[0]+digits[1], 10*digits[2]+digits[3]
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute, hours < 24 && minutes < 60
}

// readRange reads "16:00-20:00" and "4-8 PM".
func readRange(from, until string, of edge) (time.Duration, bool) {
	from = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(from), "from "), "between ")
	first, firstHalf, ok1 := readOneHour(from)
	second, secondHalf, ok2 := readOneHour(strings.TrimSpace(until))
	if !ok1 || !ok2 {
		return 0, false
	}
	if firstHalf == "" && secondHalf == "p" && first < 12*time.Hour && first+12*time.Hour <= second {
		first += 12 * time.Hour // both are in the afternoon
	}
	if of == endOfStay {
		return second, true
	}
	return first, true
}

// readOneHour reads one hour and its half of the day: "a", "p" or "".
func readOneHour(text string) (d time.Duration, half string, ok bool) {
	if d, named := namedHours[text]; named {
		return d, "", true
	}
	for _, form := range hourForms {
		part := form.FindStringSubmatch(text)
		if part == nil {
			continue
		}
		half = halfOf(part[4])
		if d, ok = hourOf(part, half); !ok {
			return 0, "", false
		}
		return d, half, true
	}
	return 0, "", false
}

// halfOf is the half of the day that "am", "p.m." and the like name; "" for none.
func halfOf(text string) string {
	if text == "" {
		return ""
	}
	if half := text[:1]; half == "a" || half == "p" {
		return half
	}
	return ""
}

// hourOf computes an hour from what [hourForms] have found: the sign, the hours and the minutes.
func hourOf(part []string, half string) (time.Duration, bool) {
	negative := part[1] == "-"
	hours, _ := strconv.Atoi(part[2])
	minutes, _ := strconv.Atoi(part[3])

	if half != "" {
		if hours > 12 || negative {
			return 0, false
		}
		hours %= 12
		if half == "p" {
			hours += 12
		}
	}

	d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	switch {
	case d > furthestHour:
		return 0, false
	case negative:
		return -d, part[3] != "" // "-1" means unknown
	default:
		return d, true
	}
}

var dateAndTime = regexp.MustCompile(
	`^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:[.,]([0-9]+))? ?(Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$`)

// readTime reads a date or a date with a time, with or without an offset, in the formats of ISO 8601 and SQL.
func readTime(s string) (Moment, error) {
	if m, err := ParseMoment(s); err == nil {
		return m, nil
	}
	part := dateAndTime.FindStringSubmatch(s)
	if part == nil || part[2] == "" {
		return Moment{}, errMoment
	}
	date, clock, seconds, fraction, offset := part[1], part[2], part[3], part[4], part[5]

	if clock == "24:00" && offset == "" { // RFC 3339 has no such hour
		m, err := ParseMoment(date)
		if err != nil {
			return m, err
		}
		return m.at(24 * time.Hour), nil
	}
	if offset == "" {
		return ParseMoment(date + "T" + clock + seconds)
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return ParseMoment(date + "T" + clock + cmp.Or(seconds, ":00") + fraction + standardOffset(offset))
}

// standardOffset writes an offset as RFC 3339 does: +02 and +0200 are +02:00.
func standardOffset(offset string) string {
	switch {
	case strings.EqualFold(offset, "Z") || offset == "UTC" || offset == "GMT":
		return "Z"
	case len(offset) == 3:
		return offset + ":00"
	case len(offset) == 5:
		return offset[:3] + ":" + offset[3:]
	}
	return offset
}

// isZeroDate reports whether a text is what MySQL and PHP write for no date.
func isZeroDate(s string) bool { return strings.HasPrefix(strings.TrimSpace(s), "0000-00-00") }

// moment reads an end of a stay: a text or number as [readTime] and [ReadInstant] do, or an object
//
//	{"date", "time", "time_zone", "official"}
//
// of which date or official is required. An hour or a zone that can't be read is dropped, and the default of the
// listing or the source counts. official is the PMS's own instant: a planned hour can make access begin earlier or end
// later, never the other way round.
func (f fields) moment(name string, of edge) *Moment {
	v := f.values[name]
	_, unknown := failure(v)
	if object, ok := v.(map[string]any); ok && !unknown {
		return f.planned(name, object, of)
	}
	m, err := readMoment(v)
	if err != nil {
		f.refuse(name, err.Error())
	}
	return m
}

// readMoment reads a date or a time; nil where none is specified.
func readMoment(v any) (*Moment, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		s := strings.TrimSpace(v)
		if s == "" || isZeroDate(s) {
			return nil, nil
		}
		m, err := readTime(s)
		if err == nil {
			return &m, nil
		}
	}
	if t, err := ReadInstant(v); err == nil {
		m, err := ParseMoment(FormatInstant(t))
		return &m, err
	}
	return nil, fmt.Errorf(`%w, or {"date", "time", "time_zone"}`, errMoment)
}

func (f fields) planned(name string, v map[string]any, of edge) *Moment {
	official, notOfficial := readMoment(v["official"])
	day, notDay := readMoment(v["date"])
	if wrong := cmp.Or(notDay, notOfficial); wrong != nil && official == nil && day == nil {
		f.refuse(name, wrong.Error())
		return nil
	}
	if notOfficial != nil {
		f.drop(name+".official", notOfficial.Error())
	}
	if notDay != nil {
		f.drop(name+".date", notDay.Error())
	}
	if day == nil {
		return official
	}
	if day.IsLocal() {
		f.hour(name, day, v["time"], of)
		f.zone(name, day, v["time_zone"])
	}
	if official == nil {
		return day
	}
	return closer(*day, *official, of)
}

// hour gives a date its hour, if that can be read.
func (f fields) hour(name string, day *Moment, v any, of edge) {
	s, isText := v.(string)
	if v == nil || (isText && strings.TrimSpace(s) == "") {
		return
	}
	midnight := day.local.Truncate(24 * time.Hour)
	if d, ok := readHour(v, of); ok && plausible(midnight.Add(d)) {
		*day = Moment{local: midnight}.at(d)
		return
	}
	if m, err := readMoment(v); err == nil && m != nil && !m.dayOnly { // a whole time in place of an hour
		at := m.local
		if !m.IsLocal() {
			at = m.instant
		}
		if gap := at.Sub(midnight); gap > -furthestHour && gap < furthestHour {
			*day = *m
			return
		}
	}
	f.drop(name+".time", errHour.Error()+": the default hour is used")
}

// zone gives a local time its zone, if that can be read.
func (f fields) zone(name string, m *Moment, v any) {
	zone, ok := v.(string)
	if zone = strings.TrimSpace(zone); !m.IsLocal() || (v != nil && ok && zone == "") || v == nil {
		return
	}
	zone, err := zoneNamed(zone)
	with := *m
	if err == nil {
		with, err = m.in(zone)
	}
	if err != nil {
		f.drop(name+".time_zone", err.Error()+": the zone of the listing or the source is used")
		return
	}
	*m = with
}

// closer is the earlier of a planned and an official check-in, and the later of two check-outs. The official one
// counts where the two can't be compared.
func closer(planned, official Moment, of edge) *Moment {
	bare := func(m Moment) bool { return m.IsLocal() && m.zone == "" }
	switch {
	case official.dayOnly && !planned.dayOnly:
		return &planned
	case planned.dayOnly || bare(planned) != bare(official):
		return &official
	}
	if (of == startOfStay) == planned.comparable().Before(official.comparable()) {
		return &planned
	}
	return &official
}

// comparable is an instant by which moments of one kind can be compared.
func (m Moment) comparable() time.Time {
	if zone, err := ParseTimeZone(m.zone); err == nil && m.IsLocal() {
		return wallToInstant(m.local, zone)
	}
	if m.IsLocal() {
		return m.local
	}
	return m.instant
}

// compare orders moments; nil, the beginning of a stay, is the first.
func (m *Moment) compare(other *Moment) int {
	switch {
	case m == nil && other == nil:
		return 0
	case m == nil:
		return -1
	case other == nil:
		return 1
	}
	return m.comparable().Compare(other.comparable())
}
