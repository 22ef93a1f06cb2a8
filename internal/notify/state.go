package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Types of events.
const (
	TypeReady     = "mobile_key.ready"
	TypeChanged   = "mobile_key.changed"
	TypeHeld      = "mobile_key.held"
	TypeAttention = "mobile_key.attention"
	TypeRecovered = "mobile_key.recovered"
	TypeRevoked   = "mobile_key.revoked"
	TypeExpired   = "mobile_key.expired"
	TypeTest      = "subscription.test"
	TypeDigest    = "subscription.digest"
)

// Types returns the types of events that a subscription can choose, in the order of the documentation. Tests and digests are not chosen.
func Types() []string {
	return []string{TypeReady, TypeChanged, TypeHeld, TypeAttention, TypeRecovered, TypeRevoked, TypeExpired}
}

// Told is what a subscription knows of a stay. The zero value is nothing.
type Told struct {
	Ready     bool   `json:"ready,omitempty"`     // the key is issued
	Attention bool   `json:"attention,omitempty"` // a person is needed
	Reason    string `json:"reason,omitempty"`    // for which reason
	Over      string `json:"over,omitempty"`      // the key is revoked or expired
	Key       Key    `json:"key,omitzero"`        // what is ready
}

// Key is what a subscriber is told of a key that is ready, as far as its change is an event.
type Key struct {
	Listing    string   `json:"listing,omitempty"`
	StartsAt   string   `json:"starts_at,omitempty"`
	EndsAt     string   `json:"ends_at,omitempty"`
	Groups     []string `json:"groups,omitempty"` // sorted
	Credential string   `json:"credential,omitempty"`
}

func (k Key) equal(other Key) bool {
	return k.Listing == other.Listing && k.StartsAt == other.StartsAt && k.EndsAt == other.EndsAt && k.Credential == other.Credential &&
		slices.Equal(k.Groups, other.Groups)
}

func (t Told) equal(other Told) bool {
	return t.Ready == other.Ready && t.Attention == other.Attention && t.Reason == other.Reason && t.Over == other.Over && t.Key.equal(other.Key)
}

// next is one step from what is told to what is true: the event to send, what is told by it, and by how much its sequence is behind the
// present one. No type: what is told changes without an event, or, where told stays the same, there is nothing to tell.
//
//	told            present             event
//	attention       anything settled    recovered, and then what else is true: the trigger key_changed counts by two, so that both have a number
//	any             attention           attention, again for another reason
//	not ready       issued, active      ready
//	ready           issued, active      changed, if the key is another
//	not over        revoked, expired    revoked, expired
//	any             waiting             none; a key that is ready after it is told as ready again
//	any             provisioning, ...   none, and told stays: how this ends is not known
func next(told Told, p store.StayState) (kind string, then Told, behind int64) {
	status := settled(p)
	if status == "" {
		return "", told, 0
	}
	if told.Attention && status != stay.KeyAttention {
		then = told
		then.Attention, then.Reason = false, ""
		return TypeRecovered, then, 1
	}
	switch status {
	case stay.KeyAttention:
		then = Told{Attention: true, Reason: deref(p.Reason)}
		if told.Attention && told.Reason == then.Reason {
			return "", told, 0
		}
		return TypeAttention, then, 0
	case stay.KeyIssued:
		then = Told{Ready: true, Key: keyOf(p)}
		switch {
		case !told.Ready:
			return TypeReady, then, 0
		case !told.Key.equal(then.Key):
			return TypeChanged, then, 0
		}
		return "", told, 0
	case stay.KeyRevoked, stay.KeyExpired:
		if told.Over == status {
			return "", told, 0
		}
		return map[string]string{stay.KeyRevoked: TypeRevoked, stay.KeyExpired: TypeExpired}[status], Told{Over: status}, 0
	default:
		return "", Told{}, 0
	}
}

// settled is the status of a key as far as something can be told by it; "" while staykey is at work on it. What is active is issued. While
// a key that was issued is being repaired, it is not known to work.
func settled(p store.StayState) string {
	switch p.KeyStatus {
	case stay.KeyIssued, stay.KeyActive:
		if p.ACSUserID == nil || p.CredentialID == nil || p.StartsAt == nil || p.EndsAt == nil {
			return ""
		}
		return stay.KeyIssued
	case stay.KeyProvisioning, stay.KeyRevoking:
		return ""
	default:
		return p.KeyStatus
	}
}

func keyOf(p store.StayState) Key {
	groups := slices.Sorted(slices.Values(p.AccessGroupIDs))
	return Key{Listing: deref(p.ListingID), StartsAt: instant(*p.StartsAt), EndsAt: instant(*p.EndsAt), Groups: groups, Credential: deref(p.CredentialID)}
}

// event is what is to be sent.
type event struct {
	kind     string
	then     Told // what is told once it is delivered
	sequence int64
}

// steps bounds how far what is told can be from what is true: the end of an attention, and one more event.
const steps = 4

// walk goes from what is told towards what is true, past events that the subscription doesn't want, and returns the first that it wants, or nil,
// and what is told before it.
func walk(told Told, p store.StayState, wants func(kind string) bool) (*event, Told) {
	for range steps {
		kind, then, behind := next(told, p)
		switch {
		case kind != "" && wants(kind):
			return &event{kind, then, p.Sequence - behind}, told
		case then.equal(told):
			return nil, told
		}
		told = then
	}
	return nil, told
}

// decide returns the event to send, nil for none, and what counts as told without it.
//
// perhaps are the states of messages that were sent and not confirmed. A receiver may have accepted them, although the answer was lost. So
// what is true is also told to a receiver that heard any of them: without that, one that heard of an attention which was over before the next
// try would never hear that it is over.
func decide(told Told, perhaps []Told, p store.StayState, wants func(kind string) bool) (*event, Told) {
	e, told := walk(told, p, wants)
	for i := len(perhaps) - 1; e == nil && i >= 0; i-- {
		e, _ = walk(perhaps[i], p, wants)
	}
	return e, told
}

// perhapsAtMost bounds how many unconfirmed states are remembered: the first and the last ones.
const perhapsAtMost = 8

// withPerhaps adds the state of a message that is about to be sent.
func withPerhaps(perhaps []Told, then Told) []Told {
	if slices.ContainsFunc(perhaps, then.equal) {
		return perhaps
	}
	perhaps = append(slices.Clone(perhaps), then)
	if len(perhaps) > perhapsAtMost {
		perhaps = slices.Delete(perhaps, perhapsAtMost/2, perhapsAtMost/2+1)
	}
	return perhaps
}

// tell decides about one stay, for [store.Store.ClaimDeliveries].
func (s Subscription) tell(in store.StayToTell, url string) (store.Telling, error) {
	var told Told
	var perhaps []Told
	if in.Told != nil {
		if err := json.Unmarshal(in.Told, &told); err != nil {
			return store.Telling{}, fmt.Errorf("what was told: %w", err)
		}
	}
	if err := json.Unmarshal(in.PerhapsTold, &perhaps); err != nil {
		return store.Telling{}, fmt.Errorf("what was perhaps told: %w", err)
	}
	if settled(in.Present) == "" { // a message that was not confirmed must not be forgotten meanwhile
		return store.Telling{Told: in.Told, PerhapsTold: in.PerhapsTold, Unsettled: true}, nil
	}
	e, told := decide(told, perhaps, in.Present, s.Wants)
	if e == nil {
		return store.Telling{Told: encode(told), PerhapsTold: encode([]Told{})}, nil
	}
	return store.Telling{
		Told: encode(told), PerhapsTold: encode(withPerhaps(perhaps, e.then)),
		Message: &store.Message{Type: e.kind, Sequence: e.sequence, Body: body(e, in.Present, url), State: encode(e.then)},
	}, nil
}

// encode writes what always can be written.
func encode(v any) json.RawMessage {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic("notify: " + err.Error()) // texts, numbers and lists of them
	}
	return encoded
}

// Envelope is the body of every message: Standard Webhooks.
type Envelope struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      any    `json:"data"`
}

// Data is what a message says of a stay. It has no field that could identify a guest, and no link, code or token that opens anything.
type Data struct {
	Source            string    `json:"source"`
	ReservationID     string    `json:"reservation_id"`
	ListingID         *string   `json:"listing_id"`
	ReservationStatus string    `json:"reservation_status"`
	KeyStatus         string    `json:"key_status"`
	Reason            *string   `json:"reason"`
	AccessSchedule    *Schedule `json:"access_schedule"`
	AccessGroupIDs    []string  `json:"acs_access_group_ids"`
	Gates             []string  `json:"gates"` // empty: sources have no gates
	Sequence          int64     `json:"sequence"`
	URL               *string   `json:"url"`
}

// Schedule is when a key opens doors.
type Schedule struct {
	StartsAt string `json:"starts_at"`
	EndsAt   string `json:"ends_at"`
}

func body(e *event, p store.StayState, url string) []byte {
	d := Data{
		Source: p.Source, ReservationID: p.ReservationID, ListingID: p.ListingID, ReservationStatus: p.ReservationStatus, KeyStatus: p.KeyStatus,
		Reason: p.Reason, AccessGroupIDs: append([]string{}, p.AccessGroupIDs...), Gates: []string{}, Sequence: e.sequence,
	}
	if p.StartsAt != nil && p.EndsAt != nil {
		d.AccessSchedule = &Schedule{instant(*p.StartsAt), instant(*p.EndsAt)}
	}
	if url != "" {
		d.URL = &url
	}
	return encode(Envelope{Type: e.kind, Timestamp: instant(p.ChangedAt), Data: d})
}

// instant writes a time as everywhere in the interface: RFC 3339, UTC, milliseconds.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
