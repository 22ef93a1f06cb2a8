package seam_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/staykey/staykey/internal/seam"
)

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		_ = json.NewDecoder(r.Body).Decode(&in)
		if in["acs_system_id"] != "s" || in["user_identity_id"] != "i" {
			t.Errorf("the other parameters changed between pages: %v", in)
		}
		switch in["page_cursor"] {
		case "":
			_, _ = io.WriteString(w,
				`{"acs_users":[{"acs_user_id":"a"}],"pagination":{"has_next_page":true,"next_page_cursor":"2"}}`)
		case "2":
			_, _ = io.WriteString(w,
				`{"acs_users":[{"acs_user_id":"b"}],"pagination":{"has_next_page":false,"next_page_cursor":null}}`)
		}
	})
	users, err := c.ACSUsers(context.Background(), "s", "i")
	if err != nil || len(users) != 2 || users[1].ACSUserID != "b" {
		t.Errorf("got %v %v", users, err)
	}
}

func TestListsThatAreNotComplete(t *testing.T) {
	t.Parallel()
	const items = `{"acs_users":[{"acs_user_id":"a"}],`
	full := `{"acs_users":[` + strings.Repeat(`{"acs_user_id":"a"},`, 499) + `{"acs_user_id":"a"}]}`
	for name, c := range map[string]struct {
		body     string
		complete bool
		reason   string
	}{
		"no pagination, few items": {
			`{"acs_users":[{"acs_user_id":"a"}]}`, true,
			"what is far from a full page needs no pagination",
		},
		"no pagination, full page": {full, false, "more may follow"},
		"null pagination":          {items + `"pagination":null}`, true, "null is as good as absent"},
		"another form":             {items + `"pagination":[]}`, false, "it can't be read"},
		"the last page": {
			items + `"pagination":{"has_next_page":false,"next_page_cursor":"x"}}`, true,
			"Seam says that it is the last",
		},
		"no cursor": {items + `"pagination":{"has_next_page":true}}`, false, "the rest can't be read"},
		"null cursor": {
			items + `"pagination":{"has_next_page":true,"next_page_cursor":null}}`, false,
			"the rest can't be read",
		},
		"empty cursor": {
			items + `"pagination":{"has_next_page":true,"next_page_cursor":""}}`, false,
			"the rest can't be read",
		},
		"the same cursor again": {
			items + `"pagination":{"has_next_page":true,"next_page_cursor":"x"}}`, false,
			"it would never end",
		},
		"a cursor alone, forever": {
			items + `"pagination":{"next_page_cursor":"x"}}`, false,
			"a cursor means that more pages follow",
		},
		"null for a list":        {`{"acs_users":null}`, false, "null is not an empty list"},
		"no list":                {`{"ok":true}`, false, "it may be anything"},
		"an object for a list":   {`{"acs_users":{}}`, false, "it may be anything"},
		"null for an item":       {`{"acs_users":[null]}`, false, "it may be any user"},
		"an item without its id": {`{"acs_users":[{"full_name":"R"}]}`, false, "it may be any user"},
		"an item with a null id": {`{"acs_users":[{"acs_user_id":null}]}`, false, "it may be any user"},
		"an item with a number":  {`{"acs_users":[{"acs_user_id":7}]}`, false, "it may be any user"},
		"an empty list":          {`{"acs_users":[]}`, true, "there are none"},
		"an empty list with a next": {
			`{"acs_users":[],"pagination":{"has_next_page":true}}`, false,
			"the rest can't be read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, answer(200, c.body))
			users, err := client.ACSUsers(context.Background(), "s", "i")
			if complete := err == nil; complete != c.complete ||
				(err != nil && (seam.KindOf(err) != seam.Lost || users != nil)) {
				t.Errorf("%d users, %v: %s", len(users), err, c.reason)
			}
		})
	}
}

// TestCursorsInACircle has a list whose pages lead back to an earlier one.
func TestCursorsInACircle(t *testing.T) {
	t.Parallel()
	var pages atomic.Int64
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n := pages.Add(1)
		_, _ = fmt.Fprintf(w, `{"acs_users":[],"pagination":{"has_next_page":%t,"next_page_cursor":"%d"}}`,
			n < 100, n%5)
	})
	if _, err := c.ACSUsers(context.Background(), "s", "i"); seam.KindOf(err) != seam.Lost || pages.Load() != 6 {
		t.Errorf("%d pages, %v", pages.Load(), err)
	}
}

// TestListsWithoutPages has endpoints that are documented to answer everything at once.
func TestListsWithoutPages(t *testing.T) {
	t.Parallel()
	body := `{"acs_access_groups":[` + strings.Repeat(`{"acs_access_group_id":"g"},`, 900) +
		`{"acs_access_group_id":"last"}]}`
	groups, err := serve(t, answer(200, body)).AccessGroups(context.Background(), "")
	if err != nil || len(groups) != 901 {
		t.Errorf("%d groups, %v", len(groups), err)
	}
	for _, bad := range []string{`{"acs_access_groups":null}`, `{"ok":true}`, `{"acs_access_groups":[{}]}`} {
		if _, err := serve(t, answer(200, bad)).AccessGroups(context.Background(), "u"); seam.KindOf(err) != seam.Lost {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
