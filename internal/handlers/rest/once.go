package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/stay"
)

// This file is the header Idempotency-Key: for a day, a repeated request with the same key gets the same answer and
// does nothing. internal/admin claims the key and stores the answer, without guest data, links and sessions: those are
// removed, and filled in from the current state when the answer is repeated. Refused requests are not stored, because
// they changed nothing.

const idempotencyKey = "Idempotency-Key"

// replayedHeader marks an answer as a repeated one.
const replayedHeader = "Idempotent-Replayed"

// keeping is how the answers of an operation are stored, if not unchanged.
type keeping struct {
	// clean removes what must not be stored, and fill adds it again.
	clean func([]byte) ([]byte, error)
	fill  func(context.Context, *http.Request, []byte) ([]byte, error)
	// present builds the answer from the current state, for a change whose answer was lost. Nil: the operation can be
	// repeated.
	present func(context.Context, *http.Request) (admin.Answer, error)
}

// keepings returns how answers are stored, by route.
func (s *API) keepings() map[string]keeping {
	reservation := keeping{
		clean: cleaned(cleanReservation),
		fill: filled(func(ctx context.Context, r *http.Request, old *Reservation) error {
			v, err := s.Admin.Reservations.Get(ctx, refOf(r))
			if _, refused := admin.IsRefusal(err); err != nil {
				return unless(refused, err) // it has been removed, and so have the guest's data
			}
			fillReservation(old, showReservation(v))
			return nil
		}),
		present: s.presentReservation,
	}

	routes := map[string]keeping{
		"POST " + reservationPath + "/guest-link/renew": {
			clean: cleaned(func(l *RenewedLink) { l.GuestLink = nil }),
			fill: filled(func(ctx context.Context, r *http.Request, l *RenewedLink) error {
				v, err := s.Admin.Reservations.Get(ctx, refOf(r))
				l.GuestLink = showGuestLink(v.GuestLink)
				return err
			}),
			present: func(ctx context.Context, r *http.Request) (admin.Answer, error) {
				v, err := s.Admin.Reservations.Get(ctx, refOf(r))
				return answer(http.StatusOK, RenewedLink{showGuestLink(v.GuestLink)}, err)
			},
		},
		"PUT " + reservationPath + "/gates/{name}": {
			clean: cleaned(func(g *Gate) { g.Evidence = nil }),
			fill: filled(func(ctx context.Context, r *http.Request, g *Gate) error {
				v, err := s.Admin.Reservations.Get(ctx, refOf(r))
				fillEvidence([]*Gate{g}, showGates(v.Gates))
				return err
			}),
			present: s.presentGate,
		},
		"PUT " + listingPath: {present: func(ctx context.Context, r *http.Request) (admin.Answer, error) {
			l, err := s.Admin.Listings.Get(ctx, stay.ListingRef{
				Source:    chi.URLParam(r, "source"),
				ListingID: chi.URLParam(r, "listing_id"),
			})
			return answer(http.StatusOK, showListing(l), err)
		}},
	}
	routes["DELETE "+listingPath] = keeping{present: func(context.Context, *http.Request) (admin.Answer, error) {
		return admin.Answer{Status: http.StatusNoContent}, nil
	}}

	routes["POST "+staffNotesPath] = s.keptStaffNote()
	routes["DELETE "+staffNotesPath+"/{note_id}"] = routes["DELETE "+listingPath]
	routes["PUT "+viewsPath+"/{name}"] = keeping{present: s.keptView}
	routes["DELETE "+viewsPath+"/{name}"] = routes["DELETE "+listingPath]
	routes["POST /v1/events/replay"] = keeping{present: s.presentReplay}

	routes["POST /v1/events/{event_id}/replay"] = keeping{
		present: func(ctx context.Context, r *http.Request) (admin.Answer, error) {
			e, err := s.Admin.Events.Get(ctx, chi.URLParam(r, "event_id"))
			return answer(http.StatusAccepted, showEvent(e), err)
		},
	}
	routes["POST /v1/deliveries/{delivery_id}/resend"] = keeping{
		present: func(ctx context.Context, r *http.Request) (admin.Answer, error) {
			d, err := s.Admin.Deliveries.Resent(ctx, chi.URLParam(r, "delivery_id"))
			return answer(http.StatusAccepted, showDelivery(d), err)
		},
	}

	for _, verb := range []string{"enable", "disable"} {
		routes["POST /v1/subscriptions/{name}/"+verb] = keeping{
			present: func(ctx context.Context, r *http.Request) (admin.Answer, error) {
				found, err := s.Admin.Subscriptions.Get(ctx, chi.URLParam(r, "name"))
				return answer(http.StatusOK, showSubscription(found), err)
			},
		}
	}

	for _, kind := range []admin.ActionKind{
		admin.Reconcile, admin.Revoke, admin.Reissue, admin.Hold,
		admin.Release, admin.Window,
	} {
		routes["POST "+reservationPath+"/"+string(kind)] = reservation
	}
	return routes
}

// Routes whose answers are secrets and must not be stored. Repeating these requests is harmless.
const (
	appSessionRoute = "POST " + reservationPath + "/app-session"
	backupCodeRoute = "POST " + reservationPath + "/backup-code"
)

// once runs a request with an Idempotency-Key only once.
func (s *API) once(next http.Handler) http.Handler {
	keepings := s.keepings()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := r.Header.Values(idempotencyKey)
		route := r.Method + " " + chi.RouteContext(r.Context()).RoutePattern()
		if len(keys) == 0 || r.Method == http.MethodGet || r.Method == http.MethodHead || route == appSessionRoute ||
			route == backupCodeRoute {
			next.ServeHTTP(w, r)
			return
		}
		if len(keys) > 1 {
			handlers.Unfit("header."+idempotencyKey, "must be given only once").Write(w)
			return
		}
		body, ok := readBody(w, r)
		if !ok {
			return
		}
		if len(body) > handlers.MaxBody { // it is refused, whatever its key
			next.ServeHTTP(w, r)
			return
		}
		s.onceWith(w, r, next, keepings[route], admin.OnceRequest{
			Key: keys[0], Method: r.Method,
			Target: r.URL.RequestURI(), Body: body,
		})
	})
}

// onceWith claims the request's key, and runs the request or repeats its answer.
func (s *API) onceWith(w http.ResponseWriter, r *http.Request, next http.Handler, how keeping,
	request admin.OnceRequest,
) {
	once, err := s.Admin.Requests.Begin(r.Context(), request)
	if err != nil {
		s.problemOf(r.Context(), err).Write(w)
		return
	}
	ctx, cancel := once.Context(r.Context())
	defer cancel()
	if once.Kept != nil {
		s.repeat(ctx, w, r, *once.Kept, how)
		return
	}

	settled := false
	defer func() {
		if !settled { // it was refused or failed, or a handler panicked
			if err := once.Release(ctx); err != nil {
				s.Log.Warn("request not released; its Idempotency-Key is in use for a while", "error", err)
			}
		}
	}()

	var done admin.Answer
	if once.Committed && how.present != nil {
		if done, err = how.present(ctx, r); err != nil {
			s.problemOf(ctx, err).Write(w)
			return
		}
	} else {
		done = record(w, r.WithContext(ctx), next)
	}

	if keep, err := how.worthKeeping(done); err != nil {
		s.Log.Error("answer not kept", "error", err)
	} else if keep != nil {
		settled = true
		if err := once.Keep(ctx, *keep); err != nil {
			s.Log.Warn("answer not kept; its Idempotency-Key is in use for a while", "error", err)
		}
	}
	write(w, done)
}

// repeat answers with what the first request was answered.
func (s *API) repeat(ctx context.Context, w http.ResponseWriter, r *http.Request, kept admin.Answer, how keeping) {
	var err error
	if how.fill != nil {
		if kept.Body, err = how.fill(ctx, r, kept.Body); err != nil {
			s.problemOf(ctx, err).Write(w)
			return
		}
	}
	w.Header().Set(replayedHeader, "true")
	write(w, kept)
}

// worthKeeping is the answer to store; nil if the request changed nothing.
func (k keeping) worthKeeping(a admin.Answer) (*admin.Answer, error) {
	var dry struct {
		DryRun bool `json:"dry_run"`
	}
	if a.Status/100 != 2 || (json.Unmarshal(a.Body, &dry) == nil && dry.DryRun) {
		return nil, nil
	}
	var err error
	if k.clean != nil {
		a.Body, err = k.clean(a.Body)
	}
	return &a, err
}

// recorder holds an answer back. Headers go to the real one at once.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// record runs a request and returns its answer instead of sending it.
func record(w http.ResponseWriter, r *http.Request, next http.Handler) admin.Answer {
	rec := &recorder{ResponseWriter: w}
	next.ServeHTTP(rec, r)
	rec.WriteHeader(http.StatusOK)
	return admin.Answer{Status: rec.status, MediaType: w.Header().Get("Content-Type"), Body: rec.body.Bytes()}
}

func write(w http.ResponseWriter, a admin.Answer) {
	if a.MediaType != "" {
		w.Header().Set("Content-Type", a.MediaType)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // #nosec G705 -- JSON; the client may be gone
}

// encoded is JSON as every answer is written.
func encoded(v any) ([]byte, error) {
	var b bytes.Buffer
	err := huma.DefaultJSONFormat.Marshal(&b, v)
	return b.Bytes(), err
}

func answer(status int, v any, err error) (admin.Answer, error) {
	if err != nil {
		return admin.Answer{}, err
	}
	body, err := encoded(v)
	return admin.Answer{Status: status, MediaType: "application/json", Body: body}, err
}

// cleaned decodes a body as a T, changes it and encodes it again.
func cleaned[T any](clean func(*T)) func([]byte) ([]byte, error) {
	return func(body []byte) ([]byte, error) {
		var v T
		if err := json.Unmarshal(body, &v); err != nil {
			return nil, err
		}
		clean(&v)
		return encoded(v)
	}
}

func filled[T any](fill func(context.Context, *http.Request, *T) error) func(context.Context, *http.Request,
	[]byte) ([]byte, error) {
	return func(ctx context.Context, r *http.Request, body []byte) ([]byte, error) {
		var v T
		if err := json.Unmarshal(body, &v); err != nil {
			return nil, err
		}
		if err := fill(ctx, r, &v); err != nil {
			return nil, err
		}
		return encoded(v)
	}
}

func refOf(r *http.Request) stay.Ref {
	return stay.Ref{Source: chi.URLParam(r, "source"), ReservationID: chi.URLParam(r, "reservation_id")}
}

func unless(refused bool, err error) error {
	if refused {
		return nil
	}
	return err
}

// cleanReservation removes the guest's data.
func cleanReservation(r *Reservation) {
	r.GuestEmail, r.GuestName, r.GuestPhone, r.GuestLink = nil, nil, nil, nil
	for i := range r.Gates {
		r.Gates[i].Evidence = nil
	}
}

// fillReservation adds the guest's current data.
func fillReservation(r *Reservation, now Reservation) {
	r.GuestEmail, r.GuestName, r.GuestPhone, r.GuestLink = now.GuestEmail, now.GuestName, now.GuestPhone, now.GuestLink
	gates := make([]*Gate, len(r.Gates))
	for i := range r.Gates {
		gates[i] = &r.Gates[i]
	}
	fillEvidence(gates, now.Gates)
}

// fillEvidence adds the current evidence of gates.
func fillEvidence(gates []*Gate, now []Gate) {
	for _, g := range gates {
		for _, n := range now {
			if g.Name == n.Name && stay.Text(g.At) == stay.Text(n.At) {
				g.Evidence = n.Evidence
			}
		}
	}
}

func (s *API) presentReservation(ctx context.Context, r *http.Request) (admin.Answer, error) {
	v, err := s.Admin.Reservations.Get(ctx, refOf(r))
	return answer(http.StatusAccepted, showReservation(v), err)
}

func (s *API) presentReplay(ctx context.Context, r *http.Request) (admin.Answer, error) {
	var in admin.ReplayRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil { // it was done: it was readable then
		return admin.Answer{}, &admin.Error{Kind: admin.Malformed, Message: "the body must be JSON"}
	}
	done, err := s.Admin.Events.ReplayDone(ctx, in)
	return answer(http.StatusOK, showReplay(done, false), err)
}

func (s *API) presentGate(ctx context.Context, r *http.Request) (admin.Answer, error) {
	v, err := s.Admin.Reservations.Get(ctx, refOf(r))
	for _, g := range v.Gates {
		if g.Name == chi.URLParam(r, "name") {
			return answer(http.StatusOK, showGate(g), err)
		}
	}
	if err == nil {
		err = &admin.Error{Kind: admin.NotFound, Message: "the source no longer has this gate"}
	}
	return admin.Answer{}, err
}

// documentKey adds the header to a changing operation.
func documentKey(o *huma.Operation) {
	o.Parameters = append(o.Parameters, &huma.Param{
		Name: idempotencyKey, In: "header",
		Description: "A key of your choice. For 24 hours, a repeated request with the same key returns the first answer and has no further effect.",
		Schema: &huma.Schema{
			Type: huma.TypeString, Description: "Visible ASCII characters.", MinLength: new(1),
			MaxLength: new(255),
		}, Example: "5f3c1a2e-8a5e-4d0e-9d0c-2f6f8d1b7c11",
	})
	if o.Responses["409"] == nil {
		o.Responses["409"] = &huma.Response{
			Description: http.StatusText(http.StatusConflict),
			Content:     o.Responses["422"].Content,
		}
	}
}
