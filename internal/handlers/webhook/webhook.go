// Package webhook takes what PMSs and Seam post. It answers once an event is durable; what the event means is
// decided later, by internal/intake.
//
//	webhook.go   limits, the source, its signature, parsing, acceptance
//	event.go     the row of the inbox that it becomes
//	metrics.go   what is measured of it
//	bodies.go    compressed bodies, forms and queries
//	seam.go      what Seam posts to /seam/webhooks
//	tester.go    test events of our own
//
// Signatures are checked in internal/pms/verify.go and internal/pms/standard_webhooks.go.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/tracing"
)

// Inbox makes events durable.
type Inbox interface {
	// Accept returns once the event's commit is acknowledged.
	Accept(context.Context, store.Event) (store.Accepted, error)
}

// Config is what webhooks need of the rest of the program.
type Config struct {
	Sources     func() map[string]pms.Source // of the configuration
	Inbox       Inbox
	Store       *store.Store
	Activity    *store.Activity     // counts the results of webhooks
	SeamSecrets func() []pms.Secret // of Seam's events; without any, they are refused
	SeamChanged func()              // called when an event of Seam's made reservations due
	Limits      *handlers.Limits
	Proxies     handlers.Proxies
	Log         *slog.Logger
	Now         func() time.Time
	Traced      bool   // events are traced
	TestKey     []byte // of the installation: test events are marked with it
}

// Receiver takes webhooks of PMSs and of Seam.
type Receiver struct{ Config }

// New returns the receiver of webhooks.
func New(c Config) *Receiver { return &Receiver{c} }

// Mount implements [handlers.Face].
func (s *Receiver) Mount(r chi.Router) {
	for _, route := range []string{handlers.WebhookRoute, handlers.WebhookRouteBelow} {
		// the source decides which methods are allowed
		r.With(handlers.DecodeParams).HandleFunc(route, s.measuredWebhook)
	}
	r.Post("/seam/webhooks", s.seamWebhook)
}

// source finds a source of the configuration.
func (s *Receiver) source(name string) (pms.Source, bool) {
	source, ok := s.Sources()[name]
	return source, ok
}

// webhook is POST /webhooks/{source}. docs/webhooks.md lists its answers; the order of the checks decides which one
// counts.
func (s *Receiver) webhook(w http.ResponseWriter, r *http.Request) {
	source, p := s.addressed(r)
	if p != nil {
		p.Write(w)
		return
	}
	if !s.takesMethod(w, r, source) {
		return
	}

	if len(source.From) > 0 && !source.From.Allow(s.Proxies.Sender(r)) && !isOwn(r.Context()) {
		handlers.NewProblem(http.StatusUnauthorized,
			"webhooks of this source are not accepted from this address: see verify.from and trusted_proxies").Write(w)
		return
	}

	body, release, p := s.Limits.ReadBody(w, r, source.Name)
	defer release()
	if p != nil {
		p.Write(w)
		return
	}

	post := pms.Post{Header: r.Header, Path: chi.URLParam(r, "*"), Body: body}
	if r.URL.RawQuery != "" {
		post.Query = r.URL.Query()
	}

	if s.isTest(r.Header) {
		s.takeTest(w, r, source, post)
		return
	}
	proof, p := s.prove(source, post)
	if p != nil {
		p.Write(w)
		return
	}

	if post.Body, p = plainBody(w, r, body); p != nil {
		p.Write(w)
		return
	}
	s.acceptProven(w, r, source, post, proof)
}

// addressed returns the source in a request's path.
func (s *Receiver) addressed(r *http.Request) (pms.Source, *handlers.Problem) {
	source, ok := s.source(chi.URLParam(r, "source"))
	if !ok {
		return source, handlers.NewProblem(http.StatusNotFound,
			"unknown source: the part of the URL after /webhooks/ must be the name of a configured source")
	}
	if chi.URLParam(r, "*") != "" && source.Format == nil && !source.Carries().Path {
		return source, handlers.NewProblem(http.StatusNotFound,
			"post webhooks of this source to /webhooks/"+source.Name)
	}
	return source, nil
}

// prove verifies a POST, then checks the source's rate limit, so that strangers can't use it up.
func (s *Receiver) prove(source pms.Source, post pms.Post) (pms.Proof, *handlers.Problem) {
	proof, err := source.Verify(post, s.Now())
	switch {
	case errors.Is(err, pms.ErrWebhookID):
		return proof, handlers.NewProblem(http.StatusBadRequest, err.Error())
	case err != nil:
		s.Activity.Add(source.Name, store.ActivityRefused, s.Now())
		return proof, handlers.NewProblem(http.StatusUnauthorized, err.Error())
	}
	s.Activity.Add(source.Name, store.ActivitySecret+strconv.Itoa(proof.Secret), s.Now())
	verified.WithLabelValues(source.Name, strconv.Itoa(proof.Secret)).Inc()
	if wait := s.Limits.Exceeded(source, s.Now()); wait > 0 {
		overLimit.WithLabelValues(source.Name).Inc()
		return proof, handlers.NewProblem(http.StatusTooManyRequests,
			"over the source's rate_limit: nothing was stored, send it again").After(wait)
	}
	return proof, nil
}

// acceptProven accepts a verified POST.
func (s *Receiver) acceptProven(w http.ResponseWriter, r *http.Request, source pms.Source, post pms.Post,
	proof pms.Proof,
) {
	if source.Format != nil {
		s.acceptForeign(w, r, source, post, proof)
		return
	}
	if p := requireJSON(r.Header); p != nil {
		p.Write(w)
		return
	}
	parsed, err := pms.ParseStaykeyAt(post.Body, s.Now())
	if err != nil {
		s.refuseUnreadable(w, r, source.Name, proof.ID, err)
		return
	}
	s.accept(w, r, s.newEvent(source.Name, proof.ID, post.Body, parsed), parsed.Invalid)
}

// accept stores an event and answers with the result.
func (s *Receiver) accept(w http.ResponseWriter, r *http.Request, event store.Event, invalid []pms.FieldError) {
	began := s.Now()
	accepted, err := s.Inbox.Accept(r.Context(), event)
	if s.Traced && err == nil && !accepted.Duplicate {
		tracing.Webhook(r.Context(), accepted.EventID, began, attribute.String("staykey.source", event.Source),
			attribute.String("staykey.event.type", event.Type))
		handlers.NoteTrace(r.Context(), accepted.EventID)
	}
	// waiting events are counted when they are applied
	if err == nil && !accepted.Duplicate && event.Status != stay.EventAccepted {
		s.Activity.Add(event.Source, event.Status, event.ReceivedAt)
	}
	switch {
	case err != nil:
		s.unavailable(w, err)
	case accepted.Duplicate:
		s.Activity.Add(event.Source, store.ActivityDuplicate, event.ReceivedAt)
		answer(w, http.StatusOK, accepted.EventID, "duplicate")
	case event.Status == stay.EventRejected:
		s.Log.Warn("event refused with 422", "source", event.Source, "event_id", accepted.EventID.String(),
			"reservation_id", stay.Text(event.ReservationID), "listing_id", stay.Text(event.ListingID),
			"reason", *event.Reason)
		handlers.NewProblem(http.StatusUnprocessableEntity,
			"the event is invalid: correct it and send it again, also under the same webhook-id; it is stored as "+
				accepted.EventID.String(), invalid...).
			Coded(handlers.CodeInvalidEvent).Write(w)
	default:
		answer(w, http.StatusAccepted, accepted.EventID, event.Status)
	}
}

// acceptForeign stores a webhook in a PMS's own format. It is mapped when it is applied: a PMS can't fix what staykey
// doesn't understand, and might disable the webhook after errors.
func (s *Receiver) acceptForeign(w http.ResponseWriter, r *http.Request, source pms.Source, post pms.Post,
	proof pms.Proof,
) {
	post.Body = fromForm(r.Header, source.Format, post.Body)
	kind, p := bodyKind(r.Header, source.Format, post.Body)
	if p != nil {
		p.Write(w)
		return
	}

	request := source.Format.Read(pms.Kept(post, source.Carries()))
	request.Kind = kind
	seen, err := source.Format.Glance(post.Body, request)
	if err != nil {
		s.refuseUnreadable(w, r, source.Name, proof.ID, err)
		return
	}
	if proof.ID == "" {
		proof.ID = seen.ID
	}

	encoded, err := json.Marshal(request)
	if err != nil || bytes.Contains(encoded, []byte(`\u0000`)) {
		handlers.NewProblem(http.StatusBadRequest, "the headers or the query contain invalid text").Write(w)
		return
	}

	event := s.newEvent(source.Name, proof.ID, seen.Body, pms.Event{Type: seen.Type})
	event.Request = encoded
	event.Urgent = arrivesSoon(r.Context(), source, pms.Mapping{
		Body: seen.Body, Request: request,
		ReceivedAt: event.ReceivedAt,
	})
	s.accept(w, r, event, nil)
}

// takesMethod answers requests with methods that the source's webhooks don't use. HEAD is answered like GET and changes
// nothing.
func (s *Receiver) takesMethod(w http.ResponseWriter, r *http.Request, source pms.Source) bool {
	queries := source.Format != nil && source.Format.TakesQueries()
	switch {
	case r.Method == http.MethodPost, r.Method == http.MethodGet && queries:
		return true
	case r.Method == http.MethodHead && queries:
		w.WriteHeader(http.StatusOK)
		return false
	}
	allow := http.MethodPost
	if queries {
		allow = "GET, HEAD, POST"
	}
	w.Header().Set("Allow", allow)
	handlers.NewProblem(http.StatusMethodNotAllowed, "use the method that this source accepts: "+allow).Write(w)
	return false
}

func answer(w http.ResponseWriter, status int, id uuid.UUID, result string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may be gone.
	_ = json.NewEncoder(w).Encode(map[string]string{"event_id": id.String(), "status": result})
}

func (s *Receiver) unavailable(w http.ResponseWriter, err error) {
	detail := "it isn't known whether the event was stored: send it again; a duplicate does no harm"
	if errors.Is(err, intake.ErrBusy) {
		detail = "too many events are waiting to be stored: this event was not stored, send it again"
	}
	handlers.NewProblem(http.StatusServiceUnavailable, detail).After(2 * time.Second).Write(w)
}

// refuseUnreadable refuses a body that can't be read, unless its id is that of an earlier event: then it is a
// duplicate, whatever the body.
func (s *Receiver) refuseUnreadable(w http.ResponseWriter, r *http.Request, source, key string, cause error) {
	if key != "" {
		id, err := s.Store.Events.IDByKey(r.Context(), source, key)
		if err == nil {
			answer(w, http.StatusOK, id, "duplicate")
			return
		}
		if !errors.Is(err, store.ErrNotFound) {
			s.unavailable(w, err)
			return
		}
	}
	handlers.NewProblem(http.StatusBadRequest, cause.Error()).Write(w)
}
