package pms_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
)

// A cancellation in the canonical format is applied whatever else is wrong with it; everything else about the format is
// strict.
func TestCanonicalCancels(t *testing.T) {
	t.Parallel()
	received := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	event := func(kind, timestamp, fields string) []byte {
		return fmt.Appendf(nil, `{"type":%q,"timestamp":%s,"data":{%s}}`, kind, timestamp, fields)
	}
	const good, cancel = `"2026-08-01T10:00:00Z"`, "reservation.cancelled"
	for _, c := range []struct {
		why     string
		body    []byte
		invalid string // fields that make it 422
		notes   string // fields that are dropped
	}{
		{"an id is enough", event(cancel, good, `"reservation_id":"R"`), "", ""},
		{"an address", event(cancel, good, `"reservation_id":"R","guest_email":"nobody"`), "", "data.guest_email"},
		{
			"everything at once", event(cancel, good,
				`"reservation_id":"R","guest_email":7,"guest_name":{},"guest_phone":"x","listing_id":[],"check_in":"4 PM","check_out":true,"status":"canceled"`), "",
			"data.status data.listing_id data.check_in data.check_out " +
				"data.guest_email data.guest_name data.guest_phone",
		},
		{"an end before the start", event(cancel, good,
			`"reservation_id":"R","check_in":"2026-08-04","check_out":"2026-08-01"`), "", "data.check_out"},
		{
			"a field in another case", event(cancel, good, `"reservation_id":"R","Guest_Email":"a@example.com"`), "",
			"data.Guest_Email",
		},
		{
			"a field twice", event(cancel, good, `"reservation_id":"R","guest_name":"a","guest_name":"b"`), "",
			"data.guest_name",
		},
		{
			"by status", event("reservation.updated", good,
				`"reservation_id":"R","status":"cancelled","check_in":"soon"`),
			"", "data.check_in",
		},
		{"a timestamp that can't be read", event(cancel, `"yesterday"`, `"reservation_id":"R"`), "", "timestamp"},
		{"a number for a timestamp", event(cancel, `1`, `"reservation_id":"R"`), "", "timestamp"},
		{"no timestamp", event(cancel, `null`, `"reservation_id":"R"`), "timestamp", ""},
		{"an empty timestamp", event(cancel, `" "`, `"reservation_id":"R"`), "timestamp", ""},
		{"no id", event(cancel, good, `"guest_email":"nobody"`), "data.reservation_id", "data.guest_email"},
		{"an id of another type", event(cancel, good, `"reservation_id":7`), "data.reservation_id", ""},
		{"two ids", event(cancel, good, `"reservation_id":"R","reservation_id":"S"`), "data.reservation_id", ""},
		{"an id that was cut in half", event(cancel, good, `"reservation_id":"R\ud83d"`), "data.reservation_id", ""},
		{"no cancel by its status", event(cancel, good,
			`"reservation_id":"R","status":"confirmed","listing_id":null,"check_in":"2026-08-01","check_out":"2026-08-02","guest_email":"nobody"`), "data.guest_email", ""},
		{"a deleted listing", event("listing.deleted", good, `"listing_id":"L","time_zone":"Mars"`), "", ""},
	} {
		e, err := pms.ParseStaykeyAt(c.body, received)
		if err != nil || len(e.Changes) != 1 {
			t.Errorf("%s: %v %+v", c.why, err, e)
			continue
		}
		var invalid, notes []string
		for _, f := range e.Invalid {
			invalid = append(invalid, f.Field)
		}
		for _, n := range e.Changes[0].Notes {
			notes = append(notes, n.Field)
		}
		if strings.Join(invalid, " ") != c.invalid || strings.Join(notes, " ") != c.notes {
			t.Errorf("%s: invalid %v, notes %v; want %q and %q", c.why, invalid, notes, c.invalid, c.notes)
		}
		if e.OccurredAt.IsZero() && c.invalid == "" {
			t.Errorf("%s: it has no place in the order", c.why)
		}
	}
}

// A name in another case is the name of an unknown field, which is ignored, with a note where it is all that was sent.
// The error of a required field that is missing names it.
func TestCanonicalNamesInAnotherCase(t *testing.T) {
	t.Parallel()
	const stay = `"reservation_id":"R","listing_id":"L","check_in":"2030-11-01","check_out":"2030-11-04"`
	const listing = `"listing_id":"L","seam_access_group_ids":[]`
	for _, c := range []struct {
		why, kind, fields, invalid, notes string
	}{
		{"an optional field", "reservation.created", stay + `,"Guest_Email":"a@example.com"`, "", "data.Guest_Email"},
		{"next to the right one", "reservation.created", stay + `,"guest_name":"A","Guest_Name":7`, "", ""},
		{"a field of no reservation", "reservation.created", stay + `,"Status_":"x","State":1`, "", ""},
		{
			"a required field", "reservation.updated",
			`"Reservation_ID":"R","listing_id":"L","check_in":"2030-11-01","check_out":"2030-11-04"`,
			"data.reservation_id", "data.Reservation_ID",
		},
		{"of a cancelled stay", "reservation.cancelled", `"reservation_id":"R","Status":"x"`, "", "data.Status"},
		{"of a listing", "listing.updated", listing + `,"Time_Zone":"Mars"`, "", "data.Time_Zone"},
		{
			"groups of a listing", "listing.updated", `"listing_id":"L","SEAM_access_group_ids":[]`,
			"data.seam_access_group_ids", "data.SEAM_access_group_ids",
		},
	} {
		body := fmt.Appendf(nil, `{"type":%q,"timestamp":"2026-08-01T10:00:00Z","data":{%s}}`, c.kind, c.fields)
		e, err := pms.ParseStaykey(body)
		if err != nil || len(e.Changes) != 1 {
			t.Errorf("%s: %v %+v", c.why, err, e)
			continue
		}
		var invalid, notes []string
		for _, f := range e.Invalid {
			invalid = append(invalid, f.Field)
			if !strings.Contains(f.Message, "case-sensitive") {
				t.Errorf("%s: %s doesn't name the field that was sent", c.why, f.Message)
			}
		}
		for _, n := range e.Changes[0].Notes {
			notes = append(notes, n.Field)
		}
		if strings.Join(invalid, " ") != c.invalid || strings.Join(notes, " ") != c.notes {
			t.Errorf("%s: invalid %v, notes %v; want %q and %q", c.why, invalid, notes, c.invalid, c.notes)
		}
	}
	e, err := pms.ParseStaykey([]byte(
		`{"Type":"listing.deleted","timestamp":"2026-08-01T10:00:00Z","data":{"listing_id":"L"}}`))
	if err != nil || len(e.Invalid) != 1 || !strings.Contains(e.Invalid[0].Message, `"Type"`) {
		t.Errorf("the type: %v %+v", err, e.Invalid)
	}
}

// A stay that ends at or before its start is over if it has begun, and a mistake if it has not.
func TestCanonicalStaysThatEndBeforeTheyStart(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		why, in, out string
		ok           bool
	}{
		{"it lasted no time, and began", "2026-08-01T11:00:00Z", "2026-08-01T11:00:00Z", true},
		{"it has begun", "2026-08-01T12:00:00Z", "2026-07-30T11:00:00Z", true},
		{"it begins in a second", "2026-08-01T12:00:01Z", "2026-08-01T12:00:01Z", false},
		{"a day that has begun", "2026-08-01", "2026-07-31", true},
		{"it has begun in Kiribati", "2026-08-02T01:00", "2026-08-01", true},
		{"it has begun nowhere", "2026-08-02T03:00", "2026-08-01", false},
		{"it begins in days", "2026-08-05", "2026-08-04", false},
	} {
		body := reservation(fmt.Sprintf(`{"reservation_id":"R","listing_id":"L","check_in":%q,"check_out":%q}`,
			c.in, c.out))
		e, err := pms.ParseStaykeyAt(body, now)
		if err != nil || (len(e.Invalid) == 0) != c.ok {
			t.Errorf("%s: %s to %s: %v %v", c.why, c.in, c.out, err, e.Invalid)
		}
		if r := e.Change().Reservation; c.ok && (r.CheckIn == nil || r.CheckOut == nil) {
			t.Errorf("%s: %s to %s: %+v", c.why, c.in, c.out, r)
		}
	}
}

// Text is read as RFC 8259 allows it to be written.
func TestCanonicalText(t *testing.T) {
	t.Parallel()
	const fields = `"reservation_id":"R","listing_id":"L","check_in":"2030-11-01","check_out":"2030-11-04","guest_name":`
	for name, want := range map[string]string{
		`"Ana \ud83d"`: "Ana �", `"\udc00\ud800x"`: "��x",
		`"Ana \ud83d\ude00"`: "Ana 😀",
	} {
		for _, mark := range []string{"", "\xef\xbb\xbf"} {
			e, err := pms.ParseStaykey(append([]byte(mark), reservation(`{`+fields+name+`}`)...))
			if err != nil || len(e.Invalid) > 0 || *e.Change().Reservation.GuestName != want {
				t.Errorf("%s: %v %+v", name, err, e)
			}
		}
	}
	for _, bad := range []string{
		"\xef\xbb\xbf", "\xef\xbb\xbf\xef\xbb\xbf{}", "\xff\xfe{\x00}\x00",
		`{"type":"a` + "\xff" + `"}`,
	} {
		if _, err := pms.ParseStaykey([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
