package handlers_test

import (
	"net/http"
	"strings"
	"testing"
)

// Text that can't be stored is refused anywhere in a body. It is never stored in part.
func TestBodiesOfREST(t *testing.T) {
	t.Parallel()
	a := two(t)
	for name, c := range map[string]struct {
		path, body, media string
		status            int
	}{
		"NUL in a reason": {onePath + "/hold", `{"reason":"a\u0000b"}`, "application/json", 422},
		"NUL in an author": {
			onePath + "/hold", `{"reason":"x","author":"a\u0000"}`, "application/json",
			422,
		},
		"NUL in an author of a replay": {
			"/v1/events/replay", `{"source":"default","author":"\u0000"}`,
			"application/json", 422,
		},
		"NUL in an address": {
			"/v1/guests/erase", `{"guest_email":"a\u0000@example.com"}`,
			"application/json", 422,
		},
		"NUL in evidence": {
			onePath + "/gates/paid", `{"state":"open","evidence":"\u0000"}`,
			"application/json", 422,
		},
		"NUL as a name":     {onePath + "/hold", `{"reason":"x","\u0000":1}`, "application/json", 422},
		"what is not UTF-8": {onePath + "/hold", "{\"reason\":\"\xff\"}", "application/json", 422},
		"UTF-8 under another name": {
			onePath + "/release", `{"reason":"x"}`, "application/json; charset=utf-16",
			202,
		},
		"UTF-16": {
			onePath + "/release", "\xfe\xff\x00{\x00}",
			"application/json; charset=utf-16", 422,
		},
		"the same one": {
			onePath + "/reissue", `{"reason":"x"}`, `application/json; charset="UTF-8"`,
			202,
		},
		"a backslash before the digits": {onePath + "/release", `{"reason":"a\\u0000b"}`, "application/json", 202},
	} {
		t.Run(name, func(t *testing.T) {
			method := http.MethodPost
			if strings.Contains(c.path, "gates") {
				method = http.MethodPut
			}
			req, err := http.NewRequest(method, a.url+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+adminToken)
			req.Header.Set("Content-Type", c.media)
			if r := a.do(req); r.status != c.status {
				t.Errorf("%d %s, want %d", r.status, r.rawBody, c.status)
			}
		})
	}
}
