package pms

// GuestPage is what an operator shows on the pages of guests' links. Empty fields are left out.
type GuestPage struct {
	Name      string            // the operator's, above the page
	Logo      string            // a data: URL
	Color     string            // #rrggbb, of the button
	Contact   string            // whom a guest asks for help: a phone number, an e-mail address, or words
	Address   string            // of the property, for listings without one of their own
	Addresses map[string]string // of individual listings, by their ids
}

// AddressOf is the address of a listing, "" where none is known.
func (p GuestPage) AddressOf(listingID string) string {
	if own, ok := p.Addresses[listingID]; ok {
		return own
	}
	return p.Address
}
