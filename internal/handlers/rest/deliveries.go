package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// Delivery is a message to a subscription.
type Delivery struct {
	DeliveryID    string            `json:"delivery_id" format:"uuid" doc:"The webhook-id. One id always has one body."`
	Subscription  string            `json:"subscription" example:"guest-app"`
	Type          string            `json:"type" example:"mobile_key.ready"`
	Source        *string           `json:"source" example:"default" doc:"Null for messages that concern no stay, such as a test."`
	ReservationID *string           `json:"reservation_id" example:"3333122-433"`
	Sequence      int64             `json:"sequence" doc:"Sequence of the reported state."`
	Status        string            `json:"status" enum:"waiting,delivered,dropped" doc:"waiting: not delivered yet. dropped: replaced by a newer state, or a failed test."`
	Reason        *string           `json:"reason" doc:"Why it was dropped."`
	NextAttemptAt *string           `json:"next_attempt_at" format:"date-time"`
	CreatedAt     string            `json:"created_at" format:"date-time"`
	FinishedAt    *string           `json:"finished_at" format:"date-time"`
	Attempts      []DeliveryAttempt `json:"attempts" nullable:"false" doc:"Oldest first."`
	Body          string            `json:"body" doc:"The posted body. For slack and email, the data that the text was made from."`
}

// DeliveryAttempt is one try to deliver a message.
type DeliveryAttempt struct {
	Attempt    int     `json:"attempt" doc:"From 1."`
	At         string  `json:"at" format:"date-time"`
	DurationMS int     `json:"duration_ms"`
	Status     int     `json:"status" doc:"HTTP status of the answer; 0 without an answer."`
	Error      *string `json:"error" example:"no answer within 15 seconds"`
	Answer     *string `json:"answer" doc:"First part of the answer's body."`
}

func showDelivery(d admin.Tried) Delivery {
	out := Delivery{
		DeliveryID: d.DeliveryID.String(), Subscription: d.Subscription, Type: d.Type, Source: stay.OrNil(d.Source),
		ReservationID: stay.OrNil(d.ReservationID),
		Sequence:      d.Sequence, Status: d.Status, Reason: d.Reason, NextAttemptAt: stampOrNull(d.NextAttemptAt),
		CreatedAt:  stamp(d.CreatedAt),
		FinishedAt: stampOrNull(d.FinishedAt), Attempts: []DeliveryAttempt{}, Body: string(d.Body),
	}
	for _, a := range d.Attempts {
		out.Attempts = append(out.Attempts, DeliveryAttempt{
			Attempt: a.Attempt, At: stamp(a.At),
			DurationMS: a.DurationMS, Status: a.StatusCode, Error: a.Error, Answer: a.Answer,
		})
	}
	return out
}

// DeliveryName is the parameter that names one delivery.
type DeliveryName struct {
	DeliveryID string `path:"delivery_id" example:"0190b5a0-7a7c-4c3e-9d2e-6f1f8f0c2a11"`
}

func (s *API) deliveryOperations(api huma.API) {
	const tag = "Subscriptions"
	huma.Register(api, described(operation("list-deliveries", http.MethodGet, "/v1/deliveries", tag,
		"List messages to subscriptions with their attempts, newest first"),
		"Each message is about one state of one stay, or is a test. Filter by subscription, state and stay. "+
			"Delivered and dropped messages are kept for STAYKEY_RETAIN_DELIVERIES."),
		func(ctx context.Context, in *admin.DeliveryQuery) (*Output[List[Delivery]], error) {
			found, err := s.Admin.Deliveries.List(ctx, *in)
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return listOf(found, showDelivery), nil
		})

	huma.Register(api, described(operation("get-delivery", http.MethodGet, "/v1/deliveries/{delivery_id}", tag,
		"Get one message with its attempts", http.StatusNotFound),
		"With the body as it was signed, and each attempt with its HTTP status or error."),
		func(ctx context.Context, in *DeliveryName) (*Output[Delivery], error) {
			d, err := s.Admin.Deliveries.Get(ctx, in.DeliveryID)
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return &Output[Delivery]{showDelivery(d)}, nil
		})

	resend := operation("resend-delivery", http.MethodPost, "/v1/deliveries/{delivery_id}/resend", tag,
		"Resend a message", http.StatusForbidden, http.StatusNotFound, http.StatusConflict)
	resend.Description = "Sends it at once, under the same webhook-id. If a newer state of the stay has replaced it, that is sent instead. The answer is the message that is sent."
	resend.DefaultStatus = http.StatusAccepted
	huma.Register(api, resend, func(ctx context.Context, in *DeliveryName) (*Output[Delivery], error) {
		d, err := s.Admin.Deliveries.Resend(ctx, in.DeliveryID)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[Delivery]{showDelivery(d)}, nil
	})
}
