package rest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/handlers"
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
