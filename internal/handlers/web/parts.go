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
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// pageFuncs are what templates can call.
var pageFuncs = template.FuncMap{
	"ago":   relative,
	"utc":   func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") },
	"stamp": pms.FormatInstant,
	"words": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	"path":  func(parts ...string) string { return escapedPath(parts) },
	"text":  stay.Text,
	"doors": stay.DescribeDoors,
	"counts": func(results map[string]int) []string {
		names := map[string]string{"refused": "bad signature", "superseded": "outdated"}
		var list []string
		for _, result := range slices.Sorted(maps.Keys(results)) {
			list = append(list, fmt.Sprint(results[result], " ", cmp.Or(names[result], result)))
		}
		return list
	},
	"icon":   func(name string) template.HTML { return icons[name] },
	"notes":  admin.NotesOf,
	"status": keyWord,
	"late": func(at *time.Time, now time.Time) string {
		return strings.TrimSuffix(relative(*at, now), " ago") + " late"
	},
	"tel":    telephone,
	"plural": plural,
	"list":   func(items ...any) []any { return items },
	"join":   func(list []string) string { return strings.Join(list, ",") },
	"has": func(list []string, item any) bool {
		text, is := item.(string)
		return is && slices.Contains(list, text)
	},
	"dict": func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i+1 < len(pairs); i += 2 {
			m[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
		return m
	},
}

// keyWords name the statuses of keys in the words of a front desk.
var keyWords = map[string]string{
	stay.KeyWaiting: "Waiting", stay.KeyProvisioning: "In the making", stay.KeyIssued: "Ready",
	stay.KeyActive: "In use", stay.KeyAttention: "Needs you",
	stay.KeyRevoking: "Being removed", stay.KeyRevoked: "Removed", stay.KeyExpired: "Ended",
}

func keyWord(status string) string { return cmp.Or(keyWords[status], status) }

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

// relative formats how far a time is from now, in the most readable unit.
func relative(at, now time.Time) string {
	d := at.Sub(now)
	past := d < 0
	if past {
		d = -d
	}
	var s string
	switch {
	case d < 45*time.Second:
		return "now"
	case d < 90*time.Minute:
		s = fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	case d < 48*time.Hour:
		s = fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
	default:
		s = fmt.Sprintf("%d days", int(d.Round(24*time.Hour).Hours()/24))
	}
	if past {
		return s + " ago"
	}
	return "in " + s
}

// stayRow is a reservation as pages show it.
type stayRow struct{ admin.Stay }

// Guest is the guest's name, or else what is known of the guest.
func (r stayRow) Guest() string { return guestOf(r.Reservation.GuestName, r.Reservation.GuestEmail) }

func guestOf(name, email *string) string {
	switch {
	case stay.Text(name) != "":
		return *name
	case stay.Text(email) != "":
		return *email
	}
	return "no guest name"
}

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
func (s *Pages) stayRows(ctx context.Context, views []admin.View) ([]stayRow, error) {
	stays, err := s.Admin.Stays(ctx, views)
	return rowsOf(stays), err
}

func rowsOf(stays []admin.Stay) []stayRow {
	rows := make([]stayRow, len(stays))
	for i, one := range stays {
		rows[i] = stayRow{one}
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

// pageText is the text of a problem on a page: the first wrong field, if there is one.
func pageText(p *handlers.Problem) string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	field := strings.ReplaceAll(p.Errors[0].Field, "_", " ")
	return strings.ToUpper(field[:1]) + field[1:] + " " + p.Errors[0].Message + "."
}

// paging reads the position in a list from a query.
func paging(q url.Values) admin.Paging {
	return admin.Paging{Limit: pageRows, Cursor: q.Get("cursor")}
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
