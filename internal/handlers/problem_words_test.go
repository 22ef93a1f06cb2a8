package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What huma refuses is described in the words of this service, which the page uses, too.
func TestRefusalsHaveOneLanguage(t *testing.T) {
	t.Parallel()
	a := two(t)
	for _, c := range []struct{ reason, method, path, body, field, message string }{
		{
			"a value that isn't one of the enum", "GET", "/v1/reservations?key_status=lost", "",
			"query.key_status", `must be one of "`,
		},
		{"a number above the maximum", "GET", "/v1/reservations?limit=501", "", "query.limit", "must be at most 500"},
		{
			"a text that is too long", "POST", "/v1/reservations/default/3333122-433/hold",
			`{"reason": "` + strings.Repeat("x", 501) + `"}`, "reason", "must have at most 500 characters",
		},
		{
			"a property of another name", "POST", "/v1/reservations/default/3333122-433/hold",
			`{"reason": "x", "colour": "red"}`, "colour", "unknown field",
		},
		{"a missing property", "POST", "/v1/reservations/default/3333122-433/hold", `{}`, "reason", "is required"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			r := a.call(c.method, c.path, c.body)
			r.mustBeProblem(t, http.StatusUnprocessableEntity)
			if r.body["detail"] != "the request is invalid" {
				t.Errorf("the detail is %v", r.body["detail"])
			}
			wrong, _ := r.body["errors"].([]any)
			if len(wrong) != 1 {
				t.Fatalf("errors: %v", r.body["errors"])
			}
			one, _ := wrong[0].(map[string]any)
			if one["field"] != c.field || !strings.HasPrefix(fmt.Sprint(one["message"]), c.message) {
				t.Errorf("got %v, want %s: %s", one, c.field, c.message)
			}
		})
	}
}
