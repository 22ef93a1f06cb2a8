package main

import (
	"reflect"
	"slices"
	"testing"

	"github.com/staykey/staykey/internal/admin"
)

// Every filter of a list has a flag, and every flag is a filter.
func TestListsHaveFlagsForTheirFilters(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]struct{ command, query any }{
		"reservations": {reservationsCommand{}, admin.ReservationQuery{}},
		"events":       {eventsCommand{}, admin.EventQuery{}},
		"listings":     {listingsCommand{}, admin.ListingQuery{}},
		"deliveries":   {deliveriesListCommand{}, admin.DeliveryQuery{}},
		"audit":        {auditCommand{}, admin.AuditQuery{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var flags []string
			of := reflect.TypeOf(list.command)
			for i := range of.NumField() {
				if parameter := of.Field(i).Tag.Get("query"); parameter != "" {
					flags = append(flags, parameter)
				}
			}
			filters := append(admin.FilterNames(list.query), "limit", "cursor")
			for _, filter := range filters {
				if !slices.Contains(flags, filter) {
					t.Errorf("the filter %s has no flag", filter)
				}
			}
			for _, flag := range flags {
				if !slices.Contains(filters, flag) {
					t.Errorf("there is a flag for %s, which is no filter", flag)
				}
			}
		})
	}
}

func TestParametersAreThoseThatWereGiven(t *testing.T) {
	t.Parallel()
	c := reservationsCommand{Query: "jane smith", Undated: true, Limit: 50}
	if got, want := parameters(&c).Encode(), "limit=50&q=jane+smith&undated=true"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
