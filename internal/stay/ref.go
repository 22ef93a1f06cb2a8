package stay

import "cmp"

// Ref names one reservation.
type Ref struct {
	Source        string
	ReservationID string
}

// Compare orders refs as Postgres does by COLLATE "C".
func (r Ref) Compare(other Ref) int {
	return cmp.Or(cmp.Compare(r.Source, other.Source), cmp.Compare(r.ReservationID, other.ReservationID))
}

// ListingRef names one listing.
type ListingRef struct {
	Source    string
	ListingID string
}

// Compare orders refs as Postgres does by COLLATE "C".
func (r ListingRef) Compare(other ListingRef) int {
	return cmp.Or(cmp.Compare(r.Source, other.Source), cmp.Compare(r.ListingID, other.ListingID))
}
