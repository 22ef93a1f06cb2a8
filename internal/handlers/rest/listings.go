package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// Listing is a listing.
type Listing struct {
	Source         string    `json:"source" example:"default"`
	ListingID      string    `json:"listing_id" example:"2222222-2222"`
	AccessGroupIDs []string  `json:"seam_access_group_ids" nullable:"false" doc:"Access groups that the listing's keys open."`
	GroupsSetBy    string    `json:"seam_access_group_ids_set_by" enum:"pms,admin" doc:"admin: set by a PUT, which overrides the PMS until a PUT sets them to null."`
	Name           *string   `json:"name"`
	ACSSystemID    *string   `json:"acs_system_id"`
	TimeZone       *string   `json:"time_zone" example:"Europe/Madrid"`
	CheckInTime    *string   `json:"check_in_time" example:"15:00"`
	CheckOutTime   *string   `json:"check_out_time" example:"11:00"`
	Deleted        bool      `json:"deleted"`
	DoorAtRisk     *DoorRisk `json:"door_at_risk" doc:"Doors of the listing that may not open. Null: none, as far as Seam has reported."`
	CreatedAt      string    `json:"created_at" format:"date-time"`
	UpdatedAt      string    `json:"updated_at" format:"date-time"`
}

// ListingPut documents the body of a PUT; the body itself is read by [pms.ParseListingPatch].
type ListingPut struct {
	AccessGroupIDs *[]string `json:"seam_access_group_ids,omitempty" nullable:"true" doc:"Null returns control to the PMS."`
	Name           *string   `json:"name,omitempty" nullable:"true"`
	ACSSystemID    *string   `json:"acs_system_id,omitempty" nullable:"true"`
	TimeZone       *string   `json:"time_zone,omitempty" nullable:"true" example:"Europe/Madrid"`
	CheckInTime    *string   `json:"check_in_time,omitempty" nullable:"true" example:"15:00"`
	CheckOutTime   *string   `json:"check_out_time,omitempty" nullable:"true" example:"11:00"`
}

func showListing(l admin.Listing) Listing {
	by := "pms"
	if l.AdminAccessGroupIDs != nil {
		by = "admin"
	}
	return Listing{
		Source: l.Source, ListingID: l.ListingID, AccessGroupIDs: append([]string{}, l.Groups()...),
		GroupsSetBy: by, Name: l.Name,
		ACSSystemID: l.ACSSystemID, TimeZone: l.TimeZone, CheckInTime: l.CheckInTime, CheckOutTime: l.CheckOutTime,
		Deleted: l.Deleted, DoorAtRisk: showDoorRisk(l.DoorRisk), CreatedAt: stamp(l.CreatedAt),
		UpdatedAt: stamp(l.UpdatedAt),
	}
}

const listingPath = "/v1/listings/{source}/{listing_id}"

// ListingPath has the path parameters of one listing.
type ListingPath struct {
	Source    string `path:"source" example:"default"`
	ListingID string `path:"listing_id" example:"2222222-2222"`
}

func (n ListingPath) ref() stay.ListingRef {
	return stay.ListingRef{Source: n.Source, ListingID: n.ListingID}
}

// ListingPutInput is a PUT.
type ListingPutInput struct {
	ListingPath
	RawBody []byte `contentType:"application/json"`
}

func (s *API) listingOperations(api huma.API) {
	const tag = "Listings"
	huma.Register(api, described(operation("list-listings", http.MethodGet, "/v1/listings", tag,
		"List listings, newest change first"),
		"Listings that the PMS sent or a PUT created, with the access groups that their keys open. Deleted listings have deleted: true."),
		func(ctx context.Context, in *admin.ListingQuery) (*Output[List[Listing]], error) {
			found, err := s.Admin.Listings.List(ctx, *in)
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return listOf(found, showListing), nil
		})

	huma.Register(api, described(operation("get-listing", http.MethodGet, listingPath, tag, "Get one listing",
		http.StatusNotFound),
		"Null settings are those of the source."),
		func(ctx context.Context, in *ListingPath) (*Output[Listing], error) {
			l, err := s.Admin.Listings.Get(ctx, in.ref())
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return &Output[Listing]{showListing(l)}, nil
		})

	put := operation("put-listing", http.MethodPut, listingPath, tag, "Create or change a listing",
		withBody(http.StatusForbidden, http.StatusNotFound)...)
	put.Description = "For a PMS that doesn't know access groups. Omitted fields stay unchanged; null clears a " +
		"field. Groups set here stay until a PUT sets them to null, whatever the PMS sends."
	put.MaxBodyBytes = handlers.MaxBody
	put.SkipValidateBody = true
	huma.Register(api, put, s.putListing)

	several := operation("put-listings", http.MethodPut, "/v1/listings", tag, "Create or change several listings",
		withBody(http.StatusForbidden)...)
	several.Description = "Each item names its listing with source and listing_id, and is otherwise the body of a " +
		"PUT of that listing. Items are handled one by one: the answer has the result of each, in the same order, " +
		"and an invalid item doesn't stop the others. Can be repeated."
	several.MaxBodyBytes = handlers.MaxBody
	several.SkipValidateBody = true // each item says what is wrong with it
	huma.Register(api, several, s.putListings)

	remove := operation("delete-listing", http.MethodDelete, listingPath, tag, "Delete a listing", http.StatusForbidden,
		http.StatusNotFound, http.StatusConflict)
	remove.Description = "Like listing.deleted from the PMS: no new keys are created for the listing. Returns 409 while a " +
		"stay that is not over uses the listing, now or as a later room, so no guest loses a door. The listing " +
		"remains, with deleted: true; a later event of the PMS or a PUT brings it back. A listing that is deleted " +
		"already stays deleted."
	remove.DefaultStatus = http.StatusNoContent
	huma.Register(api, remove, func(ctx context.Context, in *ListingPath) (*struct{}, error) {
		if err := s.Admin.Listings.Delete(ctx, in.ref()); err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return nil, nil
	})
}

// ListingsPut are several listings to put. ListingItems documents it.
type ListingsPut struct {
	Items []map[string]json.RawMessage `json:"items"`
}

// mostListings is how many listings one request may put.
const mostListings = 500

// ListingItems documents [ListingsPut].
type ListingItems struct {
	Items []ListingItem `json:"items" minItems:"1" maxItems:"500" nullable:"false"`
}

// ListingItem is an item of [ListingItems].
type ListingItem struct {
	Source    string `json:"source" example:"default"`
	ListingID string `json:"listing_id" example:"2222222-2222"`
	ListingPut
}

// ListingResult is the result of one item of [ListingItems].
type ListingResult struct {
	Source    string           `json:"source"`
	ListingID string           `json:"listing_id"`
	Status    string           `json:"status" enum:"created,updated,invalid" doc:"invalid: nothing was done, see errors."`
	Listing   *Listing         `json:"listing" doc:"Null if the item is invalid."`
	Errors    []pms.FieldError `json:"errors" nullable:"false"`
}

// ListingsPutReport is the result of each item, in their order.
type ListingsPutReport struct {
	Items []ListingResult `json:"items" nullable:"false"`
}

// ListingsPutInput is a PUT of several listings.
type ListingsPutInput struct {
	RawBody []byte `contentType:"application/json"`
}

func (s *API) putListings(ctx context.Context, in *ListingsPutInput) (*Output[ListingsPutReport], error) {
	var put ListingsPut
	if err := namesOnce(in.RawBody); err != nil {
		return nil, handlers.NewProblem(http.StatusBadRequest, err.Error())
	}

	if err := json.Unmarshal(in.RawBody, &put); err != nil {
		if wrongType := new(json.UnmarshalTypeError); errors.As(err, &wrongType) {
			return nil, handlers.Unfit("items", "must be an array of objects")
		}
		return nil, handlers.NewProblem(http.StatusBadRequest, "the body must be JSON: "+err.Error())
	}
	if n := len(put.Items); n == 0 || n > mostListings {
		return nil, handlers.Unfit("items", "must have 1 to 500 listings")
	}

	results, err := s.Admin.Listings.PutMany(ctx, put.Items)
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}

	report := ListingsPutReport{Items: make([]ListingResult, len(results))}
	for i, r := range results {
		shown := ListingResult{
			Source: r.Source, ListingID: r.ListingID, Status: "invalid",
			Errors: append([]pms.FieldError{}, r.Errors...),
		}
		if r.Listing != nil {
			l := showListing(*r.Listing)
			shown.Listing, shown.Status = &l, "updated"
			if r.Created {
				shown.Status = "created"
			}
		}
		report.Items[i] = shown
	}
	return &Output[ListingsPutReport]{report}, nil
}

// ListingPutOutput is the answer to a PUT.
type ListingPutOutput struct {
	Status int
	Body   Listing
}

func (s *API) putListing(ctx context.Context, in *ListingPutInput) (*ListingPutOutput, error) {
	l, created, err := s.Admin.Listings.Put(ctx, in.ref(), in.RawBody)
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return &ListingPutOutput{Status: status, Body: showListing(l)}, nil
}
