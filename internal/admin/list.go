package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Page is a part of a list.
type Page[T any] struct {
	Items []T
	Next  string // the cursor of the next part; "" if this is the last one
}

// Paging are the parameters that every list has.
type Paging struct {
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"500" doc:"Maximum number of items."`
	Cursor string `query:"cursor" doc:"next_cursor of the previous page."`
}

// page cuts off the row after the limit, which was read to know whether there is a next page.
func page[T any](s *core, list string, rows []T, limit int, position func(T) any) Page[T] {
	if len(rows) <= limit {
		return Page[T]{Items: rows}
	}
	return Page[T]{rows[:limit], s.sealCursor(list, position(rows[limit-1]))}
}

// cursorMAC is how many bytes of its HMAC a cursor begins with.
const cursorMAC = 16

// sealCursor writes a position in a list as a cursor that nobody else can make, and that fits no other list.
func (s *core) sealCursor(list string, position any) string {
	payload, err := json.Marshal(position)
	if err != nil {
		return "" // times, numbers and texts only
	}
	return base64.RawURLEncoding.EncodeToString(append(s.cursorMAC(list, payload), payload...))
}

// openCursor reads a cursor of the list; "" leaves the position as it is: the beginning.
func (s *core) openCursor(list, cursor string, into any) error {
	if cursor == "" {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < cursorMAC || !hmac.Equal(raw[:cursorMAC], s.cursorMAC(list, raw[cursorMAC:])) ||
		json.Unmarshal(raw[cursorMAC:], into) != nil {
		return InvalidField("query.cursor",
			"must be a next_cursor of this list, with the same filters and the same order")
	}
	return nil
}

func (s *core) cursorMAC(list string, payload []byte) []byte {
	mac := hmac.New(sha256.New, s.config.CursorKey)
	mac.Write([]byte(list))
	mac.Write([]byte{0})
	mac.Write(payload)
	return mac.Sum(nil)[:cursorMAC]
}

// ParseInstant reads a parameter that is an instant or a day of UTC; "" is none.
func ParseInstant(field, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	m, err := pms.ParseMoment(text)
	if err != nil {
		return nil, InvalidField(field, err.Error())
	}
	at, err := m.Resolve(time.UTC, "00:00")
	if err != nil {
		return nil, InvalidField(field, err.Error())
	}
	return &at, nil
}

// bounds reads parameters that are an instant, or a day or time of each property's own time zone.
type bounds struct {
	now     time.Time
	zones   []string // of listings
	sources map[string]pms.Source
}

// parse reads one of them; "" is none.
func (b bounds) parse(field, text string) (*store.Bound, error) {
	if text == "" {
		return nil, nil
	}
	var err error
	in, local := b.relativeDay(text), true

	if in == nil {
		m, parseErr := pms.ParseMoment(text)
		if parseErr != nil {
			return nil, InvalidField(field, parseErr.Error())
		}
		local = m.IsLocal()
		in = func(zone *time.Location) time.Time {
			at, resolveErr := m.Resolve(zone, "00:00")
			if resolveErr != nil {
				err = InvalidField(field, resolveErr.Error())
			}
			return at
		}
	}

	bound := &store.Bound{At: in(time.UTC)}
	if local && err == nil {
		b.addLocal(bound, in)
	}
	return bound, err
}

// addLocal adds when a local time is in each zone of listings and sources.
func (b bounds) addLocal(bound *store.Bound, in func(zone *time.Location) time.Time) {
	bound.Listings, bound.Zones, bound.Sources = map[stay.ListingRef]time.Time{}, map[string]time.Time{},
		map[string]time.Time{}
	for _, name := range b.zones {
		if zone, err := pms.ParseTimeZone(name); err == nil {
			bound.Zones[name] = in(zone)
		}
	}

	for name, source := range b.sources {
		if zone := source.Policy.Complete("", "", "", "").Zone; zone != nil {
			bound.Sources[name] = in(zone)
		}
		for id, l := range source.Policy.Listings {
			if zone, err := pms.ParseTimeZone(l.TimeZone); err == nil && l.TimeZone != "" {
				bound.Listings[stay.ListingRef{Source: name, ListingID: id}] = in(zone)
			}
		}
	}
}

var relativeDays = regexp.MustCompile(`^today([+-][0-9]{1,3})?$`)

// relativeDay reads "today", "today+1" or "today-7": when that day begins in a time zone, where it may be another day
// than elsewhere. It returns nil for anything else.
func (b bounds) relativeDay(text string) func(*time.Location) time.Time {
	found := relativeDays.FindStringSubmatch(text)
	if found == nil {
		return nil
	}
	days, _ := strconv.Atoi(found[1]) // "" is 0
	return func(zone *time.Location) time.Time {
		y, m, d := b.now.In(zone).Date()
		return time.Date(y, m, d+days, 0, 0, 0, 0, zone).UTC()
	}
}

// checkEnums refuses a query with a value that its field's tag enum doesn't list. REST checks it, too; the page and
// the command line come here.
func checkEnums(query any) error {
	v := reflect.ValueOf(query)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		allowed := strings.Split(field.Tag.Get("enum"), ",")
		var given []string
		switch value := v.Field(i).Interface().(type) {
		case string:
			given = []string{value}
		case []string:
			given = value
		}
		known := func(value string) bool { return slices.Contains(allowed, value) }
		switch {
		case field.Tag.Get("query") == "":
		case v.Field(i).Kind() == reflect.Slice && slices.Contains(given, ""):
			return InvalidField("query."+field.Tag.Get("query"), "has an empty value: separate values by single commas")
		case field.Tag.Get("enum") == "" || slices.Equal(given, []string{""}):
		case slices.ContainsFunc(given, func(value string) bool { return !known(value) }):
			return InvalidField("query."+field.Tag.Get("query"), "unknown value: use "+strings.Join(allowed, ", "))
		}
	}
	return nil
}

// narrowed reports whether a query, without its paging, leaves anything out.
func narrowed(query any) bool { return !reflect.ValueOf(query).IsZero() }

// Values reads a parameter that may have several values, separated by commas; "" is none.
func Values(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// only is a filter by one value; "" is none.
func only(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// listName names a list with its query, so that a cursor fits no other.
func listName(name string, query any) string {
	encoded, err := json.Marshal(query)
	if err != nil {
		return name // texts and numbers only
	}
	return name + " " + string(encoded)
}
