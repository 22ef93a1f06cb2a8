package pms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

// outcome is what an event says, in words: its changes with their notes, and what was rejected.
func outcome(e pms.Event) string {
	var list []string
	for _, c := range e.Changes {
		s := "listing"
		if r := c.Reservation; r != nil {
			s = r.ReservationID + " " + r.StatusClass
			if r.CheckIn != nil {
				s += " from " + r.CheckIn.String()
			}
		}
		for _, n := range c.Notes {
			s += " (" + n.Field[strings.LastIndexByte(n.Field, '.')+1:] + ")"
		}
		list = append(list, s)
	}
	for _, r := range e.Rejected {
		list = append(list, "rejected "+r.Where+" of "+r.BookingID)
	}
	for _, f := range e.Fetches {
		list = append(list, "fetch "+strings.Join(f.IDs, "+"))
	}
	return strings.Join(list, ", ")
}

// A program that fails over one item or one field of a list loses no more than that, however it is written.
func TestAFailureCostsNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	const (
		good    = `{"id": "g", "day": "2031-07-01", "hour": 16, "status": "confirmed"}`
		badHour = `{"id": "h", "day": "2031-07-01", "hour": {}, "status": "confirmed"}`
		badDay  = `{"id": "d", "day": 7, "hour": 16, "status": "confirmed"}`
		bad     = `[7]`
		badGone = `{"id": "c", "day": 7, "hour": {}, "status": "cancelled"}`
		stay    = `{reservation: {reservation_id: .id, status: .status, check_in: local((.day | rtrimstr("Z") + ""); .hour + 0)}}`
	)
	for _, c := range []struct{ why, program, body, want string }{
		{
			"an item without fields", `.body[] | ` + stay, `[` + bad + `, ` + good + `]`,
			"g confirmed from 2031-07-01T16:00, rejected [0].reservation of ",
		},
		{
			"an hour", `.body[] | ` + stay, `[` + badHour + `, ` + good + `]`,
			"h confirmed from 2031-07-01 (time), g confirmed from 2031-07-01T16:00",
		},
		{
			"a date", `.body[] | ` + stay, `[` + badDay + `, ` + good + `]`,
			"g confirmed from 2031-07-01T16:00, rejected [0].reservation of d",
		},
		{
			"the dates of a cancel", `.body[] | ` + stay, `[` + badGone + `, ` + good + `]`,
			"c cancelled (check_in), g confirmed from 2031-07-01T16:00",
		},
		{
			"in a function", `def one: ` + stay + `; .body[] | one`, `[` + badDay + `, ` + good + `]`,
			"g confirmed from 2031-07-01T16:00, rejected [0].reservation of d",
		},
		{
			"in a function in a function", `def one: ` + stay + `; def all: .[] | one; .body | all`,
			`[` + badDay + `, ` + good + `]`, "g confirmed from 2031-07-01T16:00, rejected [0].reservation of d",
		},
		{
			"in a function with arguments",
			`def one(h): {reservation: {reservation_id: .id, status: .status, check_in: local(.day; h)}}; .body[] | one(.hour + 0)`, `[` + badHour + `, ` + good + `]`, "h confirmed from 2031-07-01 (time), g confirmed from 2031-07-01T16:00",
		},
		{
			"a variable", `.body[] as $r | $r | ` + stay, `[` + bad + `, ` + good + `]`,
			"g confirmed from 2031-07-01T16:00, rejected [0].reservation of ",
		},
		{
			"an if", `.body[] | if .status == "x" then empty elif .status then ` + stay + ` else empty end`,
			`[` + badDay + `, ` + good + `]`, "g confirmed from 2031-07-01T16:00, rejected [0].reservation of d",
		},
		{
			"its condition", `.body[] | if .status then ` + stay + ` else empty end`, `[7, ` + good + `]`,
			"g confirmed from 2031-07-01T16:00, rejected [0] of ",
		},
		{
			"commas", `.body | (.[0], .[1]) | ` + stay, `[` + badDay + `, ` + good + `]`,
			"g confirmed from 2031-07-01T16:00, rejected [0].reservation of d",
		},
		{
			"one of two outputs", `.body[] | ` + stay +
				`, {listing: {listing_id: .id, name: (.hour | ltrimstr("x") + "y")}}`, `[` + good + `]`,
			"g confirmed from 2031-07-01T16:00, listing (name)",
		},
		{
			"what the object is changed by",
			`.body[] | {reservation: ({reservation_id: .id, status: .status, check_in: (.day + "")} | keeps_room)}`,
			`[` + badDay + `, ` + good + `]`, "g confirmed from 2031-07-01, rejected [0].reservation of d",
		},
		{
			"a part of the object",
			`.body[] | {reservation: ({reservation_id: .id, status: .status, check_in: .day} + (.hour | {guest_name: (. + 1 | tostring)}))}`, `[` + badHour + `, ` + good + `]`, "h confirmed from 2031-07-01 (guest_name), g confirmed from 2031-07-01",
		},
		{
			"an error of the author", `.body[] | if .id == "g" then error("not this one") else ` + stay + ` end`,
			`[` + good + `, ` + badHour + `]`, "h confirmed from 2031-07-01 (time), rejected [0] of ",
		},
		{
			"before what can't be caught", `(.body[] | ` + stay + `), (.body | tonumber)`, `[` + good + `]`,
			"g confirmed from 2031-07-01T16:00, rejected [1] of ",
		},
		{
			"a function of its own in a list", `def f(g): [.[] | g]; .body | f(` + stay + `)[]`,
			`[` + good + `, ` + badDay + `]`, "rejected [0] of ",
		},
		{
			"a document to fetch",
			`.body[] | {fetch: {kind: "doc", id: .id, optional: (.hour + 1 == 17), as_of: (.day + 1)}}`,
			`[{"id": "f", "hour": "x", "day": "y"}]`, "fetch f",
		},
	} {
		e, err := one(t, c.program, c.body)
		if c.want == "rejected [0] of " { // none of it can be read
			if err == nil || len(e.Changes) > 0 {
				t.Errorf("%s: %v %+v", c.why, err, e)
			}
			continue
		}
		if got := outcome(e); err != nil || got != c.want {
			t.Errorf("%s: %v\n%s\ngot  %s\nwant %s\n%+v", c.why, err, c.program, got, c.want, e.RejectedErrors())
		}
	}
}

// The reason names the item or the field that failed, without the values that jq quotes.
func TestAFailureIsReported(t *testing.T) {
	t.Parallel()
	e, err := one(t,
		`.body[] | {reservation: {reservation_id: .id, status: "confirmed", check_in: (.day + 1), guest_name: (.name | ltrimstr("x") | . + 1)}}`,
		`[{"id": "a", "day": 1, "name": "jane"}, {"id": "b", "day": "jane@example.com", "name": 1}]`)
	if err != nil || len(e.Changes) != 0 && len(e.Rejected) != 2 {
		t.Fatalf("%v %+v", err, e)
	}
	for _, text := range []string{pms.Reasons(e.RejectedErrors()), fmt.Sprintf("%+v", e)} {
		if strings.Contains(text, "jane") {
			t.Errorf("a value is quoted: %s", text)
		}
	}
	if why := pms.Reasons(e.Rejected[len(e.Rejected)-1].Errors); !strings.Contains(why,
		"check_in: the program failed here: cannot add: string") {
		t.Errorf("%s", why)
	}
}

// The rooms of a booking that an event doesn't name are gone. If an item failed, what it named is not known: they stay.
func TestAFailedRoomKeepsTheOthers(t *testing.T) {
	t.Parallel()
	const program = `.body[] | {reservation: {reservation_id: "B", unit: (.unit + ""), rest: true, status: .status, listing_id: .unit}}`
	for body, rest := range map[string]bool{
		`[{"unit": "1", "status": "confirmed"}, {"unit": 7, "status": "confirmed"}]`:   false,
		`[{"unit": "1", "status": "confirmed"}, 7]`:                                    false,
		`[{"unit": "1", "status": "confirmed"}, {"unit": "2", "status": "confirmed"}]`: true,
		`[{"unit": "1", "status": "cancelled"}, 7]`:                                    true,
	} {
		e, err := one(t, program, body)
		if err != nil || len(e.Changes) == 0 || e.Changes[0].Reservation.Rest != rest {
			t.Errorf("%s: %v %+v", body, err, e)
		}
	}
}
