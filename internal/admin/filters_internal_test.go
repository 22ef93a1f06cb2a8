package admin

import (
	"maps"
	"net/url"
	"reflect"
	"slices"
	"testing"
)

func TestFiltersOfGuestsAreKeptNowhere(t *testing.T) {
	t.Parallel()
	for _, personal := range []string{"q", "guest_email"} {
		for list, names := range viewFilters {
			if slices.Contains(names, personal) {
				t.Errorf("a view of %s may hold %s", list, personal)
			}
		}
	}
	q := ReservationQuery{Query: "jane", GuestEmail: "jane@example.com", Source: []string{"a", "b"}, Undated: true}
	want := map[string]string{"source": "a,b", "undated": "true"}
	if got := auditedFilters(q); !maps.Equal(got, want) {
		t.Errorf("the audit log has %v, want %v", got, want)
	}
}

// What a page reads of its address is what its query has: each filter, whatever its type.
func TestFiltersAreReadFromAnAddress(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]any{
		"reservations": &ReservationQuery{}, "listings": &ListingQuery{}, "events": &EventQuery{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, want := url.Values{}, map[string]string{}
			for _, f := range filters(query) {
				text := " one "
				if f.value.Kind() == reflect.Bool {
					text = "true"
				}
				address.Set(f.name, text)
				if f.tag.Get("view") != "no" {
					want[f.name] = map[bool]string{true: "true", false: "one"}[text == "true"]
				}
			}
			ReadFilters(address, query)
			got := map[string]string{}
			for _, f := range filters(query) {
				if text := f.text(); text != "" {
					got[f.name] = text
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("read %v, want %v", got, want)
			}
		})
	}
}
