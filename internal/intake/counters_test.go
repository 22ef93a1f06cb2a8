package intake_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/store"
)

// What could not be read is counted by source and field.
func TestUnreadFieldsAreCounted(t *testing.T) {
	t.Parallel()
	const source = "counted" // counters are the process's
	w := foreign(t, passThrough)
	w.insert(store.Event{Source: source, Request: []byte(`{}`), Body: []byte(`{"type":"posted","says":[
		{"reservation":{"reservation_id":"a","listing_id":"l","status":"confirmed","guest_name":[1],"check_in":{"date":"2024-11-01","time":"late"},"check_out":"2024-11-04"}},
		{"reservation":{"reservation_id":"b","listing_id":"l","status":"confirmed","guest_name":{},"check_in":"2024-11-01","check_out":"2024-11-04"}},
		{"reservation":{"reservation_id":"c","listing_id":"l","status":"confirmed","check_in":"soon","check_out":"2024-11-04"}},
		{"reservation":{"reservation_id":"d","listing_id":"l","status":"other","pms_status":"new word"}}]}`)})
	w.drain()
	registry := prometheus.NewRegistry()
	registry.MustRegister(intake.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			of := ""
			for _, label := range m.GetLabel() {
				switch label.GetName() {
				case "source":
					of = label.GetValue()
				case "field":
					name += " " + label.GetValue()
				}
			}
			if of == source {
				got[name] += m.GetCounter().GetValue()
			}
		}
	}
	for name, want := range map[string]float64{
		"staykey_dropped_fields_total guest_name": 2, "staykey_dropped_fields_total time": 1,
		"staykey_dropped_fields_total status": 1,
		"staykey_rejected_items_total":        1, "staykey_unknown_statuses_total": 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v; all: %v", name, got[name], want, got)
		}
	}
}
