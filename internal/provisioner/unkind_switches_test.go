package provisioner_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
)

// unkindPaths are the calls that may fail.
var unkindPaths = []string{
	"", seam.PathIdentityCreate, seam.PathUserCreate, seam.PathUserCreate, seam.PathCredentialCreate,
	seam.PathUserUpdate, seam.PathUserDelete,
	seam.PathGroupAdd, seam.PathGroupRemove, seam.PathIdentityAddUser, seam.PathUserUnsuspend,
	seam.PathCredentialDelete, seam.PathIdentityDelete,
	"/acs/users/get", "/acs/users/get", "/acs/users/list", "/acs/credentials/list", "/acs/credentials/get",
	"/acs/access_groups/list",
	"/acs/access_groups/get", "/user_identities/get", "/user_identities/list", "/acs/systems/list", "/acs/systems/get",
	"/workspaces/get",
}

// unkindKinds are the faults. Those that hang do so for [unkindHang].
var unkindKinds = slices.Concat(simulator.Alterations, []simulator.FaultKind{
	simulator.LostBefore, simulator.LostAfter, simulator.LostAfter, simulator.Late, simulator.Late,
	simulator.Error500Before, simulator.Error500After,
	simulator.Error503Before, simulator.Error503After, simulator.Garbage, simulator.Reset, simulator.Limited,
	simulator.Refused, simulator.NotAuthorized,
	simulator.Forbidden, simulator.Conflict, simulator.Unprocessable, simulator.WrongNotFound, simulator.WrongNotFound,
	simulator.NoEndpoint, simulator.Page, simulator.RefusedAfter, simulator.EmptyObject, simulator.HalfList,
	simulator.Hang, simulator.SlowDrip, simulator.Silent,
})

// mostLists is how many incomplete lists there are in a row, at most.
const mostLists = 6

// unkindHang is how long a fault that hangs keeps a call waiting, in real time.
const unkindHang = 20 * time.Millisecond

// creates are the calls that may be refused although they take effect.
var creates = []string{seam.PathIdentityCreate, seam.PathUserCreate, seam.PathCredentialCreate}

func (w *unkind) breakCalls() {
	f := simulator.Fault{
		Kind: one(w, unkindKinds...), Path: one(w, unkindPaths...), Skip: w.random.IntN(3), Count: 1 + w.random.IntN(2),
		Delay: time.Duration(w.random.Int64N(int64(longestDelay))), Status: one(w, 400, 403, 404, 502, 504),
		Type:           one(w, "", "", "something_new", "acs_system_disconnected", "user_identity_already_exists"),
		RetryAfterText: one(w, "", "0.01", "5", "1e400", "-1", "soon"),
	}
	switch f.Kind {
	case simulator.WrongNotFound:
		f.Type = ""
	case simulator.RefusedAfter:
		f.Path, f.Status, f.Type = one(w, creates...), one(w, 400, 403, 409, 422), one(w, "", "something_new")
	case simulator.EmptyObject, simulator.HalfList:
		f.Count = 1
		if w.shortLists {
			f.Count, f.Spares = 1+w.random.IntN(mostLists), w.mustShow
		}
	}
	if w.shortLists && f.Kind == simulator.WrongNotFound {
		f.Kind = simulator.HalfList // gets and lists that agree twice that an object is gone show nothing else
		f.Path, f.Count, f.Spares = one(w, listPaths...), 1+w.random.IntN(mostLists), w.mustShow
	}
	w.tell("fault %s %s on %q, after %d, %d times", f.Kind, f.Type, f.Path, f.Skip, f.Count)
	w.sim.Inject(f)
}

// listPaths are the lists of what staykey makes.
var listPaths = []string{"/acs/users/list", "/acs/credentials/list", "/acs/access_groups/list", "/user_identities/list"}

// mustShow reports whether a list must show an item. Any number of lists in a row may leave out what staykey has the id
// of: it asks for that alone. What a create made whose answer was lost only lists can show: one of them may leave it
// out, and two that claim to be complete show nothing else than that it was never made.
func (w *unkind) mustShow(item map[string]any) bool {
	var id string
	for _, name := range []string{"acs_credential_id", "acs_user_id", "user_identity_id"} {
		if is, ok := item[name].(string); ok && id == "" {
			id = is
		}
	}
	if id == "" {
		return false // an access group, or an access system
	}
	var known bool
	if err := w.store.Pool().QueryRow(context.Background(), `
		SELECT EXISTS (SELECT FROM acs_users WHERE acs_user_id = $1 OR acs_credential_id = $1)
			OR EXISTS (SELECT FROM user_identities WHERE user_identity_id = $1)
			OR EXISTS (SELECT FROM backup_codes WHERE acs_credential_id = $1)`, id).Scan(&known); err != nil {
		return true
	}
	if known {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.leftOut[id]
	w.leftOut[id] = true
	return before
}

// unkindSwitches turn one switch of Seam each.
var unkindSwitches = []struct {
	name string
	turn func(*unkind, *simulator.Options)
}{
	{"deleting_blocks", func(w *unkind, o *simulator.Options) { o.DeletingBlocks = w.chance(50) }},
	{"unknown_identity", func(w *unkind, o *simulator.Options) {
		o.UnknownIdentity = one(w, simulator.Empty, simulator.NotFound, simulator.Everything)
	}},
	{"get_lag", func(w *unkind, o *simulator.Options) { o.GetLag = one(w, 0, time.Second, longestLag) }},
	{"list_lag", func(w *unkind, o *simulator.Options) { o.ListLag = one(w, 0, time.Second, longestLag) }},
	{"write_lag", func(w *unkind, o *simulator.Options) { o.WriteLag = one(w, 0, 0, time.Second, 3*time.Second) }},
	{"uneven_lag", func(w *unkind, o *simulator.Options) { o.UnevenLag = w.chance(50) }},
	{"hidden", func(w *unkind, o *simulator.Options) { o.Hidden = w.hidden }},
	{"omit", func(w *unkind, o *simulator.Options) { o.Omit = one(w, nil, []string{"optional"}, namelessAnswers) }},
	{"null", func(w *unkind, o *simulator.Options) { o.Null = one(w, nil, []string{"optional"}) }},
	{"ragged", func(w *unkind, o *simulator.Options) { o.Ragged = one(w, 100, 50, 10) }},
	{"unknown", func(w *unkind, o *simulator.Options) { o.Unknown = w.chance(50) }},
	{"error_text", func(w *unkind, o *simulator.Options) {
		o.ErrorText = one(w, simulator.Plain, simulator.Long, simulator.NonASCII, simulator.NUL, simulator.HTML,
			simulator.Guest)
	}},
	{"pages", func(w *unkind, o *simulator.Options) { o.PageSize, o.ShortPages = one(w, 0, 1, 3), w.chance(50) }},
	{"rounding", func(w *unkind, o *simulator.Options) { o.Rounding = one(w, 0, time.Second, time.Minute) }},
	{"stored_name", func(w *unkind, o *simulator.Options) {
		o.StoredName = one(w, simulator.AsSent, simulator.LowerCase)
	}},
	{"clock_ahead", func(w *unkind, o *simulator.Options) {
		o.ClockAhead = one(w, 0, 0, -3*time.Minute, 3*time.Minute)
	}},
	{"times_with_offset", func(w *unkind, o *simulator.Options) { o.TimesWithOffset = w.chance(50) }},
	{"pending", func(w *unkind, o *simulator.Options) { o.Pending = one(w, 0, 10*time.Second, 20*time.Minute) }},
	{"delete_hang", func(w *unkind, o *simulator.Options) { o.DeleteHang = one(w, 0, 30*time.Second, 2*time.Hour) }},
	{"defer", func(w *unkind, o *simulator.Options) { o.Defer = w.chance(50) }},
	{"subscribe_delay", func(w *unkind, o *simulator.Options) { o.SubscribeDelay = one(w, 0, time.Minute) }},
	{"unique", func(w *unkind, o *simulator.Options) {
		o.UniqueStatus, o.UniqueType = one(w, 400, 409, 422), one(w, "", "something_new")
	}},
	{"email", func(w *unkind, o *simulator.Options) { o.CaseSensitiveEmail = w.chance(50) }},
	{"slow answers", func(w *unkind, o *simulator.Options) {
		o.Hook = w.slowly(one(w, unkindPaths...), w.random.IntN(3), time.Duration(w.random.Int64N(int64(callTimeout))))
	}},
	{"late codes", func(w *unkind, o *simulator.Options) { o.CodeDelay = one(w, 0, 0, 10*time.Minute, 2*time.Hour) }},
	{"no codes", func(w *unkind, o *simulator.Options) { o.RefuseCodes = w.chance(30) }},
	{"refuse_deletes", func(w *unkind, o *simulator.Options) { o.RefuseDeletes = w.chance(50) }},
	{"refuse_deletes_after", func(w *unkind, o *simulator.Options) {
		o.RefuseDeletesAfter = one(w, 0, 5*time.Second, 2*time.Minute, 2*time.Hour)
	}},
	{"rate_limit", func(w *unkind, o *simulator.Options) {
		o.RateLimit, o.OmitRetryAfter = one(w, 0, 0, 20, 100), w.chance(50)
	}},
	{"unknown groups", func(w *unkind, o *simulator.Options) { o.IgnoreUnknownGroups = w.chance(50) }},
}

func (w *unkind) turnSwitch() {
	s := one(w, unkindSwitches...)
	w.hidden = w.hide()
	w.sim.Configure(func(o *simulator.Options) { s.turn(w, o) })
	w.tell("switch %s", s.name)
}

// slowly has a few calls take long: the clocks move on before they take effect and after it, while somebody waits for
// the answer.
func (w *unkind) slowly(path string, times int, d time.Duration) func(string, bool) bool {
	var mu sync.Mutex
	return func(called string, after bool) bool {
		mu.Lock()
		slow := times > 0 && (path == "" || called == path)
		if slow && after {
			times--
		}
		mu.Unlock()
		if slow {
			w.advance(d / 2)
		}
		return false
	}
}

// hide picks ids that lists leave out.
func (w *unkind) hide() []string {
	hidden := []string{}
	for _, id := range []string{"555555-5555", "lobby", "verde-1"} {
		if w.chance(15) {
			hidden = append(hidden, id)
		}
	}
	state := w.sim.State()
	for _, s := range w.stays {
		for _, u := range state.UsersNamed(s.id) {
			// a lost create's user without a key can only be found in a list
			if len(state.MobileKeys(u.ID)) > 0 && w.chance(10) {
				hidden = append(hidden, u.ID)
			}
		}
	}
	return hidden
}
