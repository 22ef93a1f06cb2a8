package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store/storetest"
)

// Whatever a PMS or an admin writes, a terminal gets no character that it obeys, in tables and as JSON.
func TestTerminalsGetPlainText(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	const evil = "x\u202e31m\u200f" // the format itself refuses control characters
	p.deliver("default", "listing.created", map[string]any{
		"listing_id":            "2222222-2222",
		"seam_access_group_ids": []string{"555555-5555"}, "name": evil,
	})
	data := seedReservation()
	data["reservation_id"], data["guest_name"] = "R\u202e1", evil
	p.deliver("default", "reservation.created", data)
	p.deliver("default", "message\u001b]0;PWNED\u0007\nFORGED LINE", map[string]any{})
	waitUntil(t, "the reservation", func() bool {
		var list struct{ Items []any }
		return p.get("/v1/reservations", &list) == 200 && len(list.Items) == 1
	})
	for _, args := range [][]string{{"reservations"}, {"events"}, {"audit"}, {"reservation", "default", "R\u202e1"}} {
		for _, more := range [][]string{nil, {"--json"}} {
			out, problems, _ := p.asks(append(args, more...)...)
			if out == "" {
				t.Errorf("%v: %s", args, problems)
			}
			for _, r := range out + problems {
				if pms.Invisible(r) && r != '\n' {
					t.Errorf("%v %v writes %U:\n%q", args, more, r, out)
					break
				}
			}
			if more == nil && strings.Contains(out, "\nFORGED") {
				t.Errorf("%v: a value has made a line of its own:\n%s", args, out)
			}
		}
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	raw := []byte("{\"a\\u001b\":[\"\\n\",\"\u202ex\",1.50,null]}")
	shown, err := visibleJSON(raw)
	if err != nil || string(shown) != `{"a\\u001b":["\\u000a","\\u202ex",1.50,null]}` {
		t.Errorf("%s %v", shown, err)
	}
	escaped := escapedJSON(raw)
	if !json.Valid(escaped) || bytes.ContainsRune(escaped, '\u202e') || !bytes.Contains(escaped, []byte(`\u202ex`)) {
		t.Errorf("%s", escaped)
	}
}
