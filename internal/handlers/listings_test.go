package handlers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// REST and the page still show the listings of a source that was removed from the configuration, because its keys
// remain.
func TestListingOfARemovedSource(t *testing.T) {
	t.Parallel()
	a := two(t)
	delete(a.sources, "default")
	v := a.visitor()
	v.signIn(adminToken)
	const listing, page = "/v1/listings/default/2222222-2222", "/listings/default/2222222-2222"
	if r := a.get(listing); r.status != http.StatusOK {
		t.Errorf("GET: %d", r.status)
	}
	if r := a.call("PUT", listing, `{"name":"by REST"}`); r.status != http.StatusOK {
		t.Errorf("PUT of a listing that GET shows: %d %s", r.status, r.rawBody)
	}
	if shown := v.see(page); shown.status != http.StatusOK ||
		!strings.Contains(shown.body, "no longer in the configuration") {
		t.Errorf("the page: %d", shown.status)
	}
	v.post(page, url.Values{"groups_by": {"pms"}, "name": {"by the page"}})
	if got := a.get(listing).body["name"]; got != "by the page" {
		t.Errorf("saved on the page, the name is %v", got)
	}
	for _, nowhere := range []string{"/default/new", "/never/new"} {
		r := a.call("PUT", "/v1/listings"+nowhere, `{"name":"x"}`)
		r.mustBeProblem(t, http.StatusNotFound)
		source := strings.Split(nowhere, "/")[1]
		want := `unknown source "` + source + `": the configured sources are `
		if detail := fmt.Sprint(r.body["detail"]); !strings.HasPrefix(detail, want) {
			t.Errorf("the detail is %s, not %s...", detail, want)
		}
		if shown := v.see("/listings" + nowhere); shown.status != http.StatusNotFound {
			t.Errorf("the page of %s: %d", nowhere, shown.status)
		}
	}
}

// A refused form shows the entered values, not the stored ones.
func TestListingFormKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	a := two(t)
	v := a.visitor()
	v.signIn(adminToken)
	shown := v.post("/listings/default/2222222-2222", url.Values{
		"groups_by": {"admin"}, "group": {"555555-5555"}, "more_groups": {"another-group"},
		"name": {"Suite of the sea"}, "time_zone": {"Europe/Madird"},
		"check_in_time": {"16:30"}, "check_out_time": {"10:15"}, "acs_system_id": {"the-system"},
	})
	if shown.status != http.StatusUnprocessableEntity {
		t.Fatalf("answered %d", shown.status)
	}
	for _, typed := range []string{
		`value="Suite of the sea"`, `value="Europe/Madird"`, `value="16:30"`,
		`value="10:15"`, `value="the-system"`, `value="555555-5555" checked`, `value="another-group" checked`,
		`value="admin" checked`,
	} {
		if !strings.Contains(shown.body, typed) {
			t.Errorf("the form has lost %s", typed)
		}
	}
	if a.get("/v1/listings/default/2222222-2222").body["name"] == "Suite of the sea" {
		t.Error("it was saved")
	}
}

// Searches ignore case, also of non-ASCII letters, in every locale of the database.
func TestSearchInAnyCase(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.post(hook{
		id:   "u1",
		body: `{"type":"listing.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"listing_id":"2222222-2222","name":"Île à Öresund","seam_access_group_ids":["555555-5555"]}}`,
	})
	a.post(hook{
		id:   "u2",
		body: `{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"R1","guest_name":"Jörg Öztürk Ἀθηνᾶ ΟΔΟΣ","guest_email":"jörg@exämple.com","listing_id":"2222222-2222","check_in":"2030-11-01T15:00:00.000Z","check_out":"2030-11-04T11:00:00.000Z"}}`,
	})
	a.apply()
	for path, texts := range map[string][]string{
		"/v1/reservations?q=": {
			"öztürk", "oztürk", "ozturk", "jorg", "ÖZTÜRK", "JÖRG", "jörg", "οδος",
			"ἈΘΗΝᾶ", "r1",
		},
		"/v1/reservations?guest_email=": {"jörg@exämple.com", "JÖRG@EXÄMPLE.COM"},
		"/v1/listings?q=":               {"île", "ÎLE À ÖRESUND"},
	} {
		for _, text := range texts {
			if n := len(a.get(path + url.QueryEscape(text)).body["items"].([]any)); n != 1 {
				t.Errorf("%s%s finds %d", path, text, n)
			}
		}
	}
	for _, path := range []string{
		"/v1/reservations?q=" + url.QueryEscape("ozturg"),
		"/v1/reservations?guest_email=" + url.QueryEscape("jorg@exämple.com"),
	} {
		if n := len(a.get(path).body["items"].([]any)); n != 0 {
			t.Errorf("%s finds %d", path, n)
		}
	}
}
