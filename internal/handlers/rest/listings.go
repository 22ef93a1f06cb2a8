package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/stay"
)

// Listing is a listing.
type Listing struct {
	Source         string   `json:"source" example:"default"`
	ListingID      string   `json:"listing_id" example:"2222222-2222"`
	AccessGroupIDs []string `json:"seam_access_group_ids" nullable:"false" doc:"Access groups that the listing's keys open."`
	GroupsSetBy    string   `json:"seam_access_group_ids_set_by" enum:"pms,admin" doc:"admin: set by a PUT, which overrides the PMS until a PUT sets them to null."`
	Name           *string  `json:"name"`
	ACSSystemID    *string  `json:"acs_system_id"`
	TimeZone       *string  `json:"time_zone" example:"Europe/Madrid"`
	CheckInTime    *string  `json:"check_in_time" example:"15:00"`
	CheckOutTime   *string  `json:"check_out_time" example:"11:00"`
	Deleted        bool     `json:"deleted"`
	CreatedAt      string   `json:"created_at" format:"date-time"`
	UpdatedAt      string   `json:"updated_at" format:"date-time"`
}

// ListingPut documents the body of a PUT; the body itself is read by [pms.ParseListingPatch].
type ListingPut struct {
	AccessGroupIDs *[]string `json:"seam_access_group_ids,omitempty" doc:"Null returns control to the PMS."`
	Name           *string   `json:"name,omitempty"`
	ACSSystemID    *string   `json:"acs_system_id,omitempty"`
	TimeZone       *string   `json:"time_zone,omitempty" example:"Europe/Madrid"`
	CheckInTime    *string   `json:"check_in_time,omitempty" example:"15:00"`
	CheckOutTime   *string   `json:"check_out_time,omitempty" example:"11:00"`
}

func showListing(l admin.Listing) Listing {
	by := "pms"
	if l.AdminAccessGroupIDs != nil {
		by = "admin"
	}
	return Listing{
		Source: l.Source, ListingID: l.ListingID, AccessGroupIDs: append([]string{}, l.Groups()...), GroupsSetBy: by, Name: l.Name,
		ACSSystemID: l.ACSSystemID, TimeZone: l.TimeZone, CheckInTime: l.CheckInTime, CheckOutTime: l.CheckOutTime,
		Deleted: l.Deleted, CreatedAt: stamp(l.CreatedAt), UpdatedAt: stamp(l.UpdatedAt),
	}
}

const listingPath = "/v1/listings/{source}/{listing_id}"

// ListingNames are the parameters that name one listing.
type ListingNames struct {
	Source    string `path:"source" example:"default"`
	ListingID string `path:"listing_id" example:"2222222-2222"`
}

func (n ListingNames) ref() stay.ListingRef {
	return stay.ListingRef{Source: n.Source, ListingID: n.ListingID}
}

// ListingPutInput is a PUT.
type ListingPutInput struct {
	ListingNames
	RawBody []byte `contentType:"application/json"`
}

func (s *API) listingOperations(api huma.API) {
	const tag = "Listings"
	huma.Register(api, operation("list-listings", http.MethodGet, "/v1/listings", tag, "List listings, newest change first"),
		func(ctx context.Context, in *admin.ListingQuery) (*Output[List[Listing]], error) {
			found, err := s.Admin.Listings(ctx, *in)
			if err != nil {
				return nil, s.problemOf(err)
			}
			return listOf(found, showListing), nil
		})
	huma.Register(api, operation("get-listing", http.MethodGet, listingPath, tag, "Get one listing", http.StatusNotFound),
		func(ctx context.Context, in *ListingNames) (*Output[Listing], error) {
			l, err := s.Admin.Listing(ctx, in.ref())
			if err != nil {
				return nil, s.problemOf(err)
			}
			return &Output[Listing]{showListing(l)}, nil
		})
	put := operation("put-listing", http.MethodPut, listingPath, tag, "Create or change a listing", http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusForbidden, http.StatusNotFound)
	put.Description = "For a PMS that doesn't know access groups. Omitted fields stay unchanged; null clears a field. Groups set here stay until a PUT sets them to null, whatever the PMS sends."
	put.MaxBodyBytes = handlers.MaxBody
	put.SkipValidateBody = true
	huma.Register(api, put, s.putListing)
}

// ListingPutOutput is the answer to a PUT.
type ListingPutOutput struct {
	Status int
	Body   Listing
}

func (s *API) putListing(ctx context.Context, in *ListingPutInput) (*ListingPutOutput, error) {
	l, created, err := s.Admin.PutListing(ctx, in.ref(), in.RawBody)
	if err != nil {
		return nil, s.problemOf(err)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return &ListingPutOutput{Status: status, Body: showListing(l)}, nil
}
