package web

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/stay"
)

// historyItem is an entry of the timeline as the page shows it.
type historyItem struct {
	At      time.Time
	Kind    string
	Tone    string // "", "good", "bad" or "quiet"
	Text    string
	Why     string
	EventID string
	Detail  []detail
}

type detail struct{ Name, Value string }

// callText describes a call to Seam: what it did, that its answer was lost, and that it failed.
type callText struct{ done, lost, failed lang.Text }

// callTexts describe the calls to Seam that change something. All other calls are shown as checks.
var callTexts = map[string]callText{
	"/user_identities/create": {
		"Seam: created the guest's identity", "Seam: asked to create the guest's identity — no answer",
		"Seam: could not create the guest's identity — {why}",
	},
	"/user_identities/delete": {
		"Seam: removed the stay's own identity", "Seam: asked to remove the stay's own identity — no answer",
		"Seam: could not remove the stay's own identity — {why}",
	},
	"/user_identities/add_acs_user": {
		"Seam: linked the Salto user to the guest's identity",
		"Seam: asked to link the Salto user to the guest's identity — no answer",
		"Seam: could not link the Salto user to the guest's identity — {why}",
	},
	"/acs/users/create": {
		"Seam: created the Salto user", "Seam: asked to create the Salto user — no answer",
		"Seam: could not create the Salto user — {why}",
	},
	"/acs/users/update": {
		"Seam: set the access times", "Seam: asked to set the access times — no answer",
		"Seam: could not set the access times — {why}",
	},
	"/acs/users/delete": {
		"Seam: removed the Salto user and its mobile key",
		"Seam: asked to remove the Salto user and its mobile key — no answer",
		"Seam: could not remove the Salto user and its mobile key — {why}",
	},
	"/acs/users/unsuspend": {
		"Seam: lifted the suspension", "Seam: asked to lift the suspension — no answer",
		"Seam: could not lift the suspension — {why}",
	},
	"/acs/users/add_to_access_group": {
		"Seam: opened a door", "Seam: asked to open a door — no answer",
		"Seam: could not open a door — {why}",
	},
	"/acs/users/remove_from_access_group": {
		"Seam: closed a door", "Seam: asked to close a door — no answer",
		"Seam: could not close a door — {why}",
	},
	"/acs/credentials/create": {
		"Seam: created the mobile key", "Seam: asked to create the mobile key — no answer",
		"Seam: could not create the mobile key — {why}",
	},
	"/acs/credentials/delete": {
		"Seam: deleted a mobile key", "Seam: asked to delete a mobile key — no answer",
		"Seam: could not delete a mobile key — {why}",
	},
}

// specialTexts describe calls with a reason of their own, where the path says too little.
var specialTexts = map[string]callText{
	stay.WhyRenamed: {
		"Seam: gave the Salto user its name back", "Seam: asked to give the Salto user its name back — no answer",
		"Seam: could not give the Salto user its name back — {why}",
	},
}

// statusTexts describe changes of a key's status.
var statusTexts = map[string]lang.Text{
	stay.KeyWaiting:      "The key is waiting",
	stay.KeyProvisioning: "The key is being created or changed",
	stay.KeyIssued:       "The key is ready",
	stay.KeyActive:       "The key is in use",
	stay.KeyAttention:    "The key needs attention",
	stay.KeyRevoking:     "The key is being removed",
	stay.KeyRevoked:      "The key is removed",
	stay.KeyExpired:      "The stay is over",
}

// eventTexts describe what the PMS did, by the type of its event.
var eventTexts = map[string]lang.Text{
	"reservation.created":   "The PMS sent the reservation",
	"reservation.updated":   "The PMS changed the reservation",
	"reservation.cancelled": "The PMS cancelled the reservation",
	"listing.created":       "The PMS sent the listing",
	"listing.updated":       "The PMS changed the listing",
	"listing.deleted":       "The PMS deleted the listing",
}

// eventResults describe the results of events that were not simply applied.
var eventResults = map[string]lang.Text{
	stay.EventSuperseded: "a newer message was applied before",
	stay.EventIgnored:    "it has no effect on keys",
}

// describeEvent describes an event of the PMS and its result.
func describeEvent(in *lang.Locale, summary string) (text, why string) {
	kind, result, _ := strings.Cut(summary, " ")
	what, known := eventTexts[kind]
	if why := eventResults[result]; known && (why != "" || result == stay.EventApplied) {
		return in.T(what), in.T(why)
	}
	return in.T("PMS: {event}", in.Foreign(summary)), ""
}

// history describes the entries of a timeline, newest first.
func history(in *lang.Locale, items []admin.TimelineItem, o admin.Overrides) []historyItem {
	list := make([]historyItem, len(items))
	shown := reasonsInForce(o)
	for i, item := range items {
		list[i] = describe(in, withoutRepeats(item, shown))
	}
	return list
}

// withoutRepeats leaves out an admin's reason where it can be read elsewhere: above the history while the decision is
// in force, and in the entry of the decision itself when the key's status changes because of it.
func withoutRepeats(item admin.TimelineItem, shown map[string]bool) admin.TimelineItem {
	reason, _ := item.Detail["reason"].(string)
	switch {
	case item.Kind == stay.TimelineAction && shown[reason]:
		item.Summary = strings.TrimSuffix(item.Summary, " ("+reason+")")
	case item.Kind == stay.TimelineStatus && quotesAdmin(reason):
		item.Detail = maps.Clone(item.Detail)
		delete(item.Detail, "message")
	}
	return item
}

// reasonsInForce are the reasons of an admin's decisions that apply.
func reasonsInForce(o admin.Overrides) map[string]bool {
	shown := map[string]bool{}
	for _, d := range []*admin.Decision{o.Held, o.Revoked} {
		if d != nil {
			shown[d.Reason] = true
		}
	}
	if o.Window != nil {
		shown[o.Window.Reason] = true
	}
	return shown
}

// quotesAdmin reports whether the message of a key's reason only quotes an admin's decision, which has an entry of its
// own.
func quotesAdmin(reason string) bool {
	return reason == stay.ReasonHeld || reason == stay.ReasonRevokedByAdmin
}

func describe(in *lang.Locale, i admin.TimelineItem) historyItem {
	field := func(name string) string {
		if v, ok := i.Detail[name]; ok && v != nil {
			return fmt.Sprint(v)
		}
		return ""
	}
	h := historyItem{At: i.At, Kind: i.Kind, Text: in.Foreign(i.Summary), EventID: field("event_id")}
	switch i.Kind {
	case stay.TimelineRequest:
		h.Text, h.Tone, h.Why = describeRequest(in, field("path"), field("result"), field("reason"))
	case stay.TimelineStatus:
		to := field("to")
		h.Text = in.T(cmp.Or(statusTexts[to], "The key is {status}"), to)
		h.Why = hotelWords(in, field("reason"), field("message"))
		switch to {
		case stay.KeyIssued, stay.KeyActive:
			h.Tone = "good"
		case stay.KeyAttention:
			h.Tone = "bad"
		}
	case stay.TimelineEvent:
		h.Text, h.Why = describeEvent(in, i.Summary)
	}

	for _, name := range slices.Sorted(maps.Keys(i.Detail)) {
		if value := field(name); value != "" && name != "reason" && name != "message" && name != "event_id" {
			h.Detail = append(h.Detail, detail{name, value})
		}
	}
	return h
}

// hotelWords are the message of a key's reason in the words of a front desk. Messages name settings and requests of the
// API, which the reservation's page shows at the top while the reason applies. A time is in the message alone.
func hotelWords(in *lang.Locale, reason, message string) string {
	words, known := causes[reason]
	if !known || message == "" || reason == stay.ReasonBeforeHorizon {
		return message
	}
	if words.Do == "" {
		return in.T(words.Problem)
	}
	return in.T(words.Problem) + " " + in.T(words.Do)
}

// notFound is the result of a call that names something which Seam doesn't have.
const notFound = "not_found"

// removes reports whether a call removes what it names, so that its absence is what the call was for.
func removes(path string) bool { return strings.HasSuffix(path, "/delete") }

// describeRequest describes a call to Seam: what it did, the tone of the entry, and why it was made, if the text
// doesn't say so.
func describeRequest(in *lang.Locale, path, result, reason string) (text, tone, why string) {
	call, changes := callTexts[path]
	if !changes && isQuestion(reason) {
		text, tone = describeQuestion(in, in.Foreign(reason), result)
		return text, tone, ""
	}
	if special, known := specialTexts[reason]; known {
		call = special
	}
	text, tone = describeCall(in, call, changes, removes(path), result)
	return text, tone, reason
}

// isQuestion reports whether the reason of a call is what staykey wants to know, such as "whether the key is gone".
func isQuestion(reason string) bool {
	first, _, _ := strings.Cut(reason, " ")
	return slices.Contains([]string{"whether", "why", "which", "who"}, first)
}

func describeQuestion(in *lang.Locale, question, result string) (text, tone string) {
	switch result {
	case "ok":
		return in.T("Asked Seam {what}", question), "quiet"
	case notFound: // an answer, not a failure: what follows from it is in the entries after it
		return in.T("Asked Seam {what} — it isn't there", question), "quiet"
	}
	return in.T("Asked Seam {what} — {why}", question, codeWords(in, result)), "bad"
}

func describeCall(in *lang.Locale, call callText, changes, removes bool, result string) (text, tone string) {
	why := codeWords(in, result)
	switch {
	case changes && result == "ok":
		return in.T(call.done), "good"
	case result == "ok":
		return in.T("Checked Seam"), "quiet"
	case result == notFound && removes:
		return in.T("Seam: nothing was left to remove"), "good"
	case result == notFound && !changes: // an answer, not a failure: what follows from it is in the entries after it
		return in.T("Checked Seam — it isn't there"), "quiet"
	case changes && result == "lost": // it may have taken effect
		return in.T(call.lost), "bad"
	case changes:
		return in.T(call.failed, why), "bad"
	}
	return in.T("Checked Seam — {why}", why), "bad"
}
