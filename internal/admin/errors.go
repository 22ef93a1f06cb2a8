package admin

import (
	"errors"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// Kind is why an admin's request can't be met. Each has one HTTP status.
type Kind int

// Kinds of errors.
const (
	NotFound    Kind = iota + 1 // 404: it doesn't exist, or the actor's token may not see it
	Malformed                   // 400: it can't be read at all
	Invalid                     // 422: fields are wrong
	Forbidden                   // 403: the actor's token may not do it
	Conflict                    // 409: the present state doesn't allow it
	Unavailable                 // 503: something that it needs doesn't answer
)

// Error is why an admin's request can't be met, worded for the admin: what is wrong and what to do.
type Error struct {
	Kind Kind
	// names the cause for programs, more closely than the kind; empty: the kind is all there is to say
	Code       string
	Reason     string // of [CodeKeyNotReady]: why, for programs
	Message    string
	Fields     []pms.FieldError // of Invalid: one for each wrong field
	RetryAfter time.Duration    // when it may succeed; 0: that is not known
}

// CodeKeyNotReady is the code of a [Conflict] with the state of a guest's key.
const CodeKeyNotReady = "key_not_ready"

// Error implements error.
func (e *Error) Error() string { return e.Message }

// InvalidField refuses one field of a request.
func InvalidField(field, message string) *Error {
	return &Error{
		Kind: Invalid, Message: "the request is invalid",
		Fields: []pms.FieldError{{Field: field, Message: message}},
	}
}

// refuse returns an error without fields.
func refuse(kind Kind, message string) *Error { return &Error{Kind: kind, Message: message} }

// notFound has an error of the store say what is missing.
func notFound(err error, missing string) error {
	if errors.Is(err, store.ErrNotFound) {
		return refuse(NotFound, missing)
	}
	return err
}

// refusedAction turns what intake says about an action into the admin's error.
func refusedAction(err error) error {
	if conflict := (intake.ConflictError{}); errors.As(err, &conflict) {
		return &Error{Kind: Conflict, Code: conflict.Code, Message: conflict.Message}
	}
	if input := (intake.InputError{}); errors.As(err, &input) {
		return InvalidField(input.Field, input.Message)
	}
	return notFound(err, noReservation)
}

// IsRefusal reports whether err is for the admin, and returns it.
func IsRefusal(err error) (*Error, bool) {
	refusal := new(Error)
	return refusal, errors.As(err, &refusal)
}
