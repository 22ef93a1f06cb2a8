package pms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

// stayOf maps one reservation's check-in and check-out, given as JSON.
func stayOf(t *testing.T, in, out string) (pms.Reservation, []pms.Note, pms.Event) {
	t.Helper()
	e, err := one(t,
		`{reservation: {reservation_id: "R", status: "confirmed", check_in: .body.in, check_out: .body.out}}`,
		`{"in": `+in+`, "out": `+out+`}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Changes) == 0 {
		return pms.Reservation{}, nil, e
	}
	return *e.Changes[0].Reservation, e.Changes[0].Notes, e
}

// Hours are read in the forms that people and PMSs use. Of a range, the start is the check-in and the end the
// check-out.
func TestHours(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ hour, in, out string }{
		// Numbers and texts, with and without minutes.
		{`"15:00"`, "01T15:00", "01T15:00"},
		{`15`, "01T15:00", "01T15:00"},
		{`15.0`, "01T15:00", "01T15:00"},
		{`15.5`, "01T15:30", "01T15:30"},
		{`15.25`, "01T15:15", "01T15:15"},
		{`"15"`, "01T15:00", "01T15:00"},
		{`"15.5"`, "01T15:30", "01T15:30"},
		{`"15.30"`, "01T15:30", "01T15:30"},
		{`"15:00:00"`, "01T15:00", "01T15:00"},
		{`"15:00:00.000"`, "01T15:00", "01T15:00"},
		{`"1500"`, "01T15:00", "01T15:00"},
		{`1500`, "01T15:00", "01T15:00"},
		{`"930"`, "01T09:30", "01T09:30"},
		{`"9:30"`, "01T09:30", "01T09:30"},
		{`0`, "01T00:00", "01T00:00"},
		// A 12-hour clock.
		{`"3pm"`, "01T15:00", "01T15:00"},
		{`"3 PM"`, "01T15:00", "01T15:00"},
		{`"3:30 p.m."`, "01T15:30", "01T15:30"},
		{`"12 PM"`, "01T12:00", "01T12:00"},
		{`"12 AM"`, "01T00:00", "01T00:00"},
		{`" 4:00 PM "`, "01T16:00", "01T16:00"},
		{`"4:00\u202fPM"`, "01T16:00", "01T16:00"},
		{`"4:00\u00a0 pm"`, "01T16:00", "01T16:00"},
		// Words, and the signs of other languages.
		{`"noon"`, "01T12:00", "01T12:00"},
		{`"midnight"`, "02T00:00", "02T00:00"},
		{`"16h"`, "01T16:00", "01T16:00"},
		{`"16h30"`, "01T16:30", "01T16:30"},
		{`"16 Uhr"`, "01T16:00", "01T16:00"},
		// Ranges: the start counts for the check-in, the end for the check-out.
		{`"16:00-20:00"`, "01T16:00", "01T20:00"},
		{`"16:00 - 20:00"`, "01T16:00", "01T20:00"},
		{`"16.00 Uhr - 20 Uhr"`, "01T16:00", "01T20:00"},
		{`"16:00 – 20:00"`, "01T16:00", "01T20:00"},
		{`"from 16:00 to 20:00"`, "01T16:00", "01T20:00"},
		{`"4-8 PM"`, "01T16:00", "01T20:00"},
		{`"11 AM - 2 PM"`, "01T11:00", "01T14:00"},
		// Hours of the next day, or of the day before.
		{`"24:00"`, "02T00:00", "02T00:00"},
		{`24`, "02T00:00", "02T00:00"},
		{`"34:00"`, "02T10:00", "02T10:00"},
		{`"-10:00"`, "31T14:00", "31T14:00"},
		// Full times.
		{`"2026-08-01T16:00:00.000Z"`, "01T16:00:00.000Z", "01T16:00:00.000Z"},
		{`"2026-08-01T16:00:00"`, "01T16:00", "01T16:00"},
		{`"2026-08-01T16:00:00+0200"`, "01T16:00:00+02:00", "01T16:00:00+02:00"},
		// No hour.
		{`null`, "01", "01"},
		{`""`, "01", "01"},
	} {
		day := fmt.Sprintf(`{"date": "2026-08-01", "time": %s}`, c.hour)
		in, notes, _ := stayOf(t, day, "null")
		out, more, _ := stayOf(t, "null", day)
		if in.CheckIn == nil || out.CheckOut == nil {
			t.Errorf("%s: lost", c.hour)
			continue
		}
		gotIn, gotOut := in.CheckIn.String(), out.CheckOut.String()
		if !strings.HasPrefix(gotIn[8:], c.in) || !strings.HasPrefix(gotOut[8:], c.out) || len(notes)+len(more) > 0 {
			t.Errorf("%s: check-in %s, check-out %s, want %s and %s (%v %v)", c.hour, gotIn, gotOut, c.in, c.out,
				notes, more)
		}
	}
	for _, hour := range []string{
		`"after 4"`, `"late"`, `"25:61"`, `"13 PM"`, `true`, `[]`, `{}`, `99`, `-99`, `-1`, `"-1"`, `-0.5`, `1e9`,
		`"2027-01-01T16:00:00Z"`, `"16:00-"`, `"-"`, `"0 - 99999"`, `"99:99"`,
	} {
		r, notes, _ := stayOf(t, `{"date": "2026-08-01", "time": `+hour+`}`, "null")
		if r.CheckIn == nil || r.CheckIn.String() != "2026-08-01" || len(notes) != 1 ||
			notes[0].Field != "reservation.check_in.time" {
			t.Errorf("%s: %v, %v: want the date with a note", hour, r.CheckIn, notes)
		}
	}
}

// Dates are read in the spellings of ISO 8601 and SQL; an invalid date rejects the reservation, and a placeholder means
// no date.
func TestDates(t *testing.T) {
	t.Parallel()
	for date, want := range map[string]string{
		`"2026-08-01"`: "2026-08-01", `"2026-08-01 16:00:00"`: "2026-08-01T16:00:00",
		`"2026-08-01 16:00"`: "2026-08-01T16:00", `"2026-08-01T16:00:00.000"`: "2026-08-01T16:00:00",
		`"2026-08-01T16:00:00+0000"`: "2026-08-01T16:00:00+00:00",
		`"2026-08-01T16:00:00+02"`:   "2026-08-01T16:00:00+02:00", `"2026-08-01 16:00:00 UTC"`: "2026-08-01T16:00:00Z",
		`"2026-08-01T16:00Z"`: "2026-08-01T16:00:00Z", `"2026-08-01T24:00"`: "2026-08-02T00:00",
		`1785600000`: "2026-08-01T16:00:00.000Z", `"1785600000000"`: "2026-08-01T16:00:00.000Z",
		`{"date": "2026-08-01T00:00:00", "time": "16:00"}`:                     "2026-08-01T16:00",
		`{"date": "2026-08-01", "time_zone": "Mars"}`:                          "2026-08-01",
		`{"date": "2026-08-01", "time_zone": 2}`:                               "2026-08-01",
		`{"date": "2026-08-01", "time": "9 AM", "time_zone": "Europe/Madrid"}`: "2026-08-01T09:00[Europe/Madrid]",
	} {
		r, _, e := stayOf(t, date, "null")
		if r.CheckIn == nil || r.CheckIn.String() != want {
			t.Errorf("%s: %v, want %s; %+v", date, r.CheckIn, want, e.Rejected)
		}
	}
	for _, none := range []string{
		`null`, `""`, `" "`, `"0000-00-00"`, `"0000-00-00 00:00:00"`,
		`{"date": null, "time": "16:00"}`, `{"date": "0000-00-00"}`, `{}`,
	} {
		if r, _, e := stayOf(t, none, "null"); r.CheckIn != nil || len(e.Rejected) > 0 {
			t.Errorf("%s: %v %+v", none, r.CheckIn, e.Rejected)
		}
	}
	for _, bad := range []string{
		`"soon"`, `"01/08/2026"`, `7`, `true`, `[]`, `"2026-02-30"`, `{"date": "soon"}`,
		`{"date": {}}`, `{"official": "soon"}`, `{"date": "soon", "official": "soon"}`, `"2026-08-01T16:00+99:99"`,
	} {
		if _, _, e := stayOf(t, bad, "null"); len(e.Rejected) != 1 || e.Rejected[0].ReservationID != "R" {
			t.Errorf("%s: %+v", bad, e)
		}
	}
}

// An hour that was planned with the guest makes access begin earlier or end later than the official one, never the
// other way.
func TestPlannedHours(t *testing.T) {
	t.Parallel()
	// 15:00 in Berlin
	const day = `"date": "2026-08-01", "time_zone": "Europe/Berlin", "official": "2026-08-01T13:00:00Z"`
	for _, c := range []struct{ why, moment, in, out string }{
		{
			"a later hour: access ends later, and begins as ever",
			`{` + day + `, "time": "22:00"}`, "2026-08-01T13:00:00Z", "2026-08-01T22:00[Europe/Berlin]",
		},
		{
			"an earlier hour: access begins earlier, and ends as ever",
			`{` + day + `, "time": "12:00"}`, "2026-08-01T12:00[Europe/Berlin]", "2026-08-01T13:00:00Z",
		},
		{"an hour in words", `{` + day + `, "time": "soon"}`, "2026-08-01T13:00:00Z", "2026-08-01T13:00:00Z"},
		{
			"without a zone they can't be compared",
			`{"date": "2026-08-01", "time": "12:00", "official": "2026-08-01T13:00:00Z"}`, "2026-08-01T13:00:00Z",
			"2026-08-01T13:00:00Z",
		},
		{
			"local times, and the planned one is earlier",
			`{"date": "2026-08-01", "time": "12:00", "official": "2026-08-01T15:00"}`, "2026-08-01T12:00",
			"2026-08-01T15:00",
		},
		{
			"local times, and the planned one is later",
			`{"date": "2026-08-01", "time": "16:00", "official": "2026-08-01T15:00"}`, "2026-08-01T15:00",
			"2026-08-01T16:00",
		},
		{
			"the official one has no hour",
			`{"date": "2026-08-01", "time": "16:00", "official": "2026-08-01"}`, "2026-08-01T16:00", "2026-08-01T16:00",
		},
		{
			"the planned day can't be read",
			`{"date": "soon", "official": "2026-08-01T13:00:00Z"}`, "2026-08-01T13:00:00Z", "2026-08-01T13:00:00Z",
		},
		{"nothing is planned", `{"official": "2026-08-01T13:00:00Z"}`, "2026-08-01T13:00:00Z", "2026-08-01T13:00:00Z"},
		{
			"the official one can't be read",
			`{"date": "2026-08-01", "time": "16:00", "official": "soon"}`, "2026-08-01T16:00", "2026-08-01T16:00",
		},
	} {
		in, _, e := stayOf(t, c.moment, "null")
		out, _, _ := stayOf(t, "null", c.moment)
		if in.CheckIn == nil || out.CheckOut == nil || in.CheckIn.String() != c.in || out.CheckOut.String() != c.out {
			t.Errorf("%s: from %v until %v, want %s and %s; %+v", c.why, in.CheckIn, out.CheckOut, c.in, c.out,
				e.Rejected)
		}
	}
}

// A stay that ends at or before its start is read: whether it is over or not valid is seen where the time is known.
func TestAStayThatEndsBeforeItStarts(t *testing.T) {
	t.Parallel()
	r, notes, e := stayOf(t, `"2026-08-01T15:00:00Z"`, `"2026-08-01T11:00:00Z"`)
	if len(e.Rejected) > 0 || r.CheckIn == nil || r.CheckOut == nil || len(notes) != 1 ||
		notes[0].Field != "reservation.check_out" {
		t.Errorf("%+v %v %+v", r, notes, e.Rejected)
	}
}

// Guests' addresses are found in the forms in which PMSs keep them.
func TestGuestAddressesOfFormats(t *testing.T) {
	t.Parallel()
	for address, c := range map[string]struct {
		want  string
		notes int
	}{
		// One address.
		`"jane@example.com"`: {"jane@example.com", 0}, `" jane@example.com "`: {"jane@example.com", 0},
		`"mailto:jane@example.com"`: {"jane@example.com", 0}, `"Jane <jane@example.com>"`: {"jane@example.com", 0},
		`{"email": "a@example.com"}`: {"a@example.com", 0}, `[{"address": "a@example.com"}]`: {"a@example.com", 0},
		// The first of several; the others are noted if they are in the same text.
		`"a@example.com; b@example.com"`: {"a@example.com", 1}, `"a@example.com, b@example.com"`: {"a@example.com", 1},
		`"a@example.com b@example.com"`: {"a@example.com", 1}, `"none; b@example.com"`: {"b@example.com", 0},
		`["a@example.com", "b@example.com"]`: {"a@example.com", 0},
		// No address.
		`null`: {"", 0}, `""`: {"", 0}, `[]`: {"", 0},
		// Something else, which is noted.
		`"none"`: {"", 1}, `7`: {"", 1}, `true`: {"", 1}, `{"a": 1}`: {"", 1},
		`"` + strings.Repeat("x", 300) + `@example.com"`: {"", 1},
	} {
		e, err := one(t, `{reservation: {reservation_id: "R", status: "confirmed", guest_email: .body}}`, address)
		if err != nil || len(e.Changes) != 1 {
			t.Fatalf("%s: %v %+v", address, err, e)
		}
		got := ""
		if email := e.Changes[0].Reservation.GuestEmail; email != nil {
			got = *email
		}
		if got != c.want || len(e.Changes[0].Notes) != c.notes {
			t.Errorf("%s: %q with %v, want %q with %d notes", address, got, e.Changes[0].Notes, c.want, c.notes)
		}
		for _, n := range e.Changes[0].Notes {
			if strings.Contains(n.Problem, "example.com") {
				t.Errorf("%s: the note quotes the address: %s", address, n.Problem)
			}
		}
	}
}
