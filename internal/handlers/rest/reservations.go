package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// Reservation is a reservation with its mobile key.
type Reservation struct {
	Source        string      `json:"source" example:"default"`
	ReservationID string      `json:"reservation_id" example:"3333122-433"`
	ListingID     *string     `json:"listing_id" example:"2222222-2222"`
	Status        string      `json:"status" enum:"confirmed,cancelled"`
	GuestEmail    *string     `json:"guest_email" example:"jane@example.com"`
	GuestName     *string     `json:"guest_name"`
	GuestPhone    *string     `json:"guest_phone"`
	CheckIn       *string     `json:"check_in" format:"date-time" doc:"Null while it or its time zone is unknown."`
	CheckOut      *string     `json:"check_out" format:"date-time"`
	MobileKey     MobileKey   `json:"mobile_key"`
	Listing       Expansion   `json:"listing,omitzero" doc:"With expand=listing: the listing, or null while it is unknown."`
	GuestLink     *GuestLink  `json:"guest_link" doc:"Null unless the reservation is confirmed and its source has guest_links."`
	BackupCode    *BackupCode `json:"backup_code" doc:"The PIN that opens the stay's doors without a phone, without its digits. Null unless the source has backup_code and the stay has an ACS user."`
	WriteBack     *WriteBack  `json:"write_back" doc:"The field at the PMS that staykey writes. Null unless the source has write_back, and for reservations that ended before anything was written."`
	DoorAtRisk    *DoorRisk   `json:"door_at_risk" doc:"Doors that may not open for the guest, as Seam last reported. Null if there are none, before the last 24 hours before check-in, and without a key. It never changes the key's status."`
	Gates         []Gate      `json:"gates" nullable:"false" doc:"The gates of the source, in the order of the configuration. Empty for a source without gates."`
	Notes         []Note      `json:"notes" nullable:"false" doc:"Fields that could not be read in the last applied event and later ones. Empty if everything was understood."`
	CreatedAt     string      `json:"created_at" format:"date-time"`
	UpdatedAt     string      `json:"updated_at" format:"date-time"`
}

// Note is something that could not be read of an event. It never quotes a guest's data.
type Note struct {
	Field   string `json:"field" example:"check_in"`
	Problem string `json:"problem" example:"the hour could not be read: the listing's is used"`
	EventID string `json:"event_id" format:"uuid"`
	At      string `json:"at" format:"date-time"`
}

func showNotes(encoded []byte) []Note {
	notes := []Note{}
	for _, n := range admin.NotesOf(encoded) {
		notes = append(notes, Note{n.Field, n.Problem, n.EventID, stamp(n.At)})
	}
	return notes
}

// MobileKey is the state of a reservation's key.
type MobileKey struct {
	Status          string    `json:"status"`
	Reason          *string   `json:"reason" doc:"For machines. New reasons may be added; docs/runbook.md has a section for each." example:"listing_unknown"`
	Message         *string   `json:"message" doc:"For people: what is wrong and how to fix it."`
	UserIdentityID  *string   `json:"user_identity_id"`
	ACSSystemID     *string   `json:"acs_system_id"`
	ACSUserID       *string   `json:"acs_user_id"`
	AccessGroupIDs  []string  `json:"acs_access_group_ids" nullable:"false"`
	ACSCredentialID *string   `json:"acs_credential_id"`
	AccessSchedule  *Schedule `json:"access_schedule"`
	Attempts        int       `json:"attempts" doc:"Attempts for the current desired state."`
	LastError       *string   `json:"last_error"`
	NextAttemptAt   *string   `json:"next_attempt_at" format:"date-time"`
	SettledAt       *string   `json:"settled_at" format:"date-time" doc:"When the current state was reached, as read back from Seam."`
	FirstUsedAt     *string   `json:"first_used_at" format:"date-time" doc:"When the guest first opened a door, if Seam reports openings."`
	Denied          *Denied   `json:"denied" doc:"When a door last refused the guest. Further refusals within ten minutes are left out."`
}

// TransformSchema lists the statuses and reasons, from the tables of package stay.
func (MobileKey) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, status := range stay.KeyStatuses() {
		s.Properties["status"].Enum = append(s.Properties["status"].Enum, status)
	}
	for _, code := range stay.Codes() {
		s.Properties["reason"].Enum = append(s.Properties["reason"].Enum, code)
	}
	s.Properties["reason"].Enum = append(s.Properties["reason"].Enum, nil)
	return s
}

// Denied is a door that was refused to the guest.
type Denied struct {
	At         string  `json:"at" format:"date-time"`
	Reason     *string `json:"reason" doc:"As Seam words it; null if it gives none."`
	EntranceID *string `json:"acs_entrance_id"`
}

// Schedule is when the key opens doors.
type Schedule struct {
	StartsAt string `json:"starts_at" format:"date-time"`
	EndsAt   string `json:"ends_at" format:"date-time"`
}

func showReservation(v admin.View) Reservation {
	r, k := v.Reservation, v.Key
	updated := r.UpdatedAt
	if k.ChangedAt.After(updated) {
		updated = k.ChangedAt
	}

	out := Reservation{
		Source: r.Source, ReservationID: r.ReservationID, ListingID: r.ListingID, Status: r.Status,
		GuestEmail: r.GuestEmail,
		GuestName:  r.GuestName, GuestPhone: r.GuestPhone, CheckIn: stampOrNull(r.CheckIn),
		CheckOut:  stampOrNull(r.CheckOut),
		CreatedAt: stamp(r.CreatedAt), UpdatedAt: stamp(updated), Notes: showNotes(r.Notes), Gates: showGates(v.Gates),
		MobileKey: MobileKey{
			Status: k.Status, Reason: k.Reason, Message: k.Message, AccessGroupIDs: []string{}, Attempts: k.Attempts,
			LastError: k.LastError, SettledAt: stampOrNull(k.SettledAt),
		},
	}

	out.BackupCode, out.DoorAtRisk = showBackupCode(v.BackupCode), showDoorRisk(v.DoorRisk)
	out.GuestLink, out.WriteBack = showGuestLink(v.GuestLink), showWriteBack(v.WriteBack)
	if use := v.DoorUse; use != nil {
		out.MobileKey.FirstUsedAt = stampOrNull(use.FirstUsedAt)
		if use.DeniedAt != nil {
			out.MobileKey.Denied = &Denied{stamp(*use.DeniedAt), use.DeniedReason, use.DeniedEntrance}
		}
	}

	if k.NextIsRetry {
		out.MobileKey.NextAttemptAt = stampOrNull(k.NextReconcileAt)
	}

	u := v.User
	if u == nil || u.ACSUserID != nil && !u.IsAtSeam() {
		return out
	}
	m := &out.MobileKey
	m.ACSSystemID, m.ACSUserID, m.ACSCredentialID = &u.ACSSystemID, u.ACSUserID, u.CredentialID
	if !u.IsDisplaced() { // its identity is another's
		m.UserIdentityID = &u.UserIdentityID
	}
	if u.ACSUserID == nil {
		return out
	}

	m.AccessGroupIDs = append(m.AccessGroupIDs, u.AccessGroupIDs...)
	if u.StartsAt != nil && u.EndsAt != nil {
		m.AccessSchedule = &Schedule{StartsAt: stamp(*u.StartsAt), EndsAt: stamp(*u.EndsAt)}
	}
	return out
}

// TimelineItem is one line of a reservation's history.
type TimelineItem struct {
	At      string         `json:"at" format:"date-time"`
	Kind    string         `json:"kind" enum:"event,seam_request,fetch,step,status,action"`
	Summary string         `json:"summary" example:"/acs/users/create: ok"`
	Detail  map[string]any `json:"detail" nullable:"false" doc:"Details by kind. For a Seam request: path, reason, request id, duration and result."`
}

// PlanOutput is a reservation's plan.
type PlanOutput struct {
	Items []stay.PlannedCall `json:"items" nullable:"false"`
}

func (s *API) reservationOperations(api huma.API) {
	const tag = "Reservations"
	huma.Register(api, described(operation("list-reservations", http.MethodGet, "/v1/reservations", tag,
		"List reservations, newest change first"),
		"Each reservation has its mobile key's status, and why. Filters can be combined. To follow changes, poll "+
			"with updated_since; to be notified, use a subscription."),
		func(ctx context.Context, in *ReservationsInput) (*Output[List[Reservation]], error) {
			found, err := s.Admin.Reservations.List(ctx, in.ReservationQuery)
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			out := listOf(found, showReservation)
			return out, s.expand(ctx, in.Expand, found.Items, out.Body.Items)
		})

	huma.Register(api, described(operation("get-reservation", http.MethodGet, reservationPath, tag, "Get one reservation",
		http.StatusNotFound),
		"What the PMS sent, the mobile key's status with its reason, and the ids of the objects at Seam."),
		func(ctx context.Context, in *ReservationInput) (*Output[Reservation], error) {
			v, err := s.Admin.Reservations.Get(ctx, in.ref())
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			shown := []Reservation{showReservation(v)}
			err = s.expand(ctx, in.Expand, []admin.View{v}, shown)
			return &Output[Reservation]{shown[0]}, err
		})

	huma.Register(api, described(operation("get-timeline", http.MethodGet, reservationPath+"/timeline", tag,
		"Get a reservation's history, newest first", http.StatusNotFound),
		"Events, every request to Seam with its reason, admins' actions, and changes of the key's status. No guest data."), s.timeline)

	plan := operation("get-plan", http.MethodGet, reservationPath+"/plan", tag,
		"Preview the changes that a reconcile would make at Seam now", http.StatusNotFound)
	plan.Description = "May read from Seam, and changes nothing. For a held reservation: what a release would change."
	huma.Register(api, plan,
		func(ctx context.Context, in *ReservationPath) (*Output[PlanOutput], error) {
			calls, err := s.Admin.Reservations.Plan(ctx, in.ref())
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return &Output[PlanOutput]{PlanOutput{Items: calls}}, nil
		})

	s.staffNoteOperations(api)
	s.eraseOperation(api)

	huma.Register(api, described(operation("get-summary", http.MethodGet, "/v1/summary", tag, "Get a summary"),
		"Counts, arrivals without a key, waiting events, and the state of provisioning."),
		s.summary)
}

// TimelineQuery are the parameters of a timeline.
type TimelineQuery struct {
	ReservationPath
	Limit  int    `query:"limit" default:"200" minimum:"1" maximum:"1000"`
	Cursor string `query:"cursor" doc:"next_cursor of the previous page."`
}

func (s *API) timeline(ctx context.Context, in *TimelineQuery) (*Output[List[TimelineItem]], error) {
	found, err := s.Admin.Reservations.Timeline(ctx, in.ref(), admin.Paging{Limit: in.Limit, Cursor: in.Cursor})
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	return listOf(found, func(i admin.TimelineItem) TimelineItem {
		return TimelineItem{At: stamp(i.At), Kind: i.Kind, Summary: i.Summary, Detail: i.Detail}
	}), nil
}
