package notify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
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

// event is a message to send.
type event struct {
	kind string
	then Reported // what the subscription knows once it is delivered
}

// steps bounds how far what is reported can be from what is true: the end of an attention, one event about the key,
// one about a gate, three about doors, and what changes silently between them.
const steps = 10

// walk goes from what is reported towards what is true, past events that the subscription doesn't want, and returns
// the first that it wants, or nil, and what is reported before it.
func walk(reported Reported, p situation, wants func(kind string) bool) (*event, Reported) {
	for range steps {
		kind, then := next(reported, p)
		switch {
		case kind != "" && wants(kind):
			return &event{kind, then}, reported
		case then.equal(reported):
			return nil, reported
		}
		reported = then
	}
	return nil, reported
}

// after counts the events that follow what is reported.
func after(reported Reported, p situation) (n int64) {
	for range steps {
		kind, then := next(reported, p)
		if then.equal(reported) {
			return n
		}
		if reported = then; kind != "" {
			n++
		}
	}
	return n
}

// number is the sequence of an event's message: the stay's, less one for each event that follows, but always higher
// than the last message's. A change is numbered once but may need several messages; and a gate that is added to the
// configuration changes what is true of a stay without another number.
func number(e *event, p situation, last int64) int64 {
	return max(last+1, p.Sequence-after(e.then, p))
}

// decide returns the event to send, nil for none, and what counts as reported without it.
//
// perhaps are the states of messages that were sent but not confirmed. A receiver may have accepted them, although the
// answer was lost. So the present state is also sent to a receiver that may have any of them: otherwise, one that
// received an attention which was over before the next try would never learn that it is over.
func decide(reported Reported, perhaps []Reported, p situation, wants func(kind string) bool) (*event, Reported) {
	e, base := walk(reported, p, wants)
	if len(perhaps) == 0 {
		return e, base
	}
	e, far := walk(farthest(reported, perhaps, p, wants), p, wants)
	if e == nil { // the unconfirmed states are forgotten: what is left of them counts as reported
		base = far
	}
	return e, base
}

// farthest is what a receiver may believe that is farthest from the present: what is reported, with the key of an
// unconfirmed state that needs an event, and unknown doors at risk if the states differ there. A message about one of
// them doesn't settle the other, and all unconfirmed states are forgotten once any message is confirmed. A key that may
// have been reported counts as reported: if a gate takes it away, that is an event. What happened at doors and which
// deadlines were reported only ever grows: who has received more of it needs nothing.
func farthest(reported Reported, perhaps []Reported, p situation, wants func(kind string) bool) Reported {
	far, need := reported, keyNeed(reported, p, wants)
	for _, state := range slices.Backward(perhaps) {
		if n := keyNeed(state, p, wants); n > need {
			need = n
			far.Ready, far.Had, far.Attention, far.Reason = state.Ready, state.Had, state.Attention, state.Reason
			far.Over, far.Key = state.Over, state.Key
		}
	}
	far.Had = far.Had || !far.Ready && (reported.had() || slices.ContainsFunc(perhaps, Reported.had))
	if slices.ContainsFunc(perhaps, func(state Reported) bool { return state.Risk != reported.Risk }) {
		far.Risk = riskUnknown
	}
	return far
}

// riskUnknown is the risk of a receiver that may believe in one of several: whatever is true is sent.
const riskUnknown = "unknown"

// keyNeed is how urgently a receiver that believes in a state needs an event about the key itself: not at all, an
// event, or first the end of an attention.
func keyNeed(state Reported, p situation, wants func(kind string) bool) int {
	e, before := walk(state, p, wants)
	switch {
	case e == nil:
		return 0
	case before.Attention && !e.then.Attention:
		return 2
	case slices.Contains([]string{TypeReady, TypeChanged, TypeAttention, TypeRevoked, TypeExpired}, e.kind):
		return 1
	}
	return 0
}

// perhapsAtMost bounds how many unconfirmed states are remembered: the first and the last ones.
const perhapsAtMost = 8

// withPerhaps adds the state of a message that is about to be sent.
func withPerhaps(perhaps []Reported, then Reported) []Reported {
	if slices.ContainsFunc(perhaps, then.equal) {
		return perhaps
	}
	perhaps = append(slices.Clone(perhaps), then)
	if len(perhaps) > perhapsAtMost {
		perhaps = slices.Delete(perhaps, perhapsAtMost/2, perhapsAtMost/2+1)
	}
	return perhaps
}

// report decides about one stay, for [store.Deliveries.Claim].
func (s Subscription) report(in store.StayToReport, gates []pms.Gate, now time.Time, url string) (store.Report, error) {
	var reported Reported
	var perhaps []Reported
	if in.Reported != nil {
		if err := json.Unmarshal(in.Reported, &reported); err != nil {
			return store.Report{}, fmt.Errorf("decode the reported state: %w", err)
		}
	}
	if err := json.Unmarshal(in.Unconfirmed, &perhaps); err != nil {
		return store.Report{}, fmt.Errorf("decode the unconfirmed states: %w", err)
	}

	p := situation{StayState: in.Present, Closed: closed(gates, in.Present), Now: lookedAt(in, now)}
	if settled(p) == "" { // meanwhile, an unconfirmed message must not be forgotten
		return store.Report{Reported: in.Reported, Unconfirmed: in.Unconfirmed, Unsettled: true}, nil
	}

	e, reported := decide(reported, perhaps, p, s.Wants)
	if e == nil {
		return store.Report{Reported: encode(reported), Unconfirmed: encode([]Reported{})}, nil
	}

	m := &store.Message{
		Type: e.kind, Sequence: number(e, p, in.LastSequence), State: encode(e.then),
		More: after(e.then, p) > 0,
	}

	t := store.Report{Reported: encode(reported), Unconfirmed: encode(withPerhaps(perhaps, e.then)), Message: m}
	if waits := in.Undelivered(); waits != nil && waits.Type == e.kind && bytes.Equal(waits.Body,
		body(e, p, url, waits.Sequence)) {
		m.Sequence, t.Repeat = waits.Sequence, true
	}
	m.Body = body(e, p, url, m.Sequence)
	return t, nil
}

// clockSkew is how far the clocks of replicas may be apart.
const clockSkew = time.Minute

// lookedAt is the time that a stay is judged at. The process that found that a deadline has passed may have a clock
// that is ahead of this one.
func lookedAt(in store.StayToReport, now time.Time) time.Time {
	if in.LookedTo != nil && in.LookedTo.After(now) && in.LookedTo.Before(now.Add(clockSkew)) {
		return *in.LookedTo
	}
	return now
}

// closed are the gates of a stay that are not open.
func closed(gates []pms.Gate, p store.StayState) []stay.Gate {
	return slices.DeleteFunc(stay.Gates(gates, p.GateReports), func(g stay.Gate) bool { return !g.Closed() })
}

// encode encodes a value that always can be encoded.
func encode(v any) json.RawMessage {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic("notify: " + err.Error()) // texts, numbers and lists of them
	}
	return encoded
}
