package rest

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/pms"
)

// The schema and the parser agree on what an event is.
func TestEventSchemaIsWhatTheParserTakes(t *testing.T) {
	t.Parallel()
	const stay = `"reservation_id":"R","listing_id":"L","check_in":"2030-11-01","check_out":"2030-11-04T11:00"`
	event := func(kind, data string) string {
		return `{"type":"` + kind + `","timestamp":"2030-10-20T09:00:00Z","data":{` + data + `}}`
	}
	long := strings.Repeat("x", 201)
	registry := huma.NewMapRegistry("#/$defs/", huma.DefaultSchemaNamer)
	schema := EventSchema()
	schema.PrecomputeMessages()
	for _, c := range []struct {
		why, body string
		valid     bool
	}{
		{"all that is needed", event("reservation.created", stay), true},
		{"unknown fields", event("reservation.updated", stay+`,"price":7`), true},
		{"no room yet", event("reservation.updated", strings.Replace(stay, `"L"`, "null", 1)), true},
		{"everything", event("reservation.created", stay+`,"guest_email":"jane@example.com","guest_name":"Jane",`+
			`"guest_phone":"+34612340001","status":"confirmed","gates":{"paid":"open"}`), true},
		{"no value", event("reservation.created", stay+`,"guest_email":null,"guest_name":"","status":null`), true},
		{"an instant", event("reservation.created",
			strings.Replace(stay, "2030-11-01", "2030-11-01T15:00:00Z", 1)), true},
		{"an instant in small letters", event("reservation.created",
			strings.Replace(stay, "2030-11-01", "2030-11-01t15:00:00.5z", 1)), true},
		{"spaces around texts", event("reservation.created", strings.Replace(stay, `"R"`, `" R "`, 1)+
			`,"guest_phone":" +34612340001 ","guest_email":" jane@example.com "`), true},
		{"times of day", event("listing.updated", `"listing_id":"L","seam_access_group_ids":[],`+
			`"check_in_time":"15:00","check_out_time":""`), true},
		{"a local phone number", event("reservation.created", stay+`,"guest_phone":"0612 340 001"`), false},
		{"spaces in a phone number", event("reservation.created", stay+`,"guest_phone":"+34 612 340 001"`), false},
		{"an address without an @", event("reservation.created", stay+`,"guest_email":"nope"`), false},
		{"an hour after midnight", event("listing.updated", `"listing_id":"L","seam_access_group_ids":[],`+
			`"check_in_time":"25:00"`), false},
		{"an hour of one digit", event("listing.updated", `"listing_id":"L","seam_access_group_ids":[],`+
			`"check_out_time":"9:00"`), false},
		{"a month that is none", event("reservation.created",
			strings.Replace(stay, "2030-11-01", "2030-13-01", 1)), false},
		{"a local time of 24 hours", event("reservation.created",
			strings.Replace(stay, "2030-11-01", "2030-11-01T24:00", 1)), false},
		{"a control character in an id", event("reservation.created",
			strings.Replace(stay, `"R"`, `"R\u0007S"`, 1)), false},
		{"no room at all", event("reservation.created", strings.Replace(stay, `"listing_id":"L",`, "", 1)), false},
		{"no dates", event("reservation.created", `"reservation_id":"R","listing_id":"L"`), false},
		{"an hour that is none", event("reservation.created", strings.Replace(stay, "2030-11-01", "4 PM", 1)), false},
		{"a number for an id", event("reservation.created", strings.Replace(stay, `"R"`, "7", 1)), false},
		{"an empty id", event("reservation.created", strings.Replace(stay, `"R"`, `""`, 1)), false},
		{"a long id", event("reservation.created", strings.Replace(stay, `"R"`, `"`+long+`"`, 1)), false},
		{"an unknown status", event("reservation.created", stay+`,"status":"pending"`), false},
		{"an unknown state of a gate", event("reservation.created", stay+`,"gates":{"paid":"maybe"}`), false},
		{"a name that is a number", event("reservation.created", stay+`,"guest_name":7`), false},
		{"a cancel", event("reservation.cancelled", `"reservation_id":"R"`), true},
		{"a cancel by its status", event("reservation.updated", `"reservation_id":"R","status":"cancelled"`), true},
		{"a cancel with whatever else", event("reservation.cancelled", `"reservation_id":"R","check_in":"soon"`), true},
		{"a cancel of nothing", event("reservation.cancelled", `"listing_id":"L"`), false},
		{"a listing", event("listing.created", `"listing_id":"L","seam_access_group_ids":["G"],"name":"Room 1"`), true},
		{"a listing without doors", event("listing.updated", `"listing_id":"L","seam_access_group_ids":[]`), true},
		{"a listing that leaves them out", event("listing.updated", `"listing_id":"L"`), false},
		{"doors that are a text", event("listing.created", `"listing_id":"L","seam_access_group_ids":"G"`), false},
		{"a deleted listing", event("listing.deleted", `"listing_id":"L"`), true},
		{"a deleted nothing", event("listing.deleted", `"name":"Room 1"`), false},
		{"no timestamp", `{"type":"listing.deleted","data":{"listing_id":"L"}}`, false},
		{"a timestamp without a time", `{"type":"listing.created","timestamp":"2030-10-20",` +
			`"data":{"listing_id":"L","seam_access_group_ids":[]}}`, false},
		{"no data", `{"type":"reservation.created","timestamp":"2030-10-20T09:00:00Z"}`, false},
	} {
		parsed, err := pms.ParseStaykey([]byte(c.body))
		if accepted := err == nil && len(parsed.Invalid) == 0; accepted != c.valid {
			t.Errorf("%s: the parser accepts it: %t (%v %v)", c.why, accepted, err, parsed.Invalid)
		}
		var value any
		if err := json.Unmarshal([]byte(c.body), &value); err != nil {
			t.Fatal(err)
		}
		var result huma.ValidateResult
		huma.Validate(registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, value, &result)
		if is := len(result.Errors) == 0; is != c.valid {
			t.Errorf("%s: the schema accepts it: %t %v", c.why, is, result.Errors)
		}
	}
}

// The events that docs/webhooks.md shows are valid.
func TestEventsOfTheDocsAreValid(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	schema := EventSchema()
	schema.PrecomputeMessages()
	registry := huma.NewMapRegistry("#/$defs/", huma.DefaultSchemaNamer)
	block := regexp.MustCompile("(?s)```json\n(\\{\"type\": \"(?:reservation|listing)\\..*?)```")
	shown := block.FindAllSubmatch(docs, -1)
	if len(shown) == 0 {
		t.Fatal("docs/webhooks.md shows no event")
	}
	for _, one := range shown {
		var value any
		if err := json.Unmarshal(one[1], &value); err != nil {
			t.Errorf("%s: %v", one[1], err)
			continue
		}
		var result huma.ValidateResult
		huma.Validate(registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, value, &result)
		if len(result.Errors) > 0 {
			t.Errorf("%s: %v", one[1], result.Errors)
		}
	}
}
