package stay

import "net/url"

// ListingPath is where REST has a listing, as messages, findings and documents name it: it works as it is, whatever the ids hold.
func ListingPath(source, listingID string) string {
	return "/v1/listings/" + url.PathEscape(source) + "/" + url.PathEscape(listingID)
}
