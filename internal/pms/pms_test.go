package pms_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/pms"
)

// The vector that the Standard Webhooks libraries publish.
func TestStandardWebhooksVector(t *testing.T) {
	t.Parallel()
	secret, err := pms.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1614265330, 0)
	body := []byte(`{"test": 2432232314}`)
	const id, want = "msg_p5jXN8AQM9LWM0D4loKWxJek", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got := secret.Sign(id, at, body); got != want {
		t.Errorf("sign: got %s, want %s", got, want)
	}
	header := func(timestamp, signature string) http.Header {
		return http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
	}
	other := pms.Secret("another secret that nobody knows")
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + ".+1614265330." + string(body)))
	withSign := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for name, c := range map[string]struct {
		h    http.Header
		now  time.Time
		want error
	}{
		"valid": {header("1614265330", want), at, nil},
		"of several, one is right": {
			header("1614265330", "v1,xxx v2,"+want[3:]+" "+want+" v1,yyy"), at,
			nil,
		},
		"exactly as old as is tolerated": {header("1614265330", want), at.Add(pms.Tolerance), nil},
		"a second older": {
			header("1614265330", want), at.Add(pms.Tolerance + time.Second),
			pms.ErrUnauthentic,
		},
		"a second too far ahead": {
			header("1614265330", want), at.Add(-pms.Tolerance - time.Second),
			pms.ErrUnauthentic,
		},
		"an empty signature":                {header("1614265330", "v1,"), at, pms.ErrUnauthentic},
		"an unknown scheme":                 {header("1614265330", "v2,"+want[3:]), at, pms.ErrUnauthentic},
		"another timestamp than was signed": {header("1614265331", want), at, pms.ErrUnauthentic},
		"a timestamp that is none":          {header("soon", want), at, pms.ErrUnauthentic},
		"a timestamp with a sign":           {header("+1614265330", withSign), at, pms.ErrUnauthentic},
		"in Svix's spelling": {http.Header{
			"Svix-Id": {id}, "Svix-Timestamp": {"1614265330"},
			"Svix-Signature": {want},
		}, at, nil},
		"no headers": {http.Header{}, at, pms.ErrUnauthentic},
		"svix's and webhook's headers, mixed": {http.Header{
			"Svix-Id": {id}, "Webhook-Timestamp": {"1614265330"},
			"Webhook-Signature": {want},
		}, at, pms.ErrUnauthentic},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := pms.StandardWebhooks{Secrets: []pms.Secret{other, secret}}.Verify(pms.Post{
				Header: c.h,
				Body:   body,
			}, c.now)
			if !errors.Is(err, c.want) || (c.want == nil && got != pms.Proof{ID: id, Secret: 2}) {
				t.Errorf("got %v %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestParseSecret(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!", "whsec_c2hvcnQ="} {
		if _, err := pms.ParseSecret(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	zone := func(name string) *time.Location {
		z, err := pms.ParseTimeZone(name)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	madrid := zone("Europe/Madrid")
	for _, c := range []struct {
		name, text string
		zone       *time.Location
		want       string
	}{
		{"an instant needs no zone", "2024-11-01T15:00:00.1239Z", nil, "2024-11-01T15:00:00.123Z"},
		{"an instant with an offset", "2024-11-01T15:00:00+02:00", nil, "2024-11-01T13:00:00Z"},
		{"a day takes the clock", "2024-11-01", madrid, "2024-11-01T15:00:00Z"},
		{"a day in summer", "2024-07-01", madrid, "2024-07-01T14:00:00Z"},
		{"a wall clock time", "2024-07-01T09:30", madrid, "2024-07-01T07:30:00Z"},
		{"one that the change of clocks skips", "2024-03-31T02:30", madrid, "2024-03-31T01:30:00Z"},
		{"one that it repeats is the first", "2024-10-27T02:30", madrid, "2024-10-27T00:30:00Z"},
		{"just before the repeated hour", "2024-10-27T01:59", madrid, "2024-10-26T23:59:00Z"},
		{"just after it", "2024-10-27T03:00", madrid, "2024-10-27T02:00:00Z"},
		{"half an hour of change", "2024-04-07T01:45", zone("Australia/Lord_Howe"), "2024-04-06T14:45:00Z"},
		{"a day that never was", "2011-12-30T12:00", zone("Pacific/Apia"), "2011-12-30T22:00:00Z"},
		{"far west of UTC", "2024-01-01T00:00", zone("Pacific/Pago_Pago"), "2024-01-01T11:00:00Z"},
		{"far east of it", "2024-01-01T00:00", zone("Pacific/Kiritimati"), "2023-12-31T10:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := pms.ParseMoment(c.text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Resolve(c.zone, "16:00")
			if err != nil {
				t.Fatal(err)
			}
			want, err := time.Parse(time.RFC3339Nano, c.want)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Equal(want) {
				t.Errorf("got %s, want %s", got.UTC().Format(time.RFC3339Nano), c.want)
			}
		})
	}
	m, _ := pms.ParseMoment("2024-11-01")
	if _, err := m.Resolve(nil, "16:00"); !errors.Is(err, pms.ErrNoTimeZone) {
		t.Errorf("without a zone: %v", err)
	}
}

func TestParseMomentRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "tomorrow", "2024-1-1", "2024-02-30", "2024-11-01 15:00", "2024-11-01T15", "2024-11-01T25:00",
		"2024-11-01T15:00Z0", "1730473200",
		"2024-11-01T15:00:00,5Z", "2024-11-01T5:00:00Z", "0001-01-01", "9999-01-01T00:00:00Z", "2024-11-01T15:00:60Z",
		"2024-11-01T15:00:00+0200",
	} {
		if _, err := pms.ParseMoment(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// reservation builds a body from the fields of data.
func reservation(data string) []byte {
	return []byte(`{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":` + data + `}`)
}

func TestParseStaykey(t *testing.T) {
	t.Parallel()
	const whole = `"reservation_id":"R","listing_id":"L","check_in":"2024-11-01","check_out":"2024-11-04"`
	for _, c := range []struct {
		name, body string
		want       []string // wrong fields
	}{
		{"the seed's reservation", string(reservation(`{` + whole + `}`)), nil},
		{"no room assigned", string(reservation(strings.Replace(`{`+whole+`}`, `"L"`, `null`, 1))), nil},
		{
			"listing_id may not be absent",
			string(reservation(`{"reservation_id":"R","check_in":"2024-11-01","check_out":"2024-11-04"}`)),
			[]string{"data.listing_id"},
		},
		{
			"nor empty", string(reservation(strings.Replace(`{`+whole+`}`, `"L"`, `" "`, 1))),
			[]string{"data.listing_id"},
		},
		{"none in all its spellings", string(reservation(`{` + whole +
			`,"guest_email":"","guest_name":null,"guest_phone":"  "}`)), nil},
		{
			"required ones may be none in none",
			string(reservation(`{"reservation_id":"","listing_id":null,"check_in":null,"check_out":" "}`)),
			[]string{"data.reservation_id", "data.check_in", "data.check_out"},
		},
		{
			"unknown fields are ignored",
			string(reservation(`{` + whole + `,"rooms":[{"a":1}],"x":{"reservation_id":5}}`)), nil,
		},
		{
			"check-out before check-in",
			string(reservation(
				`{"reservation_id":"R","listing_id":"L","check_in":"2024-11-04","check_out":"2024-11-01"}`)),
			[]string{"data.check_out"},
		},
		{
			"a day's use may be right",
			string(reservation(
				`{"reservation_id":"R","listing_id":"L","check_in":"2024-11-04","check_out":"2024-11-04"}`)), nil,
		},
		{
			"check-out at check-in",
			string(reservation(
				`{"reservation_id":"R","listing_id":"L","check_in":"2024-11-01T15:00:00Z","check_out":"2024-11-01T16:00:00+01:00"}`)),
			[]string{"data.check_out"},
		},
		{
			"an address with a name", string(reservation(`{` + whole + `,"guest_email":"Jane <jane@example.com>"}`)),
			[]string{"data.guest_email"},
		},
		{
			"a control character in an id", string(reservation(strings.Replace(`{`+whole+`}`, `"R"`, `"R\u0000"`, 1))),
			[]string{"data.reservation_id"},
		},
		{"an id of 201 characters", string(reservation(strings.Replace(`{`+whole+`}`, `"R"`,
			`"`+strings.Repeat("é", 201)+`"`, 1))), []string{"data.reservation_id"}},
		{"an id of 200 characters", string(reservation(strings.Replace(`{`+whole+`}`, `"R"`,
			`"`+strings.Repeat("é", 200)+`"`, 1))), nil},
		{
			"a number is no id", string(reservation(strings.Replace(`{`+whole+`}`, `"R"`, `7`, 1))),
			[]string{"data.reservation_id"},
		},
		{"data is no object", string(reservation(`[]`)), []string{"data"}},
		{"nothing at all", `{}`, []string{"type", "timestamp", "data"}},
		{"no object", `[1]`, []string{"body"}},
		{
			"a local timestamp",
			`{"type":"listing.deleted","timestamp":"2024-10-20T09:00:00","data":{"listing_id":"L"}}`,
			[]string{"timestamp"},
		},
		{
			"a cancel needs an id only",
			`{"type":"reservation.cancelled","timestamp":"2024-10-20T09:00:00Z","data":{"reservation_id":"R"}}`, nil,
		},
		{"a cancel by status too", string(reservation(`{"reservation_id":"R","status":"cancelled"}`)), nil},
		{
			"a cancel that is confirmed is whole",
			`{"type":"reservation.cancelled","timestamp":"2024-10-20T09:00:00Z","data":{"reservation_id":"R","status":"confirmed"}}`,
			[]string{"data.listing_id", "data.check_in", "data.check_out"},
		},
		{
			"a deleted listing needs an id only",
			`{"type":"listing.deleted","timestamp":"2024-10-20T09:00:00Z","data":{"listing_id":"L"}}`, nil,
		},
		{
			"groups may be empty",
			`{"type":"listing.created","timestamp":"2024-10-20T09:00:00Z","data":{"listing_id":"L","seam_access_group_ids":[]}}`, nil,
		},
		{
			"but not null",
			`{"type":"listing.created","timestamp":"2024-10-20T09:00:00Z","data":{"listing_id":"L","seam_access_group_ids":null}}`,
			[]string{"data.seam_access_group_ids"},
		},
		{
			"nor hold none",
			`{"type":"listing.created","timestamp":"2024-10-20T09:00:00Z","data":{"listing_id":"L","seam_access_group_ids":["a",""]}}`,
			[]string{"data.seam_access_group_ids"},
		},
		{
			"zone and times are checked",
			`{"type":"listing.updated","timestamp":"2024-10-20T09:00:00Z","data":{"listing_id":"L","seam_access_group_ids":[],"time_zone":"Local","check_in_time":"3pm","check_out_time":"24:00"}}`,
			[]string{"data.time_zone", "data.check_in_time", "data.check_out_time"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, err := pms.ParseStaykey([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range e.Invalid {
				got = append(got, f.Field)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("wrong fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStringsAreTrimmed(t *testing.T) {
	t.Parallel()
	e, err := pms.ParseStaykey(reservation(
		`{"reservation_id":" R ","listing_id":"\tL","check_in":" 2024-11-01 ","check_out":"2024-11-04","guest_email":" Jane@Example.com "}`))
	if err != nil || len(e.Invalid) > 0 {
		t.Fatal(err, e.Invalid)
	}
	r := e.Change().Reservation
	if r.ReservationID != "R" || *r.ListingID != "L" || *r.GuestEmail != "Jane@Example.com" ||
		r.CheckIn.String() != "2024-11-01" {
		t.Errorf("got %+v", r)
	}
}

func TestGuestAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		" Jane@Example.COM ": "jane@example.com", "": "", "nobody": "", "a.1@guest.booking.com": "",
		"x@sub.guest.airbnb.com": "",
		"x@notguest.booking.com": "x@notguest.booking.com", "JOSÉ@example.com": "josé@example.com",
	} {
		if got := pms.GuestAddress(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzParseStaykey(f *testing.F) {
	f.Add(
		[]byte(
			`{"type":"listing.created","timestamp":"2024-10-20T09:00:00Z","data":{"listing_id":"L","seam_access_group_ids":["a"]}}`))
	f.Add(reservation(
		`{"reservation_id":"R","listing_id":null,"check_in":"2024-11-01","check_out":"2024-11-04T10:00"}`))
	f.Add([]byte(`{"type":"reservation.cancelled","data":{"\ud800":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := pms.ParseStaykey(body)
		if err != nil {
			return
		}
		if !e.Ignored && len(e.Invalid) == 0 {
			// What is valid can be applied: it is whole, and its ids can be stored.
			r, l := e.Change().Reservation, e.Change().Listing
			if (r == nil) == (l == nil) || e.OccurredAt.IsZero() {
				t.Fatalf("a valid event means %+v", e)
			}
			if r != nil && (pms.CheckID(r.ReservationID) != nil || r.ReservationID == "" ||
				(r.Status == pms.Confirmed && (r.CheckIn == nil || r.CheckOut == nil))) {
				t.Fatalf("a valid reservation is %+v", r)
			}
		}
		seen := map[string]bool{}
		for _, f := range e.Invalid {
			if seen[f.Field] {
				t.Fatalf("two entries for %s", f.Field)
			}
			seen[f.Field] = true
		}
	})
}

func ExampleReasons() {
	fmt.Println(pms.Reasons([]pms.FieldError{
		{Field: "data.check_in", Message: "is required"},
		{Field: "type", Message: "is required"},
	}))
	// Output: data.check_in: is required; type: is required
}
