package admin

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Listings reads, puts and deletes listings.
type Listings struct{ *core }

// ListingQuery are the filters of the list of listings.
type ListingQuery struct {
	Paging
	Source       []string `query:"source" nullable:"false" doc:"One source, or several separated by commas."`
	ListingID    string   `query:"listing_id" view:"no"`
	Deleted      string   `query:"deleted" enum:"true,false"`
	UpdatedSince string   `query:"updated_since" view:"no" doc:"Instant, or UTC day; inclusive."`
	Query        string   `query:"q" personal:"true" doc:"Parts of a listing's id or name, without regard to case and accents. Each word must be in one of them, in any order."`
}

// Narrowed reports whether the query leaves any listing out.
func (q ListingQuery) Narrowed() bool {
	q.Paging = Paging{}
	return narrowed(q)
}

const noListing = "listing not found: use the source and id exactly as the PMS sent them, percent-encoded, or create it with PUT"

// List lists listings, the newest change first.
func (s Listings) List(ctx context.Context, q ListingQuery) (Page[Listing], error) {
	f, err := q.filter(ctx)
	if err != nil {
		return Page[Listing]{}, err
	}

	p := q.Paging
	q.Paging = Paging{}
	list := listName("listings", q)
	var after store.Cursor
	if err := s.openCursor(list, p.Cursor, &after); err != nil {
		return Page[Listing]{}, err
	}

	rows, err := s.store.Listings.List(ctx, f, after, p.Limit+1)
	if err != nil {
		return Page[Listing]{}, err
	}

	if err := s.addDoorRisks(ctx, rows); err != nil {
		return Page[Listing]{}, err
	}
	return page(s.core, list, rows, p.Limit, func(l Listing) any {
		return store.Cursor{At: l.UpdatedAt, Source: l.Source, ID: l.ListingID}
	}), nil
}

// Count counts the listings of a query, most at most.
func (s Listings) Count(ctx context.Context, q ListingQuery, most int) (int, error) {
	f, err := q.filter(ctx)
	if err != nil {
		return 0, err
	}
	return s.store.Listings.Count(ctx, f, most)
}

// filter is the query for the store, with the sources that the actor sees.
func (q ListingQuery) filter(ctx context.Context) (store.ListingFilter, error) {
	if err := checkEnums(q); err != nil {
		return store.ListingFilter{}, err
	}
	since, err := ParseInstant("query.updated_since", q.UpdatedSince)
	f := store.ListingFilter{
		Source: q.Source, ListingID: q.ListingID, Query: q.Query, ChangedSince: since,
		Sources: ActorOf(ctx).Sources,
	}
	if q.Deleted != "" {
		deleted := q.Deleted == "true"
		f.Deleted = &deleted
	}
	return f, err
}

// Get returns one listing.
func (s Listings) Get(ctx context.Context, ref stay.ListingRef) (Listing, error) {
	if !ActorOf(ctx).Sees(ref.Source) {
		return Listing{}, refuse(NotFound, noListing)
	}
	l, err := s.store.Listings.Get(ctx, ref)
	if err != nil {
		return l, notFound(err, noListing)
	}
	one := []Listing{l}
	err = s.addDoorRisks(ctx, one)
	return one[0], err
}

// ListingState is a listing that may be made or changed.
type ListingState struct {
	Listing
	Known      bool // it is in the database; else putting it makes it
	Configured bool // its source is in the configuration
}

// ToPut returns a listing that the actor may make or change, whether or not it exists.
func (s Listings) ToPut(ctx context.Context, ref stay.ListingRef) (ListingState, error) {
	if err := s.mayPut(ctx, ref); err != nil {
		return ListingState{}, err
	}
	listings, err := s.store.Listings.Named(ctx, []stay.ListingRef{ref})
	if err != nil {
		return ListingState{}, err
	}
	l, found := listings[ref]
	l.Source, l.ListingID = ref.Source, ref.ListingID
	one := []Listing{l}
	if err := s.addDoorRisks(ctx, one); err != nil {
		return ListingState{}, err
	}
	l = one[0]
	_, configured := s.source(ref.Source)
	return ListingState{l, found, configured}, nil
}

// Put makes or changes a listing. body is the patch, as docs/api.md has it: absent fields stay unchanged, null
// means none.
func (s Listings) Put(ctx context.Context, ref stay.ListingRef, body []byte) (l Listing,
	created bool, err error,
) {
	return s.putIf(ctx, ref, body)
}

// putIf puts a listing unless a check of what it is then refuses it.
func (s Listings) putIf(ctx context.Context, ref stay.ListingRef, body []byte, checks ...func(Listing) error) (
	l Listing, created bool, err error,
) {
	if !pms.IsText(ref.Source) {
		return Listing{}, false, InvalidField("path.source", "must be UTF-8 text without NUL")
	}
	if err := s.mayPut(ctx, ref); err != nil {
		return Listing{}, false, err
	}
	patch, err := readPatch(ref, body)
	if err != nil {
		return Listing{}, false, err
	}
	if err := s.mayOpen(ctx, ref.Source, patch); err != nil {
		return Listing{}, false, err
	}
	l, created, err = s.intake.PutListing(ctx, ref, patch, ActorOf(ctx).Audit(auditPutListing, ""), checks...)
	return l, created, notFound(err, noListing)
}

// readPatch reads the patch of a listing, and refuses an id that no listing can have.
func readPatch(ref stay.ListingRef, body []byte) (pms.ListingPatch, error) {
	if !pms.IsText(ref.ListingID) {
		return pms.ListingPatch{}, InvalidField("path.listing_id", "must be UTF-8 text without NUL")
	}
	if err := pms.CheckID(ref.ListingID); err != nil {
		return pms.ListingPatch{}, InvalidField("path.listing_id", err.Error())
	}

	patch, errs, err := pms.ParseListingPatch(body)
	if err != nil {
		return patch, refuse(Malformed, err.Error())
	}
	if len(errs) > 0 {
		return patch, &Error{Kind: Invalid, Message: "the listing is invalid", Fields: errs}
	}
	return patch, nil
}

// mayPut refuses a listing that can't exist: one of a source that neither is in the configuration nor has it
// already. A source that was removed from the configuration keeps its listings, and anyone who sees one may change
// it, because its keys still open doors.
func (s Listings) mayPut(ctx context.Context, ref stay.ListingRef) error {
	if !ActorOf(ctx).Sees(ref.Source) {
		return s.noSource(ctx, ref.Source)
	}
	if _, configured := s.source(ref.Source); configured {
		return nil
	}
	_, err := s.store.Listings.Get(ctx, ref)
	return notFound(err, s.noSource(ctx, ref.Source).Message)
}

// mayOpen refuses a listing's access groups for an actor limited to some sources, if keys of the listing's source
// may not open them. An admin of all sources may set them: the keys need attention until the configuration allows
// it.
func (s Listings) mayOpen(ctx context.Context, source string, patch pms.ListingPatch) error {
	if ActorOf(ctx).Sources == nil || !patch.Given["seam_access_group_ids"] {
		return nil
	}
	denied, err := s.provisioner.NotAllowed(ctx, source, patch.Listing.AccessGroupIDs)
	if err != nil {
		return err
	}
	if len(denied) > 0 {
		return InvalidField("seam_access_group_ids", "the source may not open "+strings.Join(denied, ", "))
	}
	return nil
}

// Delete deletes a listing that no stay uses. A listing that is deleted already stays so.
func (s Listings) Delete(ctx context.Context, ref stay.ListingRef) error {
	if !ActorOf(ctx).Sees(ref.Source) {
		return refuse(NotFound, noListing)
	}
	err := s.intake.DeleteListing(ctx, ref, ActorOf(ctx).Audit(auditDeleteListing, ""))
	if conflict := (intake.ConflictError{}); errors.As(err, &conflict) {
		return &Error{Kind: Conflict, Code: conflict.Code, Message: conflict.Message}
	}
	return notFound(err, noListing)
}

// PutMany puts several listings, each as [Listings.Put] does: what is wrong with one is in its result,
// and the others are put all the same.
func (s Listings) PutMany(ctx context.Context, items []map[string]json.RawMessage) ([]ListingPutResult, error) {
	results := make([]ListingPutResult, len(items))
	for i, item := range items {
		results[i] = nameListing(item)
		if len(results[i].Errors) > 0 {
			continue
		}
		patch := maps.Clone(item)
		delete(patch, "source")
		delete(patch, "listing_id")
		body, err := json.Marshal(patch)
		if err != nil {
			return nil, err
		}
		l, created, err := s.Put(ctx, results[i].ListingRef, body)
		switch refusal, is := IsRefusal(err); {
		case is && len(refusal.Fields) == 0:
			results[i].Errors = []pms.FieldError{{Field: "source", Message: refusal.Message}}
		case is:
			results[i].Errors = refusal.Fields
		case err != nil:
			return nil, err
		default:
			results[i].Listing, results[i].Created = &l, created
		}
	}
	return results, nil
}

// ListingPutResult is the result of putting one of several listings.
type ListingPutResult struct {
	stay.ListingRef
	Listing *Listing // nil: it is wrong, and nothing was done
	Created bool
	Errors  []pms.FieldError
}

// nameListing reads which listing an item is about.
func nameListing(item map[string]json.RawMessage) (r ListingPutResult) {
	for name, into := range map[string]*string{"source": &r.Source, "listing_id": &r.ListingID} {
		if json.Unmarshal(item[name], into) != nil || *into == "" {
			r.Errors = append(r.Errors, pms.FieldError{Field: name, Message: "is required, as text"})
		}
	}
	slices.SortFunc(r.Errors, func(a, b pms.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return r
}

// Of returns the listings of reservations that are known.
func (s Listings) Of(ctx context.Context, views []View) (map[stay.ListingRef]Listing, error) {
	var refs []stay.ListingRef
	for _, v := range views {
		if v.Reservation.ListingID != nil && ActorOf(ctx).Sees(v.Reservation.Source) {
			refs = append(refs, stay.ListingRef{Source: v.Reservation.Source, ListingID: *v.Reservation.ListingID})
		}
	}
	return s.store.Listings.Named(ctx, refs)
}
