package web

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"
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

// callText describes a call to Seam: what it did, and what it was meant to do if it failed.
type callText struct{ done, meant string }

// callTexts describe the calls to Seam that change something. All other calls are shown as checks.
var callTexts = map[string]callText{
	"/user_identities/create":       {"created the guest's user identity", "create the guest's user identity"},
	"/user_identities/delete":       {"removed the stay's own user identity", "remove the stay's own user identity"},
	"/user_identities/add_acs_user": {"linked the ACS user to its user identity", "link the ACS user to its user identity"},
	"/acs/users/create":             {"created the ACS user", "create the ACS user"},
	"/acs/users/update":             {"set the access times", "set the access times"},
	"/acs/users/delete":             {"removed the ACS user and its mobile key", "remove the ACS user and its mobile key"},
	"/acs/users/unsuspend":          {"lifted the suspension", "lift the suspension"},
	"/acs/users/add_to_access_group": {
		"opened an access group", "open an access group",
	},
	"/acs/users/remove_from_access_group": {
		"closed an access group", "close an access group",
	},
	"/acs/credentials/create": {"created the mobile key", "create the mobile key"},
	"/acs/credentials/delete": {"deleted a mobile key", "delete a mobile key"},
}

// statusTexts describe changes of a key's status.
var statusTexts = map[string]string{
	stay.KeyWaiting:      "The key is waiting",
	stay.KeyProvisioning: "The key is being created or changed",
	stay.KeyIssued:       "The key is issued",
	stay.KeyActive:       "The key is active",
	stay.KeyAttention:    "The key needs attention",
	stay.KeyRevoking:     "The key is being removed",
	stay.KeyRevoked:      "The key is removed",
	stay.KeyExpired:      "The stay is over",
}

// history describes the entries of a timeline, newest first.
func history(items []admin.TimelineItem) []historyItem {
	list := make([]historyItem, len(items))
	for i, item := range items {
		list[i] = describe(item)
	}
	return list
}

func describe(i admin.TimelineItem) historyItem {
	field := func(name string) string {
		if v, ok := i.Detail[name]; ok && v != nil {
			return fmt.Sprint(v)
		}
		return ""
	}
	h := historyItem{At: i.At, Kind: i.Kind, Text: i.Summary, EventID: field("event_id")}
	switch i.Kind {
	case stay.TimelineRequest:
		h.Why = field("reason")
		h.Text, h.Tone = describeRequest(field("path"), field("result"))
	case stay.TimelineStatus:
		to := field("to")
		h.Text = cmp.Or(statusTexts[to], "The key is "+to)
		h.Why = field("message")
		switch to {
		case stay.KeyIssued, stay.KeyActive:
			h.Tone = "good"
		case stay.KeyAttention:
			h.Tone = "bad"
		}
	case stay.TimelineEvent:
		h.Text = "PMS: " + i.Summary
	}

	for _, name := range slices.Sorted(maps.Keys(i.Detail)) {
		if value := field(name); value != "" && name != "reason" && name != "message" && name != "event_id" {
			h.Detail = append(h.Detail, detail{name, value})
		}
	}
	return h
}

func describeRequest(path, result string) (text, tone string) {
	call, changes := callTexts[path]
	why := strings.ReplaceAll(result, "_", " ")
	switch {
	case changes && result == "ok":
		return "Seam: " + call.done, "good"
	case result == "ok":
		return "Checked Seam", "quiet"
	case changes && result == "lost": // it may have taken effect
		return "Seam: asked to " + call.meant + " — no answer", "bad"
	case changes:
		return "Seam: could not " + call.meant + " — " + why, "bad"
	}
	return "Checked Seam — " + why, "bad"
}
