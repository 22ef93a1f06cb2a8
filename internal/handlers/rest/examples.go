package rest

import (
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// Examples of the OpenAPI document, one for each operation. A test answers each with the service itself.

// example is a request and its answer.
type example struct{ request, answer any }

func exemplify(o *huma.Operation, e example) {
	if e.request != nil && o.RequestBody != nil {
		o.RequestBody.Content["application/json"].Example = e.request
	}
	for code, r := range o.Responses {
		switch media := r.Content["application/json"]; {
		case media == nil || code[0] != '2' || e.answer == nil:
		case o.OperationID == "post-webhook" && code == "200":
			media.Example = WebhookAnswer{EventID: exampleEventID, Status: "duplicate"}
		default:
			media.Example = e.answer
		}
	}
}

const exampleEventID = "0190b5a0-7a7c-7c3e-9d2e-6f1f8f0c2a11"

// examples follow the seed's reservation from webhook to mobile key. They are built with the code that builds the
// answers, and a test validates them against their schemas.
func examples() map[string]example {
	at := func(text string) time.Time { t, _ := time.Parse(time.RFC3339, text); return t }
	ptr := func(s string) *string { return &s }
	when := func(text string) *time.Time { t := at(text); return &t }

	booked := at("2030-10-20T09:00:00Z")
	view := admin.View{
		Reservation: admin.Reservation{
			Source: "default", ReservationID: "3333122-433", Status: pms.Confirmed, ListingID: ptr("2222222-2222"),
			GuestEmail: ptr("jane@example.com"),
			CheckIn:    when("2030-11-01T15:00:00Z"), CheckOut: when("2030-11-04T11:00:00Z"), CreatedAt: booked,
			UpdatedAt: booked,
		},
		Key: admin.MobileKey{
			Status: stay.KeyIssued, Attempts: 1, SettledAt: when("2030-10-20T09:00:01.2Z"),
			ChangedAt: at("2030-10-20T09:00:01.2Z"),
		},
		User: &admin.ACSUser{
			UserIdentityID: "b1f2d1d5-6d1c-4a86-9c6f-3f8f0d0c6d11", ACSSystemID: "11111111-1111-1111-1111-111111111111",
			ACSUserID:    ptr("9a5d8bd2-2c1c-4b52-8b4a-0b8a3a2f7c11"),
			CredentialID: ptr("6f7e8b42-0d9b-4a54-a1d7-2a4b7f1f0c11"), AccessGroupIDs: []string{
				"555555-5555",
				"666666-6666",
			},
			StartsAt: when("2030-11-01T15:00:00Z"), EndsAt: when("2030-11-04T11:00:00Z"),
		},
	}

	issued := showReservation(view)
	linked := RenewedLink{&GuestLink{URL: "https://keys.example.com/k/Rk9yIHRoZSBndWVzdCBvbm"}}
	without := view
	without.User = nil
	without.Key = admin.MobileKey{
		Status: stay.KeyWaiting, Reason: ptr("listing_unknown"),
		Message: ptr(`Listing "2222222-2222" isn't set up yet: have the PMS send it, or create it with PUT /v1/listings/default/2222222-2222.`), ChangedAt: booked,
	}
	waiting := showReservation(without)
	working := view
	working.Key = admin.MobileKey{Status: stay.KeyProvisioning, ChangedAt: booked}
	provisioning := showReservation(working)
	revoking := view
	revoking.Key = admin.MobileKey{Status: stay.KeyRevoking, ChangedAt: booked}

	listing := showListing(admin.Listing{
		Source: "default", ListingID: "2222222-2222", AccessGroupIDs: []string{"555555-5555", "666666-6666"},
		Name: ptr("Garden suite"), TimeZone: ptr("Europe/Madrid"),
		CheckInTime: ptr("15:00"), CheckOutTime: ptr("11:00"), CreatedAt: booked, UpdatedAt: booked,
	})
	event := Event{
		EventID: exampleEventID, Source: "default", Type: "reservation.created", Status: stay.EventApplied,
		ReservationID: ptr("3333122-433"), ListingID: ptr("2222222-2222"),
		Timestamp: ptr(stamp(booked)), ReceivedAt: stamp(booked.Add(120 * time.Millisecond)),
		AppliedAt: ptr(stamp(booked.Add(135 * time.Millisecond))),
	}
	accepted := event
	accepted.Status, accepted.AppliedAt = stay.EventAccepted, nil

	data := map[string]any{
		"reservation_id": "3333122-433", "guest_email": "jane@example.com", "listing_id": "2222222-2222",
		"check_in": "2030-11-01T15:00:00.000Z", "check_out": "2030-11-04T11:00:00.000Z",
	}
	body, _ := json.Marshal(map[string]any{
		"type": "reservation.created", "timestamp": "2030-10-20T09:00:00.000Z",
		"data": data,
	})
	why := ActionReason{Reason: "lost phone, reported at the desk", Author: "Maria"}
	decision := Decision{By: "Maria (front-desk)", Reason: "early check-in, agreed by phone", At: stamp(booked)}
	window := Window{
		ActionReason: ActionReason{Reason: "early check-in, agreed by phone", Author: "Maria"},
		StartsAt:     ptr("2030-11-01T12:00:00Z"),
	}
	return map[string]example{
		"list-reservations": {answer: List[Reservation]{Items: []Reservation{issued}}},
		"get-reservation":   {answer: issued},
		"get-timeline": {answer: List[TimelineItem]{Items: []TimelineItem{
			{
				At: stamp(booked.Add(1200 * time.Millisecond)), Kind: stay.TimelineStatus,
				Summary: "provisioning → issued", Detail: map[string]any{
					"from": "provisioning", "to": "issued",
					"reason": "", "message": "",
				},
			},
			{
				At: stamp(booked.Add(700 * time.Millisecond)), Kind: stay.TimelineRequest,
				Summary: "/acs/users/create: ok", Detail: map[string]any{
					"path": "/acs/users/create", "reason": "the stay has no ACS user",
					"request_id": "1f0b2c6e-7a52-4f0d-8a53-1f6f3a8b9c11", "duration_ms": 82,
					"status": 200, "result": "ok",
				},
			},
			{
				At: stamp(booked.Add(135 * time.Millisecond)), Kind: stay.TimelineEvent,
				Summary: "reservation.created applied", Detail: map[string]any{
					"event_id": exampleEventID,
					"type":     "reservation.created", "status": "applied", "timestamp": stamp(booked),
				},
			},
		}}},
		"get-plan": {answer: PlanOutput{Items: []stay.PlannedCall{{
			Path: "/acs/users/update", Reason: "access lasts from check-in to check-out",
			Body: map[string]any{
				"acs_user_id": *view.User.ACSUserID,
				"access_schedule": map[string]any{
					"starts_at": "2030-11-01T15:00:00.000Z",
					"ends_at":   "2030-11-05T11:00:00.000Z",
				},
			},
		}}}},
		"get-summary": {answer: Summary{
			Reservations: map[string]int{"confirmed": 1240, "cancelled": 87}, MobileKeys: map[string]int{
				"issued": 1180,
				"active": 41, "waiting": 19, "revoked": 87,
			},
			OldestWaiting: &waiting, ArrivalsWithoutKey: []Reservation{}, Provisioning: admin.Provisioning{
				Disconnected: []admin.Disconnected{}, LastSweep: admin.ShowSweep(stay.Sweep{
					At: booked, TookMS: 412, Compared: 1221,
					Failed: []string{},
				}),
			},
		}},
		"reconcile": {request: OptionalReason{Reason: "the guest says that the door stays shut"}, answer: provisioning},
		"revoke":    {request: why, answer: showReservation(revoking)}, "reissue": {request: why, answer: provisioning},
		"hold":    {request: ActionReason{Reason: "the owner asks for no changes"}, answer: issued},
		"release": {request: ActionReason{Reason: "settled with the owner"}, answer: provisioning},
		"set-gate": {
			request: map[string]any{"state": "open", "evidence": "card terminal, receipt 4711", "author": "Maria"},
			answer: Gate{
				Name: "paid", Holds: stay.HoldsKey, State: stay.GateOpen, By: ptr("Maria (front-desk)"),
				At: ptr(stamp(booked)), Evidence: ptr("card terminal, receipt 4711"), Decided: true,
			},
		},
		"set-window": {request: window, answer: provisioning},
		"get-overrides": {answer: Overrides{Window: &WindowDecision{
			Decision: decision,
			StartsAt: ptr("2030-11-01T12:00:00.000Z"),
		}}},
		"list-listings": {answer: List[Listing]{Items: []Listing{listing}}}, "get-listing": {answer: listing},
		"put-listing": {request: map[string]any{
			"seam_access_group_ids": []string{"555555-5555", "666666-6666"},
			"time_zone":             "Europe/Madrid",
		}, answer: listing},
		"put-listings": {
			request: map[string]any{"items": []any{
				map[string]any{
					"source": "default", "listing_id": "2222222-2222",
					"seam_access_group_ids": []string{"555555-5555", "666666-6666"},
				},
				map[string]any{"source": "default", "listing_id": "2222222-2223", "time_zone": "Mars"},
			}},
			answer: ListingsPutReport{Items: []ListingResult{
				{
					Source: "default", ListingID: "2222222-2222", Status: "updated", Listing: &listing,
					Errors: []pms.FieldError{},
				},
				{
					Source: "default", ListingID: "2222222-2223", Status: "invalid",
					Errors: []pms.FieldError{{
						Field:   "time_zone",
						Message: "must be an IANA time zone such as \"Europe/Madrid\"",
					}},
				},
			}},
		},
		"list-events": {answer: List[Event]{Items: []Event{event}}},
		"get-event": {answer: EventDetail{
			Event: event, Notes: []admin.FieldNote{}, Rejected: []admin.RejectedItem{},
			Body: ptr(string(body)), Changes: []any{map[string]any{"reservation": data}},
		}},
		"replay-event": {answer: accepted},
		"replay-events": {
			request: map[string]any{"source": "default", "status": "rejected", "dry_run": true},
			answer: ReplayReport{DryRun: true, Items: []Event{event}, Differences: []admin.Difference{{
				Source: "default", ReservationID: "3333122-433", Fields: []admin.FieldDifference{{
					Field: "check_out",
					From:  ptr("2030-11-04T11:00:00.000Z"), To: ptr("2030-11-05T11:00:00.000Z"),
				}},
			}}},
		},
		"list-sources": {answer: List[SourceState]{Items: []SourceState{{
			Name: "default", Format: "staykey", Verify: "standard-webhooks", WebhookPath: "/webhooks/default",
			LastEventAt: ptr(stamp(booked)),
			LastDay:     map[string]int{"applied": 412, "duplicate": 3}, Secrets: []SecretUse{{
				Secret:        1,
				LastMatchedAt: ptr(stamp(booked)), LastDay: 415,
			}},
		}}}},
		"test-source": {answer: admin.SourceTest{
			OK: true, EventID: ptr(exampleEventID), Status: 202,
			Message: "the test event was verified and stored",
		}},
		"get-diagnosis": {answer: admin.Diagnosis{
			OK: true,
			Findings: []admin.Finding{{
				Check: "seam", Level: "ok",
				Message: "Seam accepts the API key: workspace 398d80b7-3f96-47c2-b85a-6f8ba21d0c11",
			}},
		}},
		"post-webhook": {
			request: map[string]any{
				"type":      "reservation.created",
				"timestamp": "2030-10-20T09:00:00.000Z", "data": data,
			},
			answer: WebhookAnswer{EventID: exampleEventID, Status: "accepted"},
		},
		"erase-guest": {
			request: EraseRequest{GuestEmail: "jane@example.com", Author: "Maria"},
			answer: stay.Erasure{
				Reservations: 2, Bodies: 1,
				Identity: "user identity b1f2d1d5-6d1c-4a86-9c6f-3f8f0d0c6d11 is deleted",
			},
		},
		"create-app-session": {answer: AppSession{
			Token:     "seam_cst1example",
			ExpiresAt: stamp(booked.Add(24 * time.Hour)), IdentityID: view.User.UserIdentityID,
		}},
		"show-backup-code": {answer: ShownCode{
			Code:           "846201",
			AccessSchedule: Schedule{StartsAt: stamp(booked), EndsAt: stamp(booked.Add(72 * time.Hour))},
		}},
		"renew-guest-link": {
			request: OptionalReason{Reason: "forwarded to the wrong address", Author: "Maria"},
			answer:  linked,
		},
		"get-guest-link": {answer: guest.State{
			Ready: true, Property: ptr("Garden suite"),
			CheckIn: ptr("2030-11-01T15:00:00.000Z"), CheckOut: ptr("2030-11-04T11:00:00.000Z"),
		}},
		"open-guest-link": {answer: guest.Key{
			InstantKeyURL: "https://ik.seam.co/EXAMPLE",
			ExpiresAt:     "2030-11-03T15:00:00.000Z",
		}},
		"get-healthz": {answer: Status{"ok"}}, "get-readyz": {answer: Status{"ready"}},
	}
}
