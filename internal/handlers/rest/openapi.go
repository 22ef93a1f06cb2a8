package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// OpenAPI returns the OpenAPI 3.1 document of the public listener's interface for programs.
func OpenAPI(version string) ([]byte, error) {
	s := New(Config{Version: version})
	return json.MarshalIndent(s.newAPI(chi.NewRouter()).OpenAPI(), "", "  ")
}

const about = `Turns a hotel's or host's reservations into mobile keys. A property management system (PMS) posts its events to the
webhook; admins see here the state of each reservation, and fix it.

Every error is ` + "`application/problem+json`" + ` (RFC 9457) and says what is wrong, where, and what to do. Lists are newest change
first; ` + "`next_cursor`" + ` goes into ` + "`cursor`" + ` for the next page. Times are RFC 3339, UTC, milliseconds. Ids in paths are percent-encoded once.`

var tags = []*huma.Tag{
	{Name: "Reservations", Description: "Reservations and the status of their mobile keys."},
	{Name: "Actions", Description: "Actions on a reservation. Each has an author and a reason and is recorded in the timeline."},
	{Name: "Guests", Description: "How a stay's key gets to its guest: links and app sessions. Sources with guest_links have them."},
	{Name: "Listings", Description: "Rooms and apartments, and the access groups that their keys open."},
	{Name: "Events", Description: "The inbox: everything that PMSs posted, byte for byte, and its result."},
	{Name: "Sources", Description: "Connected PMSs and the health of the service."},
	{Name: "Subscriptions", Description: "Receivers that are notified when mobile keys change, and the messages sent to them."},
	{Name: "Webhooks", Description: "Webhooks that PMSs and Seam post."},
	{Name: "Health", Description: "For load balancers and monitors."},
}

func (s *API) newAPI(r chi.Router) huma.API {
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "staykey", Version: s.Version, Description: about,
				Contact: &huma.Contact{Name: "staykey", URL: "https://github.com/staykey/staykey"},
				License: &huma.License{Name: "MIT", Identifier: "MIT"},
			},
			Servers: []*huma.Server{{URL: "/", Description: "The public listener (STAYKEY_LISTEN)."}},
			Tags:    tags,
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{"admin": {
					Type: "http", Scheme: "bearer",
					Description: "One of STAYKEY_ADMIN_TOKEN, which may do everything, or a token of the config file (staykey token new), which may be limited to reading and to some sources.",
				}},
			},
			Security: []map[string][]string{{"admin": {}}},
		},
		Formats: formats(), DefaultFormat: "application/json", RejectUnknownQueryParameters: true,
		Transformers: []huma.Transformer{nameRequest},
	}
	api := humachi.New(r, config)
	s.reservationOperations(api)
	s.actionOperations(api)
	s.gateOperation(api)
	s.guestOperations(api)
	s.listingOperations(api)
	s.eventOperations(api)
	s.sourceOperations(api)
	s.subscriptionOperations(api)
	s.deliveryOperations(api)
	s.auditOperation(api)
	document(api)
	return api
}

// nameRequest puts the request's id into a problem.
func nameRequest(ctx huma.Context, _ string, body any) (any, error) {
	if p, is := body.(*handlers.Problem); is {
		_, w := humachi.Unwrap(ctx)
		p.RequestID = w.Header().Get("X-Request-Id")
	}
	return body, nil
}

// documented is an operation that is served elsewhere, for the document.
type documented struct {
	operation    huma.Operation
	body         any // of the request
	answers      map[int]any
	descriptions map[int]string
}

// Answers of guests' links to unexpected requests.
const (
	bodyLate     = "The request's body did not arrive in time. A link needs none."
	bodyUnwanted = "The request's body is too large. A link needs none."
)

// document adds what huma does not serve, and examples to all.
func document(api huma.API) {
	for _, d := range others() {
		d.addTo(api.OpenAPI())
	}
	documentListingPuts(api.OpenAPI())

	schemas := api.OpenAPI().Components.Schemas
	for name, schema := range schemas.Map() {
		allowNull(schema, schemas.TypeFromRef("#/components/schemas/"+name))
	}
	for _, item := range api.OpenAPI().Paths {
		for _, o := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete} {
			if o == nil {
				continue
			}
			exemplify(o, examples()[o.OperationID])
			if o != item.Get && o.Security == nil && o.OperationID != "create-app-session" &&
				o.OperationID != "show-backup-code" {
				documentKey(o)
			}
		}
	}
}

// addTo adds an operation with its schemas.
func (d documented) addTo(api *huma.OpenAPI) {
	schemas, o := api.Components.Schemas, d.operation
	if d.body != nil {
		o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: schemas.Schema(reflect.TypeOf(d.body), true, "")},
		}}
	}

	o.Responses = map[string]*huma.Response{}
	for code, answer := range d.answers {
		response := &huma.Response{Description: d.descriptions[code]}
		media := "application/json"
		if _, is := answer.(handlers.Problem); is {
			media = "application/problem+json"
		}
		if answer != nil {
			schema := schemas.Schema(reflect.TypeOf(answer), true, "")
			response.Content = map[string]*huma.MediaType{media: {Schema: schema}}
		}
		o.Responses[fmt.Sprint(code)] = response
	}
	api.AddOperation(&o)
}

// documentListingPuts completes the two PUTs of listings: huma documents raw bodies without a schema, and one status
// for each operation.
func documentListingPuts(api *huma.OpenAPI) {
	schemas := api.Components.Schemas
	put, several := api.Paths[listingPath].Put, api.Paths["/v1/listings"].Put
	put.RequestBody.Content["application/json"].Schema = schemas.Schema(reflect.TypeFor[ListingPut](), true, "")
	several.RequestBody.Content["application/json"].Schema = schemas.Schema(reflect.TypeFor[ListingItems](), true, "")
	put.Responses["200"].Description = "Changed."
	put.Responses["201"] = &huma.Response{Description: "Created.", Content: map[string]*huma.MediaType{
		"application/json": {Schema: schemas.Schema(reflect.TypeFor[Listing](), true, "")},
	}}
}

// others are the operations that huma does not serve: webhooks, guests' links and health.
func others() []documented {
	open := []map[string][]string{{}}
	problems := map[int]string{
		http.StatusBadRequest:            "The body isn't JSON, or the webhook-id is malformed. Nothing is stored.",
		http.StatusUnauthorized:          "The signature, id or timestamp is missing, wrong or too old. Nothing is stored.",
		http.StatusNotFound:              "Unknown source. Nothing is stored.",
		http.StatusRequestEntityTooLarge: "Over 1 MiB. Nothing is stored.",
		http.StatusUnsupportedMediaType:  "The Content-Type isn't application/json, or the Content-Encoding isn't gzip. Nothing is stored.",
		http.StatusUnprocessableEntity:   "Invalid: one entry per wrong field. The event is stored, and tried again if you send it again.",
		http.StatusTooManyRequests:       "Over the source's rate limit. Nothing is stored: retry after Retry-After.",
		http.StatusServiceUnavailable:    "The event can't be stored right now. Nothing is stored: retry after Retry-After.",
	}
	event := map[int]any{http.StatusAccepted: WebhookAnswer{}, http.StatusOK: WebhookAnswer{}}
	descriptions := map[int]string{http.StatusAccepted: "The event is stored durably. It will be applied, or ignored if staykey doesn't use its type.", http.StatusOK: "Duplicate: the event was received before."}
	for code, description := range problems {
		event[code], descriptions[code] = handlers.Problem{}, description
	}

	described := func(s string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: s} }

	return []documented{
		{
			operation: huma.Operation{
				OperationID: "post-webhook", Method: http.MethodPost, Path: "/webhooks/{source}",
				Tags: []string{"Webhooks"}, Summary: "Receive an event from a PMS", Security: open,
				Description: "The canonical format, signed as Standard Webhooks; staykey sign prints the headers. Sources of other PMSs accept those PMSs' own formats and signatures. An event with the source and webhook-id of an earlier one is a duplicate, whatever its body.",
				Parameters: []*huma.Param{
					{
						Name: "source", In: "path", Required: true,
						Schema:  described("The name of a configured source. With STAYKEY_WEBHOOK_SECRET alone there is one: default."),
						Example: "default",
					},
					{
						Name: "webhook-id", In: "header", Required: true,
						Schema:  described("At most 200 printable characters without spaces."),
						Example: "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
					},
					{
						Name: "webhook-timestamp", In: "header", Required: true,
						Schema: described("Seconds since 1970; at most five minutes off."), Example: "1674087231",
					},
					{
						Name: "webhook-signature", In: "header", Required: true,
						Schema: described("v1, and the base64 of HMAC-SHA256 over id.timestamp.body; several are separated by spaces."), Example: "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
					},
				},
			},
			body: WebhookEvent{}, answers: event, descriptions: descriptions,
		},
		{
			operation: huma.Operation{
				OperationID: "post-seam-webhook", Method: http.MethodPost, Path: "/seam/webhooks",
				Tags: []string{"Webhooks"}, Summary: "Receive an event from Seam", Security: open,
				Description: "Signed as Svix does, with SEAM_WEBHOOK_SECRET. The affected reservations are compared with Seam at once.",
			},
			answers: map[int]any{
				http.StatusNoContent: nil, http.StatusBadRequest: handlers.Problem{},
				http.StatusUnauthorized: handlers.Problem{}, http.StatusNotFound: handlers.Problem{},
				http.StatusRequestEntityTooLarge: handlers.Problem{},
				http.StatusServiceUnavailable:    handlers.Problem{},
			},
			descriptions: map[int]string{
				http.StatusRequestEntityTooLarge: "The body is over 1 MiB.",
				http.StatusNoContent:             "Accepted.",
				http.StatusBadRequest:            "The body isn't a Seam event.",
				http.StatusUnauthorized:          "Not signed by Seam.",
				http.StatusNotFound:              "SEAM_WEBHOOK_SECRET is not set.",
				http.StatusServiceUnavailable:    "The event can't be stored right now.",
			},
		},
		{
			operation: huma.Operation{
				OperationID: "get-guest-link", Method: http.MethodGet, Path: guest.Route, Tags: []string{"Guests"},
				Summary: "See what a guest's link says", Security: open,
				Description: "A page in the guest's language (Accept-Language) unless Accept is application/json. GET creates nothing, so link previews are safe.",
				Parameters: []*huma.Param{{
					Name: "id", In: "path", Required: true,
					Schema: described("The id at the end of a reservation's guest_link."), Example: "Rk9yIHRoZSBndWVzdCBvbm",
				}},
			},
			answers: map[int]any{
				http.StatusOK: guest.State{}, http.StatusNotFound: handlers.Problem{},
				http.StatusGone: handlers.Problem{}, http.StatusServiceUnavailable: handlers.Problem{},
				http.StatusRequestTimeout: handlers.Problem{}, http.StatusRequestEntityTooLarge: handlers.Problem{},
			},
			descriptions: map[int]string{
				http.StatusRequestTimeout: bodyLate, http.StatusRequestEntityTooLarge: bodyUnwanted,
				http.StatusOK: "The stay, and whether its key is ready.", http.StatusNotFound: "No such link.",
				http.StatusServiceUnavailable: "It can't be looked at now.",
				http.StatusGone:               "The stay is over or cancelled, or the link was replaced.",
			},
		},
		{
			operation: huma.Operation{
				OperationID: "open-guest-link", Method: http.MethodPost, Path: guest.Route, Tags: []string{"Guests"},
				Summary: "Get the key of a guest's link", Security: open,
				Description: "What the page's button does: returns a Seam instant key, the existing one while it is valid, otherwise a new one. A page unless Accept is application/json.",
				Parameters: []*huma.Param{{
					Name: "id", In: "path", Required: true,
					Schema: described("The id at the end of a reservation's guest_link."), Example: "Rk9yIHRoZSBndWVzdCBvbm",
				}},
			},
			answers: map[int]any{
				http.StatusOK: guest.Key{}, http.StatusNotFound: handlers.Problem{},
				http.StatusConflict: handlers.Problem{}, http.StatusGone: handlers.Problem{},
				http.StatusTooManyRequests:    handlers.Problem{},
				http.StatusServiceUnavailable: handlers.Problem{},
				http.StatusRequestTimeout:     handlers.Problem{}, http.StatusRequestEntityTooLarge: handlers.Problem{},
			},
			descriptions: map[int]string{
				http.StatusRequestTimeout: bodyLate, http.StatusRequestEntityTooLarge: bodyUnwanted,
				http.StatusOK:       "The instant key. Anybody who has its URL has the key.",
				http.StatusNotFound: "No such link.", http.StatusConflict: "The key is not ready; detail says why.",
				http.StatusGone:               "The stay is over or cancelled, or the link was replaced.",
				http.StatusTooManyRequests:    "The link was used ten times within an hour.",
				http.StatusServiceUnavailable: "Seam is not answering.",
			},
		},
		{
			operation: huma.Operation{
				OperationID: "get-healthz", Method: http.MethodGet, Path: "/healthz",
				Tags: []string{"Health"}, Summary: "Check whether the process is alive", Security: open,
				Description: "For liveness probes: 200 as long as the process answers, whatever else is wrong.",
			},
			answers: map[int]any{http.StatusOK: Status{}, http.StatusMethodNotAllowed: handlers.Problem{}},
			descriptions: map[int]string{
				http.StatusOK: "The process is alive.", http.StatusMethodNotAllowed: "Use GET.",
			},
		},
		{
			operation: huma.Operation{
				OperationID: "get-readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{"Health"},
				Summary: "Check whether webhooks can be stored", Security: open,
				Description: "Ready means that webhooks can be stored: Postgres accepts them, its clock and ours are within a minute, and workers run. Trouble at Seam shows as degraded and stays 200, because webhooks must continue. The private listener's /readyz has the details.",
				Parameters: []*huma.Param{{
					Name: "deep", In: "query", Example: "1", Schema: described(
						"Answer 503 for degraded, too: for monitors that want to know whether guests get their keys. Load balancers must not use it."),
				}},
			},
			answers: map[int]any{
				http.StatusOK: Status{}, http.StatusMethodNotAllowed: handlers.Problem{},
				http.StatusServiceUnavailable: handlers.Problem{},
			},
			descriptions: map[int]string{
				http.StatusOK: "Ready to store webhooks.", http.StatusMethodNotAllowed: "Use GET.",
				http.StatusServiceUnavailable: "Not ready to store webhooks; with deep, or degraded.",
			},
		},
	}
}

// allowNull marks pointer fields as nullable where huma doesn't.
func allowNull(schema *huma.Schema, of reflect.Type) {
	for of != nil && of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of == nil || of.Kind() != reflect.Struct {
		return
	}
	for _, field := range reflect.VisibleFields(of) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		property := schema.Properties[name]
		if field.Type.Kind() != reflect.Pointer || property == nil {
			continue
		}
		if property.Ref != "" {
			schema.Properties[name] = &huma.Schema{
				AnyOf:       []*huma.Schema{{Ref: property.Ref}, {Type: "null"}},
				Description: property.Description,
			}
		} else if len(property.Enum) > 0 && !slices.Contains(property.Enum, nil) {
			property.Enum = append(property.Enum, nil)
		}
	}
}

// WebhookEvent is an event of the canonical format.
type WebhookEvent struct {
	Type      string         `json:"type" example:"reservation.created" doc:"reservation.created, .updated or .cancelled; listing.created, .updated or .deleted. Any other type is stored and ignored."`
	Timestamp string         `json:"timestamp" format:"date-time" doc:"When it happened at the PMS. Of two events about one reservation the later one counts, whatever the order of arrival."`
	Data      map[string]any `json:"data" doc:"The complete reservation or listing (docs/webhooks.md)."`
}

// WebhookAnswer is the body of the answer to a webhook.
type WebhookAnswer struct {
	EventID string `json:"event_id" format:"uuid"`
	Status  string `json:"status" enum:"accepted,duplicate,ignored"`
}

// Status is what health endpoints answer.
type Status struct {
	Status string `json:"status" enum:"ok,ready,degraded" example:"ready"`
}

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
				Disconnected: []admin.Disconnected{}, LastSweep: &stay.Sweep{
					At: booked, TookMS: 412, Compared: 1221,
					Failed: []string{},
				},
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
