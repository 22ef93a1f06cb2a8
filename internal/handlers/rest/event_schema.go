package rest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/pms"
)

// This file describes the canonical format as a JSON Schema, for senders that check what they send. It is as strict as
// the parser where that refuses an event, and says nothing about fields that are ignored.

// The patterns of texts, which may have spaces around them. Only the parser knows which days a month has, which time
// zones exist, and whether a text with an @ is an address.
const (
	day   = `(?:19[7-9][0-9]|2[0-9]{3})-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])`
	clock = `(?:[01][0-9]|2[0-3]):[0-5][0-9]`
	zone  = `(?:[Zz]|[+-]` + clock + `)`

	// momentPattern is a check-in or check-out: a local day, with or without a time, or an instant.
	momentPattern = `^\s*` + day + `(?:[Tt]` + clock + `:[0-5][0-9](?:\.[0-9]+)?` + zone +
		`|T` + clock + `(?::[0-5][0-9])?)?\s*$`

	idPattern    = `^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$`
	emailPattern = `^\s*(?:\S.*@.*\S)?\s*$`
	phonePattern = `^\s*(?:\+[1-9][0-9]{1,14})?\s*$`
	clockPattern = `^\s*(?:` + clock + `)?\s*$`
)

const mostIDCharacters = 200

// EventSchema returns the schema of an event of the canonical format.
func EventSchema() *huma.Schema {
	confirmed := reservationSchema()
	confirmed.Required = []string{"reservation_id", "listing_id", "check_in", "check_out"}
	cancelled := &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"reservation_id": idSchema("Unique within the source."), "status": cancelledOnly(),
		},
		Required: []string{"reservation_id", "status"},
	}
	cancelledByType := &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"reservation_id": idSchema("Unique within the source."),
			"status":         {Type: huma.TypeString, Nullable: true, Enum: []any{"cancelled", "", nil}},
		},
		Required: []string{"reservation_id"},
	}
	deleted := &huma.Schema{
		Type:       huma.TypeObject,
		Properties: map[string]*huma.Schema{"listing_id": idSchema("Unique within the source.")},
		Required:   []string{"listing_id"},
	}
	stays := []any{"reservation.created", "reservation.updated"}
	return &huma.Schema{
		Title: "staykey event",
		Description: "The body of POST /webhooks/{source} in the canonical format. Unknown fields are stored with " +
			"the event and otherwise ignored; events of other types are stored and ignored.",
		AnyOf: []*huma.Schema{
			envelope("A reservation: all fields every time.", confirmed, stays...),
			envelope("A cancelled reservation, by its status.", cancelled, append(stays, "reservation.cancelled")...),
			envelope("A cancelled reservation: the id is enough.", cancelledByType, "reservation.cancelled"),
			envelope("A listing: all fields every time.", listingSchema(), "listing.created", "listing.updated"),
			envelope("A deleted listing: the id is enough.", deleted, "listing.deleted"),
		},
	}
}

func envelope(what string, data *huma.Schema, types ...any) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Description: what, Required: []string{"type", "timestamp", "data"},
		Properties: map[string]*huma.Schema{
			"type": {Type: huma.TypeString, Enum: types},
			"timestamp": {
				Type: huma.TypeString, Format: "date-time",
				Description: "When it happened at the PMS. Of two events about one reservation the later one counts.",
			},
			"data": data,
		},
	}
}

func cancelledOnly() *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: []any{pms.Cancelled}}
}

func idSchema(description string) *huma.Schema {
	least, most := 1, mostIDCharacters
	return &huma.Schema{
		Type: huma.TypeString, MinLength: &least, MaxLength: &most, Pattern: idPattern, Description: description,
	}
}

// optional is a text that null and "" clear.
func optional(description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Nullable: true, Description: description}
}

// like is [optional], and has a pattern.
func like(pattern, description string) *huma.Schema {
	s := optional(description)
	s.Pattern = pattern
	return s
}

func reservationSchema() *huma.Schema {
	moment := func(description string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Pattern: momentPattern, Description: description}
	}
	room := idSchema("Null while no room is assigned.")
	room.Nullable = true
	return &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"reservation_id": idSchema("Unique within the source."),
			"listing_id":     room,
			"check_in":       moment("An RFC 3339 instant, or a local 2030-11-01 or 2030-11-01T15:00."),
			"check_out":      moment("An RFC 3339 instant, or a local 2030-11-04 or 2030-11-04T11:00. After check_in."),
			"guest_email":    like(emailPattern, "An e-mail address."),
			"guest_name":     optional("The guest's full name."),
			"guest_phone":    like(phonePattern, "E.164, such as +34612340001."),
			"status":         {Type: huma.TypeString, Nullable: true, Enum: []any{"confirmed", "", nil}},
			"gates": {
				Type: huma.TypeObject, Nullable: true,
				AdditionalProperties: &huma.Schema{Type: huma.TypeString, Enum: []any{"open", "closed", "unknown"}},
				Description:          "The states of gates. One that is missing is unchanged.",
			},
		},
	}
}

func listingSchema() *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"listing_id", "seam_access_group_ids"},
		Properties: map[string]*huma.Schema{
			"listing_id":            idSchema("Unique within the source."),
			"seam_access_group_ids": {Type: huma.TypeArray, Items: idSchema("An access group of Seam: a door.")},
			"name":                  optional("As people know it."),
			"acs_system_id":         optional("The access system; usually that of the access groups."),
			"time_zone":             optional("IANA, such as Europe/Madrid."),
			"check_in_time":         like(clockPattern, "As 15:00, for reservations that have only a day."),
			"check_out_time":        like(clockPattern, "As 11:00, for reservations that have only a day."),
		},
	}
}

// EventSchemaDocument returns the schema as a document of its own (JSON Schema 2020-12).
func EventSchemaDocument() ([]byte, error) {
	schema, err := json.Marshal(EventSchema())
	if err != nil {
		return nil, fmt.Errorf("encode the schema of events: %w", err)
	}
	head := `{"$schema":"https://json-schema.org/draft/2020-12/schema",`
	var out bytes.Buffer
	if err := json.Indent(&out, append([]byte(head), schema[1:]...), "", "  "); err != nil {
		return nil, fmt.Errorf("encode the schema of events: %w", err)
	}
	return out.Bytes(), nil
}
