package handlers

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// storyItem is a timeline item as people tell it.
type storyItem struct {
	At      time.Time
	Kind    string
	Tone    string // "", "good", "bad" or "quiet"
	Text    string
	Why     string
	EventID string
	Detail  []detail
}

type detail struct{ Name, Value string }

// told are Seam's calls in the words of people; what is read is told as a look.
var told = map[string]string{
	"/user_identities/create":             "made the guest's user identity",
	"/user_identities/delete":             "removed the stay's own user identity",
	"/user_identities/add_acs_user":       "linked the ACS user to its user identity",
	"/acs/users/create":                   "made the ACS user",
	"/acs/users/update":                   "set when access begins and ends",
	"/acs/users/delete":                   "removed the ACS user and its mobile key",
	"/acs/users/unsuspend":                "lifted the suspension",
	"/acs/users/add_to_access_group":      "opened an access group",
	"/acs/users/remove_from_access_group": "closed an access group",
	"/acs/credentials/create":             "made the mobile key",
	"/acs/credentials/delete":             "deleted a mobile key",
}

// story tells a timeline, the newest first.
func story(items []admin.TimelineItem) []storyItem {
	list := make([]storyItem, len(items))
	for i, item := range items {
		list[i] = tellItem(item)
	}
	return list
}

func tellItem(i admin.TimelineItem) storyItem {
	said := func(name string) string {
		if v, ok := i.Detail[name]; ok && v != nil {
			return fmt.Sprint(v)
		}
		return ""
	}
	s := storyItem{At: i.At, Kind: i.Kind, Text: i.Summary, EventID: said("event_id")}
	switch i.Kind {
	case stay.TimelineRequest:
		s.Why = said("reason")
		result := said("result")
		what, changes := told[said("path")]
		switch {
		case changes && result == "ok":
			s.Text, s.Tone = "Seam: "+what, "good"
		case result == "ok":
			s.Text, s.Tone = "looked at Seam", "quiet"
		case changes:
			s.Text, s.Tone = "Seam: "+what+" — "+result, "bad"
		default:
			s.Text, s.Tone = "looked at Seam — "+result, "bad"
		}
	case stay.TimelineStatus:
		s.Text = "the key is " + said("to")
		s.Why = said("message")
		switch said("to") {
		case stay.KeyIssued, stay.KeyActive:
			s.Tone = "good"
		case stay.KeyAttention:
			s.Tone = "bad"
		}
	case stay.TimelineEvent:
		s.Text = "PMS: " + i.Summary
	}
	for _, name := range slices.Sorted(maps.Keys(i.Detail)) {
		if value := said(name); value != "" && name != "reason" && name != "message" && name != "event_id" {
			s.Detail = append(s.Detail, detail{name, value})
		}
	}
	return s
}
