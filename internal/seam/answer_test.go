package seam_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// calls are one call for each kind of object that an answer can hold.
var calls = map[string]func(context.Context, *seam.Client) error{
	"acs_user": func(ctx context.Context, c *seam.Client) error {
		_, err := c.CreateACSUser(ctx, seam.CreateACSUser{})
		return err
	},
	"acs_credential": func(ctx context.Context, c *seam.Client) error {
		_, err := c.CreateCredential(ctx, seam.MobileKeyOf("u"))
		return err
	},
	"user_identity": func(ctx context.Context, c *seam.Client) error {
		_, err := c.CreateUserIdentity(ctx, seam.CreateUserIdentity{Key: "k"})
		return err
	},
	"acs_access_group": func(ctx context.Context, c *seam.Client) error {
		_,
			err := c.AccessGroup(ctx, "x")
		return err
	},
	"acs_system": func(ctx context.Context, c *seam.Client) error { _, err := c.System(ctx, "x"); return err },
	"workspace":  func(ctx context.Context, c *seam.Client) error { _, err := c.WorkspaceID(ctx); return err },
}

func TestAnswersWithoutTheirObject(t *testing.T) {
	t.Parallel()
	for key, call := range calls {
		for _, value := range []string{
			`null`, `{}`, `[]`, `"x"`, `{"` + key + `_id":null}`, `{"` + key + `_id":""}`,
			`{"` + key + `_id":{}}`,
		} {
			t.Run(key+" "+value, func(t *testing.T) {
				t.Parallel()
				c := serve(t, answer(200, `{"ok":true,"`+key+`":`+value+`}`))
				if err := call(context.Background(), c); seam.KindOf(err) != seam.Lost {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

func TestAnswersAboutAnotherObject(t *testing.T) {
	t.Parallel()
	body := `{"ok":true,"acs_user":{"acs_user_id":"other"},"acs_credential":{"acs_credential_id":"other"},"acs_system":{"acs_system_id":"other"},
		"acs_access_group":{"acs_access_group_id":"other"},"user_identity":{"user_identity_id":"other"}}`
	c, ctx := serve(t, answer(200, body)), context.Background()
	for name, call := range map[string]func() error{
		"user":       func() error { _, err := c.ACSUser(ctx, "u"); return err },
		"credential": func() error { _, err := c.Credential(ctx, "u"); return err },
		"system":     func() error { _, err := c.System(ctx, "u"); return err },
		"group":      func() error { _, err := c.AccessGroup(ctx, "u"); return err },
	} {
		if err := call(); seam.KindOf(err) != seam.Lost {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if merged, err := c.UserIdentity(ctx, "u"); err != nil || merged.UserIdentityID != "other" {
		t.Errorf("a merged identity is answered as the one that it was merged into: %+v, %v", merged, err)
	}
}

// TestOptionalFields has answers without the fields that Seam's OpenAPI doesn't require.
func TestOptionalFields(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, gone := range []string{
		``,
		`,"is_suspended":null,"salto_ks_metadata":null,"pending_mutations":null,"full_name":null,"access_schedule":null,"user_identity_id":null`, `,"salto_ks_metadata":{}`,
	} {
		c := serve(t, answer(200, `{"acs_users":[{"acs_user_id":"u"`+gone+`}]}`))
		users, err := c.ACSUsers(ctx, "s", "i")
		if err != nil || len(users) != 1 {
			t.Fatalf("%d users, %v", len(users), err)
		}
		if u := users[0]; u.UserIdentityID != "i" || u.IsSuspended != nil || u.InProgress() || u.BeingDeleted() ||
			u.Problem() != nil || !u.Subscribed() {
			t.Errorf("%s: got %+v", gone, u)
		}
	}
	c := serve(t, answer(200, `{"acs_credentials":[{"acs_credential_id":"c","access_method":"mobile_key"}]}`))
	if keys, err := c.Credentials(ctx, "u"); err != nil || keys[0].ACSUserID != "u" || !keys[0].IsMobileKey() ||
		keys[0].IsSurelyMobileKey() {
		t.Errorf("got %+v, %v", keys, err)
	}
}

func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"": 2 * time.Second, "0": 0, "1.5": 1500 * time.Millisecond, "1e12": 15 * time.Minute,
		"1e400": 15 * time.Minute, "Inf": 15 * time.Minute,
		"9223372036854775807": 15 * time.Minute, "NaN": 2 * time.Second, "-1": 2 * time.Second,
		"-1e400": 2 * time.Second, "soon": 2 * time.Second,
		"Fri, 31 Dec 9999 23:59:59 GMT": 15 * time.Minute, "Thu, 01 Jan 1970 00:00:00 GMT": 0,
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			var recorded seam.Call
			ctx := seam.WithRecorder(context.Background(), func(c seam.Call) { recorded = c })
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", header)
				w.WriteHeader(http.StatusTooManyRequests)
			})
			_, err := c.ACSUser(ctx, "u")
			if e, ok := recorded.Err.(*seam.Error); !ok || seam.KindOf(err) != seam.RateLimited ||
				e.RetryAfter != want {
				t.Errorf("got %v, want %s", recorded.Err, want)
			}
		})
	}
}

// TestTextsFromSeamCanBeStored has the worst texts that an error can carry: Postgres takes valid UTF-8 without NUL.
func TestTextsFromSeamCanBeStored(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 5000)
	for name, body := range map[string]string{
		"long":      fmt.Sprintf(`{"error":{"type":"%s","message":"x%s","request_id":"%s"}}`, long, long, long),
		"NUL":       `{"error":{"type":"a\u0000b","message":"a\u0000b","request_id":"\u0000"}}`,
		"not UTF-8": "{\"error\":{\"type\":\"a\xff\",\"message\":\"\xc3\",\"request_id\":\"\xe2\x82\"}}",
		"surrogate": `{"error":{"type":"a\ud800","message":"\udc00","request_id":"\ud83d"}}`,
		"guest":     `{"error":{"type":"jane@example.com","message":"x","request_id":"jane@example.com"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, body)
			})
			_, err := c.ACSUser(context.Background(), "u")
			e, ok := err.(*seam.Error)
			if !ok || e.Kind != seam.Invalid {
				t.Fatalf("got %v", err)
			}
			for what, s := range map[string]string{
				"type": e.Type, "message": e.Message, "request id": e.RequestID,
				"all": e.Error(),
			} {
				if wrong := unfit(s); wrong != "" {
					t.Errorf("%s: %s: %q", what, wrong, s)
				}
			}
		})
	}
	c := serve(t, answer(200,
		`{"acs_user":{"acs_user_id":"u","full_name":"a\u0000b \\\\u0000","errors":[{"error_code":"`+long+`\u0000"}]}}`))
	u, err := c.ACSUser(context.Background(), "u")
	if err != nil || u.FullName != "a\uFFFDb \\\\u0000" || unfit(*u.Problem()) != "" {
		t.Errorf("got %q, %q, %v", u.FullName, *u.Problem(), err)
	}
}
