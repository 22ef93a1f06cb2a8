package pms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/pms"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// isFetched matches the name of a document of a PMS's API among the payloads: the webhook that named it, and its kind.
var isFetched = regexp.MustCompile(`^(.+)\.fetched_(\w+)\.json$`)

// documentsOf are the payloads that a webhook named, by kind.
func documentsOf(t testing.TB, webhook string) map[string]string {
	t.Helper()
	start := strings.TrimSuffix(webhook, ".json") + ".fetched_"
	files, err := filepath.Glob(filepath.Join("testdata/payloads", start+"*.json"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range files {
		name := strings.TrimPrefix(filepath.ToSlash(f), "testdata/payloads/")
		found[isFetched.FindStringSubmatch(name)[2]] = name
	}
	return found
}

// mapped is an event as the golden files show it.
type mapped struct {
	Type         string           `json:"type,omitempty"`
	Changes      []map[string]any `json:"changes,omitempty"`
	Ignored      string           `json:"ignored,omitempty"`
	Disconnected string           `json:"disconnected,omitempty"`
	Fetches      []pms.Fetch      `json:"fetches,omitempty"`
	Rejected     []pms.FieldError `json:"rejected,omitempty"`
}

func show(e pms.Event) mapped {
	m := mapped{
		Type: e.Type, Ignored: e.Why, Disconnected: e.Disconnected, Fetches: e.Fetches,
		Rejected: e.RejectedErrors(),
	}
	for _, c := range e.Changes {
		var fields map[string]any
		text, _ := json.Marshal(c)
		_ = json.Unmarshal(text, &fields)
		if !c.OccurredAt.IsZero() {
			fields["occurred_at"] = pms.FormatInstant(c.OccurredAt)
		}
		if r := c.Reservation; r != nil {
			fields["rest"], fields["no_room"] = r.Rest, r.NoRoom
		}
		m.Changes = append(m.Changes, fields)
	}
	return m
}

// payload reads one of the payloads as its PMS posts it.
func payload(t testing.TB, name string) pms.Mapping {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata/payloads", name))
	if err != nil {
		t.Fatal(err)
	}
	m := pms.Mapping{Body: body}
	switch {
	case name == "beds24/v1_query.json": // it is no JSON: the file holds the parameters
		var file struct{ Query map[string]string }
		if err := json.Unmarshal(body, &file); err != nil {
			t.Fatal(err)
		}
		m = pms.Mapping{Request: pms.Request{Kind: "query", Query: file.Query}}
	case strings.HasPrefix(name, "uplisting/"): // the event is in the URL
		m.Request.Query = map[string]string{"event": strings.TrimSuffix(filepath.Base(name), ".json")}
	}
	return m
}

func document(t testing.TB, name string) any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/payloads", name))
	if err != nil {
		t.Fatal(err)
	}
	v, err := pms.DecodeJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func source(t testing.TB, format string) pms.Source {
	t.Helper()
	f, err := pms.LoadFormat(format)
	if err != nil {
		t.Fatal(err)
	}
	return pms.Source{Name: format, Format: f, Statuses: pms.DefaultStatuses()}
}

// Every payload means what the golden file next to it says. The golden files were read line by line against
// what the PMS documents; -update writes them again, to be read again.
func TestPayloads(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/payloads/*/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d payloads, %v", len(files), err)
	}
	// with is which documents each event has, by its golden file.
	with := map[string]map[string]string{}
	for _, f := range files {
		name := strings.TrimPrefix(filepath.ToSlash(f), "testdata/payloads/")
		with[name] = nil
		if fetched := isFetched.FindStringSubmatch(name); fetched != nil {
			with[name] = map[string]string{fetched[2]: name}
			if all := documentsOf(t, fetched[1]+".json"); len(all) > 1 {
				with[fetched[1]+".fetched.json"] = all
			}
		}
	}
	for name, documents := range with {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			webhook, _, _ := strings.Cut(strings.TrimSuffix(name, ".json"), ".fetched")
			m := payload(t, webhook+".json")
			if documents != nil {
				m.Fetched = map[string]any{}
			}
			for kind, file := range documents {
				m.Fetched[kind] = []any{document(t, file)}
			}

			e, err := source(t, filepath.Dir(name)).Map(context.Background(), m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(show(e), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata/golden", name)
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(bytes.TrimSpace(want)), string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// one maps a body with a small program and returns the event.
func one(t *testing.T, program, body string) (pms.Event, error) {
	t.Helper()
	f, err := pms.ParseFormat("own.jq", program)
	if err != nil {
		t.Fatal(err)
	}
	return pms.Source{Format: f, Statuses: pms.DefaultStatuses()}.Map(context.Background(),
		pms.Mapping{Body: []byte(body)})
}

func TestProgramsAreHeldToTheirBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ program, body, want string }{
		"it never ends":        {`[range(1e12)] | {ignore: "never"}`, `{}`, "was stopped"},
		"it has no end either": {`def f: 1 + f; f`, `{}`, ""},
		"too large":            {`{ignore: ("a" * 9000000)}`, `{}`, "outputs of more than 8388608 bytes"},
		"it fails":             {`error("nothing to see")`, `{}`, "failed: nothing to see"},
		"a wrong type":         {`.body.a.b.c`, `{"a": 1}`, "expected an object"},
		"no JSON":              {`.`, `{"a":`, "not JSON"},
		"it may not look out": {
			`{ignore: ("x" + ($ENV.HOME // "") + (env.HOME // ""))} | if .ignore == "x" then error("sealed") else . end`,
			`{}`, "sealed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := one(t, c.program, c.body)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v", e, err)
			}
		})
	}
}

func TestOutputsAreHeldToTheirForm(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{
		`42`:                                   "output: must be an object with one field",
		`{reservation: {}, listing: {}}`:       "output: must be an object with one field",
		`{room: {}}`:                           "room: is none of",
		`{reservation: 1}`:                     "reservation: must be an object",
		`{reservation: {status: "confirmed"}}`: "reservation.reservation_id: is required",
		`{reservation: {reservation_id: "a"}}`: "reservation.status: is required",
		`{reservation: {reservation_id: "a", status: "Confirmed"}}`:                   `reservation.status: "Confirmed" must be one of`,
		`{reservation: {reservation_id: "a", status: "other", chek_in: "x"}}`:         "reservation.chek_in: is not a field of it",
		`{reservation: {reservation_id: "a", status: "confirmed", check_in: "soon"}}`: "reservation.check_in: must be an RFC 3339",
		`{reservation: {reservation_id: {}, status: "confirmed"}}`:                    "reservation.reservation_id: must be a text or a number",
		`{reservation: {reservation_id: ("x" * 201), status: "confirmed"}}`:           "at most 200",
		`{merge: {from: "a", into: "a"}}`:                                             "merge.into: must be another",
		`{fetch: {kind: "reservation"}}`:                                              "fetch.id: is required",
		`{ignore: 1}`:                                                                 "ignore: must be a text",
	} {
		e, err := one(t, program, `{}`)
		if err != nil || !strings.Contains(pms.Reasons(e.RejectedErrors()), want) || len(e.Changes) > 0 {
			t.Errorf("%s: %v, %q, want %q", program, err, pms.Reasons(e.RejectedErrors()), want)
		}
	}
}

// Omitted and null mean "not specified", except for a room: null means that none is assigned.
func TestUnspecifiedFields(t *testing.T) {
	t.Parallel()
	e, err := one(t, `{reservation: .body}`,
		`{"reservation_id": 12345678901234567890123, "status": "no_show", "guest_email": "nobody", "guest_phone": "+1 (555) 555-0100", "guest_name": " a\u0000b ", "listing_id": null}`)
	if err != nil || len(e.Changes) != 1 {
		t.Fatal(err, e)
	}
	r := e.Changes[0].Reservation
	if r.ReservationID != "12345678901234567890123" || r.Status != pms.Cancelled || r.GuestEmail != nil ||
		*r.GuestPhone != "+15555550100" || *r.GuestName != "a b" || !r.NoRoom || r.Whole() {
		t.Errorf("%+v", r)
	}
}

func TestMomentsOfFormats(t *testing.T) {
	t.Parallel()
	madrid, _ := pms.ParseTimeZone("Europe/Madrid")
	for moment, want := range map[string]string{
		// ten o'clock on the next day
		`{date: "2026-08-01", time: "34:00"}`:                                "2026-08-02T08:00:00.000Z",
		`{date: "2026-08-01", time: "-10:00"}`:                               "2026-07-31T12:00:00.000Z",
		`{date: "2026-08-01", time: "16:00:00"}`:                             "2026-08-01T14:00:00.000Z",
		`{date: "2026-08-01"}`:                                               "2026-08-01T13:00:00.000Z",
		`{date: "2026-08-01", time: "16:00", time_zone: "America/New_York"}`: "2026-08-01T20:00:00.000Z",
		`{date: "2026-08-01", time_zone: "America/New_York"}`:                "2026-08-01T19:00:00.000Z",
		`"2026-08-01T16:00:00+05:30"`:                                        "2026-08-01T10:30:00.000Z",
		// the hour that is missing
		`{date: "2026-03-29", time: "02:30", time_zone: "Europe/Madrid"}`: "2026-03-29T01:30:00.000Z",
		// the first of two
		`{date: "2026-10-25", time: "02:30", time_zone: "Europe/Madrid"}`:    "2026-10-25T00:30:00.000Z",
		`{date: "2026-03-08", time: "02:30", time_zone: "America/New_York"}`: "2026-03-08T07:30:00.000Z",
		`{date: "2026-11-01", time: "01:30", time_zone: "America/New_York"}`: "2026-11-01T05:30:00.000Z",
		`{date: "2026-03-29", time: "02:30", time_zone: "Asia/Tokyo"}`:       "2026-03-28T17:30:00.000Z",
	} {
		e, err := one(t, `{reservation: {reservation_id: "a", status: "confirmed", check_in: `+moment+`}}`, `{}`)
		if err != nil || len(e.Rejected) > 0 {
			t.Errorf("%s: %v %v", moment, err, e.Rejected)
			continue
		}
		stored, err := pms.ParseStoredMoment(e.Changes[0].Reservation.CheckIn.String())
		if err != nil {
			t.Errorf("%s: what is stored can't be read: %v", moment, err)
			continue
		}
		if got, err := stored.Resolve(madrid, "15:00"); err != nil || pms.FormatInstant(got) != want {
			t.Errorf("%s: %s %v, want %s", moment, pms.FormatInstant(got), err, want)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		`"2026-07-01T10:16:00.123456Z"`: "2026-07-01T10:16:00.123Z", `"2026-07-01 10:16"`: "2026-07-01T10:16:00.000Z",
		`"2026-07-01 10:16:30"`: "2026-07-01T10:16:30.000Z",
		`1766005022.073195`:     "2025-12-17T20:57:02.073Z", `1692268510605`: "2023-08-17T10:35:10.605Z",
		`"2026-05-01T09:00:00"`: "2026-05-01T09:00:00.000Z", `"2025-12-02T10:00:00+01:00"`: "2025-12-02T09:00:00.000Z",
	} {
		v, _ := pms.DecodeJSON([]byte(version))
		if got, err := pms.ReadInstant(v); err != nil || pms.FormatInstant(got) != want {
			t.Errorf("%s: %s %v, want %s", version, pms.FormatInstant(got), err, want)
		}
	}
	for _, version := range []string{`"soon"`, `7`, `true`, `{}`, `"1e400"`, `"NaN"`} {
		v, _ := pms.DecodeJSON([]byte(version))
		if got, err := pms.ReadInstant(v); err == nil {
			t.Errorf("%s is read as %s", version, got)
		}
	}
}

func TestErrorsOfProgramsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{
		"{reservation: {\n  reservation_id: .id |||\n}}": "own.jq:2:24: unexpected token",
		"{ignore:\n  nothing(.a)}":                       "own.jq:2:3: function not defined: nothing/1",
		"{ignore: $nobody}":                              "own.jq:1:10: variable not defined: $nobody",
		"module {\"redact\": 1}; .":                      "own.jq: module:",
		"module {\"acepts\": [\"json\"]}; .":             "unknown field \"acepts\"",
		"module {\"accepts\": [\"xml\"]}; .":             `"xml" must be json, form or query`,
		"import \"a\" as a; .":                           "may not import",
		"module {\"fetch\": {\"url\": \"http://example.com\", \"auth\": \"bearer\", \"documents\": {\"a\": {\"path\": \"/a\"}}}}; .": "must begin with https://",
	} {
		if _, err := pms.ParseFormat("own.jq", program); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", program, err, want)
		}
	}
	f, err := pms.ParseFormat("own.jq", "{reservation: {\n  reservation_id: .body.id,\n  check_in: .body.from\n}}")
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Where("[1].reservation.check_in"); got != "3:3" {
		t.Errorf("check_in is made at %s", got)
	}
}

func TestSecretsAreNotKept(t *testing.T) {
	t.Parallel()
	mews := source(t, "mews").Format
	for body, want := range map[string]string{
		`{"Action":"IntegrationCreated","Data":{"AccessToken":"C66EF7B2-secret","Id":1}}`: `{"Action":"IntegrationCreated","Data":{"AccessToken":"[redacted]","Id":1}}`,
		`{"Action":"IntegrationDisabled", "Data":{}}`:                                     `{"Action":"IntegrationDisabled", "Data":{}}`,
	} {
		if got, err := mews.Glance([]byte(body), pms.Request{}); err != nil || string(got.Body) != want {
			t.Errorf("got %s %v", got.Body, err)
		}
	}
}

// An event of another type is another event, whatever its id: Hospitable's documented samples have one id.
func TestWhatTellsARepetition(t *testing.T) {
	t.Parallel()
	hospitable := source(t, "hospitable").Format
	tells := func(body string) string {
		t.Helper()
		g, err := hospitable.Glance([]byte(body), pms.Request{})
		if err != nil {
			t.Fatal(err)
		}
		return g.ID
	}
	created := tells(`{"id": "497f", "action": "reservation.created"}`)
	if created == "" || tells(`{"id": "497f", "action": "reservation.created", "data": {}}`) != created {
		t.Errorf("a repetition has the key %q", created)
	}
	for _, other := range []string{
		`{"id": "497f", "action": "reservation.changed"}`, `{"id": "4980", "action": "reservation.created"}`,
		`{"action": "reservation.created"}`,
	} {
		if tells(other) == created {
			t.Errorf("%s repeats another event", other)
		}
	}
	if got := tells(`{"id": "497f"}`); got != "497f" {
		t.Errorf("an event without a type has the key %q", got)
	}
}

// A form's secrets are redacted too.
func TestSecretsOfFormsAreNotKept(t *testing.T) {
	t.Parallel()
	f, err := pms.ParseFormat("own.jq", `module {"accepts": ["form"], "redact": ["secret"]}; {ignore: "x"}`)
	if err != nil {
		t.Fatal(err)
	}
	for form, want := range map[string]string{
		"secret=hunter2&a=b+c": "a=b+c&secret=%5Bredacted%5D",
		"a=b%20c":              "a=b%20c",
	} {
		if g, err := f.Glance([]byte(form), pms.Request{Kind: "form"}); err != nil || string(g.Body) != want {
			t.Errorf("%s is kept as %s, %v", form, g.Body, err)
		}
	}
}

// A program's failure message is logged, and stored for longer than a body, so it never quotes a value.
func TestFailuresQuoteNoValues(t *testing.T) {
	t.Parallel()
	for _, program := range []string{
		`.body.guest.email.address`, `.body.guest.email[]`, `.body.guest.email | keys`, `.body.guest.email - 1`,
		`{(.body.guest): 1}`, `.body.guest.email | fromjson`,
		`.body.guest | tonumber`, `[.body.guest.email] | @csv | error({guest: .})`, `[.body.guest] | join(",")`,
		`.body.guest.email | ltrimstr(1) | implode`, `1 / .body.guest.email`,
		`.body.guest.email % 2`, `.body.guest.email | strptime("%Y")`, `.body.guest.email | test("(")`,
		`[.body.guest] | implode`, `.body.guest.email | @base64d`, `"\(.body.guest)" | has(1)`,
	} {
		_, err := one(t, program, `{"guest": {"email": "jane (2) x@example.com"}}`)
		if err == nil {
			t.Errorf("%s doesn't fail", program)
		} else if strings.Contains(err.Error(), "jane") || strings.Contains(err.Error(), "example") {
			t.Errorf("%s: %v", program, err)
		}
	}
}

func TestAddressesOfDocuments(t *testing.T) {
	t.Parallel()
	m := pms.FetchManifest{
		AccountManifest: pms.AccountManifest{URL: "https://api.example.com/v1/"},
		Documents:       map[string]pms.Document{"r": {Path: "/r/{id}?p={property}&q={id}"}},
	}
	f := pms.Fetch{Kind: "r", With: map[string]string{"property": "a&b"}}
	for id, want := range map[string]string{
		"12":                "https://api.example.com/v1/r/12?p=a%26b&q=12",
		"../../admin":       "https://api.example.com/v1/r/..%2F..%2Fadmin?p=a%26b&q=..%2F..%2Fadmin",
		"x?y=1#z":           "https://api.example.com/v1/r/x%3Fy=1%23z?p=a%26b&q=x%3Fy%3D1%23z",
		"http://evil.test/": "https://api.example.com/v1/r/http:%2F%2Fevil.test%2F?p=a%26b&q=http%3A%2F%2Fevil.test%2F",
	} {
		if got, err := m.Address(f, id); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", id, got, err, want)
		}
	}
	for _, id := range []string{"..", ".", ""} {
		if got, err := m.Address(f, id); err == nil {
			t.Errorf("%q leads to %s", id, got)
		}
	}
	if got, err := m.Address(pms.Fetch{Kind: "r"}, "1"); err != nil || got != "https://api.example.com/v1/r/1?q=1" {
		t.Errorf("without a parameter that is not known: %s %v", got, err)
	}
	m.Documents["w"] = pms.Document{Path: "/p/{property}/r/{id}"}
	if got, err := m.Address(pms.Fetch{Kind: "w"}, "1"); err == nil {
		t.Errorf("a part of the path is missing, and it leads to %s", got)
	}
	m.Documents["several"] = pms.Document{Path: "/r/{ids}"}
	for _, bad := range []pms.Fetch{
		{Kind: "w", With: map[string]string{"property": ".."}},
		{Kind: "w", With: map[string]string{"property": "."}},
		{Kind: "several", IDs: []string{".."}},
	} {
		if got, err := m.Address(bad, "1"); err == nil {
			t.Errorf("%+v leads to %s", bad, got)
		}
	}
	if _, err := m.Address(pms.Fetch{Kind: "x"}, "1"); err == nil {
		t.Error("an unknown kind has an address")
	}
}

// Mutated payloads never make a format panic, and what comes out has a form that can be applied.
func FuzzFormats(f *testing.F) {
	files, _ := filepath.Glob("testdata/payloads/*/*.json")
	presets := pms.Presets()
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(slices.Index(presets, filepath.Base(filepath.Dir(file))), body, "")
	}
	sources := make([]pms.Source, len(presets))
	for i, name := range presets {
		sources[i] = source(f, name)
	}
	f.Fuzz(func(t *testing.T, which int, body []byte, event string) {
		if which < 0 || which >= len(presets) {
			return
		}
		s := sources[which]
		m := pms.Mapping{Body: body, Request: pms.Request{Query: map[string]string{"event": event}}}
		kinds := []string{"reservation", "lead", "booking", "guest", "reservations", "customers"}
		if v, err := pms.DecodeJSON(body); err == nil && strings.HasPrefix(event, "fetched") {
			m.Fetched = map[string]any{}
			for _, kind := range kinds {
				m.Fetched[kind] = []any{v}
			}
		}
		e, err := s.Map(context.Background(), m)
		if err != nil {
			if strings.Contains(err.Error(), "panic") {
				t.Fatal(err)
			}
			return
		}
		for _, c := range e.Changes {
			if r := c.Reservation; r != nil {
				if pms.CheckID(r.ReservationID) != nil || r.ReservationID == "" {
					t.Fatalf("the id %q", r.ReservationID)
				}
				for _, moment := range []*pms.Moment{r.CheckIn, r.CheckOut} {
					if moment == nil {
						continue
					}
					if again, err := pms.ParseStoredMoment(moment.String()); err != nil || again != *moment {
						t.Fatalf("%s is read as %s, %v", moment, again, err)
					}
				}
			}
		}
	})
}

// A payload of 4 KB costs less than 150 microseconds, so that applying keeps its pace.
func BenchmarkMap(b *testing.B) {
	for _, name := range []string{
		"hospitable/reservation.created.json", "hostaway/reservation.updated.json",
		"beds24/v2_booking_webhook.json", "guesty/reservation.new.json",
	} {
		m := payload(b, name)
		s := source(b, filepath.Dir(name))
		b.Run(fmt.Sprintf("%s/%dB", filepath.Dir(name), len(m.Body)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Map(context.Background(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Webhooks that PMSs post in addition to the captured ones: pings, blocks, holds, inquiries, nested variants, and all
// kinds of cancellations. A reservation is shown as id, class and listing.
func TestVariants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ why, format, query, body, want string }{
		{
			"a test, in a text",
			"hospitable", "", `{"action": "reservation.changed", "triggers": "test", "data": {}}`,
			"ignored: a test of the connection",
		},
		{
			"properties that were merged",
			"hospitable", "", `{"action": "property.merged", "data": {"previous_id": "a", "new_id": "b"}}`, "a into b",
		},
		{
			"a request is not booked yet",
			"hospitable", "",
			`{"action": "reservation.created", "data": {"id": "r", "guest": null, "reservation_status": {"current": {"category": "request"}}, "properties": [{"id": "p"}]}}`, "r pending p",
		},
		{
			"two rooms are two reservations",
			"hospitable", "",
			`{"action": "reservation.created", "data": {"id": "r", "reservation_status": {"current": {"category": "accepted"}}, "properties": [{"id": "p"}, {"id": "q"}]}}`, "r_p confirmed p, r_q confirmed q",
		},
		{
			"an unknown status",
			"hospitable", "",
			`{"action": "reservation.created", "data": {"id": "r", "reservation_status": {"current": {"category": "unknown"}}}}`, "r other -",
		},
		{
			"an event about something else",
			"hospitable", "", `{"action": "review.created", "data": {}}`,
			"ignored: review.created is about nothing that a key depends on",
		},
		{
			"a name with a space",
			"hostaway", "",
			`{"object": "reservation", "event": "reservation updated", "data": {"id": 1, "listingMapId": 2, "status": "cancelled"}}`, "1 cancelled 2",
		},
		{
			"the data one level deeper, of the owner",
			"hostaway", "",
			`{"object": "reservation", "payload": {"data": {"id": 1, "listingMapId": 2, "status": "ownerStay", "arrivalDate": "2026-01-01", "checkInTime": 16}}}`, "1 confirmed 2 from 2026-01-01T16:00",
		},
		{
			"an unknown status",
			"hostaway", "", `{"object": "reservation", "data": {"id": 1, "listingMapId": 2, "status": "somethingNew"}}`,
			"1 other 2",
		},
		{
			"no object, and a declined booking",
			"hostaway", "",
			`{"event": "reservation.updated", "data": {"id": 1, "listingMapId": 2, "status": "Declined"}}`,
			"1 cancelled 2",
		},
		{
			"an object that isn't a text, and a day with a space",
			"hostaway", "",
			`{"object": [], "event": "reservation.updated", "data": {"id": 1, "listingMapId": 2, "status": "new", "arrivalDate": " 2026-01-01"}}`, "1 confirmed 2 from 2026-01-01",
		},
		{
			"an object that isn't a reservation",
			"hostaway", "", `{"object": "listing", "event": "reservation.updated", "data": {"id": 1}}`,
			"ignored: listing is about nothing that a key depends on",
		},
		{"no action", "lodgify", "", `{"booking": {"id": 1, "property_id": 2, "status": "Declined"}}`, "1 cancelled 2"},
		{
			"an event without a name",
			"guesty", "", `{"event": null, "reservation": {"_id": "r", "listingId": "l", "status": "canceled"}}`,
			"r cancelled l",
		},
		{
			"an action that isn't a text",
			"smoobu", "", `{"action": [], "data": {"id": 1, "type": "cancellation", "apartment": {"id": 2}}}`,
			"1 cancelled 2",
		},
		{
			"neither an action nor a type",
			"smoobu", "", `{"data": {"id": 1}}`, "ignored: null is about nothing that a key depends on",
		},
		{
			"no action, and a cancel",
			"hospitable", "",
			`{"data": {"id": "r", "reservation_status": {"current": {"category": "cancelled"}}, "properties": [{"id": "p"}]}}`, "r cancelled p",
		},
		{
			"an update whose type cancels",
			"smoobu", "",
			`{"action": "updateReservation", "data": {"id": 1, "type": "canceled", "apartment": {"id": 2}}}`,
			"1 cancelled 2",
		},
		{
			"an event that its address names, without a status",
			"uplisting", "booking_created", `{"id": 1, "property_id": 2, "reason": ""}`, "1 other 2",
		},
		{
			"a second status",
			"beds24", "",
			`{"booking": {"id": 1, "roomId": 2, "unitId": 3, "status": "confirmed", "subStatus": "no_show"}}`,
			"1 no_show 2/3",
		},
		{
			"a cancel in the old field",
			"hospitable", "",
			`{"action": "reservation.changed", "data": {"id": "r", "status": "canceled", "properties": [{"id": "p"}]}}`,
			"r cancelled p",
		},
		{
			"British spelling",
			"apaleo", "", `{"topic": "Reservation", "type": "cancelled", "data": {"entityId": "r"}}`, "r cancelled -",
		},
		{
			"a guest that isn't a number",
			"ownerrez", "",
			`{"action": "entity_update", "entity_type": "booking", "entity_id": 1, "entity": {"status": "active", "property_id": 2, "guest_id": []}}`, "1 confirmed 2",
		},
		{
			"an id that isn't a text, next to one that is",
			"cloudbeds", "",
			`{"event": "reservation/created", "reservationID": 1, "propertyID_str": [], "propertyID": 9}`,
			"fetch reservation 1",
		},
		{
			"an empty id, next to one that isn't",
			"cloudbeds", "",
			`{"event": "reservation/status_changed", "reservationID": "", "reservationId_str": "1", "status": "canceled"}`, "1 cancelled -",
		},
		{
			"an id that isn't a text, next to one that is",
			"guesty", "",
			`{"event": "reservation.updated.v2", "data": {"reservationId": {}, "id": "r", "status": "canceled"}}`,
			"r cancelled -",
		},
		{
			"an instant that can't be read, next to a day",
			"guesty", "",
			`{"event": "reservation.updated", "reservation": {"_id": "r", "listingId": "l", "status": "confirmed", "checkIn": "soon", "checkInDateLocalized": "2026-01-01"}}`, "r confirmed l from 2026-01-01",
		},
		{
			"a cancel",
			"guesty", "",
			`{"event": "reservation.updated", "reservation": {"_id": "r", "listingId": "l", "status": "canceled"}}`,
			"r cancelled l",
		},
		{
			"an inquiry",
			"guesty", "",
			`{"event": "reservation.updated", "reservation": {"_id": "r", "listingId": "l", "status": "inquiry"}}`,
			"r inquiry l",
		},
		{
			"an id in a nested object",
			"guesty", "", `{"event": "reservation.updated.v2", "data": {"reservation": {"id": "r"}}}`,
			"fetch reservation r",
		},
		{
			"an event about something else",
			"guesty", "", `{"event": "listing.calendar.updated", "listing": {}}`,
			"ignored: listing.calendar.updated is about nothing that a key depends on",
		},
		{
			"two bookings in one body",
			"lodgify", "",
			`[{"action": "booking_change", "booking": {"id": 1, "property_id": 2, "status": "Declined"}}, {"action": "booking_change", "booking": {"id": 3, "property_id": 2, "status": "Booked"}}]`, "1 cancelled 2, 3 confirmed 2",
		},
		{
			"tentative is not booked yet",
			"lodgify", "",
			`{"action": "booking_change", "booking": {"id": 1, "property_id": 2, "status": "Tentative"}}`,
			"1 pending 2",
		},
		{
			"an event about something else",
			"lodgify", "", `{"action": "rate_change"}`, "ignored: rate_change is about nothing that a key depends on",
		},
		{"blocked dates", "beds24", "", `{"booking": {"id": 1, "roomId": 2, "status": "black"}}`, "1 block 2"},
		{
			"two bookings in one body",
			"beds24", "",
			`{"booking": [{"id": 1, "roomId": 2, "status": "confirmed"}, {"id": 2, "roomId": 3, "status": "cancelled"}]}`, "1 confirmed 2, 2 cancelled 3",
		},
		{
			"a listing as an object",
			"guesty", "",
			`{"event": "reservation.updated", "reservation": {"_id": "r", "listingId": {"_id": "l"}, "status": "confirmed"}}`, "r confirmed l",
		},
		{"an inquiry", "beds24", "", `{"booking": {"id": 1, "roomId": 2, "status": "inquiry"}}`, "1 inquiry 2"},
		{"a message", "beds24", "message", ``, "ignored: a message is about nothing that a key depends on"},
		{
			"a cancel",
			"smoobu", "",
			`{"action": "cancelReservation", "data": {"id": 1, "apartment": {"id": 2}, "type": "cancellation"}}`,
			"1 cancelled 2",
		},
		{"a deletion", "smoobu", "", `{"action": "deleteReservation", "data": {"id": 1}}`, "1 cancelled -"},
		{
			"blocked dates",
			"smoobu", "", `{"action": "newReservation", "data": {"id": 1, "is-blocked-booking": true}}`, "1 block -",
		},
		{
			"an event about something else",
			"smoobu", "", `{"action": "newMessage", "data": {}}`,
			"ignored: newMessage is about nothing that a key depends on",
		},
		{
			"a cancel by its address",
			"uplisting", "booking_removed", `{"id": 1, "property_id": 2, "reason": "guest"}`, "1 cancelled 2",
		},
		{
			"a room of a property",
			"uplisting", "booking_updated", `{"id": 1, "property_id": 2, "mutli_unit_id": 3, "status": "confirmed"}`,
			"1 confirmed 3",
		},
		{
			"a deletion",
			"ownerrez", "", `{"action": "entity_delete", "entity_type": "booking", "entity_id": 1}`, "1 cancelled -",
		},
		{
			"blocked dates",
			"ownerrez", "",
			`{"action": "entity_create", "entity_type": "booking", "entity_id": 1, "entity": {"is_block": true, "status": "active"}}`, "1 block -",
		},
		{
			"not booked yet",
			"ownerrez", "",
			`{"action": "entity_create", "entity_type": "booking", "entity_id": 1, "entity": {"property_id": 2, "status": "pending"}}`, "1 pending 2",
		},
		{
			"a cancel needs no guest",
			"ownerrez", "",
			`{"action": "entity_update", "entity_type": "booking", "entity_id": 1, "entity": {"property_id": 2, "status": "canceled", "guest_id": 3}}`, "1 cancelled 2",
		},
		{
			"the account was disconnected",
			"ownerrez", "", `{"action": "application_authorization_revoked"}`, "disconnected",
		},
		{
			"a deletion needs no document",
			"cloudbeds", "",
			`{"event": "reservation/deleted", "reservationId": "1", "propertyId": 2, "timestamp": 1766005022.07}`,
			"1 cancelled -",
		},
		{
			"a move needs one",
			"cloudbeds", "",
			`{"event": "reservation/accommodation_changed", "reservationId": "1", "propertyId_str": "2", "roomId": "3", "roomIdPrev": "4", "timestamp": 1766005022.07}`, "fetch reservation 1",
		},
		{"the account was disconnected", "mews", "", `{"Action": "IntegrationDisabled", "Data": {}}`, "disconnected"},
		// Names of events and objects, whatever case they have.
		{
			"the object and the event",
			"hostaway", "",
			`{"object": "Reservation", "event": "RESERVATION.UPDATED", "data": {"id": 1, "listingMapId": 2, "status": "new"}}`, "1 confirmed 2",
		},
		{
			"the event, with a space",
			"hostaway", "",
			`{"object": null, "event": "Reservation Created", "data": {"id": 1, "listingMapId": 2, "status": "cancelled"}}`, "1 cancelled 2",
		},
		{
			"the action",
			"hospitable", "",
			`{"action": "Reservation.Changed", "data": {"id": "r", "reservation_status": {"current": {"category": "cancelled"}}}}`, "r cancelled -",
		},
		{
			"the trigger",
			"hospitable", "", `{"action": "reservation.changed", "triggers": ["Test"], "data": {}}`,
			"ignored: a test of the connection",
		},
		{
			"the event",
			"guesty", "",
			`{"event": "RESERVATION.UPDATED", "reservation": {"_id": "r", "listingId": "l", "status": "canceled"}}`,
			"r cancelled l",
		},
		{
			"the event of version 2",
			"guesty", "", `{"event": "Reservation.Updated.V2", "data": {"reservationId": "r", "status": "canceled"}}`,
			"r cancelled -",
		},
		{
			"the action",
			"lodgify", "", `{"action": "Booking_Change", "booking": {"id": 1, "property_id": 2, "status": "Declined"}}`,
			"1 cancelled 2",
		},
		{"the status in the address", "beds24", "Cancel", ``, "1 cancelled -"},
		{
			"a message, in the address",
			"beds24", "MESSAGE", ``, "ignored: a message is about nothing that a key depends on",
		},
		{"the action of a cancel", "smoobu", "", `{"action": "CancelReservation", "data": {"id": 1}}`, "1 cancelled -"},
		{
			"the action of a booking",
			"smoobu", "", `{"action": "NEWRESERVATION", "data": {"id": 1, "type": "reservation"}}`, "1 confirmed -",
		},
		{"the event in the address", "uplisting", "Booking_Removed", `{"id": 1, "property_id": 2}`, "1 cancelled 2"},
		{
			"the action and the type",
			"ownerrez", "", `{"action": "Entity_Delete", "entity_type": "Booking", "entity_id": 1}`, "1 cancelled -",
		},
		{
			"the action, the type and the kind of booking",
			"ownerrez", "",
			`{"action": "ENTITY_UPDATE", "entity_type": "BOOKING", "entity_id": 1, "entity": {"property_id": 2, "status": "active", "type": "Block"}}`, "1 block -",
		},
		{"a deletion", "cloudbeds", "", `{"event": "Reservation/Deleted", "reservationID": 1}`, "1 cancelled -"},
		{
			"a booking",
			"cloudbeds", "", `{"event": "RESERVATION/CREATED", "reservationID": 1, "propertyID": 9}`,
			"fetch reservation 1",
		},
		{
			"both kinds of events",
			"mews", "",
			`{"Events": [{"Discriminator": "serviceOrderUpdated", "Value": {"Id": "r"}}, {"Discriminator": "CUSTOMERUPDATED", "Value": {"Id": "c"}}]}`, "fetch reservations r, fetch updated_customers c",
		},
		{"the action", "mews", "", `{"Action": "INTEGRATIONDISABLED"}`, "disconnected"},
		{
			"the topic and the type",
			"apaleo", "", `{"topic": "RESERVATION", "type": "CANCELED", "data": {"entityId": "A-1"}}`,
			"A-1 cancelled -",
		},
		{"small letters", "hostfully", "", `{"event_type": "booking_cancelled", "lead_uid": "u"}`, "u cancelled -"},
		{
			"one capital letter a word",
			"hostfully", "", `{"event_type": "New_Booking", "lead_uid": "u"}`, "fetch lead u",
		},
		// Apaleo without a topic: the type tells what it is about.
		{"a cancel", "apaleo", "", `{"type": "canceled", "data": {"entityId": "A-1"}}`, "A-1 cancelled -"},
		{
			"no topic at all, and a no-show",
			"apaleo", "", `{"topic": null, "type": "set-to-no-show", "data": {"entityId": "A-1"}}`, "A-1 no_show -",
		},
		{
			"an empty topic",
			"apaleo", "", `{"topic": "", "type": "amended", "data": {"entityId": "A-1"}}`, "fetch reservation A-1",
		},
		{
			"a type that is about something else",
			"apaleo", "", `{"type": "paid", "data": {"entityId": "A"}}`,
			"ignored: null is about nothing that a key depends on",
		},
		// Cloudbeds without a property, and what its webhook itself takes away.
		{"a booking", "cloudbeds", "", `{"event": "reservation/created", "reservationID": 1}`, "fetch reservation 1"},
		{
			"a guest",
			"cloudbeds", "", `{"event": "guest/details_changed", "guestId": 7, "propertyId": null}`, "fetch guest 7",
		},
		{
			"a guest who has left",
			"cloudbeds", "", `{"event": "reservation/status_changed", "reservationID": 1, "status": "checked_out"}`,
			"1 checked_out -",
		},
		{
			"a booking that was created cancelled",
			"cloudbeds", "", `{"event": "reservation/created", "reservationID": 1, "status": "Canceled"}`,
			"1 cancelled -",
		},
		{
			"one customer twice is fetched once",
			"mews", "",
			`{"Events": [{"Discriminator": "CustomerUpdated", "Value": {"Id": "c"}}, {"Discriminator": "CustomerUpdated", "Value": {"Id": "c"}}]}`, "fetch customers c",
		},
		{"no events", "mews", "", `{"Events": []}`, "ignored: it is about nothing that a key depends on"},
		{"a test", "apaleo", "", `{"topic": "system", "type": "healthcheck"}`, "ignored: a test of the connection"},
		{
			"a no-show",
			"apaleo", "",
			`{"topic": "Reservation", "type": "set-to-no-show", "timestamp": 1692268510605, "data": {"entityId": "A-1"}}`, "A-1 no_show -",
		},
		{
			"a room was taken away",
			"apaleo", "",
			`{"topic": "Reservation", "type": "unit-unassigned", "timestamp": 1692268510605, "data": {"entityId": "A-1"}}`, "fetch reservation A-1",
		},
		{
			"an event about the group, not the stay",
			"apaleo", "", `{"topic": "Booking", "type": "created", "data": {"entityId": "A"}}`,
			"ignored: Booking is about nothing that a key depends on",
		},
		{"a cancel", "hostfully", "", `{"event_type": "BOOKING_CANCELLED", "lead_uid": "u"}`, "u cancelled -"},
		{
			"a deleted property",
			"hostfully", "", `{"event_type": "DELETED_PROPERTY", "property_uid": "p"}`, "listing p deleted",
		},
		{
			"blocked dates that are not a booking",
			"hostfully", "", `{"event_type": "NEW_BLOCKED_DATES", "lead_uid": "u"}`,
			"ignored: NEW_BLOCKED_DATES is about nothing that a key depends on",
		},
	} {
		m := pms.Mapping{Body: []byte(c.body)}
		switch {
		case c.format == "beds24" && c.query != "":
			m.Request = pms.Request{Kind: "query", Query: map[string]string{"bookid": "1", "status": c.query}}
		case c.query != "":
			m.Request.Query = map[string]string{"event": c.query}
		}
		e, err := source(t, c.format).Map(context.Background(), m)
		if err != nil || len(e.Rejected) > 0 {
			t.Errorf("%s, %s: %s: %v %v", c.format, c.why, c.body, err, e.Rejected)
			continue
		}
		var got []string
		for _, change := range e.Changes {
			switch {
			case change.Reservation != nil:
				r := change.Reservation
				words := []string{r.ReservationID, r.StatusClass, "-"}
				if r.ListingID != nil {
					words[2] = *r.ListingID
				}
				if r.CheckIn != nil {
					words = append(words, "from", r.CheckIn.String())
				}
				got = append(got, strings.Join(words, " "))
			case change.Merge != nil:
				got = append(got, change.Merge.From+" into "+change.Merge.Into)
			case change.Listing != nil && change.Listing.Deleted:
				got = append(got, "listing "+change.Listing.ListingID+" deleted")
			}
		}
		for _, f := range e.Fetches {
			got = append(got, "fetch "+f.Kind+" "+strings.Join(f.IDs, " "))
		}
		switch {
		case e.Disconnected != "":
			got = append(got, "disconnected")
		case e.Ignored:
			got = append(got, "ignored: "+e.Why)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s, %s: %s\ngot  %s\nwant %s", c.format, c.why, c.body, strings.Join(got, ", "), c.want)
		}
	}
}
