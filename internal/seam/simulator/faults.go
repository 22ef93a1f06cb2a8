package simulator

import (
	"bytes"
	"slices"
	"time"
)

// FaultKind is a way in which a call can go wrong.
type FaultKind string

// Faults that lose or refuse a call. "Before" and "after" are about the call's effect.
const (
	LostBefore     FaultKind = "lost_before" // the connection closes, nothing happened
	LostAfter      FaultKind = "lost_after"  // it happened, and the connection closes
	Late           FaultKind = "late"        // the connection closes, and it happens Delay later
	Error500Before FaultKind = "500_before"
	Error500After  FaultKind = "500_after"
	Error503Before FaultKind = "503_before"
	Error503After  FaultKind = "503_after"
	Garbage        FaultKind = "garbage"   // it happened, and the 200 is not JSON
	Hang           FaultKind = "hang"      // it happened, and no answer comes
	SlowDrip       FaultKind = "slow_drip" // it happened, and the answer comes byte by byte, forever
	// it happened, and the connection says nothing more to anybody; needs [Serve]
	Silent     FaultKind = "silent"
	Reset      FaultKind = "reset" // TCP reset, nothing happened
	Limited    FaultKind = "429"   // refused, with Retry-After if RetryAfter or RetryAfterText is set
	NoEndpoint FaultKind = "404"   // a gateway's: no body of Seam's
	Page       FaultKind = "page"  // a gateway's HTML page, with Status (default 502), nothing happened
)

// Refusals by Seam: nothing happened. Type and Message override what they say.
const (
	Refused       FaultKind = "400"
	NotAuthorized FaultKind = "401"
	Forbidden     FaultKind = "403"
	Conflict      FaultKind = "409"
	Unprocessable FaultKind = "422"
	WrongNotFound FaultKind = "not_found" // Seam's 404 about what the call names, although it is there
)

// RefusedAfter is a refusal with Status (default 400), although the call took effect.
const RefusedAfter FaultKind = "refused_after"

// Answers that are not as documented. The call has its effect.
const (
	NoObject     FaultKind = "no_object"     // the object or the list is missing
	NullObject   FaultKind = "null_object"   // it is null
	EmptyObject  FaultKind = "empty_object"  // it has no fields, or no items
	NoOptional   FaultKind = "no_optional"   // without the fields that Seam's OpenAPI doesn't require
	NullOptional FaultKind = "null_optional" // those fields are null
	Unfamiliar   FaultKind = "unfamiliar"    // with undocumented fields and values
	NoCursor     FaultKind = "no_cursor"     // there is a next page, and no cursor to it
	SameCursor   FaultKind = "same_cursor"   // each page is followed on its own
	HalfList     FaultKind = "half_list"     // the first half claims to be complete
)

// FaultKinds lists the faults that lose or refuse a call and end on their own.
var FaultKinds = []FaultKind{
	LostBefore, LostAfter, Error500Before, Error500After, Error503Before, Error503After, Garbage, Hang,
	SlowDrip, Reset, Limited,
}

// Alterations lists the faults that change an answer so that it can't be used, or says less.
var Alterations = []FaultKind{NoObject, NullObject, NoOptional, NullOptional, Unfamiliar, NoCursor, SameCursor}

// Fault makes calls fail.
type Fault struct {
	Kind           FaultKind     `json:"kind"`
	Path           string        `json:"path"`             // "" is every path
	Contains       string        `json:"contains"`         // only bodies that hold this text
	Skip           int           `json:"skip"`             // how many calls pass first
	Count          int           `json:"count"`            // how many then fail; 0 is one, negative all
	RetryAfter     time.Duration `json:"retry_after"`      // of 429
	RetryAfterText string        `json:"retry_after_text"` // of 429: the header as it is, however absurd
	Delay          time.Duration `json:"delay"`            // of late, by the simulator's clock
	Status         int           `json:"status"`           // of page and refused_after
	Type           string        `json:"type"`             // of a refusal: Seam's error.type
	Message        string        `json:"message"`          // of a refusal
	Fired          int           `json:"fired"`

	// Spares, if set, is asked about each item that empty_object or half_list would leave out of a list: those that it
	// returns true for are kept. It must not call the simulator.
	Spares func(item map[string]any) bool `json:"-"`
}

// Inject adds faults. They are tried in order; the first that fits a call wins.
func (s *Simulator) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		if f.Count == 0 {
			f.Count = 1
		}
		s.faults = append(s.faults, &f)
	}
}

// Heal removes all faults and returns how often they fired. Late calls still take effect.
func (s *Simulator) Heal() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	fired := 0
	for _, f := range s.faults {
		fired += f.Fired
	}
	s.faults = nil
	return fired
}

// fault returns the fault that strikes this call, if any. The caller holds the lock.
func (s *Simulator) fault(path string, body []byte) *Fault {
	for _, f := range s.faults {
		if (f.Path != "" && f.Path != path) || !bytes.Contains(body, []byte(f.Contains)) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Count > 0 && f.Fired >= f.Count {
			continue
		}
		f.Fired++
		copied := *f
		return &copied
	}
	return nil
}

// hasEffect reports whether a call with this fault still takes effect at once.
func (k FaultKind) hasEffect() bool {
	return slices.Contains([]FaultKind{
		LostAfter, Error500After, Error503After, Garbage, Hang, SlowDrip, Silent, RefusedAfter,
	}, k) || k.alters()
}

// alters reports whether the fault only changes the answer.
func (k FaultKind) alters() bool {
	return k == EmptyObject || k == HalfList || slices.Contains(Alterations, k)
}

// lateCall is a call whose effect is still to come.
type lateCall struct {
	at   time.Time
	path string
	body map[string]any
}

// LateCalls is how many calls were sent, got no answer, and are still to take effect.
func (s *Simulator) LateCalls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.comeLate()
	return len(s.late)
}

// comeLate applies late calls that are due, each at its time. The caller holds the lock.
func (s *Simulator) comeLate() {
	now := s.now()
	for i := 0; i < len(s.late); {
		c := s.late[i]
		if now.Before(c.at) {
			i++
			continue
		}
		s.late = slices.Delete(s.late, i, i+1)
		if fields, known := schemas[c.path]; known && calls[c.path] != nil && fields.check(c.body) == nil {
			late := now.Sub(c.at)
			s.offset -= late
			calls[c.path](&s.workspace, c.body)
			s.offset += late
		}
	}
}
