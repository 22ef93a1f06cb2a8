package seam

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Unanswered is how long Seam has given this process no usable answer to any call. It is zero after a usable answer.
type Unanswered struct {
	Since time.Time // when the first call failed since the last usable answer
	Calls int       // that have failed since then
	Last  error     // of the latest of them
}

// contact counts the calls that Seam gave no usable answer to, since it last gave one.
type contact struct {
	now func() time.Time

	mu         sync.Mutex
	unanswered Unanswered
}

// Unanswered returns which calls have failed since Seam last gave a usable answer. A refusal is one. Calls that never
// left, because of the rate limit or a guard, and calls that their callers have canceled say nothing about Seam.
func (c *Client) Unanswered() Unanswered {
	c.contact.mu.Lock()
	defer c.contact.mu.Unlock()
	return c.contact.unanswered
}

// record takes the result of a call that was made with ctx.
func (c *contact) record(ctx context.Context, err error) {
	isAnswer := isAnswer(err)
	if !isAnswer && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if isAnswer {
		c.unanswered = Unanswered{}
		return
	}
	if c.unanswered.Calls == 0 {
		c.unanswered.Since = c.now()
	}
	c.unanswered.Calls++
	c.unanswered.Last = err
}

// isAnswer reports whether a call got a usable answer: what it asked for, or a refusal of Seam's. A refusal without
// Seam's error body may come from anything on the way, except one of the API key, which callers believe.
func isAnswer(err error) bool {
	e := new(Error)
	if !errors.As(err, &e) {
		return err == nil
	}
	switch e.Kind {
	case Unauthorized:
		return true
	case Invalid, NotFound, Forbidden:
		return e.Type != ""
	default:
		return false
	}
}
