package handlers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/stay"
)

// rooms is a hotel of three rooms, two without doors, and a fourth that only a reservation names.
func rooms(t *testing.T) (*app, *visitor) {
	t.Helper()
	a := newApp(t)
	a.groups = []stay.AccessGroup{
		{ID: "g-101", Name: "Room 101", SystemID: "s"},
		{ID: "g-102", Name: "Garden Room 102", SystemID: "s"},
		{ID: "g-103", Name: "Room 103", SystemID: "s"},
		{ID: "g-in", Name: "Entrance", SystemID: "s"},
		{ID: "g-pool", Name: "Pool", SystemID: "s"},
		{ID: "g-pool-2", Name: "Pool", SystemID: "s"},
	}
	for id, doors := range map[string]string{"101": `[]`, "102": `[]`, "103": `["g-103"]`} {
		a.put("default", id, `{"name":"Room `+id+`","seam_access_group_ids":`+doors+`}`)
	}
	a.stuck("waits", "104", stay.ReasonListingUnknown)
	v := a.visitor()
	v.signIn(adminToken)
	return a, v
}

func (a *app) put(source, id, body string) {
	a.t.Helper()
	if r := a.call("PUT", "/v1/listings/"+source+"/"+id, body); r.status/100 != 2 {
		a.t.Fatalf("%d %s", r.status, r.rawBody)
	}
}

var doorRows = regexp.MustCompile(`name="listing" value="([^"]+)"`)

func rowsOf(body string) []string {
	var ids []string
	for _, found := range doorRows.FindAllStringSubmatch(body, -1) {
		ids = append(ids, found[1])
	}
	return ids
}

func TestDoorsPage(t *testing.T) {
	t.Parallel()
	a, v := rooms(t)
	page := v.see("/doors")
	if diff := cmp.Diff([]string{"default/104", "default/101", "default/102", "default/103"},
		rowsOf(page.body)); diff != "" {
		t.Errorf("what is missing comes first (-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"3 listings have no doors", "not set up",
		`<span class="group suggested">Garden Room 102</span>`, `<span class="group">Room 103</span>`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q:\n%s", want, page.body)
		}
	}
	if got := rowsOf(v.see("/doors?missing=1").body); len(got) != 3 {
		t.Errorf("without doors: %v", got)
	}
	if got := rowsOf(v.see("/doors?q=103").body); !slices.Equal(got, []string{"default/103"}) {
		t.Errorf("of a name: %v", got)
	}

	choose := func(mode string, listings, groups []string) shown {
		return v.post("/doors", url.Values{
			"mode": {mode}, "listing": listings, "group": groups,
			"back": {"/doors?missing=1"},
		})
	}
	if page := choose("suggested", []string{"default/101", "default/102", "default/104"},
		nil); !strings.Contains(page.body, "2 listings changed") ||
		!strings.Contains(page.body, "104: no door has a name like this listing") {
		t.Errorf("suggestions: %d\n%s", page.status, page.body)
	}
	choose("add", []string{"default/101", "default/103"}, []string{"g-in"})
	choose("replace", []string{"default/104"}, []string{"g-103", "g-in"})
	if page := choose("add", []string{"default/104"}, []string{"g-in"}); !strings.Contains(page.body,
		"Nothing changed: 1 listing had these doors already") {
		t.Errorf("doors that it has:\n%s", page.body)
	}
	choose("remove", []string{"default/104"}, []string{"g-103"})
	for id, want := range map[string][]string{
		"101": {"g-101", "g-in"}, "102": {"g-102"}, "103": {"g-103", "g-in"},
		"104": {"g-in"},
	} {
		if diff := cmp.Diff(want, a.groupsOf("/v1/listings/default/"+id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	if entries := a.get("/v1/audit?action=put_listing&subject=104").body["items"].([]any); len(entries) != 2 ||
		entries[0].(map[string]any)["author"] != "Maria (admin)" {
		t.Errorf("the audit log has %v", entries)
	}
	for name, p := range map[string]shown{
		"no listing": choose("add", nil, []string{"g-in"}), "no door": choose("add", []string{"default/104"}, nil),
		"another mode": choose("burn", []string{"default/104"}, []string{"g-in"}),
	} {
		if p.status != 422 {
			t.Errorf("%s: %d", name, p.status)
		}
	}
	if p := choose("add", []string{"nowhere/1"}, []string{"g-in"}); !strings.Contains(p.body, "1 listing not changed") {
		t.Errorf("a source that nobody has:\n%s", p.body)
	}
}

// Doors typed into rows are found by words and numbers that only one of them has; the next row without doors has the
// focus.
func TestDoorsTyped(t *testing.T) {
	t.Parallel()
	a, v := rooms(t)
	typed := func(rows, texts []string) shown {
		return v.post("/doors/typed", url.Values{"row": rows, "typed": texts, "back": {"/doors?missing=1"}})
	}
	page := typed([]string{"default/104", "default/101", "default/102"}, []string{"pool", "101; entr", ""})
	for _, want := range []string{
		"1 listing changed", "104: several doors match pool: Pool (g-pool), Pool (g-pool-2)",
		`value="default/104"><input form="typed" name="typed" list="door-names" autocomplete="off" maxlength="1000" ` +
			`aria-label="Doors of 104" aria-describedby="how-to-type" placeholder="No doors" autofocus>`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q:\n%s", want, page.body)
		}
	}
	for _, tc := range []struct {
		typed  string
		doors  []string // none: refused
		reason string
	}{
		{"garden", []string{"g-102"}, "a word that only one door has"},
		{"ROOM 103", []string{"g-103"}, "the whole name, in other letters"},
		{"g-pool-2", []string{"g-pool-2"}, "an id"},
		{"0102 ; pool", nil, "two doors have this name"},
		{"10", nil, "a number is whole"},
		{"arden", nil, "a word begins as typed"},
		{"spa", nil, "no such door"},
		{"!", nil, "nothing to look for"},
	} {
		a.put("default", "102", `{"seam_access_group_ids":[]}`)
		page := typed([]string{"default/102"}, []string{tc.typed})
		if diff := cmp.Diff(tc.doors, a.groupsOf("/v1/listings/default/102")); diff != "" {
			t.Errorf("%q, %s (-want +got):\n%s", tc.typed, tc.reason, diff)
		}
		if refused := strings.Contains(page.body, "1 listing not changed"); refused != (tc.doors == nil) {
			t.Errorf("%q, %s: refused is %v", tc.typed, tc.reason, refused)
		}
	}
	a.put("default", "102", `{"seam_access_group_ids":["g-103","g-in"]}`)
	page = typed([]string{"default/102"}, []string{"garden 102"})
	const meanwhile = "102: somebody has set its doors meanwhile: Room 103, Entrance"
	if got := a.groupsOf("/v1/listings/default/102"); !slices.Equal(got, []string{"g-103", "g-in"}) ||
		!strings.Contains(page.body, meanwhile) {
		t.Errorf("doors set meanwhile become %v, and the page says\n%s", got, page.body)
	}
	a.put("default", "102", `{"seam_access_group_ids":[]}`)
	live := v.request("POST", "/doors/typed", url.Values{
		"csrf": {v.csrf}, "row": {"default/102"}, "typed": {"102; entrance"},
	}, func(r *http.Request) { r.Header.Set("Staykey-Live", "1") })
	if !strings.Contains(live.body, `<span class="group">Garden Room 102</span> <span class="group">Entrance</span>`) ||
		strings.Contains(live.body, "<table") {
		t.Errorf("the script is answered with\n%s", live.body)
	}
	if page := typed([]string{"default/102"}, []string{" "}); !strings.Contains(page.body, "Type doors first.") {
		t.Errorf("nothing typed:\n%s", page.body)
	}
	if page := typed([]string{"default/102"}, nil); page.status != http.StatusBadRequest {
		t.Errorf("a form with parts missing: %d", page.status)
	}
}

// upload posts a table, with a button of the form.
func (v *visitor) upload(table string, button ...string) shown {
	v.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	_ = w.WriteField("csrf", v.csrf)
	for _, name := range button {
		_ = w.WriteField(name, "1")
	}
	file, err := w.CreateFormFile("file", "doors.csv")
	if err != nil {
		v.t.Fatal(err)
	}
	_, _ = file.Write([]byte(table))
	_ = w.Close()
	req, err := http.NewRequest(http.MethodPost, v.url+"/doors/file", &body)
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	text := answeredOf(v.t, resp)
	return shown{resp.StatusCode, resp.Header, resp.Request.URL.Path, text}
}

func TestDoorsByCSV(t *testing.T) {
	t.Parallel()
	a, v := rooms(t)
	sheet := v.see("/doors.csv")
	if want := "\uFEFFsource,listing_id,name,doors\ndefault,104,,\ndefault,101,Room 101,\ndefault,102,Room 102,\ndefault,103,Room 103,Room 103\n"; sheet.body != want || !strings.HasPrefix(sheet.header.Get("Content-Type"), "text/csv") {
		t.Errorf("%s\n%s", sheet.header.Get("Content-Type"), sheet.body)
	}
	// a door's name in any case, and a column too many
	table := "Source;Listing ID;Name;Doors\ndefault;101;Room 101;room 101; \n"
	page := v.upload(strings.ReplaceAll(table, "room 101; \n", "\"room 101; g-in\"\n") +
		"default;102;;Cellar\ndefault;103;;Pool\ndefault;105;Room 105;Entrance\ndefault;105;;\nnowhere;1;;\n;;;\ndefault;102;;'=1\n")
	for _, want := range []string{
		"2 listings will change", "no door is called Cellar",
		"several doors are called Pool: use their ids, g-pool or g-pool-2", "the listing is on line 5, too",
		"unknown source",
		"source and listing_id must name a listing", `<span class="badge waiting">new</span>`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the preview lacks %q:\n%s", want, page.body)
		}
	}
	if got := a.groupsOf("/v1/listings/default/101"); len(got) > 0 {
		t.Errorf("the preview has changed 101: %v", got)
	}
	good := "listing_id,source,doors,name\n101,default,room 101;g-in,\n103,default,,\n105,default,Entrance,Room 105\n102,default,Cellar,\n"
	if page := v.post("/doors/file", url.Values{"table": {good}, "apply": {"1"}}); !strings.Contains(page.body,
		"3 listings changed") || !strings.Contains(page.body, "Line 5, 102: no door is called Cellar") {
		t.Errorf("applied:\n%s", page.body)
	}
	for id, want := range map[string][]string{"101": {"g-101", "g-in"}, "103": {}, "105": {"g-in"}} {
		if got := a.groupsOf("/v1/listings/default/" + id); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, not %v", id, got, want)
		}
	}
	if name := a.get("/v1/listings/default/105").body["name"]; name != "Room 105" {
		t.Errorf("105 is called %v", name)
	}
	broken := "source,listing_id,doors\ndefault,101\ndefault,103,\"Pool\ndefault,105,Entrance\n"
	page = v.upload(broken)
	for _, want := range []string{
		"2 lines can&#39;t be applied", `<td data-label="Line">2</td>`, "the line has fewer columns than the first one",
		`<td data-label="Line">3</td>`, "the quotes in this line don&#39;t match",
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("broken lines: the preview lacks %q:\n%s", want, page.body)
		}
	}
	if page := v.post("/doors/file", url.Values{"table": {broken}, "apply": {"1"}}); !strings.Contains(page.body,
		"Line 2, 101: the line has fewer columns than the first one") {
		t.Errorf("broken lines are applied:\n%s", page.body)
	}
	if got := a.groupsOf("/v1/listings/default/101"); !slices.Equal(got, []string{"g-101", "g-in"}) {
		t.Errorf("a short line makes the doors of 101 %v", got)
	}
	if page := v.upload("listing_id,doors\nCaf\xe9,\n"); page.status != 422 ||
		!strings.Contains(page.body, "CSV UTF-8") {
		t.Errorf("another encoding: %d\n%s", page.status, page.body)
	}
	if page := v.upload("colour\nred\n"); page.status != 422 || !strings.Contains(page.body, "unknown column") {
		t.Errorf("another table: %d\n%s", page.status, page.body)
	}
}

// A table that is uploaded as it was downloaded changes nothing, and later doors from the PMS still apply.
func TestUnchangedDoorsTableChangesNothing(t *testing.T) {
	t.Parallel()
	a, v := rooms(t)
	a.put("default", "twice", `{"name":"'=Twice","seam_access_group_ids":["g-in","g-gone","g-theirs"]}`)
	a.groups = append(a.groups, stay.AccessGroup{ID: "g-theirs", Name: "Their door", SystemID: "s"})
	a.owners = map[string]string{"g-theirs": "a b/c"}
	a.listingEvent("pms", 1, "g-103", "g-pool", "g-in")
	a.listingEvent("empty", 1)
	ids := []string{"101", "103", "twice", "pms", "empty"}
	before := map[string]string{}
	for _, id := range ids {
		before[id] = a.get("/v1/listings/default/" + id).rawBody
	}

	sheet := v.see("/doors.csv").body
	if page := v.upload(sheet); !strings.Contains(page.body, "Nothing will change.") ||
		strings.Contains(page.body, "can't be applied") {
		t.Errorf("what was downloaded:\n%s", page.body)
	}
	v.post("/doors/file", url.Values{"table": {sheet}, "apply": {"1"}})
	for _, id := range ids {
		if now := a.get("/v1/listings/default/" + id).rawBody; now != before[id] {
			t.Errorf("%s has changed:\n%s\n%s", id, before[id], now)
		}
	}
	if r := a.get("/v1/listings/default/104"); r.status != http.StatusNotFound {
		t.Errorf("a listing that only a reservation names was created: %s", r.rawBody)
	}
	a.listingEvent("104", 2, "g-in")
	a.listingEvent("empty", 2, "g-in")
	for _, id := range []string{"104", "empty"} {
		if got := a.groupsOf("/v1/listings/default/" + id); !slices.Equal(got, []string{"g-in"}) {
			t.Errorf("%s ignores the PMS's doors: %v", id, got)
		}
	}
}

// What a hotel group exports can be uploaded: the preview shows the first lines and counts the others.
func TestDoorsTableOfManyListings(t *testing.T) {
	t.Parallel()
	a, v := rooms(t)
	a.sql(`INSERT INTO listings (source, listing_id, name, known, access_group_ids, created_at, updated_at)
		SELECT 'default', 'many-' || n, 'Suite ' || n, true, '{g-in}', now(), now() FROM generate_series(1, 5000) n`)
	sheet := v.see("/doors.csv").body
	if page := v.upload(sheet); !strings.Contains(page.body, "Nothing will change.") {
		t.Errorf("what was downloaded: %d\n%.2000s", page.status, page.body)
	}
	changed := strings.ReplaceAll(sheet, "Entrance\n", "Room 103\n") + strings.Repeat("short\n", 300)
	page := v.upload(changed)
	for _, want := range []string{
		"5000 listings will change.", "300 lines can&#39;t be applied", "and 5100 more lines",
		`enctype="multipart/form-data"`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the preview lacks %q:\n%.2000s", want, page.body)
		}
	}
	if rows := strings.Count(page.body, `<td data-label="Line">`); rows != 200 {
		t.Errorf("the preview shows %d lines", rows)
	}
	some := regexp.MustCompile(`(?m)^default,many-[1-4]\d{3},.*\n`).ReplaceAllString(changed, "") // 1,000 are left
	page = v.upload(some, "apply")
	if !strings.Contains(page.body, "1000 listings changed") || !strings.Contains(page.body, "<p>and 200 more</p>") {
		t.Errorf("applied: %d\n%.2000s", page.status, page.body)
	}
	if got := a.groupsOf("/v1/listings/default/many-5000"); !slices.Equal(got, []string{"g-103"}) {
		t.Errorf("the last listing has %v", got)
	}
	if page := v.upload("listing_id,doors\n" + strings.Repeat("1,2\n", 20_001)); page.status != 422 ||
		!strings.Contains(page.body, "more than 20000 rows") {
		t.Errorf("too many lines: %d", page.status)
	}
	if page := v.upload(strings.Repeat("x", 4<<20)); page.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large file: %d", page.status)
	}
}

// listingEvent is a listing as the PMS sends it, on a day.
func (a *app) listingEvent(id string, day int, groups ...string) {
	a.t.Helper()
	list, err := json.Marshal(append([]string{}, groups...))
	if err != nil {
		a.t.Fatal(err)
	}
	a.post(hook{body: fmt.Sprintf(`{"type":"listing.updated","timestamp":"2024-10-%02dT09:00:00.000Z",`+
		`"data":{"listing_id":%q,"seam_access_group_ids":%s}}`, day, id, list)})
	a.apply()
}

// Which doors a cell leaves a listing with.
func TestDoorsCells(t *testing.T) {
	t.Parallel()
	a, v := rooms(t)
	a.listingEvent("pms", 1, "g-103")
	a.listingEvent("103", 1, "g-in")
	for _, tc := range []struct {
		listing, cell string
		doors         string
		by            string
		reason        string
	}{
		{"pms", "", "[g-103]", "pms", "the PMS's doors, which it sent after the download, stay"},
		{"pms", ";", "[g-103]", "pms", "no door is named"},
		{"pms", "room 103", "[g-103]", "pms", "what the PMS sent anyway"},
		{"101", "none", "[]", "admin", "there is nothing to remove"},
		{"pms", "None", "[]", "admin", "the word removes the PMS's doors"},
		{"103", "", "[g-in]", "pms", "doors that were chosen here are removed, and the PMS's apply"},
		{"103", "", "[g-in]", "pms", "none are chosen any more"},
	} {
		sheet := "source,listing_id,doors\ndefault," + tc.listing + "," + tc.cell + "\n"
		clears := strings.Contains(v.upload(sheet).body, "1 listing will have no doors")
		before := a.groupsOf("/v1/listings/default/" + tc.listing)
		v.post("/doors/file", url.Values{"table": {sheet}, "apply": {"1"}})
		l := a.get("/v1/listings/default/" + tc.listing).body
		if fmt.Sprint(l["seam_access_group_ids"]) != tc.doors || l["seam_access_group_ids_set_by"] != tc.by {
			t.Errorf("%s %q, %s: %v by %v", tc.listing, tc.cell, tc.reason, l["seam_access_group_ids"],
				l["seam_access_group_ids_set_by"])
		}
		if want := len(before) > 0 && tc.doors == "[]"; clears != want {
			t.Errorf("%s %q, %s: the preview says that it clears: %v", tc.listing, tc.cell, tc.reason, clears)
		}
	}
	v.post("/doors/file", url.Values{
		"table": {"listing_id,source,name,doors\nnew,default,New,\nnone,default,,none\n"},
		"apply": {"1"},
	})
	a.listingEvent("new", 1, "g-in")
	if got := a.groupsOf("/v1/listings/default/new"); !slices.Equal(got, []string{"g-in"}) {
		t.Errorf("a listing created with a name alone ignores the PMS's doors: %v", got)
	}
	if r := a.get("/v1/listings/default/none"); r.status != http.StatusNotFound {
		t.Errorf("a listing is created with neither name nor doors: %s", r.rawBody)
	}
}

// Spreadsheets leave out the last cells of a row if they are empty. A listing without doors has nothing to lose by
// that; one with doors must keep them.
func TestDoorsFileOfRowsThatEndEarly(t *testing.T) {
	t.Parallel()
	a, v := rooms(t)
	a.put("default", "101", `{"seam_access_group_ids":["g-in"]}`)
	sheet := "source,listing_id,name,doors\ndefault,102\ndefault,101,Room 101\ndefault,new,New room\n"
	page := v.upload(sheet).body
	for _, want := range []string{"1 listing will change", "1 line can", "fewer columns", "New room"} {
		if !strings.Contains(page, want) {
			t.Errorf("the preview lacks %q:\n%s", want, page)
		}
	}
	v.post("/doors/file", url.Values{"table": {sheet}, "apply": {"1"}})
	if got := a.groupsOf("/v1/listings/default/101"); !slices.Equal(got, []string{"g-in"}) {
		t.Errorf("a row that ends early removed doors: %v", got)
	}
	if r := a.get("/v1/listings/default/new"); r.status != http.StatusOK || r.body["name"] != "New room" {
		t.Errorf("a listing with a name alone: %s", r.rawBody)
	}
}

// Doors that a source may not open are refused by name, however they are chosen, and the others are set. Doors that a
// listing has may stay.
func TestDoorsOfAnotherSourceAreRefused(t *testing.T) {
	t.Parallel()
	a, v := rooms(t)
	a.put("a%20b%2Fc", "300", `{"name":"Annex","seam_access_group_ids":["g-103"]}`)
	a.owners = map[string]string{"g-101": "default", "g-103": "default", "g-in": "default"}
	for _, mode := range []string{"replace", "add"} {
		page := v.post("/doors", url.Values{
			"mode": {mode}, "listing": {"default/101", "a%20b%2Fc/300"}, "group": {"g-101", "g-in", "g-pool"},
		})
		for _, want := range []string{"1 listing changed", "300: the source may not open Room 101, Entrance"} {
			if !strings.Contains(page.body, want) {
				t.Errorf("%s: the page lacks %q:\n%s", mode, want, page.body)
			}
		}
		if got := a.groupsOf("/v1/listings/a%20b%2Fc/300"); !slices.Equal(got, []string{"g-103"}) {
			t.Errorf("%s: it has %v", mode, got)
		}
		a.put("default", "101", `{"seam_access_group_ids":[]}`)
	}
	for mode, door := range map[string]string{"add": "g-pool", "remove": "g-102"} {
		page := v.post("/doors", url.Values{"mode": {mode}, "listing": {"a%20b%2Fc/300"}, "group": {door}})
		if strings.Contains(page.body, "may not open") {
			t.Errorf("%s with a door that it has already:\n%s", mode, page.body)
		}
	}
	if got := a.groupsOf("/v1/listings/a%20b%2Fc/300"); !slices.Equal(got, []string{"g-103", "g-pool"}) {
		t.Errorf("it has %v", got)
	}
}

func TestDoorsPageOfScopedTokens(t *testing.T) {
	t.Parallel()
	a, _ := rooms(t)
	a.put("a%20b%2Fc", "300", `{"name":"Theirs"}`)
	a.owners = map[string]string{"g-101": "a b/c"}
	a.tokens = append(a.tokens, token("desk", "writes-one-source", true, "default"),
		token("reader", "reads-one-source-only", false, "default"))
	v := a.visitor()
	v.signIn("writes-one-source")
	for _, path := range []string{"/doors", "/doors?source=a+b%2Fc", "/doors.csv"} {
		if page := v.see(path); strings.Contains(page.body, "Theirs") || strings.Contains(page.body, "g-101") {
			t.Errorf("%s shows another source:\n%s", path, page.body)
		}
	}
	if page := v.post("/doors", url.Values{
		"mode": {"replace"}, "listing": {"a%20b%2Fc/300"},
		"group": {"g-in"},
	}); !strings.Contains(page.body, "not changed") {
		t.Errorf("a listing of another source:\n%s", page.body)
	}
	if page := v.post("/doors", url.Values{
		"mode": {"replace"}, "listing": {"default/101"},
		"group": {"g-101"},
	}); !strings.Contains(page.body, "not changed") {
		t.Errorf("a door of another source:\n%s", page.body)
	}
	reader := a.visitor()
	reader.signIn("reads-one-source-only")
	if page := reader.see("/doors"); page.status != 200 || strings.Contains(page.body, `type="file"`) ||
		strings.Contains(page.body, `name="listing"`) {
		t.Errorf("a reader sees\n%s", page.body)
	}
	if page := reader.post("/doors", url.Values{
		"mode": {"replace"}, "listing": {"default/101"},
		"group": {"g-in"},
	}); page.status != 403 {
		t.Errorf("a reader changes doors: %d", page.status)
	}
}
