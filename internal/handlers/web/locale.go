package web

import (
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"golang.org/x/text/language"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// This file decides in which language a page is, and how it writes times. Both are chosen by the person, with links at
// the foot of every page, and remembered in cookies; otherwise they follow from what the browser asks for. The texts
// are in English in templates and code; words/*.yaml has their translations.

// pageLanguage is a language of the page.
type pageLanguage struct {
	Tag, Name string // Name is what its speakers call it
	catalog   func() *lang.Catalog
}

// languages are those of the page. The first is for people who ask for none of them.
var languages = []pageLanguage{
	{"en", "English", catalogOf("en")}, // of texts that are written for programs: how people say them
	{"es", "Español", catalogOf("es")},
	{"de", "Deutsch", catalogOf("de")},
	{"fr", "Français", catalogOf("fr")},
	{"it", "Italiano", catalogOf("it")},
}

// catalogOf reads the catalog of a language when it is first needed.
func catalogOf(tag string) func() *lang.Catalog {
	return sync.OnceValue(func() *lang.Catalog {
		file, err := files.ReadFile("words/" + tag + ".yaml")
		if err != nil {
			panic(err) // it is embedded
		}
		catalog, err := lang.ReadCatalog(language.MustParse(tag), file, foreignTexts)
		if err != nil {
			panic(err) // it is embedded, and a test reads it
		}
		return catalog
	})
}

var languageMatcher = func() language.Matcher {
	tags := make([]language.Tag, len(languages))
	for i, l := range languages {
		tags[i] = language.MustParse(l.Tag)
	}
	return language.NewMatcher(tags)
}()

// Cookies with what a browser's person has chosen: the tag of a language, and 12 or 24 hours.
const (
	languageCookie = "staykey_language"
	clockCookie    = "staykey_clock"
)

// localeOf is how a page speaks to the person of a request.
func localeOf(r *http.Request) *lang.Locale {
	asked, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil {
		asked = nil
	}
	_, i, _ := languageMatcher.Match(asked...)
	if c, err := r.Cookie(languageCookie); err == nil {
		if chosen := languageIndex(c.Value); chosen >= 0 {
			i = chosen
		}
	}
	catalog := languages[i].catalog()
	clock := lang.RegionsClock
	if c, err := r.Cookie(clockCookie); err == nil {
		switch c.Value {
		case "12":
			clock = lang.Clock12
		case "24":
			clock = lang.Clock24
		}
	}
	return catalog.Locale(lang.RegionOf(asked, catalog), clock)
}

// languageIndex is the place of a language; -1 if the page isn't written in it.
func languageIndex(tag string) int {
	return slices.IndexFunc(languages, func(l pageLanguage) bool { return l.Tag == tag })
}

// chooseLanguage is GET /language/{tag}: it chooses the language of this browser, and goes back to the page.
func (s accountPages) chooseLanguage(w http.ResponseWriter, r *http.Request) {
	tag := chi.URLParam(r, "tag")
	if languageIndex(tag) < 0 {
		s.refuse(w, r, handlers.NewProblem(http.StatusNotFound, "The page isn't available in this language."))
		return
	}
	s.remember(w, r, languageCookie, tag)
}

// chooseClock is GET /clock/{hours}: it chooses the clock of this browser, and goes back to the page.
func (s accountPages) chooseClock(w http.ResponseWriter, r *http.Request) {
	hours := chi.URLParam(r, "hours")
	if hours != "12" && hours != "24" {
		s.refuse(w, r, handlers.NewProblem(http.StatusNotFound, "There is a 12-hour and a 24-hour clock."))
		return
	}
	s.remember(w, r, clockCookie, hours)
}

// remember sets a cookie for a year, and goes back to the page.
func (s accountPages) remember(w http.ResponseWriter, r *http.Request, name, value string) {
	c := s.cookie(r, value, int((365 * 24 * time.Hour).Seconds()))
	c.Name = name
	http.SetCookie(w, c)
	http.Redirect(w, r, nextPage(r.FormValue("next")), http.StatusSeeOther)
}

// views are the templates of the page, by name, each with the layout around it: one set for each locale, parsed when
// it is first needed.
var views sync.Map // from *lang.Locale to func() map[string]*template.Template

func viewsIn(in *lang.Locale) map[string]*template.Template {
	parsed, ok := views.Load(in)
	if !ok {
		parse := sync.OnceValue(func() map[string]*template.Template { return parseViews(in) })
		parsed, _ = views.LoadOrStore(in, parse)
	}
	return parsed.(func() map[string]*template.Template)()
}

func parseViews(in *lang.Locale) map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(pageFuncs(in)).ParseFS(files, "templates/layout.html",
		"templates/parts.html"))
	list, err := files.ReadDir("templates")
	if err != nil {
		panic(err) // it is embedded
	}
	parsed := map[string]*template.Template{}
	for _, f := range list {
		name, is := strings.CutSuffix(f.Name(), ".html")
		if is && name != "layout" && name != "parts" {
			parsed[name] = template.Must(template.Must(layout.Clone()).ParseFS(files, "templates/"+f.Name()))
		}
	}
	return parsed
}

// clockAt writes a time of day in a zone; "" for none.
func clockAt(in *lang.Locale, at *time.Time, zone *time.Location) string {
	if at == nil {
		return ""
	}
	return in.Clock(at.In(orUTC(zone)))
}

// dayAt writes a day and time in a zone; "" for none.
func dayAt(in *lang.Locale, at *time.Time, zone *time.Location, now time.Time) string {
	if at == nil {
		return ""
	}
	return in.DayAndTime(at.In(orUTC(zone)), now.In(orUTC(zone)))
}

// sentAt writes the day of a check-in or check-out as the PMS sent it, which is one at the property, with its time of
// day if it has one; "" for none.
func sentAt(in *lang.Locale, text *string, now time.Time) string {
	at, hasTime, sent := sentTime(text)
	switch {
	case !sent:
		return ""
	case hasTime:
		return in.DayAndTime(at, now)
	}
	return in.Day(at, now)
}

// sentTime reads a check-in or check-out as the PMS sent it. at is the wall clock at the property, in UTC.
func sentTime(text *string) (at time.Time, hasTime, sent bool) {
	m, err := pms.ParseStoredMoment(stay.Text(text))
	if err != nil {
		return time.Time{}, false, false
	}
	at, err = m.Resolve(time.UTC, pms.DefaultCheckInTime)
	return at, m.HasTime(), err == nil
}

// exactly writes a time in a zone, which it names.
func exactly(in *lang.Locale, at time.Time, zone *time.Location, now time.Time) string {
	return dayAt(in, &at, zone, now) + at.In(orUTC(zone)).Format(" MST")
}

// instantText is how messages for programs write an instant.
var instantText = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)

// locally is a message of another package in the person's language, with its instants in the zone of the property.
func locally(in *lang.Locale, message string, zone *time.Location, now time.Time) string {
	return in.Foreign(instantText.ReplaceAllStringFunc(message, func(written string) string {
		at, err := pms.ParseInstant(written)
		if err != nil {
			return written
		}
		return exactly(in, at, zone, now)
	}))
}

// ago writes how far a time is from now, in the most readable unit.
func ago(in *lang.Locale, at, now time.Time) string {
	n, unit := distance(at, now)
	if unit == unitNow {
		return in.T("now")
	}
	if at.Before(now) {
		return in.T(agoTexts[unit], n)
	}
	return in.T(inTexts[unit], n)
}

// since writes since when something has been so.
func since(in *lang.Locale, at, now time.Time) string {
	n, unit := distance(at, now)
	if unit == unitNow {
		return in.T("since now")
	}
	return in.T(sinceTexts[unit], n)
}

// lateBy writes how late a guest's key is.
func lateBy(in *lang.Locale, at, now time.Time) string {
	n, unit := distance(at, now)
	if unit == unitNow {
		return in.T("due now")
	}
	return in.T(lateTexts[unit], n)
}

// unit is the unit of a distance in time.
type unit int

const (
	unitNow unit = iota
	unitMinutes
	unitHours
	unitDays
)

var (
	agoTexts   = [...]lang.Text{unitMinutes: "{n} min ago", unitHours: "{n} h ago", unitDays: "{n} days ago"}
	inTexts    = [...]lang.Text{unitMinutes: "in {n} min", unitHours: "in {n} h", unitDays: "in {n} days"}
	sinceTexts = [...]lang.Text{
		unitMinutes: "since {n} min ago", unitHours: "since {n} h ago", unitDays: "since {n} days ago",
	}
	lateTexts = [...]lang.Text{unitMinutes: "{n} min late", unitHours: "{n} h late", unitDays: "{n} days late"}
)

func distance(at, now time.Time) (int, unit) {
	d := at.Sub(now).Abs()
	switch {
	case d < 45*time.Second:
		return 0, unitNow
	case d < 90*time.Minute:
		return int(d.Round(time.Minute).Minutes()), unitMinutes
	case d < 48*time.Hour:
		return int(d.Round(time.Hour).Hours()), unitHours
	}
	return int(d.Round(24*time.Hour).Hours() / 24), unitDays
}
