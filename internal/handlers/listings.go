package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// Listing is a listing.
type Listing struct {
	Source         string   `json:"source" example:"default"`
	ListingID      string   `json:"listing_id" example:"2222222-2222"`
	AccessGroupIDs []string `json:"seam_access_group_ids" nullable:"false" doc:"The access groups that its keys open."`
	GroupsSetBy    string   `json:"seam_access_group_ids_set_by" enum:"pms,admin" doc:"admin: by a PUT, which wins over the PMS until it sets them to null."`
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
	AccessGroupIDs *[]string `json:"seam_access_group_ids,omitempty" doc:"Null gives the word back to the PMS."`
	Name           *string   `json:"name,omitempty"`
	ACSSystemID    *string   `json:"acs_system_id,omitempty"`
	TimeZone       *string   `json:"time_zone,omitempty" example:"Europe/Madrid"`
	CheckInTime    *string   `json:"check_in_time,omitempty" example:"15:00"`
	CheckOutTime   *string   `json:"check_out_time,omitempty" example:"11:00"`
}

func showListing(l store.Listing) Listing {
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

// ListingQuery are the filters of the list of listings.
type ListingQuery struct {
	Paging
	Source    string `query:"source"`
	ListingID string `query:"listing_id"`
	Deleted   string `query:"deleted" enum:"true,false"`
	Query     string `query:"q" doc:"Part of a listing's id or name."`
}

// ListingNames are the parameters that name one listing.
type ListingNames struct {
	Source    string `path:"source" example:"default"`
	ListingID string `path:"listing_id" example:"2222222-2222"`
}

func (n ListingNames) ref() store.ListingRef {
	return store.ListingRef{Source: n.Source, ListingID: n.ListingID}
}

// ListingPutInput is a PUT.
type ListingPutInput struct {
	ListingNames
	RawBody []byte `contentType:"application/json"`
}

const noListing = "there is no such listing: source and id must be exactly as the PMS sent them, percent-encoded; PUT makes one"

func (s *server) listingOperations(api huma.API) {
	const tag = "Listings"
	huma.Register(api, operation("list-listings", http.MethodGet, "/v1/listings", tag, "List listings, newest change first"),
		func(ctx context.Context, in *ListingQuery) (*Output[List[Listing]], error) {
			var after store.Place
			if p := s.openCursor("listings", in.Cursor, &after); p != nil {
				return nil, p
			}
			f := store.ListingFilter{Source: in.Source, ListingID: in.ListingID, Query: in.Query, Sources: actorOf(ctx).Sources}
			if in.Deleted != "" {
				deleted := in.Deleted == "true"
				f.Deleted = &deleted
			}
			rows, err := s.Store.Listings(ctx, f, after, in.Limit+1)
			if err != nil {
				return nil, s.fromStore(err, "")
			}
			return &Output[List[Listing]]{paged(rows, in.Limit, showListing, func(l store.Listing) *string {
				return s.sealCursor("listings", store.Place{At: l.UpdatedAt, Source: l.Source, ID: l.ListingID})
			})}, nil
		})
	huma.Register(api, operation("get-listing", http.MethodGet, "/v1/listings/{source}/{listing_id}", tag, "Get one listing", http.StatusNotFound),
		func(ctx context.Context, in *ListingNames) (*Output[Listing], error) {
			if !actorOf(ctx).sees(in.Source) {
				return nil, problem(http.StatusNotFound, noListing)
			}
			l, err := s.Store.Listing(ctx, in.ref())
			if err != nil {
				return nil, s.fromStore(err, noListing)
			}
			return &Output[Listing]{showListing(l)}, nil
		})
	put := operation("put-listing", http.MethodPut, "/v1/listings/{source}/{listing_id}", tag, "Make or change a listing", http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusForbidden, http.StatusNotFound)
	put.Description = "For a PMS that knows no access groups. Absent fields stay as they are, null means none. Groups set here stay until a PUT sets them to null, whatever the PMS says."
	put.MaxBodyBytes = maxBody
	put.SkipValidateBody = true
	huma.Register(api, put, s.putListing)
}

func (s *server) putListing(ctx context.Context, in *ListingPutInput) (*Output[Listing], error) {
	if unstorable(in.Source) {
		return nil, unfit("path.source", "must be UTF-8 text without NUL")
	}
	if p := s.mayHaveListing(ctx, in.ref()); p != nil {
		return nil, p
	}
	if unstorable(in.ListingID) {
		return nil, unfit("path.listing_id", "must be UTF-8 text without NUL")
	}
	if err := pms.CheckID(in.ListingID); err != nil {
		return nil, unfit("path.listing_id", err.Error())
	}
	patch, errs, err := pms.ParseListingPatch(in.RawBody)
	if err != nil {
		return nil, problem(http.StatusBadRequest, err.Error())
	}
	if len(errs) > 0 {
		return nil, problem(http.StatusUnprocessableEntity, "the listing is not valid", errs...)
	}
	if p := s.notAllowed(ctx, in.Source, patch); p != nil {
		return nil, p
	}
	l, err := s.Admin.PutListing(ctx, in.ref(), patch, actorOf(ctx).audit(auditPutListing, ""))
	if err != nil {
		return nil, s.fromStore(err, noListing)
	}
	return &Output[Listing]{showListing(l)}, nil
}

// mayHaveListing refuses a listing that can't be: one of a source that neither is in the configuration nor has it already. A source
// whose entry has gone keeps its listings, and whoever sees one may change it, because its keys last.
func (s *server) mayHaveListing(ctx context.Context, ref store.ListingRef) *Problem {
	const noSource = "there is no source of this name: \"default\" unless sources are configured"
	if !actorOf(ctx).sees(ref.Source) {
		return problem(http.StatusNotFound, noSource)
	}
	if _, configured := s.source(ref.Source); configured {
		return nil
	}
	_, err := s.Store.Listing(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		return problem(http.StatusNotFound, noSource)
	}
	if err != nil {
		return s.fromStore(err, "")
	}
	return nil
}
