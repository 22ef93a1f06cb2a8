package simulator

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// object digs a value out of an answer.
func dig(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func TestLagsAreSeparate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options          Options
		get, list, write int // statuses, or the number listed
	}{
		"none":  {Options{}, 200, 1, 200},
		"get":   {Options{GetLag: time.Minute}, 404, 1, 200},
		"list":  {Options{ListLag: time.Minute}, 200, 0, 200},
		"write": {Options{WriteLag: time.Minute}, 200, 1, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Options{})
			identity := r.identity()
			r.Configure(func(o *Options) { *o = c.options })
			r.Advance(2 * time.Minute)
			_, u := r.user(identity, nil)
			check := func(when string, get, list, write int) {
				t.Helper()
				id := map[string]any{"acs_user_id": u["acs_user_id"]}
				if code, _ := r.call("/acs/users/get", id); code != get {
					t.Errorf("%s: get %d, want %d", when, code, get)
				}
				if _, out := r.call("/acs/users/list",
					map[string]any{"user_identity_id": identity}); len(out["acs_users"].([]any)) != list {
					t.Errorf("%s: list %v, want %d", when, out, list)
				}
				if code, _ := r.call("/acs/users/add_to_access_group", map[string]any{
					"acs_user_id":         u["acs_user_id"],
					"acs_access_group_id": "g1",
				}); code != write {
					t.Errorf("%s: write %d, want %d", when, code, write)
				}
			}
			check("at once", c.get, c.list, c.write)
			r.Advance(2 * time.Minute)
			check("later", 200, 1, 200)
			if code, out := r.call("/acs/users/delete", map[string]any{"acs_user_id": u["acs_user_id"]}); code != 200 {
				t.Fatal(code, out)
			}
			// A write that doesn't see the delete yet is accepted, and changes nothing.
			want := map[bool]int{true: 200, false: 404}[name == "write"]
			if code, _ := r.call("/acs/users/delete", map[string]any{"acs_user_id": u["acs_user_id"]}); code != want {
				t.Errorf("deleted again: %d, want %d", code, want)
			}
			if len(r.State().Users) != 0 {
				t.Error("it is back")
			}
		})
	}
}

func TestUnknownIdentitySwitch(t *testing.T) {
	t.Parallel()
	for position, want := range map[UnknownIdentity][2]int{
		"": {200, 0}, Empty: {200, 0}, NotFound: {404, 0},
		Everything: {200, 1},
	} {
		r := newRig(t, Options{UnknownIdentity: position})
		r.user(r.identity(), nil)
		code, out := r.call("/acs/users/list", map[string]any{"user_identity_id": "nobody"})
		list, _ := out["acs_users"].([]any)
		if code != want[0] || len(list) != want[1] {
			t.Errorf("%q: %d %v", position, code, out)
		}
	}
}

func TestMergedIdentities(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	one, other := r.identity(), r.identity()
	_, u := r.user(one, nil)
	r.MergeIdentities(other, one)
	_, out := r.call("/user_identities/get", map[string]any{"user_identity_id": one})
	if dig(out, "user_identity", "user_identity_id") != other {
		t.Errorf("got %v, want the survivor", out)
	}
	_, out = r.call("/acs/users/list", map[string]any{"user_identity_id": one})
	if list := out["acs_users"].([]any); len(list) != 1 || dig(list[0], "user_identity_id") != other ||
		dig(list[0], "acs_user_id") != u["acs_user_id"] {
		t.Errorf("got %v", out)
	}
	r.EditIdentity(other, "bob@example.com")
	_, out = r.call("/user_identities/list", map[string]any{"search": "bob@"})
	if list := out["user_identities"].([]any); len(list) != 1 {
		t.Errorf("got %v", out)
	}
}

func TestDeletesThatHang(t *testing.T) {
	t.Parallel()
	for _, blocks := range []bool{true, false} {
		r := newRig(t, Options{SecondUser: Refuse, DeleteHang: time.Hour, DeletingBlocks: blocks})
		identity := r.identity()
		_, u := r.user(identity, nil)
		r.call("/acs/users/delete", map[string]any{"acs_user_id": u["acs_user_id"]})
		if code, _ := r.user(identity, map[string]any{"full_name": "S"}); (code == 400) != blocks {
			t.Errorf("a create while the delete hangs: %d, blocks %v", code, blocks)
		}
		r.Advance(2 * time.Hour)
		if code, _ := r.user(identity, map[string]any{"full_name": "T"}); code != map[bool]int{
			true:  200,
			false: 400,
		}[blocks] {
			t.Errorf("afterwards: %d", code)
		}
	}
}

func TestSchedulesStoredOtherwise(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{Rounding: time.Hour, TimesWithOffset: true})
	_, u := r.user(r.identity(), nil)
	starts, _ := dig(u, "access_schedule", "starts_at").(string)
	at, err := time.Parse(time.RFC3339, starts)
	if err != nil || !strings.HasSuffix(starts, "+02:00") || !at.UTC().Truncate(time.Hour).Equal(at.UTC()) {
		t.Errorf("got %v", u)
	}
}

func TestHiddenObjects(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	_, u := r.user(r.identity(), map[string]any{"acs_access_group_ids": []any{"g1"}})
	r.Configure(func(o *Options) { o.Hidden = []string{"g1", u["acs_user_id"].(string)} })
	for path, key := range map[string]string{
		"/acs/users/list":         "acs_users",
		"/acs/access_groups/list": "acs_access_groups",
	} {
		_, out := r.call(path, map[string]any{})
		if strings.Contains(toJSON(t, out[key]), r.options.Hidden[0]+`"`) ||
			strings.Contains(toJSON(t, out[key]), r.options.Hidden[1]) {
			t.Errorf("%s shows what is hidden: %v", path, out)
		}
	}
	if code, _ := r.call("/acs/access_groups/get", map[string]any{"acs_access_group_id": "g1"}); code != 200 {
		t.Errorf("hidden from a get: %d", code)
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestFieldsLeftOutNullAndUnknown(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	_, u := r.user(r.identity(), nil)
	get := func(o Options) map[string]any {
		r.Configure(func(present *Options) { *present = o })
		_, out := r.call("/acs/users/get", map[string]any{"acs_user_id": u["acs_user_id"]})
		return out["acs_user"].(map[string]any)
	}
	for _, name := range OptionalFields("acs_user") {
		if _, has := get(Options{Omit: []string{"optional"}})[name]; has {
			t.Errorf("%s is not left out", name)
		}
		if v, had := get(Options{Null: []string{"optional"}})[name]; v != nil || (!had && u[name] != nil) {
			t.Errorf("%s is %v, want null", name, v)
		}
	}
	if got := get(Options{Omit: []string{"acs_user.full_name", "acs_system.name"}}); got["full_name"] != nil ||
		got["acs_user_id"] == nil {
		t.Errorf("got %v", got)
	}
	if got := get(Options{Unknown: true}); got["external_type"] != "a_value_that_no_document_has" ||
		got["a_field_that_no_document_has"] == nil {
		t.Errorf("got %v", got)
	}
}

func TestDocumentedCodes(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"acs_user", "errors", "deleted_externally"},
		{"acs_user", "warnings", "being_deleted"},
		{"acs_user", "pending_mutations", "deferring_creation"},
		{"acs_system", "errors", "provider_service_unavailable"},
		{"acs_credential", "warnings", "needs_to_be_reissued"},
	} {
		if !slices.Contains(Codes(c[0], c[1]), c[2]) {
			t.Errorf("%v: %v", c, Codes(c[0], c[1]))
		}
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for position, want := range map[ErrorText]string{
		Long: "and so on", NonASCII: "é", NUL: "\x00", HTML: "<html>",
		Guest: "jane@example.com",
	} {
		r := newRig(t, Options{ErrorText: position})
		if _, out := r.call("/acs/users/get", map[string]any{"acs_user_id": "none"}); !strings.Contains(dig(out,
			"error", "message").(string), want) {
			t.Errorf("%s: %v", position, out)
		}
	}
}

// TestFaults has each fault answer as it says, and leave the effect that it says.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  Fault
		status int
		has    string
		effect bool
	}{
		"403": {Fault{Kind: Forbidden}, 403, `"forbidden"`, false},
		"409": {Fault{Kind: Conflict}, 409, `"conflict"`, false},
		"422": {Fault{Kind: Unprocessable}, 422, `"unprocessable_entity"`, false},
		"an odd type": {
			Fault{Kind: Refused, Type: "something_new", Message: "because"},
			400, `"something_new"`,
			false,
		},
		"a wrong 404":   {Fault{Kind: WrongNotFound}, 404, `"acs_user_not_found"`, false},
		"a page":        {Fault{Kind: Page, Status: 403}, 403, "<html>", false},
		"absurd 429":    {Fault{Kind: Limited, RetryAfterText: "1e400"}, 429, "too_many", false},
		"no object":     {Fault{Kind: NoObject}, 200, `"ok":true`, true},
		"null object":   {Fault{Kind: NullObject}, 200, `"acs_user":null`, true},
		"empty object":  {Fault{Kind: EmptyObject}, 200, `"acs_user":{}`, true},
		"no optional":   {Fault{Kind: NoOptional}, 200, `"acs_user_id"`, true},
		"null optional": {Fault{Kind: NullOptional}, 200, `"full_name":null`, true},
		"unfamiliar":    {Fault{Kind: Unfamiliar}, 200, `"a_field_that_no_document_has"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Options{})
			body, err := json.Marshal(map[string]any{"acs_system_id": "sys", "full_name": "R"})
			if err != nil {
				t.Fatal(err)
			}
			r.Inject(c.fault)
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/acs/users/create", bytes.NewReader(body)))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.has) ||
				(len(r.State().Users) == 1) != c.effect {
				t.Errorf("%d %s, %d users", w.Code, w.Body, len(r.State().Users))
			}
		})
	}
}

func TestListsThatLie(t *testing.T) {
	t.Parallel()
	for kind, want := range map[FaultKind]string{
		NoCursor: `"has_next_page":true,"next_page_cursor":null`, SameCursor: `"next_page_cursor":"the same"`,
		NullObject: `"acs_users":null`, HalfList: `"has_next_page":false`,
	} {
		r := newRig(t, Options{})
		r.user(r.identity(), nil)
		r.user(r.identity(), nil)
		r.Inject(Fault{Kind: kind})
		_, out := r.call("/acs/users/list", map[string]any{})
		if got := toJSON(t, out); !strings.Contains(got, want) {
			t.Errorf("%s: %s", kind, got)
		}
	}
}

func TestLateCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	server, err := Serve(r.Simulator, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	r.Inject(Fault{Kind: Late, Delay: time.Hour})
	resp, err := http.Post(server.URL+"/acs/users/create", "application/json",
		strings.NewReader(`{"acs_system_id": "sys", "full_name": "R"}`))
	if err == nil {
		_ = resp.Body.Close()
		t.Error("it was answered")
	}
	r.Heal()
	if len(r.State().Users) != 0 {
		t.Error("it came at once")
	}
	r.Advance(2 * time.Hour)
	if len(r.State().Users) != 1 {
		t.Error("it never came")
	}
}

// TestServedOverTLS has connections fall silent, on their own and all at once.
func TestServedOverTLS(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	server, err := Serve(r.Simulator, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	connect := func() *http.Client {
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
			RootCAs:    server.RootCAs,
			MinVersion: tls.VersionTLS12,
		}}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	client := connect()
	call := func(timeout time.Duration) (string, error) {
		client.Timeout = timeout
		resp, err := client.Post(server.URL+"/workspaces/get", "application/json", strings.NewReader("{}"))
		if err != nil {
			return "", err
		}
		defer func() { _ = resp.Body.Close() }()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.Proto, err
	}
	isTimeout := func(err error) bool {
		e := new(url.Error)
		return errors.As(err, &e) && e.Timeout() || errors.Is(err, os.ErrDeadlineExceeded)
	}
	for range 2 {
		if proto, err := call(time.Minute); err != nil || proto != "HTTP/2.0" {
			t.Fatalf("%s, %v", proto, err)
		}
		if n := server.Silence(); n == 0 {
			t.Error("no connection is open")
		}
		if _, err := call(100 * time.Millisecond); !isTimeout(err) {
			t.Errorf("a silent connection answered: %v", err)
		}
		client = connect()
	}
	if _, err := call(time.Minute); err != nil {
		t.Fatal(err)
	}
	r.Inject(Fault{Kind: Silent})
	if _, err := call(100 * time.Millisecond); !isTimeout(err) {
		t.Errorf("got %v", err)
	}
}

// TestSwitchesOverHTTP sets options and faults, and changes the workspace, by the control interface.
func TestSwitchesOverHTTP(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	_, u := r.user(r.identity(), nil)
	id := u["acs_user_id"].(string)
	for _, c := range []struct {
		path string
		body map[string]any
		code int
	}{
		{"options", map[string]any{
			"omit": []any{"optional"}, "list_lag": 1000, "unknown_identity": "not_found",
			"error_text": "nul",
		}, 200},
		{"options", map[string]any{"ommit": 1}, 400},
		{"faults", map[string]any{"kind": "not_found", "path": "/acs/users/get"}, 200},
		{
			"change",
			map[string]any{"acs_users": map[string]any{id: map[string]any{"error_code": "deleted_externally"}}},
			200,
		},
		{"change", map[string]any{"acs_users": 7}, 400},
		{"nothing", map[string]any{}, 404},
	} {
		if code, out := r.control("/_simulator/"+c.path, c.body); code != c.code {
			t.Errorf("%s %v: %d %v", c.path, c.body, code, out)
		}
	}
	if o := r.Options(); o.ListLag != 1000 || o.UnknownIdentity != NotFound || o.ErrorText != NUL ||
		!slices.Equal(o.Omit, []string{"optional"}) {
		t.Errorf("got %+v", o)
	}
	if r.State().Users[id].ErrorCode != "deleted_externally" || r.State().Users[id].FullName != "R" {
		t.Errorf("got %+v", r.State().Users[id])
	}
	if code, _ := r.call("/acs/users/get", map[string]any{"acs_user_id": id}); code != 404 {
		t.Errorf("the fault: %d", code)
	}
	if code, _ := r.control("/_simulator/change", map[string]any{"acs_users": map[string]any{id: nil}}); code != 200 ||
		len(r.State().Users) != 0 {
		t.Errorf("deleted: %d, %d users", code, len(r.State().Users))
	}
}

// control is a call of the control interface, whose answers have no request id.
func (r rig) control(path string, body map[string]any) (int, string) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(toJSON(r.t, body))))
	return w.Code, w.Body.String()
}

func TestNamesAreStoredOtherwise(t *testing.T) {
	t.Parallel()
	for style, want := range map[StoredName]string{
		AsSent: "Re\u0301servation  <1> of Jane", CutName: "Re\u0301servation  <1> of", UpperCase: "RE\u0301SERVATION  <1> OF JANE",
		LowerCase:    "re\u0301servation  <1> of jane",
		SingleSpaces: "Re\u0301servation <1> of Jane", ComposedName: "R\u00e9servation  <1> of Jane",
		EscapedName: "Re\u0301servation  &lt;1&gt; of Jane",
	} {
		t.Run(string(style), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Options{StoredName: style})
			_, u := r.user(r.identity(), map[string]any{"full_name": "Re\u0301servation  <1> of Jane"})
			if u["full_name"] != want || u["display_name"] != want {
				t.Errorf("got %q, want %q", u["full_name"], want)
			}
			_, out := r.call("/acs/users/list", map[string]any{"search": want})
			if n := len(out["acs_users"].([]any)); n != 1 {
				t.Errorf("a search for the stored name finds %d", n)
			}
		})
	}
}

func TestAClockThatIsAhead(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	identity := r.identity()
	at := func() time.Time {
		_, out := r.call("/user_identities/get", map[string]any{"user_identity_id": identity})
		created, err := time.Parse(time.RFC3339Nano, dig(out, "user_identity", "created_at").(string))
		if err != nil {
			t.Fatal(err)
		}
		return created
	}
	before := at()
	r.Configure(func(o *Options) { o.ClockAhead = -3 * time.Minute })
	if got := before.Sub(at()); got != 3*time.Minute {
		t.Errorf("created %s earlier, want 3m", got)
	}
}
