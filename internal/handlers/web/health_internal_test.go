package web

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// Health shows listings with the same problem as one row, however many they are, by their names; and other findings as
// they are.
func TestHealthGroupsListings(t *testing.T) {
	t.Parallel()
	warning := func(kind admin.FindingKind, subject string, listing *admin.FoundListing) healthRow {
		f := admin.Finding{
			Check: "listing", Level: admin.LevelWarning, Subject: subject, Kind: kind, Listing: listing,
		}
		return healthRowOf(f, []string{"default"})
	}
	about := func(kind admin.FindingKind, id, name string) healthRow {
		ref := stay.ListingRef{Source: "default", ListingID: id}
		return warning(kind, "default/"+id, &admin.FoundListing{ListingRef: ref, Name: name})
	}
	var rows []healthRow
	for i := range 15 {
		rows = append(rows, about(admin.FindingNoDoors, fmt.Sprint(i), fmt.Sprint("Room ", i)))
	}
	rows = append(rows,
		warning(admin.FindingGuests, "guests", nil),
		about(admin.FindingNotSetUp, "a", ""),
		about(admin.FindingNotSetUp, "b", ""),
		about(admin.FindingNoTimeZone, "c", "Villa"),
		about(admin.FindingUnknownDoor, "d", ""),
		warning(admin.FindingMoreMissing, "more", nil),
		warning(admin.FindingUndated, "times", nil),
		warning(admin.FindingUndated, "default", nil),
	)
	var got []string
	for _, row := range grouped(rows) {
		if row.Group == "" {
			got = append(got, fmt.Sprint(row.Title(), " -> ", row.Href))
			continue
		}
		got = append(got, fmt.Sprint(english.T(row.Group, row.Count()), " ", len(row.Listings), "+", row.More, " ",
			row.Listings[0].Title, " ", row.Listings[0].Href, " -> ", row.Href))
	}
	if diff := cmp.Diff([]string{
		"15 listings have no doors: their guests get no key. 12+3 Room 0 /listings/default/0 -> /doors?missing=1",
		"guests -> /",
		"Reservations name 2 listings that aren't set up: their guests get no key. 2+0 a /listings/default/a -> /doors?missing=1",
		"Villa -> /listings/default/c",
		"d -> /listings/default/d",
		"more -> /doors?missing=1",
		"times -> /reservations?when=undated",
		"default -> /reservations?source=default&when=undated",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
