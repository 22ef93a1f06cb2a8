package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
)

// Page is a part of a list.
type Page[T any] struct {
	Items []T
	Next  string // the cursor of the next part; "" if this is the last one
}

// Paging are the parameters of every list.
type Paging struct {
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"500" doc:"Maximum number of items."`
	Cursor string `query:"cursor" doc:"next_cursor of the previous page."`
}

// page cuts off the row after the limit, which was read to know whether there is a next page.
func page[T any](s *Service, list string, rows []T, limit int, position func(T) any) Page[T] {
	if len(rows) <= limit {
		return Page[T]{Items: rows}
	}
	return Page[T]{rows[:limit], s.sealCursor(list, position(rows[limit-1]))}
}

// cursorMAC is how many bytes of its HMAC a cursor begins with.
const cursorMAC = 16

// sealCursor writes a position in a list as a cursor that nobody else can make, and that fits no other list.
func (s *Service) sealCursor(list string, position any) string {
	payload, err := json.Marshal(position)
	if err != nil {
		return "" // times, numbers and texts only
	}
	return base64.RawURLEncoding.EncodeToString(append(s.cursorMAC(list, payload), payload...))
}

// openCursor reads a cursor of the list; "" leaves the position as it is: the beginning.
func (s *Service) openCursor(list, cursor string, into any) error {
	if cursor == "" {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < cursorMAC || !hmac.Equal(raw[:cursorMAC], s.cursorMAC(list, raw[cursorMAC:])) ||
		json.Unmarshal(raw[cursorMAC:], into) != nil {
		return InvalidField("query.cursor", "must be a next_cursor of this list")
	}
	return nil
}

func (s *Service) cursorMAC(list string, payload []byte) []byte {
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

// checkEnums refuses a query with a value that its field's tag enum doesn't list. REST checks it, too; the page and the command line come here.
func checkEnums(query any) error {
	v := reflect.ValueOf(query)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		values := field.Tag.Get("enum")
		if values == "" || v.Field(i).String() == "" || slices.Contains(strings.Split(values, ","), v.Field(i).String()) {
			continue
		}
		return InvalidField("query."+field.Tag.Get("query"), "unknown value: use one of "+strings.ReplaceAll(values, ",", ", "))
	}
	return nil
}
