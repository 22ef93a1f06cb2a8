package notify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/store"
)

// The daily summary for people: who arrives within a day, whose key is not ready, and how many stays need a
// person.

const (
	digestsEvery  = 20 * time.Second // how often to check whether one is due
	digestCovers  = 24 * time.Hour
	digestLists   = 20 // arrivals listed at most; the rest are only counted
	digestTries   = 5  // then the next one is tomorrow's
	digestClaimed = 2 * time.Minute
)

// startDigests sends the digests that are due.
func (n *Notifier) startDigests(ctx, sending context.Context, subscriptions []Subscription) {
	now := n.Now()
	if now.Sub(n.digests) < digestsEvery {
		return
	}
	n.digests = now
	for _, s := range subscriptions {
		if s.Digest != nil {
			n.start("digest of "+s.Name, func() { n.digest(ctx, sending, s) })
		}
	}
}

// digest sends a subscription's digest if it is due. Anyone who claims it has two minutes; a process that dies
// meanwhile has it sent again.
func (n *Notifier) digest(ctx, sending context.Context, s Subscription) {
	now := n.Now()
	next := s.Digest.next(now, s.zone())
	tries, due, err := n.store.Subscriptions.ClaimDigest(ctx, s.Name, now, now.Add(digestClaimed))
	if err == nil && !due {
		err = n.store.Subscriptions.StartDigest(ctx, s.Name, next)
	}
	if err != nil || !due {
		n.digestFailed(ctx, s, err)
		return
	}

	arrivals, err := n.store.Subscriptions.DigestData(ctx, s.Sources, now, now.Add(digestCovers), digestLists)
	if err != nil {
		n.digestFailed(ctx, s, err)
		return
	}

	d := store.Delivery{
		DeliveryID: uuid.New(), Subscription: s.Name, Type: TypeDigest, Status: store.DeliveryDropped,
		CreatedAt: now, Attempts: 1, FinishedAt: &now,
	}
	d.Body = encode(Envelope{Type: TypeDigest, Timestamp: instant(now), Data: map[string]int{
		"arrivals": arrivals.All, "arrivals_without_key": arrivals.WithoutKey,
		"stays_that_need_a_person": arrivals.Attention,
	}})

	o, result := n.clients.sendLetter(sending, s, d.DeliveryID.String(),
		s.composeDigest(arrivals, n.AdminURL), n.agent(), n.Now)
	observe(s.Name, o, result)

	if o.delivered() {
		d.Status = store.DeliveryDelivered
	} else {
		d.Reason = &result.Error
		if tries+1 < digestTries {
			next = now.Add(retryAfter[tries])
		}
		n.log.Warn("digest failed", "subscription", s.Name, "error", result.Error, "retry_at", next)
	}

	if err := n.store.Deliveries.Save(sending, d, result, n.Now()); err != nil {
		n.digestFailed(ctx, s, err)
	}

	n.digestFailed(ctx, s,
		n.store.Subscriptions.FinishDigest(sending, s.Name, o.delivered() || tries+1 >= digestTries, next))
}

func (n *Notifier) digestFailed(ctx context.Context, s Subscription, err error) {
	if err != nil && ctx.Err() == nil {
		n.log.Error("digest delayed", "subscription", s.Name, "error", err)
	}
}

func (s Subscription) composeDigest(a store.DigestData, adminURL string) letter {
	l := letter{subject: fmt.Sprintf("%s within 24 hours, %s", count(a.All, "arrival"), without(a.WithoutKey))}
	lines := []string{l.subject + "."}
	for _, p := range a.First {
		lines = append(lines, s.line(p, reasonFor(p), adminURL))
	}
	if more := a.WithoutKey - len(a.First); more > 0 {
		lines = append(lines, fmt.Sprintf("- and %d more", more))
	}
	switch a.Attention {
	case 0:
		lines = append(lines, "No stay needs a person.")
	case 1:
		lines = append(lines, "1 stay needs a person.")
	default:
		lines = append(lines, fmt.Sprintf("%d stays need a person.", a.Attention))
	}
	l.text = strings.Join(lines, "\n")
	return l
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func without(n int) string {
	if n == 0 {
		return "all with a key"
	}
	return fmt.Sprintf("%d without a key", n)
}
