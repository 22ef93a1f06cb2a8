package admin

import (
	"testing"

	"github.com/staykey/staykey/internal/stay"
)

func TestSuggestDoors(t *testing.T) {
	t.Parallel()
	var groups []stay.AccessGroup
	for _, name := range []string{
		"Garden Room 101", "Room 102", "Room 0103", "Attic", "Tower suite", "Main entrance",
		"Pool 7", "Sauna 7", "Room 201", "Annex 201", "Ático Sur",
	} {
		groups = append(groups, stay.AccessGroup{ID: name, Name: name})
	}
	for listing, want := range map[string]string{
		"Room 101": "Garden Room 101", "101": "Garden Room 101", "Garden room 102": "Room 102",
		"Zimmer 103": "Room 0103", "The attic": "Attic", "Suite (Tower)": "Tower suite",
		"ATICO sur": "Ático Sur", "Annex 201": "Annex 201",
		"Room 104": "", "7": "", "Room 101 + 102": "", "Penthouse": "", "": "", "Room": "",
	} {
		if got, is := suggestGroup(listing, groups); got.Name != want && (is || want != "") {
			t.Errorf("%q: %q, not %q", listing, got.Name, want)
		}
	}
}
