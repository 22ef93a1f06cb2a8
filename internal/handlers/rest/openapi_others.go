package rest

import (
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/handlers"
)

// Operations that huma does not answer: webhooks, pages and health. They are documented here, in the same document.

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
		http.StatusServiceUnavailable:    "The event can't be stored right now: retry after Retry-After. If it was stored after all, the repeat is a duplicate.",
	}
	event := map[int]any{http.StatusAccepted: WebhookAnswer{}, http.StatusOK: WebhookAnswer{}}
	descriptions := map[int]string{http.StatusAccepted: "The event is stored durably. It will be applied, or ignored if staykey doesn't use its type.", http.StatusOK: "Duplicate: the event was received before."}
	for code, description := range problems {
		event[code], descriptions[code] = handlers.Problem{}, description
	}

	described := func(s string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: s} }
	linkID := []*huma.Param{{
		Name: "id", In: "path", Required: true,
		Schema: described("The id at the end of a reservation's guest_link."), Example: "Rk9yIHRoZSBndWVzdCBvbm",
	}}

	return []documented{
		{
			operation: huma.Operation{
				OperationID: "post-webhook", Method: http.MethodPost, Path: "/webhooks/{source}",
				Tags: []string{"Webhooks"}, Summary: "Receive an event from a PMS", Security: open,
				Description: "The canonical format, signed as Standard Webhooks; staykey sign prints the headers. " +
					"Sources of other PMSs accept those PMSs' own formats and signatures. An event with the source " +
					"and webhook-id of an earlier one is a duplicate, whatever its body.",
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
				Summary: "Show the stay of a guest's link", Security: open,
				Description: "A page in the guest's language (Accept-Language) unless Accept is application/json. GET creates nothing, so link previews are safe.",
				Parameters:  linkID,
			},
			answers: map[int]any{
				http.StatusOK: guest.State{}, http.StatusNotFound: handlers.Problem{},
				http.StatusGone: handlers.Problem{}, http.StatusServiceUnavailable: handlers.Problem{},
				http.StatusRequestTimeout: handlers.Problem{}, http.StatusRequestEntityTooLarge: handlers.Problem{},
			},
			descriptions: map[int]string{
				http.StatusRequestTimeout: bodyLate, http.StatusRequestEntityTooLarge: bodyUnwanted,
				http.StatusOK: "The stay, and whether its key is ready.", http.StatusNotFound: "No such link.",
				http.StatusServiceUnavailable: "The link can't be checked right now: retry after Retry-After.",
				http.StatusGone:               "The stay is over or cancelled, or the link was replaced.",
			},
		},
		{
			operation: huma.Operation{
				OperationID: "open-guest-link", Method: http.MethodPost, Path: guest.Route, Tags: []string{"Guests"},
				Summary: "Get the key of a guest's link", Security: open,
				Description: "What the page's button does: returns a Seam instant key, the existing one while it is valid, otherwise a new one. A page unless Accept is application/json.",
				Parameters:  linkID,
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
				Description: "Ready means that webhooks can be stored: Postgres accepts them, its clock differs from " +
					"staykey's by less than a minute, and workers run. Problems at Seam are reported as degraded, with status 200, " +
					"because webhooks must continue. The private listener's /readyz has the details.",
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
