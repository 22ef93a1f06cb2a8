package notify

import (
	"slices"
)

// What a subscription has received isn't always known: the answer to a message may be lost. This file chooses a message
// that is right for a receiver that got the earlier ones, and for one that didn't (decide). state.go says what each
// state asks for if the one before is known.

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
