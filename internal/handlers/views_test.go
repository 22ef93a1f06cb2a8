package handlers_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestSavedViewsInREST saves, replaces, lists and deletes views; the page shows the same ones.
func TestSavedViewsInREST(t *testing.T) {
	t.Parallel()
	a, v := week(t, 2, 40)
	const path = "/v1/views/reservations/"
	saved := a.call("PUT", path+"Tomorrow", `{"filters":{"when":"tomorrow","key_status":"waiting,attention"}}`)
	want := "/reservations?key_status=waiting%2Cattention&when=tomorrow"
	if saved.status != 200 || saved.body["path"] != want || saved.body["list"] != "reservations" {
		t.Fatalf("%d %v", saved.status, saved.body)
	}
	if page := v.see("/reservations"); !strings.Contains(page.body, ">Tomorrow</a>") {
		t.Errorf("the page doesn't show the view:\n%s", page.body)
	}
	r := a.call("PUT", path+"Tomorrow", `{"filters":{"when":"all"}}`)
	if fmt.Sprint(r.body["filters"]) != "map[when:all]" {
		t.Errorf("replaced: %d %v", r.status, r.body)
	}
	v.post("/views/reservations", map[string][]string{"name": {"By the page / today"}, "query": {"when=today"}})
	list := a.call("GET", "/v1/views/reservations", "")
	items, _ := list.body["items"].([]any)
	if len(items) != 2 || !strings.Contains(fmt.Sprint(items[0]), "By the page / today") {
		t.Errorf("listed: %d %v", list.status, list.body)
	}
	for _, tc := range []struct {
		reason, method, path, body string
		status                     int
		says                       string
	}{
		{
			"a guest's address is no filter of a view", "PUT", path + "x",
			`{"filters":{"guest_email":"a@b.example"}}`, 422, "body.filters.guest_email",
		},
		{"nor is a search term", "PUT", path + "x", `{"filters":{"q":"jane"}}`, 422, "body.filters.q"},
		{
			"a filter of another list", "PUT", "/v1/views/events/x", `{"filters":{"when":"all"}}`, 422,
			"body.filters.when",
		},
		{"a list without views", "PUT", "/v1/views/audit/x", `{"filters":{}}`, 422, "path.list"},
		{"too long a name", "PUT", path + strings.Repeat("x", 61), `{"filters":{}}`, 422, "path.name"},
		{"a name with a slash", "DELETE", path + "By%20the%20page%20%2F%20today", "", 204, ""},
		{"deleted already", "DELETE", path + "By%20the%20page%20%2F%20today", "", 404, ""},
	} {
		r := a.call(tc.method, tc.path, tc.body)
		if r.status != tc.status || !strings.Contains(fmt.Sprint(r.body), tc.says) {
			t.Errorf("%s: %d %v", tc.reason, r.status, r.body)
		}
	}
	a.tokens = append(a.tokens, token("reader", "reads-only-reads-only", false))
	if r := a.as("reads-only-reads-only", "PUT", path+"x", `{"filters":{}}`); r.status != 403 {
		t.Errorf("a token that may only read saves a view: %d", r.status)
	}
	if r := a.as("reads-only-reads-only", "GET", "/v1/views/reservations", ""); r.status != 200 {
		t.Errorf("a token that may read can't list views: %d", r.status)
	}
}
