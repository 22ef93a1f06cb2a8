package seam

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Kind is what a failed call means for the state at Seam.
type Kind int

// Kinds of failure.
const (
	Lost         Kind = iota + 1 // no usable answer: it may have taken effect, or may yet
	NotSent                      // it never left: nothing happened
	Invalid                      // refused because of its content: nothing happened, and a repeat would be refused, too
	NotFound                     // it names something that Seam doesn't know
	Unauthorized                 // the API key is not accepted
	Forbidden                    // the key may not do this
	RateLimited                  // refused for now
)

// String returns the kind as metrics and the timeline show it.
func (k Kind) String() string {
	switch k {
	case Lost:
		return "lost"
	case NotSent:
		return "not_sent"
	case Invalid:
		return "invalid"
	case NotFound:
		return "not_found"
	case Unauthorized:
		return "unauthorized"
	case Forbidden:
		return "forbidden"
	case RateLimited:
		return "rate_limited"
	default:
		return "unknown"
	}
}

// Error is a failed call. Its message is redacted: Seam's texts may echo a guest's address.
type Error struct {
	Path       string
	Kind       Kind
	Status     int    // 0: no answer
	Type       string // Seam's error.type, "" where there is none
	Message    string
	RequestID  string
	RetryAfter time.Duration // of RateLimited
}

// Error implements error.
func (e *Error) Error() string {
	s := fmt.Sprintf("Seam %s: %s", e.Path, e.Kind)
	if e.Status != 0 {
		s += fmt.Sprintf(" (%d)", e.Status)
	}
	if e.Type != "" {
		s += " " + e.Type
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// isRefusal reports whether the same read would fail again: Seam refuses it, or has no such endpoint.
func (e *Error) isRefusal() bool {
	return e.Status == http.StatusNotFound || (e.Kind != Lost && e.Kind != NotSent && e.Kind != RateLimited)
}

// IsRefusal reports whether err is Seam's no, which the same read would get again.
func IsRefusal(err error) bool {
	e := new(Error)
	return errors.As(err, &e) && e.isRefusal()
}

// IsHeldBack reports whether err is that a call was not made, because Seam's rate limit is reached. It says nothing
// about Seam.
func IsHeldBack(err error) bool {
	e := new(Error)
	return errors.As(err, &e) && e.Kind == RateLimited && e.Status == 0
}

// KindOf returns the kind of a failed call, or 0 if err is none.
func KindOf(err error) Kind {
	if e := new(Error); errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

// TypeOf returns Seam's error.type of a failed call, "" where there is none.
func TypeOf(err error) string {
	if e := new(Error); errors.As(err, &e) {
		return e.Type
	}
	return ""
}
