package simulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

type rig struct {
	t *testing.T
	*Simulator
}

func newRig(t *testing.T, o Options) rig {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.AddSystem("sys", "Casa", "g1", "g2")
	return rig{t, s}
}

func (r rig) call(path string, body map[string]any) (int, map[string]any) {
	r.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(raw)))
	var out map[string]any
	_ = json.Unmarshal(w.Body.Bytes(), &out)
	if w.Header().Get("seam-request-id") == "" {
		r.t.Error("no seam-request-id")
	}
	return w.Code, out
}

func (r rig) user(identity string, more map[string]any) (int, map[string]any) {
	body := map[string]any{
		"acs_system_id": "sys", "full_name": " R ", "user_identity_id": identity,
		"access_schedule": map[string]any{
			"starts_at": r.Now().Add(time.Hour).Format(time.RFC3339),
			"ends_at":   r.Now().Add(2 * time.Hour).Format(time.RFC3339),
		},
	}
	for k, v := range more {
		body[k] = v
	}
	code, out := r.call("/acs/users/create", body)
	u, _ := out["acs_user"].(map[string]any)
	if u == nil {
		return code, out
	}
	return code, u
}

func (r rig) identity() string {
	r.t.Helper()
	code, out := r.call("/user_identities/create", map[string]any{})
	if code != 200 {
		r.t.Fatal(code, out)
	}
	return out["user_identity"].(map[string]any)["user_identity_id"].(string)
}

func TestRequestsThatDoNotFitTheSchema(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	for path, body := range map[string]map[string]any{
		"/acs/users/create": {"acs_system_id": "sys"},
		"/acs/users/update": {
			"acs_user_id":     "u",
			"access_schedule": map[string]any{"starts_at": "2030-01-01T00:00:00Z"},
		},
		"/acs/users/add_to_access_group":  {"acs_user_id": 7, "acs_access_group_id": "g1"},
		"/user_identities/create":         {"email_address": "nobody"},
		"/user_identities/list":           {"limit": 0},
		"/acs/credentials/create":         {"acs_user_id": "u"},
		"/acs/users/list":                 {"search": ""},
		"/acs/access_groups/get":          {"acs_access_group_id": nil},
		"/user_identities/list_acs_users": {},
	} {
		code, out := r.call(path, body)
		e, _ := out["error"].(map[string]any)
		if code != 400 || e["type"] != "invalid_input" || e["validation_errors"] == nil || out["ok"] != false {
			t.Errorf("%s: got %d %v", path, code, out)
		}
	}
}

func TestSubscriptionFollowsTheClock(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{SubscribeDelay: time.Minute})
	_, u := r.user(r.identity(), nil)
	subscribed := func() bool {
		_, out := r.call("/acs/users/get", map[string]any{"acs_user_id": u["acs_user_id"]})
		return out["acs_user"].(map[string]any)["salto_ks_metadata"].(map[string]any)["is_subscribed"].(bool)
	}
	for _, c := range []struct {
		by   time.Duration
		want bool
	}{{0, false}, {time.Hour + 30*time.Second, false}, {time.Minute, true}, {time.Hour, false}} {
		r.Advance(c.by)
		if got := subscribed(); got != c.want {
			t.Errorf("after another %s: subscribed %v", c.by, got)
		}
	}
}

func TestSecondUserSwitch(t *testing.T) {
	t.Parallel()
	for second, want := range map[SecondUser]struct {
		code, users, linked int
		same                bool
	}{
		Allow: {200, 2, 2, false}, Refuse: {400, 1, 1, false}, ReturnExisting: {200, 1, 1, true},
		MoveLink: {200, 2, 1, false},
	} {
		t.Run(string(second), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Options{SecondUser: second})
			i := r.identity()
			_, first := r.user(i, nil)
			code, again := r.user(i, map[string]any{"full_name": "S"})
			linked := 0
			for _, u := range r.State().Users {
				if u.IdentityID == i {
					linked++
				}
			}
			if code != want.code || len(r.State().Users) != want.users || linked != want.linked ||
				(first["acs_user_id"] == again["acs_user_id"]) != want.same {
				t.Errorf("got %d, %d users, %d linked, %v", code, len(r.State().Users), linked, again)
			}
		})
	}
}

func TestChildrenFollowPhones(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	i := r.identity()
	_, u := r.user(i, nil)
	r.call("/phones/simulate/create_sandbox_phone", map[string]any{"user_identity_id": i})
	r.call("/acs/credentials/create", map[string]any{
		"acs_user_id": u["acs_user_id"], "access_method": "mobile_key",
		"is_multi_phone_sync_credential": true,
	})
	r.call("/phones/simulate/create_sandbox_phone", map[string]any{"user_identity_id": i})
	id := u["acs_user_id"].(string)
	if n := len(r.State().Credentials); n != 3 || len(r.State().MobileKeys(id)) != 1 {
		t.Errorf("%d credentials, want the parent and a child for each of two phones", n)
	}
	r.call("/acs/users/delete", map[string]any{"acs_user_id": id})
	if n := len(r.State().Credentials); n != 0 {
		t.Errorf("%d credentials have survived their user", n)
	}
}

func TestReadsLagAndMutationsPend(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{ReadLag: time.Minute, Pending: 2 * time.Minute})
	r.Advance(2 * time.Minute)
	i := r.identity()
	_, u := r.user(i, nil)
	get := func() (int, map[string]any) {
		return r.call("/acs/users/get", map[string]any{"acs_user_id": u["acs_user_id"]})
	}
	if code, _ := get(); code != 404 {
		t.Errorf("a read sees what was written just now: %d", code)
	}
	r.Advance(61 * time.Second)
	code, out := get()
	if code != 200 || len(out["acs_user"].(map[string]any)["pending_mutations"].([]any)) != 1 {
		t.Errorf("after the lag: %d %v", code, out)
	}
	r.Advance(time.Minute)
	if _, out := get(); len(out["acs_user"].(map[string]any)["pending_mutations"].([]any)) != 0 {
		t.Errorf("still pending: %v", out)
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{RateLimit: 2})
	codes := map[int]int{}
	for range 6 {
		code, _ := r.call("/workspaces/get", nil)
		codes[code]++
	}
	if codes[429] < 2 || codes[200] < 2 {
		t.Errorf("got %v", codes)
	}
}

func TestFaultsFireByPathCountAndCondition(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.Inject(Fault{Kind: Error500After, Path: "/user_identities/create", Contains: "wanted", Skip: 1, Count: 2})
	var got []int
	for _, key := range []string{"wanted 1", "other", "wanted 2", "wanted 3", "wanted 4"} {
		code, _ := r.call("/user_identities/create", map[string]any{"user_identity_key": key})
		got = append(got, code)
	}
	if want := []int{200, 200, 500, 500, 200}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := len(r.State().Identities); n != 5 {
		t.Errorf("%d identities: a fault after the effect has one", n)
	}
	if fired := r.Heal(); fired != 2 {
		t.Errorf("fired %d times", fired)
	}
}

func TestStateOutlivesARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state", "sim.json")
	r := newRig(t, Options{StateFile: file})
	i := r.identity()
	again, err := New(Options{StateFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.State().Identities[i]; !ok || again.State().WorkspaceID != r.State().WorkspaceID {
		t.Error("the workspace is another one")
	}
}
