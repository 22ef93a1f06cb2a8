package handlers

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// webhook is POST /webhooks/{source}: contract section 3, from top to bottom.
func (s *server) webhook(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "source")
	source, ok := s.Source(name)
	if !ok {
		problem(http.StatusNotFound, "there is no source of this name: it is the last part of the URL, and \"default\" unless sources are configured").write(w)
		return
	}
	body, release, p := s.limits.readBody(w, r)
	defer release()
	if p != nil {
		p.write(w)
		return
	}
	key, p := s.verify(source, r.Header, body)
	if p != nil {
		p.write(w)
		return
	}
	if wait := s.limits.exceeded(source, s.Now()); wait > 0 {
		overLimit.WithLabelValues(source.Name).Inc()
		problem(http.StatusTooManyRequests, "this source sends more than its rate_limit allows, and nothing of this event is kept: send it again").after(wait).write(w)
		return
	}
	if p := requireJSON(r.Header); p != nil {
		p.write(w)
		return
	}
	parsed, err := pms.ParseStaykey(body)
	if err != nil {
		s.refuseNotJSON(w, r, source.Name, key, err)
		return
	}
	event := s.newEvent(source.Name, key, body, parsed)
	accepted, err := s.Inbox.Accept(r.Context(), event)
	switch {
	case err != nil:
		s.unavailable(w, err)
	case accepted.Duplicate:
		answer(w, http.StatusOK, accepted.EventID, "duplicate")
	case event.Status == store.EventRejected:
		problem(http.StatusUnprocessableEntity, "the event is not valid: correct it and send it again, under the same webhook-id if you like; it is kept as "+accepted.EventID.String(), parsed.Invalid...).write(w)
	default:
		answer(w, http.StatusAccepted, accepted.EventID, event.Status)
	}
}

func answer(w http.ResponseWriter, status int, id uuid.UUID, word string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"event_id": id.String(), "status": word}) // the client may be gone
}

func (s *server) unavailable(w http.ResponseWriter, err error) {
	detail := "the event could not be stored now, and nothing of it is kept: send it again"
	if errors.Is(err, intake.ErrBusy) {
		detail = "too many events are waiting to be stored, and nothing of this one is kept: send it again"
	}
	problem(http.StatusServiceUnavailable, detail).after(2 * time.Second).write(w)
}

// verify returns the sender's id of an authentic webhook; nil where an unverified one names none.
func (s *server) verify(source pms.Source, h http.Header, body []byte) (*string, *Problem) {
	if source.Insecure {
		id := h.Get("webhook-id")
		if id == "" {
			return nil, nil
		}
		if err := pms.CheckWebhookID(id); err != nil {
			return nil, problem(http.StatusBadRequest, err.Error())
		}
		return &id, nil
	}
	id, err := pms.VerifyStandardWebhook(h, body, source.Secrets, s.Now())
	switch {
	case errors.Is(err, pms.ErrWebhookID):
		return nil, problem(http.StatusBadRequest, err.Error())
	case err != nil:
		return nil, problem(http.StatusUnauthorized, err.Error())
	}
	return &id, nil
}

func requireJSON(h http.Header) *Problem {
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return problem(http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
	}
	if charset, said := params["charset"]; said && !strings.EqualFold(charset, "utf-8") {
		return problem(http.StatusUnsupportedMediaType, "the charset must be utf-8")
	}
	return nil
}

// refuseNotJSON answers a body that can't be read at all, unless its id says that it has been here before: the
// id decides, whatever the body.
func (s *server) refuseNotJSON(w http.ResponseWriter, r *http.Request, source string, key *string, cause error) {
	if key != nil {
		id, err := s.Store.EventIDByKey(r.Context(), source, *key)
		if err == nil {
			answer(w, http.StatusOK, id, "duplicate")
			return
		}
		if !errors.Is(err, store.ErrNotFound) {
			s.unavailable(w, err)
			return
		}
	}
	problem(http.StatusBadRequest, cause.Error()).write(w)
}

// urgentWithin is how near a check-in must be for its event to overtake a backlog.
const urgentWithin = 24 * time.Hour

// newEvent is the row of a parsed webhook.
func (s *server) newEvent(source string, key *string, body []byte, parsed pms.Event) store.Event {
	id, err := uuid.NewV7() // sorted by time: kinder to the index than a random one
	if err != nil {
		id = uuid.New()
	}
	e := store.Event{
		EventID: id, Source: source, EventKey: key, Type: storable(parsed.Type), Status: store.EventAccepted,
		ReceivedAt: s.Now().UTC().Truncate(time.Microsecond), Body: body,
	}
	if !parsed.OccurredAt.IsZero() {
		e.OccurredAt = &parsed.OccurredAt
	}
	switch {
	case len(parsed.Invalid) > 0:
		reason := storable(pms.Reasons(parsed.Invalid))
		e.Status, e.Reason = store.EventRejected, &reason
	case parsed.Ignored:
		reason := "the type means nothing here"
		e.Status, e.Reason = store.EventIgnored, &reason
	}
	if c := parsed.Change.Reservation; c != nil && c.ReservationID != "" {
		e.ReservationID = &c.ReservationID
		e.ListingID = c.ListingID
		e.Urgent = e.Status == store.EventAccepted && c.ArrivesWithin(e.ReceivedAt, urgentWithin)
	}
	if c := parsed.Change.Listing; c != nil && c.ListingID != "" {
		e.ListingID = &c.ListingID
	}
	return e
}

// storable cuts a text of the sender's to what a Postgres text takes.
func storable(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "�")
	if len(s) > 2000 {
		s = strings.ToValidUTF8(s[:2000], "")
	}
	return s
}
