package pms

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// What presets read about gates, from what each PMS documents. A gate that a PMS says nothing about is not mentioned,
// so that it stays unchanged.
func TestPresetGates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ preset, body, fetched, want string }{
		"hostaway, paid": {
			"hostaway", `{"object":"reservation","data":{"id":1,"status":"new","isPaid":1}}`,
			"", "paid=open",
		},
		"hostaway, not paid": {
			"hostaway",
			`{"object":"reservation","data":{"id":1,"status":"new","isPaid":false}}`, "", "paid=closed",
		},
		"hostaway, null": {
			"hostaway", `{"object":"reservation","data":{"id":1,"status":"new","isPaid":null}}`,
			"", "",
		},
		"hostaway, the remainder": {
			"hostaway",
			`{"object":"reservation","data":{"id":1,"status":"new","isPaid":null,"remainingBalance":12.5}}`, "",
			"paid=closed",
		},
		"guesty": {
			"guesty",
			`{"event":"reservation.updated","reservation":{"_id":"1","status":"checked_in","money":{"isFullyPaid":true}}}`, "", "checked_in=open paid=open",
		},
		"guesty, the balance": {
			"guesty",
			`{"event":"reservation.updated","reservation":{"_id":"1","status":"confirmed","money":{"balanceDue":1}}}`,
			"", "checked_in=closed paid=closed",
		},
		"lodgify, paid": {
			"lodgify",
			`{"action":"booking_change","booking":{"id":1,"status":"Booked"},"balance_due":"0"}`, "", "paid=open",
		},
		"lodgify, owed": {
			"lodgify",
			`{"action":"booking_change","booking":{"id":1,"status":"Booked"},"balance_due":"1113"}`, "", "paid=closed",
		},
		"lodgify, unreadable": {
			"lodgify",
			`{"action":"booking_change","booking":{"id":1,"status":"Booked"},"balance_due":"soon"}`, "", "",
		},
		"smoobu": {
			"smoobu",
			`{"action":"newReservation","data":{"id":1,"type":"reservation","price-paid":"Yes"}}`, "", "paid=open",
		},
		"smoobu, not": {
			"smoobu",
			`{"action":"newReservation","data":{"id":1,"type":"reservation","price-paid":"No"}}`, "", "paid=closed",
		},
		"uplisting": {
			"uplisting", `{"id":1,"status":"needs_check_out","balance":0}`, "",
			"checked_in=open",
		},
		"hostfully": {
			"hostfully", `{"event_type":"BOOKING_UPDATED","lead_uid":"1"}`,
			`{"lead":[{"uid":"1","type":"BOOKING","status":"PAID_IN_FULL"}]}`, "paid=open",
		},
		"hostfully, booked": {
			"hostfully", `{"event_type":"BOOKING_UPDATED","lead_uid":"1"}`,
			`{"lead":[{"uid":"1","type":"BOOKING","status":"BOOKED_BY_AGENT"}]}`, "",
		},
		"apaleo, nothing owed": {
			"apaleo", `{"topic":"reservation"}`,
			`{"reservation":[{"id":"1","status":"InHouse","balance":{"amount":0}}]}`, "checked_in=open paid=open",
		},
		"apaleo, a balance": {
			"apaleo", `{"topic":"reservation"}`,
			`{"reservation":[{"id":"1","status":"Confirmed","balance":{"amount":-12}}]}`,
			"checked_in=closed paid=unknown",
		},
		"mews": {
			"mews", `{}`, `{"reservations":[{"Reservations":[{"Id":"1","State":"Started"}]}]}`,
			"checked_in=open",
		},
		"ownerrez": {
			"ownerrez",
			`{"action":"entity_update","entity_type":"booking","entity_id":1,"entity":{"status":"active","total_owed":0}}`, "", "paid=open",
		},
		"hospitable": {
			"hospitable",
			`{"action":"reservation.changed","data":{"id":"1","reservation_status":{"current":{"category":"accepted"}}}}`, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := LoadFormat(c.preset)
			if err != nil {
				t.Fatal(err)
			}
			m := Mapping{Body: []byte(c.body), ReceivedAt: time.Now(), Statuses: DefaultStatuses()}
			if c.fetched != "" {
				if err := json.Unmarshal([]byte(c.fetched), &m.Fetched); err != nil {
					t.Fatal(err)
				}
			}
			e, err := f.Map(context.Background(), m)
			if err != nil {
				t.Fatal(err)
			}
			for _, change := range e.Changes {
				if r := change.Reservation; r != nil {
					var got []string
					for _, gate := range slices.Sorted(maps.Keys(r.Gates)) {
						got = append(got, fmt.Sprintf("%s=%s", gate, r.Gates[gate]))
					}
					if strings.Join(got, " ") != c.want {
						t.Errorf("gates %v, want %s", got, c.want)
					}
					return
				}
			}
			t.Errorf("no reservation: %+v", e)
		})
	}
}
