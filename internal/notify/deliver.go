package notify

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file runs the deliveries of one subscription; also the test message, and the removal of old deliveries. A
// delivery has three steps, of which the first and the last are transactions:
//
//	claim    takes up what changed, and leases messages (store/delivery_claims.go)
//	send     the HTTP request, or the letter; it must be answered before the lease ends
//	record   the result: delivered, or when to try again (policy.go)
//
// Between claim and record a process may die: the lease ends, and the message is sent again under the same id. Messages
// about one stay keep their order, because its row has one lease.
//
// deliver keeps several messages on their way while the receiver takes them, and ends at the first that fails: the next
// round decides how to continue. So that slow receivers don't delay others, transactions use permits of three pools:
// claims for receivers that work, probes after a failure, firsts until the first success (limits). Messages to people
// are put together into as few letters as possible (deliverTogether).

// deliver sends what is due to one subscription, until nothing is, or a message fails: then the next round decides
// how to continue.
func (n *Notifier) deliver(ctx, sending context.Context, s Subscription, state store.Subscription) {
	atOnce, permits := n.limits(state)
	if s.ForPeople() {
		n.deliverTogether(ctx, sending, s, permits)
		return
	}

	done := make(chan bool, inFlight)
	onTheirWay := 0
	defer func() {
		for range onTheirWay {
			<-done
		}
		n.Wake()
	}()
	for ctx.Err() == nil {
		claimed, looked, err := n.claim(ctx, permits, s, atOnce-onTheirWay)
		if err != nil {
			if ctx.Err() == nil {
				n.log.Error("deliveries delayed", "subscription", s.Name, "error", err)
			}
			return
		}
		for _, c := range claimed {
			onTheirWay++
			taken := permits // returned to the pool that it was taken from, even if another is in use by then
			go func() { done <- n.attempt(sending, taken, s, c) }()
		}
		switch {
		case onTheirWay == 0 && looked == 0:
			return
		case onTheirWay < atOnce && looked > 0:
			continue // there may be more
		}
		ended, delivered := gather(done, onTheirWay)
		onTheirWay -= ended
		if !delivered {
			return
		}
		atOnce, permits = inFlight, n.claims
	}
}

// limits returns how many messages may be on their way to a subscription, and the pool that their transactions use: as
// long as it has not taken a message, or not since one failed, it may not delay the others.
func (n *Notifier) limits(state store.Subscription) (atOnce int, permits *pool) {
	atOnce, permits = inFlight, n.claims
	switch {
	case state.Failures > 0:
		permits = n.probes
	case state.LastSuccessAt == nil:
		permits = n.firsts
	}
	if state.Dead() || state.LastSuccessAt == nil {
		atOnce = 1
	}
	return atOnce, permits
}

// gather waits until an attempt has ended, and a moment for the others: one claim, which waits for the disk, then
// takes as many messages as it has room for. delivered is false if one of them wasn't.
func gather(done <-chan bool, onTheirWay int) (ended int, delivered bool) {
	delivered = <-done
	moment := time.NewTimer(pause)
	defer moment.Stop()
	for ended = 1; ended < onTheirWay; ended++ {
		select {
		case another := <-done:
			delivered = delivered && another
		case <-moment.C:
			return ended, delivered
		}
	}
	return ended, delivered
}

// deliverTogether sends what is due to people, in as few messages as it fits into.
func (n *Notifier) deliverTogether(ctx, sending context.Context, s Subscription, permits *pool) {
	defer n.Wake()
	for ctx.Err() == nil {
		claimed, looked, err := n.claim(ctx, permits, s, togetherAtMost)
		if err != nil && ctx.Err() == nil {
			n.log.Error("deliveries delayed", "subscription", s.Name, "error", err)
		}
		if err != nil || looked == 0 || (len(claimed) > 0 && !n.attemptTogether(sending, permits, s, claimed)) {
			return
		}
	}
}

// attemptTogether sends one message for several deliveries and records how it ended for each.
func (n *Notifier) attemptTogether(ctx context.Context, permits *pool, s Subscription,
	claimed []store.ClaimedDelivery,
) (delivered bool) {
	if time.Until(claimed[0].Until) < answerWithin+leaseSpare {
		return false
	}
	n.reach(point.DeliverClaimed)
	o, result := n.clients.sendLetter(ctx, s, claimed[0].DeliveryID.String(), s.compose(claimed, n.gates, n.AdminURL),
		n.agent(), n.Now)
	n.reach(point.DeliverSent)
	if ctx.Err() != nil {
		return false
	}
	observe(s.Name, o, result)
	jitter := rand.Float64() // #nosec G404 -- jitter; the same for all, so that they are tried again together
	for _, c := range claimed {
		if err := n.record(ctx, permits, c, o, result, jitter); err != nil && ctx.Err() == nil {
			n.log.Error("delivery result not stored: the message may be sent again", "subscription", s.Name,
				"delivery_id", c.DeliveryID, "error", err)
			return false
		}
	}
	return o.delivered()
}

// agent is the User-Agent of requests.
func (n *Notifier) agent() string { return "staykey/" + n.Version }

// claim takes up to limit messages.
func (n *Notifier) claim(ctx context.Context, permits *pool, s Subscription, limit int) ([]store.ClaimedDelivery, int,
	error,
) {
	giveBack, err := permits.take(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer giveBack()
	return n.store.Deliveries.Claim(ctx, store.ClaimRequest{
		Scope: s.scope(), Now: n.Now(), Lease: leaseFor,
		Limit: limit, MostUntried: mostUntried,
	},
		func(in store.StayToReport) (store.Report, error) {
			// What was read may be newer than Now above: others find that deadlines have passed.
			return s.report(in, n.gates(in.Present.Source), n.Now(), n.address(in.Present.Ref))
		})
}

// address is the REST URL of a stay; "" if the base URL is unknown.
func (n *Notifier) address(ref stay.Ref) string {
	if n.AdminURL == "" {
		return ""
	}
	return n.AdminURL + "/v1/reservations/" + url.PathEscape(ref.Source) + "/" + url.PathEscape(ref.ReservationID)
}

// attempt sends a message and records how it ended. One whose lease would end before the answer must come doesn't
// leave.
func (n *Notifier) attempt(ctx context.Context, permits *pool, s Subscription,
	c store.ClaimedDelivery,
) (delivered bool) {
	if time.Until(c.Until) < answerWithin+leaseSpare {
		return false
	}
	n.reach(point.DeliverClaimed)
	o, result := n.clients.send(ctx, s, post{c.DeliveryID.String(), c.Body}, n.agent(), n.Now)
	n.reach(point.DeliverSent)
	if ctx.Err() != nil {
		return false // the lease ends, and it is sent again
	}
	observe(s.Name, o, result)
	err := n.record(ctx, permits, c, o, result, rand.Float64()) // #nosec G404 -- jitter
	if err != nil && ctx.Err() == nil {
		n.log.Error("delivery result not stored: the message may be sent again", "subscription", s.Name, "delivery_id",
			c.DeliveryID, "error", err)
		return false
	}
	return o.delivered()
}

func observe(name string, o outcome, r store.AttemptResult) {
	result := "refused"
	switch {
	case o.delivered():
		result = "delivered"
	case o.status == 0:
		result = "failed"
	}
	attempts.WithLabelValues(name, result).Observe(r.Duration.Seconds())
}

func (n *Notifier) record(ctx context.Context, permits *pool, c store.ClaimedDelivery, o outcome, r store.AttemptResult,
	jitter float64,
) error {
	giveBack, err := permits.take(ctx)
	if err != nil {
		return err
	}
	defer giveBack()
	now := n.Now()
	next, err := n.store.Deliveries.RecordAttempt(ctx, c, r, now,
		func(sub store.Subscription, tries int) store.AttemptNext {
			return judge(o, sub, tries, now, jitter)
		})
	n.reach(point.DeliverNoted)
	switch {
	case errors.Is(err, store.ErrLeaseLost):
		return nil // another worker has claimed it, and sends it again
	case err != nil:
		return err
	case next.Disable != "":
		n.log.Error("subscription disabled", "subscription", c.Subscription, "reason", next.Disable)
	case !next.Delivered:
		n.log.Warn("delivery failed", "subscription", c.Subscription, "delivery_id", c.DeliveryID, "attempt", c.Attempt,
			"status", r.StatusCode,
			"error", r.Error, "retry_at", next.RetryAt)
	}
	return nil
}

// Test sends a test message to a subscription at once, and stores it with its result. A failure is not retried.
func (n *Notifier) Test(ctx context.Context, s Subscription) (store.Delivery, store.AttemptResult, error) {
	now := n.Now()
	d := store.Delivery{
		DeliveryID: uuid.New(), Subscription: s.Name, Type: TypeTest, Status: store.DeliveryDropped,
		CreatedAt: now, Attempts: 1, FinishedAt: &now,
	}
	d.Body = encode(Envelope{Type: TypeTest, Timestamp: instant(now), Data: map[string]string{"subscription": s.Name}})
	var o outcome
	var result store.AttemptResult
	if s.ForPeople() {
		l := letter{"test message", "This is a test message to the subscription " + s.Name + ": it works."}
		o, result = n.clients.sendLetter(ctx, s, d.DeliveryID.String(), l, n.agent(), n.Now)
	} else {
		o, result = n.clients.send(ctx, s, post{d.DeliveryID.String(), d.Body}, n.agent(), n.Now)
	}
	observe(s.Name, o, result)
	if o.delivered() {
		d.Status = store.DeliveryDelivered
	} else {
		d.Reason = &result.Error
	}
	return d, result, n.store.Deliveries.Save(ctx, d, result, n.Now())
}

// prune deletes deliveries that are older than their retention.
func (n *Notifier) prune(ctx context.Context) {
	now := n.Now()
	if _, err := n.store.Subscriptions.Prune(ctx, now.Add(-forgetAfter)); err != nil {
		n.log.Error("removed subscriptions not deleted yet", "error", err)
	}
	for removed := pruneAtOnce; n.Retain > 0 && removed == pruneAtOnce && ctx.Err() == nil; {
		var err error
		if removed, err = n.store.Deliveries.Prune(ctx, now.Add(-n.Retain), pruneAtOnce); err != nil {
			n.log.Error("old deliveries not deleted yet", "error", err)
			return
		}
	}
}
