package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// dayPages show a day: the first page, the arrivals sheet and the calendar.
type dayPages struct{ *core }

// today is the first page: one day at the properties, and the state of the service.
type today struct {
	admin.Day
	in        *lang.Locale
	Troubles  []trouble
	Title     string // of the day
	Previous  string // addresses
	Print     string
	ThisDay   string
	Next      string
	Date      string // that is asked for; "" for today
	Source    string // the property that is shown; "" for all
	Sources   []string
	Parts     []dayTab
	Part      admin.DayPart // that is asked for; "" for the overview
	Reason    string        // of the problems that are shown; "" for all
	Problems  []causeGroup
	Rows      []stayRow    // of the part
	Stuck     []problemRow // of the part with problems
	FirstRow  string       // addresses of pages
	NextRow   string
	Doors     []riskRow // that may not open for guests in house or arriving within a day; shown on today's overview
	Attention int       // keys that need attention, whenever their stay is
	Checked   bool      // a stay is being compared with Seam, because somebody pressed the button
	Chart     chart
	Empty     bool        // no reservation exists
	Setup     []setupStep // what is left to do until the first key; none once it is there
	Sweep     *stay.Sweep
}

// dayTab is a list of the day, with its count.
type dayTab struct {
	Part   admin.DayPart
	Title  lang.Text
	Note   string
	Count  int
	Link   string
	Active bool
	Bad    bool
}

// trouble is a problem of the whole service, not of one reservation.
type trouble struct {
	What string
	Do   lang.Text
}

func (s dayPages) today(w http.ResponseWriter, r *http.Request) {
	body, err := s.readToday(r)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	s.render(w, r, http.StatusOK, "today", page{Title: body.in.T("Today"), Active: "today", Body: body})
}

func (s dayPages) readToday(r *http.Request) (today, error) {
	q := r.URL.Query()
	in := localeOf(r)
	t := today{
		in:   in,
		Date: q.Get("date"), Source: q.Get("source"), Part: admin.DayPart(q.Get("part")),
		Reason: q.Get("reason"), Checked: q.Get("checked") != "", Sources: s.Admin.Sources.Visible(r.Context()),
	}
	if !slices.Contains(admin.DayParts(), t.Part) {
		t.Part = ""
	}

	query := admin.DayQuery{
		Paging: paging(q), Source: t.Source, Date: q.Get("date"),
		Part: cmp.Or(t.Part, admin.DayArrivals), Reason: t.Reason,
	}

	var err error
	if t.Day, err = s.Admin.Days.Get(r.Context(), query); err != nil {
		return t, err
	}

	operation, err := s.Admin.Overview.Operation(r.Context())
	if err != nil {
		return t, err
	}

	if gone := operation.Provisioning.Disconnected; len(gone) > 0 {
		groups := s.Admin.Groups.All(r.Context())
		for i := range gone {
			gone[i].ACSSystemID = groups.SystemName(gone[i].ACSSystemID)
		}
	}
	t.Troubles = troublesOf(in, operation.Provisioning, operation.Backlog.OldestAt, t.At)
	t.Chart, t.Empty = newChart(operation.Hours), operation.None
	if last := operation.Provisioning.LastSweep; last != nil {
		t.Sweep = &last.Sweep
	}
	t.Attention = operation.Attention

	if operation.NoKey {
		if t.Setup, err = s.setupSteps(r); err != nil {
			return t, err
		}
	}

	t.links(q)
	for _, c := range t.Causes {
		group := causeGroup{Cause: c, causeWords: wordsOf(c.Reason), in: in, Rows: problemRows(in, c.First)}
		if c.Guests > len(c.First) {
			group.All = dayLink(q, "part", string(admin.DayProblems), "reason", c.Reason)
		}
		t.Problems = append(t.Problems, group)
	}

	if query.Part == admin.DayProblems {
		t.Stuck = problemRows(in, t.Stays.Items)
	} else {
		t.Rows = rowsOf(in, t.Stays.Items)
	}
	nameProperties(t.Sources, t.Source, t.staysOf()...)

	if t.IsToday && t.Part == "" {
		if t.Doors, err = s.riskRows(r.Context(), t.Source); err != nil {
			return t, err
		}
	}

	t.FirstRow, t.NextRow = pageLinks("/", q, t.Stays.Next)
	return t, nil
}

// Back is the page to which a button's form returns.
func (t today) Back() string {
	return dayLink(url.Values{"date": {t.Date}, "source": {t.Source}}, "part", string(t.Part), "reason",
		t.Reason, "checked", "1")
}

// SetupDone says how many setup steps are done.
func (t today) SetupDone() string { return setupDone(t.in, t.Setup) }

// ReasonTitle names the cause whose stays are shown.
func (t today) ReasonTitle() string {
	for _, g := range t.Problems {
		if g.Reason == t.Reason {
			return g.Title()
		}
	}
	return strings.TrimSuffix(t.in.T(wordsOf(t.Reason).Problem), ".")
}

// links fills in the day's title and the addresses of its tabs and arrows.
func (t *today) links(q url.Values) {
	t.Title, t.Print = dayTitle(t.in, t.Day), dayLink(q)
	t.Print = "/arrivals" + strings.TrimPrefix(t.Print, "/")
	part := string(t.Part)
	// Today may be two days: a step forward starts where the date is earlier, and one back where it is later, so that
	// it skips no property's day.
	t.Previous = dayLink(q, "date", t.Last.AddDate(0, 0, -1).Format(time.DateOnly), "part", part)
	t.Next = dayLink(q, "date", t.First.AddDate(0, 0, 1).Format(time.DateOnly), "part", part)
	if !t.IsToday {
		t.ThisDay = dayLink(q, "date", "", "part", part)
	}
	tab := func(part admin.DayPart, title lang.Text, note string, bad bool) {
		t.Parts = append(t.Parts, dayTab{
			part, title, note, t.Counts[part], dayLink(q, "part", string(part)),
			t.Part == part, bad,
		})
	}
	problems := ""
	if t.Late > 0 {
		problems = t.in.T("{n} guest past check-in|{n} guests past check-in", t.Late)
	}
	tab(admin.DayProblems, "Without a key", problems, t.Counts[admin.DayProblems] > 0)
	ready := ""
	if n := t.Counts[admin.DayArrivals]; n > 0 {
		ready = t.in.T("{n} key ready|{n} keys ready", t.Ready)
	}
	tab(admin.DayArrivals, "Arrivals", ready, false)
	tab(admin.DayInHouse, "In house", "", false)
	tab(admin.DayDepartures, "Departures", "", false)
}

// dayTitle names a day, with the year unless it is the current one.
func dayTitle(in *lang.Locale, d admin.Day) string { return in.LongDays(d.First, d.Last, d.At) }

// dayLink is the address of a day's list with other parameters, from its first page.
func dayLink(q url.Values, pairs ...string) string {
	next := url.Values{"date": {q.Get("date")}, "source": {q.Get("source")}}
	for i := 0; i+1 < len(pairs); i += 2 {
		next.Set(pairs[i], pairs[i+1])
	}
	return nextLink("/", next, "")
}

func troublesOf(in *lang.Locale, p admin.Provisioning, oldest *time.Time, now time.Time) []trouble {
	var list []trouble
	if p.Paused != nil {
		why := in.Foreign(strings.TrimSuffix(*p.Paused, "."))
		list = append(list, trouble{
			in.T("Keys are not being created or changed: {why}.", why),
			"Webhooks are still accepted and will be processed once this is fixed.",
		})
	}
	for _, d := range p.Disconnected {
		list = append(list, trouble{
			in.T("Access system {id} has been disconnected from Seam since {time}.", d.ACSSystemID, d.Since),
			"Reconnect it in the Seam console. Its reservations then resume automatically.",
		})
	}
	if p.LastSweep != nil && p.LastSweep.HeldBack > 0 {
		list = append(list, trouble{
			in.T("Many keys are missing at Seam at once, so none were changed."),
			"Check that the access system is the right one, then repair reservations one by one.",
		})
	}
	if oldest != nil && now.Sub(*oldest) > admin.SlowBacklog {
		list = append(list, trouble{
			in.T("Events have been waiting since {time}.", pms.FormatInstant(*oldest)),
			"Check the service's log and the load of Postgres.",
		})
	}
	return list
}
