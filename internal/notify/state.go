package notify

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Types of events.
const (
	TypeReady     = "mobile_key.ready"
	TypeChanged   = "mobile_key.changed"
	TypeWithheld  = "mobile_key.held"
	TypeAttention = "mobile_key.attention"
	TypeRecovered = "mobile_key.recovered"
	TypeRevoked   = "mobile_key.revoked"
	TypeExpired   = "mobile_key.expired"
	TypeFirstUsed = "mobile_key.first_used"
	TypeDenied    = "mobile_key.denied"
	TypeAtRisk    = "mobile_key.at_risk"
	TypeTest      = "subscription.test"
	TypeDigest    = "subscription.digest"
)

// Types returns the types of events that a subscription can choose, in the order of the documentation. Tests and
// digests are not chosen.
func Types() []string {
	return []string{
		TypeReady, TypeChanged, TypeWithheld, TypeAttention, TypeRecovered, TypeRevoked, TypeExpired, TypeFirstUsed,
		TypeDenied, TypeAtRisk,
	}
}

// Reported is what a subscription knows about a stay. The zero value means nothing.
type Reported struct {
	Ready        bool   `json:"ready,omitempty"`     // the key is issued, and no gate withholds it
	Had          bool   `json:"had,omitempty"`       // a key was reported, and its end was not
	Attention    bool   `json:"attention,omitempty"` // a person is needed
	Reason       string `json:"reason,omitempty"`    // the reason
	Over         string `json:"over,omitempty"`      // the key is revoked or expired
	GateDeadline string `json:"held,omitempty"`      // the last that was reported, see [deadline]
	Used         string `json:"used,omitempty"`      // when the guest first opened a door
	Denied       string `json:"denied,omitempty"`    // when a door was last refused to the guest
	Risk         string `json:"risk,omitempty"`      // which doors may not open, see [riskOf]
	Key          Key    `json:"key,omitzero"`        // what is ready
}

// had reports whether the subscription was notified of a key and not of its end.
func (t Reported) had() bool { return t.Had || t.Ready }

// situation is what is true of a stay at a time.
type situation struct {
	store.StayState
	Closed []stay.Gate // its gates that are not open
	Now    time.Time
}

// Key is what a subscriber receives about a key that is ready, as far as its change is an event.
type Key struct {
	Listing    string   `json:"listing,omitempty"`
	StartsAt   string   `json:"starts_at,omitempty"`
	EndsAt     string   `json:"ends_at,omitempty"`
	Groups     []string `json:"groups,omitempty"` // sorted
	Credential string   `json:"credential,omitempty"`
}

func (k Key) equal(other Key) bool {
	return k.Listing == other.Listing && k.StartsAt == other.StartsAt && k.EndsAt == other.EndsAt &&
		k.Credential == other.Credential &&
		slices.Equal(k.Groups, other.Groups)
}

func (t Reported) equal(other Reported) bool {
	keys := t.Key.equal(other.Key)
	t.Key, other.Key = Key{}, Key{}
	return keys && reflect.DeepEqual(t, other)
}

// withheld is the status of a key that is issued while a gate is closed: it works, and must not be handed out.
const withheld = "withheld"

// next is one step from what was reported to what is true: the event to send, and what is reported with it. No type:
// what counts as reported changes without an event, or, if it is unchanged, there is nothing to send.
//
//	reported        present               event
//	attention       anything settled      recovered, and then what else is true
//	any             attention             attention, again for another reason
//	not ready       issued, active        ready
//	ready           issued, active        changed, if the key is another
//	not over        revoked, expired      revoked, expired
//	a key           waiting, none exists  revoked: a gate has taken it away
//	any             waiting, withheld     none; a key that is ready after that is reported as ready again
//	any             a gate is closed      held, once for each deadline that has passed
//	a key           a door was opened     first_used, once for each guest
//	a key           a door was refused    denied, if that was within the hour
//	ready           a door may not open   at_risk, for each change of which and why; recovered when none is left
//	any             provisioning, ...     none, unchanged: how this ends is not known yet
func next(reported Reported, p situation) (kind string, then Reported) {
	status := settled(p)
	if status == "" {
		return "", reported
	}

	if reported.Attention && status != stay.KeyAttention {
		then = reported
		then.Attention, then.Reason = false, ""
		return TypeRecovered, then
	}

	kind, then = nextKey(reported, p, status)
	then.Used, then.Denied = reported.Used, reported.Denied
	if keepsRisk(kind, status) {
		then.Risk = reported.Risk
	}

	if kind != "" || !then.equal(reported) {
		return kind, then
	}

	awaited := canBeWithheld(status) && p.ReservationStatus == pms.Confirmed
	if at := p.deadline(); awaited && at != "" && at != reported.GateDeadline {
		then.GateDeadline = at
		return TypeWithheld, then
	}

	if kind, then = nextUse(reported, p, status); kind != "" || !then.equal(reported) {
		return kind, then
	}
	return nextRisk(reported, p, status)
}

// keepsRisk reports whether a receiver still believes that doors are at risk: the end of a key and an attention end
// that too.
func keepsRisk(kind, status string) bool {
	return status == stay.KeyIssued || status == withheld || status == stay.KeyWaiting && kind == ""
}

// nextRisk is [next] for doors that may not open. While the key itself needs a person, they are not reported.
func nextRisk(reported Reported, p situation, status string) (kind string, then Reported) {
	then = reported
	if status != stay.KeyIssued && status != withheld {
		return "", reported
	}
	switch then.Risk = riskOf(p.DoorsAtRisk); {
	case then.Risk == reported.Risk:
		return "", reported
	case then.Risk == "":
		return TypeRecovered, then
	}
	return TypeAtRisk, then
}

// riskOf identifies a set of problems; "" for none.
func riskOf(doors []stay.DoorProblem) string {
	parts := make([]string, len(doors))
	for i, d := range doors {
		parts[i] = cmp.Or(d.EntranceID, d.GroupID) + " " + d.Problem
	}
	slices.Sort(parts)
	return strings.Join(parts, "\n")
}

// deniedMatters is how long ago a refusal can be and still be reported: later nobody stands at the door.
const deniedMatters = time.Hour

// nextUse is [next] for what Seam reports of the guest at doors. Instants are written so that they sort by time.
func nextUse(reported Reported, p situation, status string) (kind string, then Reported) {
	if status != stay.KeyIssued && status != stay.KeyAttention && status != withheld {
		return "", reported
	}
	then = reported
	if at := p.DoorUse.FirstUsedAt; at != nil && instant(*at) > reported.Used {
		then.Used = instant(*at)
		return TypeFirstUsed, then
	}
	if at := p.DoorUse.DeniedAt; at != nil && instant(*at) > reported.Denied {
		then.Denied = instant(*at)
		if p.Now.Sub(*at) > deniedMatters {
			return "", then
		}
		return TypeDenied, then
	}
	return "", reported
}

// canBeWithheld reports whether a gate can withhold a key of that status.
func canBeWithheld(status string) bool {
	return status == stay.KeyWaiting || status == stay.KeyAttention || status == withheld
}

// nextKey is [next] for what happens to the key.
func nextKey(reported Reported, p situation, status string) (kind string, then Reported) {
	switch status {
	case stay.KeyAttention:
		then = Reported{
			Attention: true, Reason: stay.Text(p.Reason), Had: reported.had(), GateDeadline: reported.GateDeadline,
		}
		if reported.Attention && reported.Reason == then.Reason {
			return "", reported
		}
		return TypeAttention, then
	case stay.KeyIssued:
		then = Reported{Ready: true, Key: keyOf(p.StayState), GateDeadline: reported.GateDeadline}
		switch {
		case !reported.Ready:
			return TypeReady, then
		case !reported.Key.equal(then.Key):
			return TypeChanged, then
		}
		return "", reported
	case stay.KeyRevoked, stay.KeyExpired:
		if reported.Over == status {
			return "", reported
		}
		return map[string]string{stay.KeyRevoked: TypeRevoked, stay.KeyExpired: TypeExpired}[status],
			Reported{Over: status}
	case stay.KeyWaiting:
		if reported.had() && p.ACSUserID == nil {
			return TypeRevoked, Reported{GateDeadline: reported.GateDeadline}
		}
	}
	return "", Reported{Had: reported.had(), GateDeadline: reported.GateDeadline}
}

// deadlines are how long before check-in it is reported that a gate withholds the key.
var deadlines = []time.Duration{24 * time.Hour, 2 * time.Hour}

// deadline names the last deadline that has passed while a gate is closed; "" for none. Another check-in has
// deadlines of its own.
func (p situation) deadline() string {
	if len(p.Closed) == 0 || p.CheckIn == nil {
		return ""
	}
	name := ""
	for _, before := range deadlines {
		if !p.Now.Before(p.CheckIn.Add(-before)) {
			name = before.String() + " before " + instant(*p.CheckIn)
		}
	}
	return name
}

// settled is the status of a key if it can be reported; "" while staykey is working on it. Active keys count as issued.
// While an issued key is being repaired, it is not known to work.
func settled(p situation) string {
	switch p.KeyStatus {
	case stay.KeyIssued, stay.KeyActive:
		if p.ACSUserID == nil || p.CredentialID == nil || p.StartsAt == nil || p.EndsAt == nil {
			return ""
		}
		if len(p.Closed) > 0 {
			return withheld
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
	return Key{
		Listing: stay.Text(p.ListingID), StartsAt: instant(*p.StartsAt), EndsAt: instant(*p.EndsAt), Groups: groups,
		Credential: stay.Text(p.CredentialID),
	}
}
