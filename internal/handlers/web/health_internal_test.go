package web

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/admin"
)

// Health shows listings with the same problem as one row, however many they are, and other findings as they are.
func TestHealthGroupsListings(t *testing.T) {
	t.Parallel()
	warning := func(check, subject, message string) healthRow {
		f := admin.Finding{Check: check, Level: admin.LevelWarning, Subject: subject, Message: message}
		return healthRowOf(f, []string{"default"})
	}
	var rows []healthRow
	for i := range 15 {
		rows = append(rows, warning("listing", fmt.Sprint("default/", i), "no access groups: its guests get no key"))
	}
	rows = append(rows,
		warning("arrivals", "guests", "guests without a key who are due within 24 h or have arrived: 4"),
		warning("listing", "default/a", "reservations name it, but it isn't set up: 1 guest is waiting for a key"),
		warning("listing", "default/b", "reservations name it, but it isn't set up: 7 guests are waiting for a key"),
		warning("listing", "default/c", "its time zone isn't known: 1 guest is waiting for a key"),
		warning("listing", "more", "more than 20 listings are named by reservations and not set up"),
	)
	var got []string
	for _, row := range grouped(rows) {
		if row.Group == "" {
			got = append(got, fmt.Sprint(row.Subject, " -> ", row.Href))
			continue
		}
		got = append(got, fmt.Sprint(english.T(row.Group, row.Count()), " ", len(row.Listings), "+", row.More, " ",
			row.Listings[0].Href, " -> ", row.Href))
	}
	if diff := cmp.Diff([]string{
		"15 listings have no doors: their guests get no key. 12+3 /listings/default/0 -> /doors?missing=1",
		"guests -> /",
		"Reservations name 2 listings that aren't set up: their guests get no key. 2+0 /listings/default/a -> /doors?missing=1",
		"default/c -> /listings/default/c",
		"more -> /doors?missing=1",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
