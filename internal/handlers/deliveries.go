package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/store"
)

// Delivery is a message to a subscription.
type Delivery struct {
	DeliveryID    string            `json:"delivery_id" format:"uuid" doc:"Its webhook-id: one id names one body."`
	Subscription  string            `json:"subscription" example:"guest-app"`
	Type          string            `json:"type" example:"mobile_key.ready"`
	Source        *string           `json:"source" example:"default" doc:"Null of what is about no stay, such as a test."`
	ReservationID *string           `json:"reservation_id" example:"3333122-433"`
	Sequence      int64             `json:"sequence" doc:"Of the stay's state that it tells of."`
	Status        string            `json:"status" enum:"waiting,delivered,dropped" doc:"waiting: it was not delivered yet. dropped: a newer state took its place, or it was a test that failed."`
	Reason        *string           `json:"reason" doc:"Why it was dropped."`
	NextAttemptAt *string           `json:"next_attempt_at" format:"date-time"`
	CreatedAt     string            `json:"created_at" format:"date-time"`
	FinishedAt    *string           `json:"finished_at" format:"date-time"`
	Attempts      []DeliveryAttempt `json:"attempts" nullable:"false" doc:"Oldest first."`
	Body          string            `json:"body" doc:"As it is posted; of a subscription of people, what the text was made from."`
}

// DeliveryAttempt is one try.
type DeliveryAttempt struct {
	Attempt    int     `json:"attempt" doc:"From 1."`
	At         string  `json:"at" format:"date-time"`
	DurationMS int     `json:"duration_ms"`
	Status     int     `json:"status" doc:"The answer's HTTP status; 0 where there was none."`
	Error      *string `json:"error" example:"no answer within 15 seconds"`
	Answer     *string `json:"answer" doc:"The beginning of the answer's body."`
}

func showDelivery(d store.Delivery, attempts []store.DeliveryAttempt) Delivery {
	out := Delivery{
		DeliveryID: d.DeliveryID.String(), Subscription: d.Subscription, Type: d.Type, Source: orNil(d.Source), ReservationID: orNil(d.ReservationID),
		Sequence: d.Sequence, Status: d.Status, Reason: d.Reason, NextAttemptAt: stampOrNull(d.NextAttemptAt), CreatedAt: stamp(d.CreatedAt),
		FinishedAt: stampOrNull(d.FinishedAt), Attempts: []DeliveryAttempt{}, Body: string(d.Body),
	}
	for _, a := range attempts {
		out.Attempts = append(out.Attempts, DeliveryAttempt{Attempt: a.Attempt, At: stamp(a.At), DurationMS: a.DurationMS, Status: a.StatusCode, Error: a.Error, Answer: a.Answer})
	}
	return out
}

// DeliveryQuery are the filters of the list of deliveries.
type DeliveryQuery struct {
	Paging
	Subscription  string `query:"subscription"`
	Status        string `query:"status" enum:"waiting,delivered,dropped"`
	Type          string `query:"type" enum:"mobile_key.ready,mobile_key.changed,mobile_key.held,mobile_key.attention,mobile_key.recovered,mobile_key.revoked,mobile_key.expired,subscription.test,subscription.digest"`
	Source        string `query:"source"`
	ReservationID string `query:"reservation_id"`
}

// DeliveryName is the parameter that names one delivery.
type DeliveryName struct {
	DeliveryID string `path:"delivery_id" example:"0190b5a0-7a7c-4c3e-9d2e-6f1f8f0c2a11"`
}

const noDelivery = "there is no delivery with this id"

func (s *server) deliveryOperations(api huma.API) {
	const tag = "Subscriptions"
	huma.Register(api, operation("list-deliveries", http.MethodGet, "/v1/deliveries", tag, "List messages to subscriptions with their attempts, newest first"),
		func(ctx context.Context, in *DeliveryQuery) (*Output[List[Delivery]], error) {
			rows, attempts, p := s.deliveriesOf(ctx, *in)
			if p != nil {
				return nil, p
			}
			return &Output[List[Delivery]]{paged(rows, in.Limit, func(d store.Delivery) Delivery { return showDelivery(d, attempts[d.DeliveryID]) },
				func(d store.Delivery) *string { return s.sealCursor("deliveries", d.Seq) })}, nil
		})
	huma.Register(api, operation("get-delivery", http.MethodGet, "/v1/deliveries/{delivery_id}", tag, "Get one message with its attempts", http.StatusNotFound),
		func(ctx context.Context, in *DeliveryName) (*Output[Delivery], error) {
			d, p := s.delivery(ctx, in.DeliveryID)
			if p != nil {
				return nil, p
			}
			return s.shownDelivery(ctx, d)
		})
	resend := operation("resend-delivery", http.MethodPost, "/v1/deliveries/{delivery_id}/resend", tag, "Send a message again", http.StatusForbidden, http.StatusNotFound, http.StatusConflict)
	resend.Description = "At once, under the same webhook-id. Where a newer state of the stay has taken its place, that is sent instead: nothing is told that is no longer true. The answer is the message that is sent."
	resend.DefaultStatus = http.StatusAccepted
	huma.Register(api, resend, func(ctx context.Context, in *DeliveryName) (*Output[Delivery], error) {
		d, p := s.resend(ctx, in.DeliveryID)
		if p != nil {
			return nil, p
		}
		return s.shownDelivery(ctx, d)
	})
}

// deliveriesOf returns a page of deliveries, and one more if there is one, with the attempts at them.
func (s *server) deliveriesOf(ctx context.Context, in DeliveryQuery) ([]store.Delivery, map[uuid.UUID][]store.DeliveryAttempt, *Problem) {
	var below int64
	if p := s.openCursor("deliveries", in.Cursor, &below); p != nil {
		return nil, nil, p
	}
	rows, err := s.Store.Deliveries(ctx, store.DeliveryFilter{
		Subscription: in.Subscription, Status: in.Status, Type: in.Type, Source: in.Source, ReservationID: in.ReservationID, Sources: actorOf(ctx).Sources,
	}, below, in.Limit+1)
	if err != nil {
		return nil, nil, s.fromStore(err, "")
	}
	ids := make([]uuid.UUID, len(rows))
	for i, d := range rows {
		ids[i] = d.DeliveryID
	}
	attempts, err := s.Store.DeliveryAttempts(ctx, ids)
	if err != nil {
		return nil, nil, s.fromStore(err, "")
	}
	return rows, attempts, nil
}

func (s *server) delivery(ctx context.Context, id string) (store.Delivery, *Problem) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return store.Delivery{}, problem(http.StatusNotFound, noDelivery)
	}
	d, err := s.Store.Delivery(ctx, parsed)
	if err != nil {
		return store.Delivery{}, s.fromStore(err, noDelivery)
	}
	if !actorOf(ctx).sees(d.Source) {
		return store.Delivery{}, problem(http.StatusNotFound, noDelivery)
	}
	return d, nil
}

func (s *server) shownDelivery(ctx context.Context, d store.Delivery) (*Output[Delivery], error) {
	attempts, err := s.Store.DeliveryAttempts(ctx, []uuid.UUID{d.DeliveryID})
	if err != nil {
		return nil, s.fromStore(err, "")
	}
	return &Output[Delivery]{showDelivery(d, attempts[d.DeliveryID])}, nil
}

// resend has a delivery sent again, for REST and the page, and returns the one that is sent.
func (s *server) resend(ctx context.Context, id string) (store.Delivery, *Problem) {
	d, p := s.delivery(ctx, id)
	if p != nil {
		return d, p
	}
	if d.ReservationID == "" {
		return d, problem(http.StatusConflict, "this message is about no stay: only messages about stays can be sent again")
	}
	var settings *SubscriptionSettings
	for _, sub := range s.Subscriptions() {
		if sub.Name == d.Subscription {
			settings = &sub
		}
	}
	if settings == nil {
		return d, problem(http.StatusConflict, "its subscription is no longer in the configuration")
	}
	states, err := s.Store.Subscriptions(ctx, []string{d.Subscription})
	if err != nil {
		return d, s.fromStore(err, "")
	}
	if states[d.Subscription].DisabledAt != nil {
		return d, problem(http.StatusConflict, "its subscription is disabled: enable it, and what it has not been told is sent")
	}
	entry := actorOf(ctx).audit(auditResend, "").About(d.Source, d.DeliveryID.String(), "")
	entry.At = s.Now().UTC()
	again, err := s.Store.ResendDelivery(ctx, d, entry.At, entry)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return d, problem(http.StatusConflict, "its reservation is no longer known (removed by the retention policy)")
	case err != nil:
		return d, s.fromStore(err, "")
	}
	s.Deliver()
	return again, nil
}
