package stay

import "net/url"

// ListingPath is where REST has a listing, as messages, findings and documents name it: it works as it is, whatever
// the ids hold.
func ListingPath(source, listingID string) string {
	return "/v1/listings/" + url.PathEscape(source) + "/" + url.PathEscape(listingID)
}

// GatePath is where REST has a gate of a reservation.
func GatePath(source, reservationID, name string) string {
	return "/v1/reservations/" + url.PathEscape(source) + "/" + url.PathEscape(reservationID) + "/gates/" +
		url.PathEscape(name)
}
