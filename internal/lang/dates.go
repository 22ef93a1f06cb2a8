package lang

import (
	"regexp"
	"strconv"
	"time"
)

// dates is how a language and region write dates.
type dates struct {
	names
	layouts
}

// names are a language's words for days and months, and for the halves of a day.
type names struct {
	weekdays, shortWeekdays [7]string // from Sunday
	months, shortMonths     [12]string
	first                   string // how the first of a month is written: "1", "1er"
	am, pm                  string
}

// layouts are the orders in which a region writes the parts of a date. A layout has {weekday}, {wd} (short), {day},
// {month}, {mon} (short) and {year}; for the last day of a period, each name ends in 2.
type layouts struct {
	short, shortYear layout // in tables
	long, longYear   layout // in titles
	full             layout // without the weekday
	month            layout // of a year
	twoDays          layout // that are "today" at the same moment, in two time zones
	twoDaysYear      layout
	inMonth, inYear  layout // periods within a month and within a year
}

// piece is a part of a layout: something literal, or else a field of the first or the last day.
type piece struct {
	literal string
	field   string
	last    bool
}

type layout []piece

var layoutField = regexp.MustCompile(`\{[a-z]+2?\}`)

// layoutOf reads a layout.
func layoutOf(text string) layout {
	var l layout
	at := 0
	for _, found := range layoutField.FindAllStringIndex(text, -1) {
		field := text[found[0]+1 : found[1]-1]
		l = append(l, piece{literal: text[at:found[0]]})
		if last := field[len(field)-1] == '2'; last {
			l = append(l, piece{field: field[:len(field)-1], last: true})
		} else {
			l = append(l, piece{field: field})
		}
		at = found[1]
	}
	return append(l, piece{literal: text[at:]})
}

// write writes a day, or a period.
func (d *dates) write(b []byte, l layout, first, last time.Time) []byte {
	for _, p := range l {
		at := first
		if p.last {
			at = last
		}
		switch p.field {
		case "":
			b = append(b, p.literal...)
		case "weekday":
			b = append(b, d.weekdays[at.Weekday()]...)
		case "wd":
			b = append(b, d.shortWeekdays[at.Weekday()]...)
		case "day":
			if at.Day() == 1 {
				b = append(b, d.first...)
			} else {
				b = strconv.AppendInt(b, int64(at.Day()), 10)
			}
		case "month":
			b = append(b, d.months[at.Month()-1]...)
		case "mon":
			b = append(b, d.shortMonths[at.Month()-1]...)
		case "year":
			b = strconv.AppendInt(b, int64(at.Year()), 10)
		}
	}
	return b
}

// Clock writes a time of day.
func (l *Locale) Clock(at time.Time) string { return string(l.appendClock(nil, at)) }

func (l *Locale) appendClock(b []byte, at time.Time) []byte {
	if !l.Hours12 {
		return at.AppendFormat(b, "15:04")
	}
	b = at.AppendFormat(b, "3:04 ")
	if at.Hour() < 12 {
		return append(b, l.dates.am...)
	}
	return append(b, l.dates.pm...)
}

// Day writes a day, short, with the year unless it is that of now.
func (l *Locale) Day(at, now time.Time) string { return string(l.appendDay(nil, at, now)) }

func (l *Locale) appendDay(b []byte, at, now time.Time) []byte {
	if at.Year() != now.Year() {
		return l.dates.write(b, l.dates.shortYear, at, at)
	}
	return l.dates.write(b, l.dates.short, at, at)
}

// DayAndTime writes a day and a time of day.
func (l *Locale) DayAndTime(at, now time.Time) string {
	b := l.appendDay(make([]byte, 0, 32), at, now)
	return string(l.appendClock(append(b, ", "...), at))
}

// Weekday is the short name of a day of the week.
func (l *Locale) Weekday(at time.Time) string { return l.dates.shortWeekdays[at.Weekday()] }

// LongDays writes what is "today" at places of several time zones: a day, or two. The year is left out if it is that
// of now.
func (l *Locale) LongDays(first, last, now time.Time) string {
	d, use := l.dates, l.dates.long
	switch other, two := first.Year() != now.Year(), !first.Equal(last); {
	case two && other:
		use = d.twoDaysYear
	case two:
		use = d.twoDays
	case other:
		use = d.longYear
	}
	return string(d.write(nil, use, first, last))
}

// Period writes the days from first to last, with the year. A whole month is written as such.
func (l *Locale) Period(first, last time.Time) string {
	d := l.dates
	sameMonth := first.Month() == last.Month() && first.Year() == last.Year()
	switch {
	case sameMonth && first.Day() == 1 && last.AddDate(0, 0, 1).Day() == 1:
		return string(d.write(nil, d.month, first, last))
	case sameMonth:
		return string(d.write(nil, d.inMonth, first, last))
	case first.Year() == last.Year():
		return string(d.write(nil, d.inYear, first, last))
	}
	return string(d.write(append(d.write(nil, d.full, first, first), " – "...), d.full, last, last))
}
