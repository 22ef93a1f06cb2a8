package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExpandListing(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.post(hook{body: strings.NewReplacer("3333122-433", "lost", "2222222-2222",
		"nobody-knows-it").Replace(reservationBody)})
	a.apply()
	got := map[string]any{}
	for _, item := range a.get("/v1/reservations?source=default&expand=listing").body["items"].([]any) {
		r := item.(map[string]any)
		listing, asked := r["listing"]
		if !asked {
			t.Errorf("%v has no listing", r)
		}
		got[r["reservation_id"].(string)] = listing
	}
	if l, is := got["3333122-433"].(map[string]any); !is || l["listing_id"] != "2222222-2222" ||
		l["source"] != "default" || got["lost"] != nil || len(got) != 2 {
		t.Errorf("expanded: %v", got)
	}
	if l, is := a.get(onePath + "?expand=listing").body["listing"].(map[string]any); !is ||
		l["listing_id"] != "2222222-2222" {
		t.Errorf("of one: %v", l)
	}
	for _, path := range []string{onePath, "/v1/reservations"} {
		if r := a.get(path); strings.Contains(r.rawBody, `"listing":`) {
			t.Errorf("%s has a listing that nobody asked for: %s", path, r.rawBody)
		}
		a.get(path+"?expand=guest").mustBeProblem(t, 422)
	}
}

// Several listings are judged one by one, each by the rules of a single PUT, and each is in the audit log.
func TestPutListings(t *testing.T) {
	t.Parallel()
	a := withForeign(t)
	a.tokens = append(a.tokens, token("writer", "writes-default", true, "default"))
	r := a.as("writes-default", "PUT", "/v1/listings", `{"items":[
		{"source":"default","listing_id":"new","name":"Garden","seam_access_group_ids":["555555-5555"]},
		{"source":"default","listing_id":"2222222-2222","time_zone":"Europe/Madrid"},
		{"source":"default","listing_id":"bad","time_zone":"Mars"},
		{"source":"default","listing_id":"door","seam_access_group_ids":["FOREIGN-group"]},
		{"source":"open","listing_id":"FOREIGN-L","name":"mine"},
		{"listing_id":7},
		{"source":"default","listing_id":"2222222-2222","name":null}]}`)
	if r.status != 200 {
		t.Fatalf("got %d %s", r.status, r.rawBody)
	}
	var got []string
	for _, item := range r.body["items"].([]any) {
		i := item.(map[string]any)
		text := fmt.Sprint(i["source"], "/", i["listing_id"], " ", i["status"], " ", i["listing"] != nil)
		for _, e := range i["errors"].([]any) {
			text += " " + e.(map[string]any)["field"].(string)
		}
		got = append(got, text)
	}
	want := []string{
		"default/new created true", "default/2222222-2222 updated true", "default/bad invalid false time_zone",
		"default/door invalid false seam_access_group_ids",
		"open/FOREIGN-L invalid false source", "/ invalid false listing_id source", "default/2222222-2222 updated true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(r.rawBody, "FOREIGN suite") ||
		a.get("/v1/listings/open/FOREIGN-L").body["name"] != "FOREIGN suite" {
		t.Error("a token of another source saw or changed a listing")
	}
	if l := a.get("/v1/listings/default/2222222-2222").body; l["time_zone"] != "Europe/Madrid" {
		t.Errorf("the listing is %v", l)
	}
	if n := a.audited("put_listing"); n != 3 {
		t.Errorf("%d entries in the audit log", n)
	}
	for body, status := range map[string]int{
		`{"items":[]}`: 422, `{}`: 422, `{"items":[` + strings.TrimSuffix(strings.Repeat(`{},`, 501), ",") + `]}`: 422,
		`{"items":[{"source":"a","source":"b"}]}`: 400, `[`: 400,
	} {
		a.call("PUT", "/v1/listings", body).mustBeProblem(t, status)
	}
	for _, body := range []string{`{"items":7}`, `{"items":[7]}`, `[]`} {
		if r := a.call("PUT", "/v1/listings", body); r.status != 400 && r.status != 422 {
			t.Errorf("%s: %d %s", body, r.status, r.rawBody)
		}
	}
}

// A listing is deleted only if no stay needs it: no current one, no future one, and none that moves there later.
func TestDeleteListing(t *testing.T) {
	t.Parallel()
	const path = "/v1/listings/default/2222222-2222"
	day := func(n int) string { return time.Now().AddDate(0, 0, n).UTC().Format(time.RFC3339) }
	stay := func(from, to int) string {
		return strings.NewReplacer("2030-11-01T15:00:00.000Z", day(from), "2030-11-04T11:00:00.000Z",
			day(to)).Replace(reservationBody)
	}
	cancel := `{"type":"reservation.cancelled","timestamp":"2024-10-21T09:00:00.000Z","data":{"reservation_id":"3333122-433"}}`
	for name, c := range map[string]struct {
		events []string
		change string // of the database
		status int
	}{
		"no stay":             {nil, "", 204},
		"a stay to come":      {[]string{stay(5, 9)}, "", 409},
		"a stay that lasts":   {[]string{stay(-1, 1)}, "", 409},
		"a stay that is over": {[]string{stay(-9, -5)}, "", 204},
		"a cancelled stay":    {[]string{stay(5, 9), cancel}, "", 204},
		"a stay that moves there": {
			[]string{stay(-1, 9)},
			`UPDATE reservations SET listing_id = 'other', segment_due = now() + interval '1 day', segments = '[{"listing_id":"other"},{"listing_id":"2222222-2222","from":"2030-11-02"}]'`, 409,
		},
		"a stay that moves, not there": {
			[]string{stay(-1, 9)},
			`UPDATE reservations SET listing_id = 'other', segment_due = now() + interval '1 day', segments = '[{"listing_id":"other"},{"listing_id":"third","from":"2030-11-02"}]'`, 204,
		},
		"a stay of another listing": {[]string{strings.ReplaceAll(stay(5, 9), "2222222-2222", "other")}, "", 204},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			for _, body := range append([]string{listingBody}, c.events...) {
				a.post(hook{body: body})
			}
			a.apply()
			if c.change != "" {
				if _, err := a.store.Pool().Exec(t.Context(), c.change); err != nil {
					t.Fatal(err)
				}
			}
			r := a.call("DELETE", path, "")
			if r.status != c.status {
				t.Fatalf("got %d %s", r.status, r.rawBody)
			}
			if deleted := a.get(path).body["deleted"]; deleted != (c.status == 204) {
				t.Errorf("deleted: %v", deleted)
			}
			if c.status == 409 {
				if r.body["code"] != "listing_in_use" {
					t.Errorf("code %v", r.body["code"])
				}
				return
			}
			if again := a.call("DELETE", path, ""); again.status != 204 || a.audited("delete_listing") != 1 {
				t.Errorf("again: %d, %d entries", again.status, a.audited("delete_listing"))
			}
			if put := a.call("PUT", path, `{"name":"back"}`); put.status != 200 || put.body["deleted"] != false {
				t.Errorf("put after it: %d %s", put.status, put.rawBody)
			}
		})
	}
	a := withForeign(t)
	a.tokens = append(a.tokens, token("writer", "writes-default", true, "default"),
		token("reader", "reads-default", false))
	a.as("writes-default", "DELETE", "/v1/listings/open/FOREIGN-L", "").mustBeProblem(t, 404)
	a.as("reads-default", "DELETE", path, "").mustBeProblem(t, 403)
	a.call("DELETE", "/v1/listings/default/none", "").mustBeProblem(t, 404)
	a.call("DELETE", "/v1/listings/nobody/none", "").mustBeProblem(t, 404)
}
