package rest

import (
	"context"
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// Expand is the parameter that includes objects that are otherwise only referred to by id.
type Expand struct {
	Expand string `query:"expand" enum:"listing" doc:"listing: adds each reservation's listing."`
}

// ReservationsInput are the parameters of the list of reservations.
type ReservationsInput struct {
	admin.ReservationQuery
	Expand
}

// ReservationInput are the parameters of one reservation.
type ReservationInput struct {
	ReservationPath
	Expand
}

// Expansion is an included listing: null while it is unknown, absent unless it was requested.
type Expansion struct {
	Asked   bool
	Listing *Listing
}

// IsZero is for omitzero.
func (e Expansion) IsZero() bool { return !e.Asked }

// MarshalJSON implements json.Marshaler.
func (e Expansion) MarshalJSON() ([]byte, error) { return json.Marshal(e.Listing) }

// UnmarshalJSON implements json.Unmarshaler.
func (e *Expansion) UnmarshalJSON(b []byte) error {
	e.Asked = true
	return json.Unmarshal(b, &e.Listing)
}

// Schema implements huma.SchemaProvider.
func (Expansion) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{r.Schema(reflect.TypeFor[Listing](), true, ""), {Type: "null"}}}
}

// expand adds the requested objects to reservations.
func (s *API) expand(ctx context.Context, what Expand, views []admin.View, shown []Reservation) error {
	if what.Expand != "listing" {
		return nil
	}
	listings, err := s.Admin.Listings.Of(ctx, views)
	if err != nil {
		return s.problemOf(ctx, err)
	}
	for i, v := range views {
		shown[i].Listing.Asked = true
		if id := v.Reservation.ListingID; id != nil {
			if l, known := listings[stay.ListingRef{Source: v.Reservation.Source, ListingID: *id}]; known {
				listing := showListing(l)
				shown[i].Listing.Listing = &listing
			}
		}
	}
	return nil
}
