package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// What the claim of a delivery asks: which message to send about a stay that has changed, with its body and number.

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
