package admin

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// This file makes changing requests with an Idempotency-Key happen once. A key is claimed before the request is
// done and its answer is kept after it, for a day, both in the database, so that it holds across replicas. A
// process that dies in between leaves a claim that ends; the entry of the audit log, which is committed with the
// change, then reports whether the change was made.

// KeptRequests carries out a request with an Idempotency-Key once, however often it arrives.
type KeptRequests struct{ *core }

const (
	// onceAtMost is how long a request with a key may take.
	onceAtMost = 60 * time.Second
	// onceEnds is how much longer its claim lasts, so that nobody else begins while it may still commit; onceWait is
	// how long a request waits for an earlier one with the same key, and keepWithin how long it takes at most to keep
	// its answer: all three as [store.Store.Within] says.
	onceEnds   = store.StatementTimeout
	onceWait   = 10 * time.Second
	keepWithin = 5 * time.Second
	onceLook   = 50 * time.Millisecond
)

// Codes of refused keys.
const (
	CodeKeyReused = "idempotency_key_reused"
	CodeKeyInUse  = "idempotency_key_in_use"
)

// longestKey is that of an Idempotency-Key.
const longestKey = 255

// OnceRequest is a changing request with an Idempotency-Key.
type OnceRequest struct {
	Key    string
	Method string
	Target string // path and query, as sent
	Body   []byte
}

// Answer is an answer to a request, as it is kept.
type Answer struct {
	Status    int
	MediaType string
	Body      []byte
}

// Once is a request that must happen once.
type Once struct {
	Kept      *Answer // it was done before: what it was answered; nil: the caller does it now
	Committed bool    // an earlier try made its change, and its answer was lost

	requests   store.KeptRequests
	keepWithin time.Duration
	key        []byte
	lease      store.KeptRequest
	until      time.Time // of the context to do it with
}

// Begin claims a request by its key. While another request with the same key is being done, it waits. The caller calls
// Keep or Release, unless the answer was kept before.
func (s KeptRequests) Begin(ctx context.Context, r OnceRequest) (*Once, error) {
	if r.Key == "" || len(r.Key) > longestKey ||
		strings.ContainsFunc(r.Key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, InvalidField("header.Idempotency-Key", "must be 1 to 255 visible ASCII characters")
	}
	actor := ActorOf(ctx)
	once := &Once{
		requests: s.store.Requests, keepWithin: s.store.Within(keepWithin),
		key: s.requestMAC("key", actor.scope(), r.Key),
	}
	fingerprint := s.requestMAC("request", r.Method, r.Target, string(r.Body))
	lease := onceAtMost + s.store.Within(onceEnds)
	deadline := time.NewTimer(s.store.Within(onceWait))
	defer deadline.Stop()

	for {
		claimed := time.Now() // the lease begins then, or a little later
		kept, err := s.store.Requests.Claim(ctx, once.key, fingerprint, lease)
		if err != nil {
			return nil, err
		}
		switch kept.State {
		case store.RequestOther:
			refusal := InvalidField("header.Idempotency-Key",
				"was used for another request within 24 hours: use a new key for each request")
			refusal.Code = CodeKeyReused
			return nil, refusal
		case store.RequestFinished:
			once.Kept = &Answer{Status: kept.Status, MediaType: kept.MediaType, Body: kept.Body}
			return once, nil
		case store.RequestClaimed:
			once.lease, once.Committed, once.until = kept, kept.Committed, claimed.Add(onceAtMost)
			return once, nil
		case store.RequestRunning:
		}
		if err := awaitLook(ctx, deadline.C); err != nil {
			return nil, err
		}
	}
}

// awaitLook waits until it is time to look again whether the other request has ended.
func awaitLook(ctx context.Context, deadline <-chan time.Time) error {
	look := time.NewTimer(onceLook)
	defer look.Stop()
	select {
	case <-look.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-deadline:
		return &Error{
			Kind: Conflict, Code: CodeKeyInUse,
			Message:    "a request with this Idempotency-Key is still running: send it again in a moment",
			RetryAfter: time.Second,
		}
	}
}

// Context is what to do the request with: it ends before the claim does. There is no claim to end if the answer was
// kept before.
func (o *Once) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.Kept != nil {
		return ctx, func() {}
	}
	actor := ActorOf(ctx)
	actor.RequestKey = o.key
	return context.WithDeadline(WithActor(ctx, actor), o.until)
}

// Keep keeps the answer to the request.
func (o *Once) Keep(ctx context.Context, a Answer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.keepWithin)
	defer cancel()
	kept := o.lease
	kept.Status, kept.MediaType, kept.Body = a.Status, a.MediaType, a.Body
	return o.requests.Finish(ctx, o.key, kept)
}

// Release forgets a request that changed nothing.
func (o *Once) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.keepWithin)
	defer cancel()
	return o.requests.Release(ctx, o.key, o.lease.Lease)
}

// scope is a token with what it may do. Keys of one are nothing to another, nor to the same token once it may do
// something else.
func (a Actor) scope() string {
	return fmt.Sprintf("%x %t %q %q %t", a.Hash, a.Write, a.Only, a.Sources, a.Sources == nil)
}

// requestMAC is what is stored instead of texts, which may hold a guest's data.
func (s KeptRequests) requestMAC(parts ...string) []byte {
	mac := hmac.New(sha256.New, s.config.CursorKey)
	for _, part := range parts {
		_, _ = fmt.Fprintf(mac, "%d:%s", len(part), part) // a hash takes everything
	}
	return mac.Sum(nil)
}
