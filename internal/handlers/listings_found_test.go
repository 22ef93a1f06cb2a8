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

// Such links name the property where there are several, leave out listings that were deleted, and say where there are
// more than they show.
func TestManyListingsOfOneName(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.sql(`INSERT INTO listings (source, listing_id, known, deleted, name, created_at, updated_at)
		SELECT CASE WHEN n % 2 = 0 THEN 'default' ELSE 'open' END, 's' || n, true, n = 0, 'Suite ' || n, now(), now()
		FROM generate_series(0, 9) n`)
	v := a.visitor()
	v.signIn(adminToken)
	page := v.see("/reservations?q=suite")
	for _, want := range []string{
		`Suite 2</a> <span class="soft">default</span>`, `Suite 3</a> <span class="soft">open</span>`,
		`<a href="/listings?deleted=false&amp;q=suite">more listings</a>`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %s:\n%s", want, page.body)
		}
	}
	if strings.Contains(page.body, "Suite 0") {
		t.Error("a deleted listing is shown")
	}
	if page := v.see("/reservations?q=suite+3"); strings.Contains(page.body, "more listings") {
		t.Error("more are announced where there are none")
	}
}
