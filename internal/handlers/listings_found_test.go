package handlers_test

import (
	"strings"
	"testing"
)

// A search in the list of reservations leads to the stays of a listing by its name, which the stays don't have.
func TestReservationsByListingName(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.sql(`INSERT INTO listings (source, listing_id, known, name, created_at, updated_at)
		VALUES ('default', '0815', true, 'Villa Azul', now(), now())`)
	v := a.visitor()
	v.signIn(adminToken)
	const link = `<a href="/reservations?listing_id=0815&amp;source=default">Villa Azul</a>`
	for query, want := range map[string]bool{"azul+villa": true, "rojo": false, "": false} {
		if page := v.see("/reservations?q=" + query); strings.Contains(page.body, link) != want {
			t.Errorf("q=%s leads to the listing: %v:\n%s", query, !want, page.body)
		}
	}
}
