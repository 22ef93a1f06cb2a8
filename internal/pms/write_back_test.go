package pms_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

func writeBackOf(t *testing.T, preset, field string) *pms.WriteBackSettings {
	t.Helper()
	p, err := pms.LoadWriteBack(preset)
	if err != nil {
		t.Fatal(err)
	}
	set := &pms.WriteBackSettings{
		Preset: p, Field: field, Account: pms.Account{AccountManifest: p.Account},
		With: map[string]string{},
	}
	for _, name := range p.With {
		set.With[name] = "1"
	}
	if field == "" {
		set.Field = p.Field
	}
	return set
}

// Every preset says where its facts come from, has a page, and survives answers of any form: what it can't read it
// doesn't know.
func TestWriteBackPresets(t *testing.T) {
	t.Parallel()
	answers := []string{
		`null`, `{}`, `[]`, `"text"`, `[[1]]`, `{"result": null}`,
		`{"result": {"customFieldValues": [null, {"customFieldId": null}]}}`, `{"data": {"customFields": {}}}`,
		`{"items": [1, null]}`, `{"customData": [null, 1, {"customDataField": 1, "text": []}]}`,
		`{"ServiceOrderNotes": [null, {"Text": null}]}`, `{"data": [{"infoItems": [null, 1, {"code": 1}]}]}`,
		`{"customFields": [null, {"fieldId": 1}]}`, `{"id": 1, "comment": {"a": 1}}`, `{"notes": []}`,
	}
	for _, name := range pms.WriteBackPresets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, field := range []string{"", "custom:17", "17"} {
				set := writeBackOf(t, name, field)
				if _, known := set.Preset.Rules(set.Field); !known {
					continue
				}
				if set.Preset.About == "" {
					t.Error("it doesn't say where its facts come from")
				}
				routes := set.Preset.Routes
				if len(routes) == 0 {
					routes = []string{""}
				}
				for call := range set.Preset.Calls {
					for _, text := range answers {
						var answer any
						_ = json.Unmarshal([]byte(text), &answer)
						if _, _, err := set.Find(context.Background(), pms.WriteBackStep{
							ID: "4101", Route: routes[0],
							Call: call, Answer: answer,
						}); err != nil {
							t.Errorf("%s of %s: %v", call, text, err)
						}
					}
				}
				for _, route := range routes {
					planned, err := set.Write(context.Background(), pms.WriteBackStep{
						ID: "4101", Route: route,
						Text: "a",
					})
					if err != nil || !strings.HasPrefix(planned.Address, set.Account.URL+"/") {
						t.Errorf("write: %+v %v", planned, err)
					}
				}
			}
			docs, err := os.ReadFile(filepath.Join("..", "..", "docs", "write-back.md"))
			if err != nil || !strings.Contains(string(docs), "| `"+name+"` |") {
				t.Errorf("docs/write-back.md has no row for it: %v", err)
			}
		})
	}
}

// An id leads nowhere but to its own booking.
func TestWriteBackAddresses(t *testing.T) {
	t.Parallel()
	set := writeBackOf(t, "hospitable", "")
	planned, err := set.Write(context.Background(), pms.WriteBackStep{ID: "a/../b?c", Text: "x"})
	if err != nil || planned.Address != "https://public.api.hospitable.com/v2/reservations/a%2F..%2Fb%3Fc/enrichment/smartlock_code" {
		t.Errorf("%+v %v", planned, err)
	}
	for _, id := range []string{"", "..", "."} {
		if planned, err := set.Write(context.Background(), pms.WriteBackStep{ID: id, Text: "x"}); err == nil {
			t.Errorf("the id %q leads to %s", id, planned.Address)
		}
	}
}

func TestWrongWriteBackPresets(t *testing.T) {
	t.Parallel()
	const account = `"account": {"url": "https://api.example.com", "auth": "bearer"}`
	for program, want := range map[string]string{
		`.`: "calls: at least one is needed",
		`module {"quality": "sure", ` + account +
			`}; .`: `quality: "sure" must be`,
		`module {"quality": "derived", ` + strings.Replace(account, "https", "http", 1) +
			`}; .`: "account.url: must begin with https://",
		`module {"quality": "derived", "account": {"url": "https://example.com", "auth": "bearer", "limits": [{"requests": 0, "seconds": 1}]}}; .`: "limits[0]",
		`module {"quality": "derived", ` + account +
			`}; .`: "fields: at least one is needed",
		`module {"quality": "derived", ` + account +
			`, "fields": {"*": {}}, "calls": {"a": {"path": "a"}}}; .`: "calls.a.path: must begin with a slash",
		`module {"quality": "derived", ` + account +
			`, "fields": {"*": {}}, "calls": {"a": {"path": "/a", "method": "TRACE"}}}; .`: `calls.a.method: "TRACE"`,
		`module {"quality": "derived", ` + account +
			`, "fields": {"*": {}}, "calls": {"a": {"path": "/a"}}, "on_404": "b"}; .`: "on_404",
		`module {"quality": "derived", ` + account +
			`, "fields": {"*": {}}, "calls": {"a": {"path": "/a"}}}; .do | nothing`: "not defined",
		`module {"quality": "derived", ` + account +
			`, "fields": {"*": {}}, "calls": {"a": {"path": "/a"}}}; import "b" as b; .`: "",
	} {
		if _, err := pms.ParseWriteBack("own.jq", program); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", program, err, want)
		}
	}
	// What a program answers is checked where it runs.
	for answer, want := range map[string]string{
		`{call: "b"}`: `the undeclared call "b"`, `1`: "must return an object",
		`{call: "a"}, {call: "a"}`: "2 values", `empty`: "no call", `error("no")`: "no",
	} {
		p, err := pms.ParseWriteBack("own.jq", `module {"quality": "derived", `+account+
			`, "fields": {"*": {}}, "calls": {"a": {"path": "/a"}}}; `+answer)
		if err != nil {
			t.Fatal(err)
		}
		set := &pms.WriteBackSettings{Preset: p, Field: "x", Account: pms.Account{AccountManifest: p.Account}}
		if _, err := set.Write(context.Background(), pms.WriteBackStep{ID: "1", Text: "a"}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", answer, err, want)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	reservation := map[string]any{
		"guest_name": "Jane",
		"guest_link": map[string]any{"url": "https://keys.example.com/k/x"},
	}
	for program, want := range map[string]string{
		`.guest_link.url`: "https://keys.example.com/k/x",
		`" Dear \(.guest_name): \(.guest_link.url) "`: "Dear Jane: https://keys.example.com/k/x",
		`empty`: "", `null`: "",
		`.guest_link`: "error", `1, 2`: "error", `"a" * 5000`: "error", `"a\u0000"`: "error", `.guest_name.x`: "error",
		`def f: f; f`: "error",
	} {
		text, err := pms.ParseText(program)
		if err != nil {
			t.Fatal(err)
		}
		got, err := text.Of(context.Background(), reservation)
		if err != nil {
			got = "error"
			if strings.Contains(err.Error(), "Jane") {
				t.Errorf("%s: the error quotes the guest: %v", program, err)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%v)", program, got, want, err)
		}
	}
}

func TestTokenAddresses(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]string{
		"accessTokens":                 "https://api.example.com/v1/accessTokens",
		"../oauth2/token":              "https://api.example.com/oauth2/token",
		"https://id.example.com/token": "https://id.example.com/token", "": "",
	} {
		if got := (pms.AccountManifest{
			URL:      "https://api.example.com/v1",
			TokenURL: token,
		}).TokenAddress(); got != want {
			t.Errorf("%s: %s, want %s", token, got, want)
		}
	}
}
