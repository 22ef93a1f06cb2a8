package simulator

import (
	"testing"
	"time"
)

func (r rig) object(path string, body map[string]any, key string) map[string]any {
	r.t.Helper()
	code, out := r.call(path, body)
	object, _ := out[key].(map[string]any)
	if code != 200 || (object == nil && key != "") {
		r.t.Fatalf("%s: %d %v", path, code, out)
	}
	return object
}

// guest makes an identity with a mobile key and returns its id.
func (r rig) guest() string {
	r.t.Helper()
	identity := r.identity()
	_, u := r.user(identity, nil)
	r.object("/acs/credentials/create", map[string]any{
		"acs_user_id": u["acs_user_id"], "access_method": "mobile_key", "is_multi_phone_sync_credential": true,
	}, "acs_credential")
	return identity
}

func (r rig) shown(secret any) int { return len(r.State().Shown(secret.(string), r.Now())) }

func TestEachInstantKeyIsAnotherOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{InstantKeyLife: time.Hour})
	identity := map[string]any{"user_identity_id": r.guest()}
	first := r.object("/user_identities/generate_instant_key", identity, "instant_key")
	second := r.object("/user_identities/generate_instant_key", identity, "instant_key")
	if first["instant_key_id"] == second["instant_key_id"] || r.shown(first["instant_key_url"]) != 1 ||
		r.shown(second["instant_key_url"]) != 1 {
		t.Fatalf("two calls made %v and %v", first, second)
	}
	r.object("/instant_keys/delete", map[string]any{"instant_key_id": first["instant_key_id"]}, "")
	if code, _ := r.call("/instant_keys/get", map[string]any{"instant_key_id": first["instant_key_id"]}); code != 404 ||
		r.shown(first["instant_key_url"]) != 0 {
		t.Errorf("a deleted instant key: get answers %d and it still shows %d keys", code,
			r.shown(first["instant_key_url"]))
	}
	r.Advance(time.Hour)
	if r.shown(second["instant_key_url"]) != 0 {
		t.Error("an instant key that is over still shows keys")
	}
}

func TestWhatAnInstantKeysDeletionLeaves(t *testing.T) {
	t.Parallel()
	for keep, want := range map[bool]int{false: 404, true: 200} {
		r := newRig(t, Options{KeepSessionOfKey: keep})
		key := r.object("/user_identities/generate_instant_key", map[string]any{"user_identity_id": r.guest()},
			"instant_key")
		r.object("/instant_keys/delete", map[string]any{"instant_key_id": key["instant_key_id"]}, "")
		if code, _ := r.call("/client_sessions/get",
			map[string]any{"client_session_id": key["client_session_id"]}); code != want {
			t.Errorf("keep_session_of_key %v: the session answers %d", keep, code)
		}
	}
}

func TestGetOrCreateMovesTheEndOfASession(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	identity := r.guest()
	ask := func(key string, life time.Duration) map[string]any {
		return r.object("/client_sessions/get_or_create", map[string]any{
			"user_identity_id": identity, "user_identifier_key": key,
			"expires_at": r.Now().Add(life).Format(time.RFC3339),
		}, "client_session")
	}
	first, again, other := ask("a", time.Hour), ask("a", 2*time.Hour), ask("b", time.Hour)
	if first["client_session_id"] != again["client_session_id"] || first["token"] != again["token"] ||
		first["expires_at"] == again["expires_at"] {
		t.Errorf("asked twice: %v, then %v", first, again)
	}
	if other["client_session_id"] == first["client_session_id"] {
		t.Error("another user_identifier_key got the same session")
	}
	r.object("/client_sessions/revoke", map[string]any{"client_session_id": first["client_session_id"]}, "")
	if r.shown(first["token"]) != 0 || r.shown(other["token"]) != 1 {
		t.Error("revoking one session must end that one and no other")
	}
	if fresh := ask("a", time.Hour); fresh["client_session_id"] == first["client_session_id"] {
		t.Error("a revoked session was given out again")
	}
}

func TestPhonesHaveChildrenUntilDeactivated(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	identity := r.guest()
	phone := r.object("/phones/simulate/create_sandbox_phone", map[string]any{"user_identity_id": identity}, "phone")
	list := func() []any {
		_, out := r.call("/phones/list", map[string]any{"owner_user_identity_id": identity})
		return out["phones"].([]any)
	}
	if len(list()) != 1 || len(r.State().Credentials) != 2 {
		t.Fatalf("one phone: %v, credentials %v", list(), r.State().Credentials)
	}
	r.object("/phones/deactivate", map[string]any{"device_id": phone["device_id"]}, "")
	if len(list()) != 0 || len(r.State().Credentials) != 1 {
		t.Errorf("no phone: %v, credentials %v", list(), r.State().Credentials)
	}
}

func TestWhatAnIdentityHandedOutGoesWithIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	identity := r.guest()
	key := r.object("/user_identities/generate_instant_key", map[string]any{"user_identity_id": identity},
		"instant_key")
	other := r.identity()
	r.MergeIdentities(other, identity)
	if r.shown(key["instant_key_url"]) != 1 {
		t.Error("the instant key of a merged identity shows nothing")
	}
	r.object("/user_identities/delete", map[string]any{"user_identity_id": other}, "")
	if s := r.State(); len(s.InstantKeys)+len(s.Sessions)+len(s.Phones) != 0 {
		t.Errorf("the identity is deleted and there is still %v %v %v", s.InstantKeys, s.Sessions, s.Phones)
	}
}
