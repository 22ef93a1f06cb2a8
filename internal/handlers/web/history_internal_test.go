package web

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// What the history of a reservation shows for each kind of entry.
func TestDescribe(t *testing.T) {
	t.Parallel()
	at, event := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), uuid.NewString()
	for _, c := range []struct {
		reason string
		kind   string
		text   string
		detail map[string]any
		want   historyItem
	}{
		{
			reason: "a call that changed something says what, and why", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/create", "result": "ok", "reason": "no ACS user yet"},
			want: historyItem{
				Text: "Seam: created the Salto user", Tone: "good", Why: "no ACS user yet",
				Detail: []detail{{"path", "/acs/users/create"}, {"result", "ok"}},
			},
		},
		{
			reason: "a refused change did not happen, and names the result", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/credentials/create", "result": "rate_limited"},
			want: historyItem{
				Text: "Seam: could not create the mobile key — rate limited", Tone: "bad",
				Detail: []detail{{"path", "/acs/credentials/create"}, {"result", "rate_limited"}},
			},
		},
		{
			reason: "a change without an answer may have happened", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/delete", "result": "lost"},
			want: historyItem{
				Text: "Seam: asked to remove the Salto user and its mobile key — no answer", Tone: "bad",
				Detail: []detail{{"path", "/acs/users/delete"}, {"result", "lost"}},
			},
		},
		{
			reason: "a read is only a check", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/get", "result": "ok"},
			want: historyItem{
				Text: "Checked Seam", Tone: "quiet",
				Detail: []detail{{"path", "/acs/users/get"}, {"result", "ok"}},
			},
		},
		{
			reason: "a read that finds nothing is an answer", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/get", "result": "not_found"},
			want: historyItem{
				Text: "Checked Seam — it isn't there", Tone: "quiet",
				Detail: []detail{{"path", "/acs/users/get"}, {"result", "not_found"}},
			},
		},
		{
			reason: "a removal of what is gone has what it wanted", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/delete", "result": "not_found"},
			want: historyItem{
				Text: "Seam: nothing was left to remove", Tone: "good",
				Detail: []detail{{"path", "/acs/users/delete"}, {"result", "not_found"}},
			},
		},
		{
			reason: "a change of what isn't there has failed", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/update", "result": "not_found"},
			want: historyItem{
				Text: "Seam: could not set the access times — not found", Tone: "bad",
				Detail: []detail{{"path", "/acs/users/update"}, {"result", "not_found"}},
			},
		},
		{
			reason: "a call that gives a name back sets no times", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/update", "result": "lost", "reason": stay.WhyRenamed},
			want: historyItem{
				Text: "Seam: asked to give the Salto user its name back — no answer", Tone: "bad", Why: stay.WhyRenamed,
				Detail: []detail{{"path", "/acs/users/update"}, {"result", "lost"}},
			},
		},
		{
			reason: "a failed read is bad", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/get", "result": "lost"},
			want: historyItem{
				Text: "Checked Seam — lost", Tone: "bad",
				Detail: []detail{{"path", "/acs/users/get"}, {"result", "lost"}},
			},
		},
		{
			reason: "a read with a question is the question", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/get", "result": "ok", "reason": "whether the ACS user is gone"},
			want: historyItem{
				Text: "Asked Seam whether the ACS user is gone", Tone: "quiet",
				Detail: []detail{{"path", "/acs/users/get"}, {"result", "ok"}},
			},
		},
		{
			reason: "a question whose answer is that it isn't there", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/get", "result": "not_found", "reason": "whether the ACS user is gone"},
			want: historyItem{
				Text: "Asked Seam whether the ACS user is gone — it isn't there", Tone: "quiet",
				Detail: []detail{{"path", "/acs/users/get"}, {"result", "not_found"}},
			},
		},
		{
			reason: "a question without an answer", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/get", "result": "lost", "reason": "who has the guest's user identity"},
			want: historyItem{
				Text: "Asked Seam who has the guest's user identity — lost", Tone: "bad",
				Detail: []detail{{"path", "/acs/users/get"}, {"result", "lost"}},
			},
		},
		{
			reason: "a change has its reason next to it, whatever its first word", kind: stay.TimelineRequest,
			detail: map[string]any{"path": "/acs/users/create", "result": "ok", "reason": "whether it works"},
			want: historyItem{
				Text: "Seam: created the Salto user", Tone: "good", Why: "whether it works",
				Detail: []detail{{"path", "/acs/users/create"}, {"result", "ok"}},
			},
		},
		{
			reason: "a status with a reason is in hotel words", kind: stay.TimelineStatus,
			detail: map[string]any{
				"to": stay.KeyWaiting, "reason": stay.ReasonNoGroups,
				"message": stay.Message(stay.ReasonNoGroups, "101", "/v1/listings/a/101"),
			},
			want: historyItem{
				Text: "The key is waiting", Why: "This listing has no doors yet. Choose which doors the keys open.",
				Detail: []detail{{"to", stay.KeyWaiting}},
			},
		},
		{
			reason: "a key that isn't due has its time in the message", kind: stay.TimelineStatus,
			detail: map[string]any{
				"to": stay.KeyWaiting, "reason": stay.ReasonBeforeHorizon, "message": "The key is created at noon.",
			},
			want: historyItem{
				Text: "The key is waiting", Why: "The key is created at noon.",
				Detail: []detail{{"to", stay.KeyWaiting}},
			},
		},
		{
			reason: "a status in words, with its message", kind: stay.TimelineStatus,
			detail: map[string]any{"to": stay.KeyAttention, "message": "The listing has no doors."},
			want: historyItem{
				Text: "The key needs attention", Tone: "bad", Why: "The listing has no doors.",
				Detail: []detail{{"to", stay.KeyAttention}},
			},
		},
		{
			reason: "an issued key is good", kind: stay.TimelineStatus, detail: map[string]any{"to": stay.KeyIssued},
			want: historyItem{Text: "The key is ready", Tone: "good", Detail: []detail{{"to", stay.KeyIssued}}},
		},
		{
			reason: "a status that this version doesn't know", kind: stay.TimelineStatus,
			detail: map[string]any{"to": "lent"},
			want:   historyItem{Text: "The key is lent", Detail: []detail{{"to", "lent"}}},
		},
		{
			reason: "an event links to its page", kind: stay.TimelineEvent, text: "reservation.updated applied",
			detail: map[string]any{"event_id": event, "status": "applied", "pms_status": nil},
			want: historyItem{
				Text: "The PMS changed the reservation", EventID: event, Detail: []detail{{"status", "applied"}},
			},
		},
		{
			reason: "any other kind shows its own summary", kind: "something", text: "happened",
			want: historyItem{Text: "happened"},
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			got := describe(english, admin.TimelineItem{At: at, Kind: c.kind, Summary: c.text, Detail: c.detail})
			c.want.At, c.want.Kind = at, c.kind
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
