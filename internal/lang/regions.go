package lang

import (
	"slices"
	"strconv"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// Locale writes texts in a language, and dates and numbers as a region does.
type Locale struct {
	// Hours12 is whether times of day are written with am and pm.
	Hours12 bool
	catalog *Catalog
	dates   *dates
	printer *message.Printer
}

// hours12 are the regions whose clocks have 12 hours, by language (CLDR, timeData: those with h as the preferred
// format; in Canada only where people speak English).
var hours12 = map[string][]string{
	"en": {
		"US", "CA", "AU", "NZ", "IN", "PH", "PK", "BD", "MY", "SG", "HK", "EG", "SA", "AE", "JO", "NG", "GH", "JM",
		"PR", "BS", "BB", "TT",
	},
	"es": {"CO", "DO", "PA", "PR", "VE", "US", "PH"},
}

// monthFirst are the regions that write the month before the day in English.
var monthFirst = []string{"US", "PH", "PR"}

// Clock is how times of day are written.
type Clock int

// Clocks.
const (
	RegionsClock Clock = iota // as the region does
	Clock12
	Clock24
)

// style tells the locales of a catalog apart.
type style struct{ hours12, monthFirst bool }

// Locale returns how the language is written in a region; "" where the region isn't known. The same style is the same
// locale.
func (c *Catalog) Locale(region string, clock Clock) *Locale {
	base, _ := c.Tag.Base()
	of := style{
		hours12:    clock == Clock12 || clock == RegionsClock && slices.Contains(hours12[base.String()], region),
		monthFirst: base.String() == "en" && slices.Contains(monthFirst, region),
	}
	if known, ok := c.locales.Load(of); ok {
		return known.(*Locale)
	}
	l := &Locale{Hours12: of.hours12, catalog: c, dates: written[base.String()], printer: message.NewPrinter(c.Tag)}
	if of.monthFirst {
		l.dates = &americanDates
	}
	known, _ := c.locales.LoadOrStore(of, l)
	return known.(*Locale)
}

// Tag is the language, as in the lang attribute of HTML.
func (l *Locale) Tag() string { return l.catalog.Tag.String() }

// Number writes a whole number. Four digits stay together, as Spanish requires and the others allow.
func (l *Locale) Number(n int) string {
	if -10_000 < n && n < 10_000 {
		return strconv.Itoa(n)
	}
	return l.printer.Sprint(number.Decimal(n))
}

// RegionOf is the region of the first of the languages that a browser asks for that belongs to a catalog's language;
// "" if it names none.
func RegionOf(asked []language.Tag, c *Catalog) string {
	of, _ := c.Tag.Base()
	for _, tag := range asked {
		if base, _ := tag.Base(); base == of {
			if region, sure := tag.Region(); sure == language.Exact {
				return region.String()
			}
			return ""
		}
	}
	return ""
}

// written are the dates of each language.
var written = map[string]*dates{
	"en": {english, dayFirst},
	"es": {spanish, dayFirstWithDe},
	"de": {german, dayFirstWithDots},
	"fr": {french, dayFirst},
	"it": {italian, dayFirst},
}

// americanDates are those of the regions in monthFirst.
var americanDates = dates{english, monthThenDay}

var dayFirst = layouts{
	short: layoutOf("{wd} {day} {mon}"), shortYear: layoutOf("{wd} {day} {mon} {year}"),
	long: layoutOf("{weekday} {day} {month}"), longYear: layoutOf("{weekday} {day} {month} {year}"),
	full: layoutOf("{day} {month} {year}"), month: layoutOf("{month} {year}"),
	twoDays:     layoutOf("{wd} {day} / {wd2} {day2} {month2}"),
	twoDaysYear: layoutOf("{wd} {day} / {wd2} {day2} {month2} {year}"),
	inMonth:     layoutOf("{day} – {day2} {month} {year}"),
	inYear:      layoutOf("{day} {month} – {day2} {month2} {year}"),
}

var monthThenDay = layouts{
	short: layoutOf("{wd}, {mon} {day}"), shortYear: layoutOf("{wd}, {mon} {day}, {year}"),
	long: layoutOf("{weekday}, {month} {day}"), longYear: layoutOf("{weekday}, {month} {day}, {year}"),
	full: layoutOf("{month} {day}, {year}"), month: layoutOf("{month} {year}"),
	twoDays:     layoutOf("{wd}, {month} {day} / {wd2}, {month2} {day2}"),
	twoDaysYear: layoutOf("{wd}, {month} {day} / {wd2}, {month2} {day2}, {year}"),
	inMonth:     layoutOf("{month} {day} – {day2}, {year}"),
	inYear:      layoutOf("{month} {day} – {month2} {day2}, {year}"),
}

var dayFirstWithDe = layouts{
	short: layoutOf("{wd}, {day} {mon}"), shortYear: layoutOf("{wd}, {day} {mon} {year}"),
	long: layoutOf("{weekday}, {day} de {month}"), longYear: layoutOf("{weekday}, {day} de {month} de {year}"),
	full: layoutOf("{day} de {month} de {year}"), month: layoutOf("{month} de {year}"),
	twoDays:     layoutOf("{wd} {day} / {wd2} {day2} de {month2}"),
	twoDaysYear: layoutOf("{wd} {day} / {wd2} {day2} de {month2} de {year}"),
	inMonth:     layoutOf("{day} – {day2} de {month} de {year}"),
	inYear:      layoutOf("{day} de {month} – {day2} de {month2} de {year}"),
}

var dayFirstWithDots = layouts{
	short: layoutOf("{wd}, {day}. {mon}"), shortYear: layoutOf("{wd}, {day}. {mon} {year}"),
	long: layoutOf("{weekday}, {day}. {month}"), longYear: layoutOf("{weekday}, {day}. {month} {year}"),
	full: layoutOf("{day}. {month} {year}"), month: layoutOf("{month} {year}"),
	twoDays:     layoutOf("{wd}, {day}. / {wd2}, {day2}. {month2}"),
	twoDaysYear: layoutOf("{wd}, {day}. / {wd2}, {day2}. {month2} {year}"),
	inMonth:     layoutOf("{day}. – {day2}. {month} {year}"),
	inYear:      layoutOf("{day}. {month} – {day2}. {month2} {year}"),
}

var english = names{
	weekdays:      [7]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
	shortWeekdays: [7]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"},
	months: [12]string{
		"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
		"December",
	},
	shortMonths: [12]string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"},
	first:       "1", am: "am", pm: "pm",
}

var spanish = names{
	weekdays:      [7]string{"domingo", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado"},
	shortWeekdays: [7]string{"dom", "lun", "mar", "mié", "jue", "vie", "sáb"},
	months: [12]string{
		"enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre",
		"noviembre", "diciembre",
	},
	shortMonths: [12]string{"ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sept", "oct", "nov", "dic"},
	first:       "1", am: "a. m.", pm: "p. m.",
}

var german = names{
	weekdays:      [7]string{"Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"},
	shortWeekdays: [7]string{"So", "Mo", "Di", "Mi", "Do", "Fr", "Sa"},
	months: [12]string{
		"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
		"Dezember",
	},
	shortMonths: [12]string{
		"Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez.",
	},
	first: "1", am: "AM", pm: "PM",
}

var french = names{
	weekdays:      [7]string{"dimanche", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"},
	shortWeekdays: [7]string{"dim.", "lun.", "mar.", "mer.", "jeu.", "ven.", "sam."},
	months: [12]string{
		"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
		"décembre",
	},
	shortMonths: [12]string{
		"janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc.",
	},
	first: "1er", am: "AM", pm: "PM",
}

var italian = names{
	weekdays:      [7]string{"domenica", "lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato"},
	shortWeekdays: [7]string{"dom", "lun", "mar", "mer", "gio", "ven", "sab"},
	months: [12]string{
		"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre",
		"novembre", "dicembre",
	},
	shortMonths: [12]string{"gen", "feb", "mar", "apr", "mag", "giu", "lug", "ago", "set", "ott", "nov", "dic"},
	first:       "1º", am: "AM", pm: "PM",
}
