package handlers_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/store"
)

func TestNotesOnAStay(t *testing.T) {
	t.Parallel()
	a, v := week(t, 1, 3)
	const path = "/v1/reservations/default/day+1/staff-notes"
	written := a.keyed("note-1", adminToken, "POST", path, `{"text":" Jane called: \u202Earrives late ","author":"Maria"}`)
	if written.status != 201 || written.body["text"] != "Jane called: arrives late" ||
		written.body["author"] != "Maria (admin)" {
		t.Fatalf("%d %s", written.status, written.rawBody)
	}
	again := a.keyed("note-1", adminToken, "POST", path, `{"text":" Jane called: \u202Earrives late ","author":"Maria"}`)
	if again.rawBody != written.rawBody {
		t.Errorf("sent again: %s", again.rawBody)
	}
	page := v.post("/reservations/default/day+1/notes", url.Values{"text": {"Wants a <cot>"}})
	for _, want := range []string{"Jane called: arrives late", "Wants a &lt;cot&gt;", "Maria (admin) added a note"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q:\n%s", want, page.body)
		}
	}
	for path, want := range map[string]string{
		"/reservations":              `<span class="hidden">2 notes</span>`,
		"/reservations.csv?when=all": "Jane called: arrives late; Wants a <cot>",
	} {
		if page := v.see(path); !strings.Contains(page.body, want) {
			t.Errorf("%s lacks %q:\n%s", path, want, page.body)
		}
	}
	// what they say is nowhere but in the note
	for _, path := range []string{"/v1/audit", "/v1/reservations/default/day+1/timeline", "/v1/reservations"} {
		if body := a.get(path).rawBody; strings.Contains(body, "arrives late") {
			t.Errorf("%s tells a note: %s", path, body)
		}
	}
	id := fmt.Sprint(written.body["note_id"])
	a.tokens = append(a.tokens, token("other", "writes-another-source", true, "a b/c"))
	for _, tc := range []struct {
		name, token, method, path, body string
		status                          int
	}{
		{"an empty note", adminToken, "POST", path, `{"text":" \u200b "}`, 422},
		{"a long note", adminToken, "POST", path, `{"text":"` + strings.Repeat("x", 1001) + `"}`, 422},
		{"of nobody", adminToken, "POST", "/v1/reservations/default/nobody/staff-notes", `{"text":"x"}`, 404},
		{"read by another source", "writes-another-source", "GET", path, "", 404},
		{"written by another source", "writes-another-source", "POST", path, `{"text":"x"}`, 404},
		{"deleted by another source", "writes-another-source", "DELETE", path + "/" + id, "", 404},
		{"of another stay", adminToken, "DELETE", "/v1/reservations/default/day+3/staff-notes/" + id, "", 404},
		{"deleted", adminToken, "DELETE", path + "/" + id, "", 204},
		{"deleted twice", adminToken, "DELETE", path + "/" + id, "", 404},
	} {
		if r := a.as(tc.token, tc.method, tc.path, tc.body); r.status != tc.status {
			t.Errorf("%s: %d %s, not %d", tc.name, r.status, r.rawBody, tc.status)
		}
	}
	// the answer was lost before it was kept, and somebody else has written a note since
	lost := a.keyed("note-2", adminToken, "POST", path, `{"text":"first"}`)
	a.call("POST", path, `{"text":"second"}`)
	a.sql(`DELETE FROM idempotent_requests`)
	if again := a.keyed("note-2", adminToken, "POST", path, `{"text":"first"}`); again.rawBody != lost.rawBody ||
		again.status != 201 {
		t.Errorf("sent again after its answer was lost: %d %s, not %s", again.status, again.rawBody, lost.rawBody)
	}
	a.call("DELETE", fmt.Sprint(path, "/", lost.body["note_id"]), "")
	a.sql(`DELETE FROM idempotent_requests`)
	if again := a.keyed("note-2", adminToken, "POST", path, `{"text":"first"}`); again.status != 404 {
		t.Errorf("sent again after the note was deleted: %d %s", again.status, again.rawBody)
	}
	a.sql(`INSERT INTO stay_notes (source, reservation_id, at, author, body)
		SELECT 'default', 'day+3', now(), 'a', 'b' FROM generate_series(1, 200)`)
	if r := a.call("POST", "/v1/reservations/default/day+3/staff-notes", `{"text":"x"}`); r.status != 409 {
		t.Errorf("the 201st note: %d %s", r.status, r.rawBody)
	}
	// another guest now has the stay: the first one's erasure takes the notes from before with it, and no others
	a.call("POST", path, `{"text":"about Jane"}`)
	a.sql(`UPDATE reservations SET guest_email = 'bob@example.com' WHERE reservation_id = 'day+1'`)
	a.call("POST", path, `{"text":"about Bob"}`)
	erasing := store.Erasing{
		Address: "Jane1@example.com", Audit: store.Audit{Author: "admin", Action: "erase_guest"}, Now: time.Now(),
	}
	if _, _, err := a.store.Erasure.Erase(t.Context(), erasing); err != nil {
		t.Fatal(err)
	}
	if left := a.get(path).rawBody; strings.Contains(left, "about Jane") || !strings.Contains(left, "about Bob") {
		t.Errorf("after the erasure of the guest before: %s", left)
	}
	// once the guest's data is gone, so are the notes, and none can be written
	a.sql(`UPDATE reservations SET pruned = 1 WHERE reservation_id = 'day+1'`)
	if r := a.call("POST", path, `{"text":"x"}`); r.status != 404 {
		t.Errorf("after the guest's data: %d %s", r.status, r.rawBody)
	}
}
