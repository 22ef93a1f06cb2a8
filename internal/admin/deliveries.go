package admin

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/store"
)

// Deliveries reads what was sent to subscriptions, and sends it again.
type Deliveries struct{ *core }

// DeliveryQuery are the filters of the list of deliveries.
type DeliveryQuery struct {
	Paging
	Subscription  []string `query:"subscription" nullable:"false" doc:"One subscription, or several separated by commas."`
	Status        []string `query:"status" nullable:"false" enum:"waiting,delivered,dropped" doc:"One status, or several separated by commas."`
	Type          []string `query:"type" nullable:"false" enum:"mobile_key.ready,mobile_key.changed,mobile_key.held,mobile_key.attention,mobile_key.recovered,mobile_key.revoked,mobile_key.expired,mobile_key.first_used,mobile_key.denied,mobile_key.at_risk,subscription.test,subscription.digest" doc:"One type, or several separated by commas."`
	Source        []string `query:"source" nullable:"false" doc:"One source, or several separated by commas."`
	ReservationID string   `query:"reservation_id"`
}

// Tried is a delivery with its attempts, oldest first.
type Tried struct {
	Delivery
	Attempts []DeliveryAttempt
}

const noDelivery = "no delivery has this id"

// List lists messages to subscriptions with their attempts, newest first.
func (s Deliveries) List(ctx context.Context, q DeliveryQuery) (Page[Tried], error) {
	if err := checkEnums(q); err != nil {
		return Page[Tried]{}, err
	}
	p := q.Paging
	q.Paging = Paging{}
	list := listName("deliveries", q)
	var below int64
	if err := s.openCursor(list, p.Cursor, &below); err != nil {
		return Page[Tried]{}, err
	}
	rows, err := s.store.Deliveries.List(ctx, store.DeliveryFilter{
		Subscription: q.Subscription, Status: q.Status, Type: q.Type, Source: q.Source, ReservationID: q.ReservationID,
		Sources: ActorOf(ctx).Sources,
	}, below, p.Limit+1)
	if err != nil {
		return Page[Tried]{}, err
	}
	found := page(s.core, list, rows, p.Limit, func(d Delivery) any { return d.Seq })
	tried, err := s.tried(ctx, found.Items...)
	return Page[Tried]{tried, found.Next}, err
}

// tried adds the attempts at deliveries.
func (s Deliveries) tried(ctx context.Context, deliveries ...Delivery) ([]Tried, error) {
	ids := make([]uuid.UUID, len(deliveries))
	for i, d := range deliveries {
		ids[i] = d.DeliveryID
	}
	attempts, err := s.store.Deliveries.Attempts(ctx, ids)
	if err != nil {
		return nil, err
	}
	all := make([]Tried, len(deliveries))
	for i, d := range deliveries {
		all[i] = Tried{d, attempts[d.DeliveryID]}
	}
	return all, nil
}

// Get returns one message with its attempts.
func (s Deliveries) Get(ctx context.Context, id string) (Tried, error) {
	d, err := s.find(ctx, id)
	if err != nil {
		return Tried{}, err
	}
	return s.oneTried(ctx, d)
}

func (s Deliveries) oneTried(ctx context.Context, d Delivery) (Tried, error) {
	tried, err := s.tried(ctx, d)
	if err != nil {
		return Tried{}, err
	}
	return tried[0], nil
}

func (s Deliveries) find(ctx context.Context, id string) (Delivery, error) {
	parsed, err := parseID(id)
	if err != nil {
		return Delivery{}, refuse(NotFound, noDelivery)
	}
	d, err := s.store.Deliveries.Get(ctx, parsed)
	if err != nil {
		return Delivery{}, notFound(err, noDelivery)
	}
	if !ActorOf(ctx).Sees(d.Source) {
		return Delivery{}, refuse(NotFound, noDelivery)
	}
	return d, nil
}

// Resend sends a message again, and returns the one that is sent: a newer state of the stay takes its place.
func (s Deliveries) Resend(ctx context.Context, id string) (Tried, error) {
	d, err := s.find(ctx, id)
	if err != nil {
		return Tried{}, err
	}
	if err := s.mayResend(ctx, d); err != nil {
		return Tried{}, err
	}
	entry := ActorOf(ctx).Audit(auditResend, "").About(d.Source, d.DeliveryID.String(), "")
	entry.At = s.now().UTC()
	again, err := s.store.Deliveries.Resend(ctx, d, entry.At, entry)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Tried{}, refuse(Conflict, "its reservation was removed by the retention policy")
	case err != nil:
		return Tried{}, err
	}
	s.config.Deliver()
	return s.oneTried(ctx, again)
}

// Resent returns the message that a request with an Idempotency-Key had sent whose answer was lost.
func (s Deliveries) Resent(ctx context.Context, id string) (Tried, error) {
	d, err := s.find(ctx, id)
	if err != nil {
		return Tried{}, err
	}
	newest, err := s.store.Deliveries.Newest(ctx, d)
	if err != nil {
		return Tried{}, err
	}
	return s.oneTried(ctx, newest)
}

// mayResend refuses what can't be sent again.
func (s Deliveries) mayResend(ctx context.Context, d Delivery) error {
	if d.ReservationID == "" {
		return refuse(Conflict, "only messages about stays can be sent again")
	}
	configured := func(sub SubscriptionSettings) bool { return sub.Name == d.Subscription }
	if !slices.ContainsFunc(s.config.Subscriptions(), configured) {
		return refuse(Conflict, "its subscription is no longer in the configuration")
	}
	states, err := s.store.Subscriptions.Named(ctx, []string{d.Subscription})
	if err != nil {
		return err
	}
	if states[d.Subscription].DisabledAt != nil {
		return refuse(Conflict, "its subscription is disabled: enable it to send everything that it missed")
	}
	return nil
}
