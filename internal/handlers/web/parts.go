package web

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// pageFuncs are what templates of a locale can call. t and h show texts of the page: h those with markup. words shows
// a code, and tr a text that another package has written.
func pageFuncs(in *lang.Locale) template.FuncMap {
	return template.FuncMap{
		"t": in.T, "h": in.HTML, "tr": in.Foreign, "num": in.Number,
		"foreign": func(text string) template.HTML { return foreignHTML(in, text) },
		"english": func(text string) template.HTML { return inEnglish(in, text) },
		"words":   func(code string) string { return codeWords(in, code) },
		"ago":     func(at, now time.Time) string { return ago(in, at, now) },
		"since":   func(at, now time.Time) string { return since(in, at, now) },
		"late":    func(at *time.Time, now time.Time) string { return lateBy(in, *at, now) },
		"exact":   func(at time.Time, zone *time.Location, now time.Time) string { return exactly(in, at, zone, now) },
		"clock":   func(at *time.Time, zone *time.Location) string { return clockAt(in, at, zone) },
		"dayof":   func(at *time.Time, zone *time.Location, now time.Time) string { return dayAt(in, at, zone, now) },
		"local": func(message string, zone *time.Location, now time.Time) string {
			return locally(in, message, zone, now)
		},
		"weekday": in.Weekday,
		"doors":   func(problems []stay.DoorProblem) string { return describeDoors(in, problems) },
		"counts":  func(results map[string]int) []string { return countsOf(in, results) },
		"status":  func(status string) string { return in.T(keyWord(status)) },
		"stamp":   pms.FormatInstant, "text": stay.Text, "notes": admin.NotesOf, "tel": telephone, "join": joinValues,
		"has": hasValue, "dict": dict, "fields": strings.Fields,
		"utc":  func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") },
		"path": func(parts ...string) string { return escapedPath(parts) },
		"icon": func(name string) template.HTML { return icons[name] },
		"list": func(items ...any) []any { return items },
	}
}

// codeWords writes a code, such as a reason or the name of a field, for people.
func codeWords(in *lang.Locale, code string) string {
	return in.T(lang.Text(strings.ReplaceAll(code, "_", " ")))
}

// foreignHTML is a text of another package in the person's language, or marked as English if it has no translation.
func foreignHTML(in *lang.Locale, text string) template.HTML {
	if shown := in.Foreign(text); shown != text {
		return template.HTML(template.HTMLEscapeString(shown)) // #nosec G203 -- escaped
	}
	return inEnglish(in, text)
}

// inEnglish is an English text, which screen readers pronounce as such on pages of other languages.
func inEnglish(in *lang.Locale, text string) template.HTML {
	escaped := template.HTMLEscapeString(text)
	if in.Tag() != "en" && text != "" {
		escaped = `<span lang="en">` + escaped + `</span>`
	}
	return template.HTML(escaped) // #nosec G203 -- escaped
}

// fieldWords names a field of a form or a query for people.
func fieldWords(in *lang.Locale, field string) string {
	for _, part := range []string{"path.", "query.", "body."} {
		field = strings.TrimPrefix(field, part)
	}
	return capital(codeWords(in, field))
}

// countNames are the results of events whose codes people would not understand.
var countNames = map[string]string{"refused": "bad signature", "superseded": "outdated"}

// countsOf lists how often each result occurred.
func countsOf(in *lang.Locale, results map[string]int) []string {
	var list []string
	for _, result := range slices.Sorted(maps.Keys(results)) {
		name := codeWords(in, cmp.Or(countNames[result], result))
		list = append(list, in.T("{n} {result}", results[result], name))
	}
	return list
}

// describeDoors names doors and what is wrong with each.
func describeDoors(in *lang.Locale, problems []stay.DoorProblem) string {
	parts := make([]string, len(problems))
	for i, p := range problems {
		parts[i] = in.T("{door}: {problem}", p.Title(), in.Foreign(p.Words()))
	}
	return strings.Join(parts, "; ")
}

func joinValues(list []string) string { return strings.Join(list, ",") }

func hasValue(list []string, item any) bool {
	text, is := item.(string)
	return is && slices.Contains(list, text)
}

// dict makes the data of a template that needs several values.
func dict(pairs ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m
}

// keyWords name the statuses of keys in the words of a front desk.
var keyWords = map[string]lang.Text{
	stay.KeyWaiting: "Waiting", stay.KeyProvisioning: "Being set up", stay.KeyIssued: "Ready",
	stay.KeyActive: "In use", stay.KeyAttention: "Needs you",
	stay.KeyRevoking: "Being removed", stay.KeyRevoked: "Removed", stay.KeyExpired: "Ended",
}

func keyWord(status string) lang.Text { return cmp.Or(keyWords[status], lang.Text(status)) }

// telephone is the tel: address of a number. It keeps only characters that can be dialed, so that the result can't be
// another kind of address.
func telephone(number string) template.URL {
	dial := strings.Map(func(r rune) rune {
		if r == '+' || (r >= '0' && r <= '9') {
			return r
		}
		return -1
	}, number)
	return template.URL("tel:" + dial) // #nosec G203 -- digits and plus signs only
}

func orUTC(zone *time.Location) *time.Location {
	if zone == nil {
		return time.UTC
	}
	return zone
}

func escapedPath(parts []string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// stayRow is a reservation as pages show it.
type stayRow struct {
	admin.Stay
	in       *lang.Locale
	Property string // see [properties]; "" on a page of one property
}

// Guest is the guest's name, or else what is known of the guest.
func (r stayRow) Guest() string {
	return guestOf(r.in, r.Reservation.GuestName, r.Reservation.GuestEmail)
}

func guestOf(in *lang.Locale, name, email *string) string {
	switch {
	case stay.Text(name) != "":
		return *name
	case stay.Text(email) != "":
		return *email
	}
	return in.T("no guest name")
}

// SentIn is the check-in as the PMS sent it, in words; "" where it sent none.
func (r stayRow) SentIn(now time.Time) string { return sentAt(r.in, r.Reservation.CheckInText, now) }

// SentHour is the time of day of the check-in as the PMS sent it; "" where it sent none.
func (r stayRow) SentHour() string {
	at, hasTime, _ := sentTime(r.Reservation.CheckInText)
	if !hasTime {
		return ""
	}
	return r.in.Clock(at)
}

// SentOut is like SentIn for the check-out.
func (r stayRow) SentOut(now time.Time) string { return sentAt(r.in, r.Reservation.CheckOutText, now) }

// Cause is what is wrong with the key, in the words of a front desk; nil if nothing is.
func (r stayRow) Cause() *problemRow {
	reason := stay.Text(r.Key.Reason)
	if reason == "" {
		return nil
	}
	return &problemRow{r, wordsOf(reason)}
}

// Link is the page of the reservation.
func (r stayRow) Link() string {
	return escapedPath([]string{"reservations", r.Reservation.Source, r.Reservation.ReservationID})
}

// ListingLink is the page of its listing, "" if it has none.
func (r stayRow) ListingLink() string {
	if r.Reservation.ListingID == nil {
		return ""
	}
	return escapedPath([]string{"listings", r.Reservation.Source, *r.Reservation.ListingID})
}

// stayRows adds the listings' data that pages show.
func (s *core) stayRows(ctx context.Context, in *lang.Locale, views []admin.View) ([]stayRow, error) {
	stays, err := s.Admin.Reservations.Stays(ctx, views)
	return rowsOf(in, stays), err
}

func rowsOf(in *lang.Locale, stays []admin.Stay) []stayRow {
	rows := make([]stayRow, len(stays))
	for i, one := range stays {
		rows[i] = stayRow{Stay: one, in: in}
	}
	return rows
}

// groupRow is an access group as pages show it.
type groupRow struct {
	ID, Name, System string
	Missing          bool // Seam does not know it
	Chosen           bool
}

func groupRows(groups admin.AccessGroups, ids []string) []groupRow {
	rows := make([]groupRow, len(ids))
	for i, id := range ids {
		rows[i] = groupRowOf(groups, id)
		rows[i].Chosen = true
	}
	return rows
}

func groupRowOf(groups admin.AccessGroups, id string) groupRow {
	known, ok := groups.Named(id)
	return groupRow{ID: id, Name: cmp.Or(known.Name, id), System: known.SystemName, Missing: groups.Asked && !ok}
}

// translated is a problem in the person's language.
func translated(in *lang.Locale, p *handlers.Problem) *handlers.Problem {
	shown := *p
	shown.Title, shown.Detail = in.T(lang.Text(p.Title)), in.Foreign(p.Detail)
	shown.Errors = slices.Clone(p.Errors)
	for i := range shown.Errors {
		shown.Errors[i].Message = in.Foreign(p.Errors[i].Message)
	}
	return &shown
}

// pageText is the text of a problem on a page: the first wrong field, if there is one.
func pageText(in *lang.Locale, p *handlers.Problem) string {
	if len(p.Errors) == 0 {
		return in.Foreign(p.Detail)
	}
	wrong := p.Errors[0]
	return in.T("{field} {problem}.", fieldWords(in, wrong.Field), in.Foreign(wrong.Message))
}

// paging reads the position in a list from a query.
func paging(q url.Values) admin.Paging {
	return admin.Paging{Limit: pageRows, Cursor: q.Get("cursor")}
}

// notFilters are the parameters of lists that narrow nothing.
var notFilters = []string{"cursor", "limit", "sort", "done"}

// isFiltered reports whether the address of a list sets a filter, which can be cleared then.
func isFiltered(q url.Values) bool {
	for name, values := range q {
		if !slices.Contains(notFilters, name) && slices.ContainsFunc(values, func(v string) bool { return v != "" }) {
			return true
		}
	}
	return false
}

// pageLinks are the addresses of the first and of the next page of a list; "" for none.
func pageLinks(path string, q url.Values, cursor string) (first, next string) {
	if q.Get("cursor") != "" {
		first = nextLink(path, q, "")
	}
	if cursor != "" {
		next = nextLink(path, q, cursor)
	}
	return first, next
}
