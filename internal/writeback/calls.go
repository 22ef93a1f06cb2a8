package writeback

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/store"
)

// The calls of an attempt: each is made within the lease, at the account's pace, and is counted.

// read reads the field into step.Found, which stays nil if the preset can't read it or the answer doesn't show it.
func (a *attempt) read(ctx context.Context, step *pms.WriteBackStep) *failure {
	call, err := a.set.Read(ctx, *step)
	if err != nil {
		return &failure{reason: ReasonProgram, cause: pmsapi.Broken, err: err}
	}
	if call == nil {
		return nil
	}
	f := a.call(ctx, *call, a.guard, func(answer pmsapi.Answer) *failure {
		in := *step
		in.Call, in.Answer = call.Name, decoded(answer)
		found, refused, err := a.set.Find(ctx, in)
		switch {
		case err != nil:
			return &failure{reason: ReasonProgram, cause: pmsapi.Broken, err: err}
		case refused:
			return a.refusal(answer)
		}
		step.Found = found
		return nil
	})
	if f == nil {
		a.reach(point.WriteBackRead)
	}
	return f
}

// guard prevents a call whose deadline is after the end of the lease.
func (a *attempt) guard() error {
	if !a.mayCall(a.lease) {
		return store.ErrLeaseLost
	}
	return nil
}

// call makes one call. before is run right before it leaves, and read reads an answer of success.
func (a *attempt) call(ctx context.Context, call pms.PlannedCall, before func() error,
	read func(pmsapi.Answer) *failure,
) *failure {
	var f *failure
	answer, err := a.api.Do(ctx, pmsapi.Request{
		Method: call.Method, Address: call.Address, JSON: call.JSON,
		Form: call.Form, BeforeSending: before,
	}, func(answer pmsapi.Answer) error {
		if !answer.OK() {
			return a.api.Refused(answer, "")
		}
		if f = read(answer); f != nil {
			return &pmsapi.Error{
				Status: answer.Status, Cause: f.cause, RetryAfter: pmsapi.RetryAfter(answer.Header),
				Message: f.err.Error(),
			}
		}
		return nil
	})
	count(a.name, call.Name, answer.Status, err)
	if err == nil || f != nil {
		return f
	}
	return failureOf(err)
}

// refusal describes a refusal inside a successful answer.
func (a *attempt) refusal(answer pmsapi.Answer) *failure {
	return &failure{
		reason: ReasonRefused, cause: pmsapi.Failing, status: answer.Status,
		err: errors.New("the PMS refused: it answered " + answer.Line + a.api.Quote(answer.Text, "")),
	}
}

func count(source, call string, status int, err error) {
	if paused := new(pmsapi.PausedError); errors.As(err, &paused) || errors.Is(err, errChanged) ||
		errors.Is(err, store.ErrLeaseLost) {
		return // nothing left
	}
	answer := fmt.Sprint(status)
	if status == 0 {
		answer = "failed"
	}
	requests.WithLabelValues(source, call, answer).Inc()
}

// decoded is an answer's JSON; nil if it isn't JSON.
func decoded(answer pmsapi.Answer) any {
	if answer.Status == http.StatusNoContent || len(answer.Text) > pmsapi.MaxAnswer {
		return nil
	}
	v, err := pms.DecodeJSON(answer.Text)
	if err != nil {
		return nil
	}
	return v
}
