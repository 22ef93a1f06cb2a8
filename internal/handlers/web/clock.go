package web

import (
	"net/http"
	"regexp"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
)

// clockFace is how a browser shows times of day: the layout of one, for [time.Time.Format].
type clockFace string

// The clock faces.
const (
	hours24 clockFace = "15:04"
	hours12 clockFace = "3:04 pm"
)

// clockCookie holds the clock face that a browser has chosen; hours24 without it.
const clockCookie = "staykey_clock"

func clockOf(r *http.Request) clockFace {
	if c, err := r.Cookie(clockCookie); err == nil && c.Value == "12" {
		return hours12
	}
	return hours24
}

// clockPage is GET /clock/{hours}: it chooses the clock face of this browser, and goes back to the page.
func (s *Pages) clockPage(w http.ResponseWriter, r *http.Request) {
	hours := chi.URLParam(r, "hours")
	if hours != "12" && hours != "24" {
		s.refuse(w, r, handlers.NewProblem(http.StatusNotFound, "There is a 12-hour and a 24-hour clock."))
		return
	}
	c := s.cookie(r, hours, int((365 * 24 * time.Hour).Seconds()))
	c.Name = clockCookie
	http.SetCookie(w, c)
	http.Redirect(w, r, nextPage(r.FormValue("next")), http.StatusSeeOther)
}

// at formats a time of day in a zone; "" for none.
func (f clockFace) at(at *time.Time, zone *time.Location) string {
	if at == nil {
		return ""
	}
	return at.In(orUTC(zone)).Format(string(f))
}

// dayOf formats a day and time; "" for none.
func (f clockFace) dayOf(at *time.Time, zone *time.Location, now time.Time) string {
	if at == nil {
		return ""
	}
	return at.In(orUTC(zone)).Format(dayLayout(*at, zone, now) + ", " + string(f))
}

// exact formats a time in a zone, which it names.
func (f clockFace) exact(at time.Time, zone *time.Location, now time.Time) string {
	return at.In(orUTC(zone)).Format(dayLayout(at, zone, now) + ", " + string(f) + " MST")
}

// dayLayout is the layout of a day, with the year unless it is the current one.
func dayLayout(at time.Time, zone *time.Location, now time.Time) string {
	if at.In(orUTC(zone)).Year() != now.In(orUTC(zone)).Year() {
		return "Mon 2 Jan 2006"
	}
	return "Mon 2 Jan"
}

// instantText is how messages for programs write an instant.
var instantText = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)

// local is a message with its instants in the zone of the property.
func (f clockFace) local(message string, zone *time.Location, now time.Time) string {
	return instantText.ReplaceAllStringFunc(message, func(written string) string {
		at, err := pms.ParseInstant(written)
		if err != nil {
			return written
		}
		return f.exact(at, zone, now)
	})
}
