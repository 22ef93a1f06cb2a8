package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/store"
)

// seamEvent is the part of a Seam event that is used.
type seamEvent struct {
	Type          string `json:"event_type"`
	ACSSystemID   string `json:"acs_system_id"`
	ACSUserID     string `json:"acs_user_id"`
	CredentialID  string `json:"acs_credential_id"`
	AccessGroupID string `json:"acs_access_group_id"`
	EntranceID    string `json:"acs_entrance_id"`
	Method        string `json:"method"`
	Reason        string `json:"reason"`
	OccurredAt    string `json:"occurred_at"`
	SystemErrors  []struct {
		Code string `json:"error_code"`
	} `json:"acs_system_errors"`
}

// plain keeps only codes and ids of an event. Other text may be about a guest, and nothing here would match it.
func (e *seamEvent) plain() {
	for _, text := range []*string{
		&e.ACSSystemID, &e.ACSUserID, &e.CredentialID, &e.AccessGroupID, &e.EntranceID, &e.Method, &e.Reason,
	} {
		*text = plainWord(*text)
	}
	for i := range e.SystemErrors {
		e.SystemErrors[i].Code = plainWord(e.SystemErrors[i].Code)
	}
}

// seamWebhook is POST /seam/webhooks: something changed at Seam, and the reservations concerned are compared. Events
// caused by staykey's own calls are already recorded, and cost nothing.
func (s *Receiver) seamWebhook(w http.ResponseWriter, r *http.Request) {
	secrets := s.SeamSecrets()
	if len(secrets) == 0 {
		handlers.NewProblem(http.StatusNotFound, "Seam's webhooks are disabled: set SEAM_WEBHOOK_SECRET").Write(w)
		return
	}

	body, release, p := s.Limits.ReadBody(w, r, "seam")
	defer release()
	if p != nil {
		p.Write(w)
		return
	}

	proof, err := pms.StandardWebhooks{Secrets: secrets}.Verify(pms.Post{Header: r.Header, Body: body}, s.Now())
	if err != nil {
		handlers.NewProblem(http.StatusUnauthorized, err.Error()).Write(w)
		return
	}

	var event seamEvent
	if err := json.Unmarshal(body, &event); err != nil {
		handlers.NewProblem(http.StatusBadRequest, "the body is not a Seam event: "+err.Error()).Write(w)
		return
	}
	event.plain()
	if err := s.takeSeamEvent(r.Context(), eventName(proof.ID, body), event); err != nil {
		s.unavailable(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// eventName identifies an event: a repeated POST has the same one.
func eventName(id string, body []byte) string {
	sum := sha256.Sum256(body)
	return store.Storable(id) + " " + hex.EncodeToString(sum[:8])
}

// takeSeamEvent acts on an event before it records it: handling an event twice is harmless, losing one is not.
func (s *Receiver) takeSeamEvent(ctx context.Context, id string, e seamEvent) error {
	if taken, err := s.Store.SeamEvents.Taken(ctx, id); taken || err != nil {
		return err
	}
	now := s.Now().UTC()
	var concerned int
	var err error
	switch e.Type {
	case "acs_user.deleted", "acs_credential.deleted", "acs_credential.invalidated":
		concerned, err = s.Store.Keys.CheckNamed(ctx, e.ACSUserID, e.CredentialID, now)
	case "acs_credential.issued", "acs_credential.reissued":
		concerned, err = s.Store.BackupCodes.LookAt(ctx, e.CredentialID, e.Type == "acs_credential.reissued", now)
	case "acs_access_group.deleted":
		concerned, err = s.Store.Keys.CheckMembers(ctx, e.ACSSystemID, e.AccessGroupID, now)
	case "acs_system.connected", "acs_system.disconnected":
		concerned, err = s.systemEvent(ctx, e, now)
	case "lock.unlocked", "lock.access_denied":
		return s.takeDoorEvent(ctx, id, e, now)
	default:
		return nil
	}
	if concerned > 0 { // even if some keys were locked: Seam repeats the event for those
		s.SeamChanged()
	}
	if err != nil {
		return err
	}
	point.Reach(point.SeamEventActed)
	s.Log.Info("Seam event received", "type", e.Type, "acs_system_id", e.ACSSystemID, "reservations", concerned)
	return s.Store.SeamEvents.Take(ctx, id, now)
}

// takeDoorEvent records that a guest opened a door, or was refused. Openings by other people, or without an ACS user,
// are ignored.
func (s *Receiver) takeDoorEvent(ctx context.Context, id string, e seamEvent, now time.Time) error {
	if e.ACSUserID == "" {
		return nil
	}
	news, err := s.Store.Doors.NoteEvent(ctx, store.DoorEvent{
		ACSUserID: e.ACSUserID, At: e.occurred(now), Entrance: e.EntranceID, Method: e.Method,
		Denied: e.Type == "lock.access_denied", Reason: e.Reason,
	}, now)
	if err != nil || news == 0 {
		return err
	}
	s.Log.Info("Seam event received", "type", e.Type, "acs_system_id", e.ACSSystemID, "reservations", news)
	return s.Store.SeamEvents.Take(ctx, id, now)
}

// occurred is when an event happened, but not later than now.
func (e seamEvent) occurred(now time.Time) time.Time {
	at, err := time.Parse(time.RFC3339Nano, e.OccurredAt)
	if err != nil || at.After(now) {
		return now
	}
	return at.UTC()
}

// plainWord returns a code or id of Seam's that can be stored and shown; "" for anything else.
func plainWord(text string) string {
	if len(text) > 100 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '@' }) {
		return ""
	}
	return text
}

func (s *Receiver) systemEvent(ctx context.Context, e seamEvent, now time.Time) (int, error) {
	problem := ""
	if e.Type == "acs_system.disconnected" {
		problem = "acs_system_disconnected"
		if len(e.SystemErrors) > 0 && e.SystemErrors[0].Code != "" {
			problem = e.SystemErrors[0].Code
		}
	}
	if e.ACSSystemID == "" {
		return 0, nil
	}
	occurred := &now
	if at, err := time.Parse(time.RFC3339Nano, e.OccurredAt); err == nil {
		occurred = &at
	}
	// Queued even if the state is not new: an earlier try may have failed between the two steps.
	if _, err := s.Store.ACSSystems.Seen(ctx, e.ACSSystemID, problem, occurred, now); err != nil {
		return 0, err
	}
	return s.Store.ACSSystems.Queue(ctx, e.ACSSystemID, now)
}
