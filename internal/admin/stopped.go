package admin

import "github.com/staykey/staykey/internal/stay"

// withStopped gives a key that waits for the provisioner a message while nothing is provisioned, unless its last
// attempt left one. The message isn't in the database: it would have to be written to every row, and removed again.
func (s Reservations) withStopped(v View) View {
	if s.config.Stopped == nil || v.Key.Message != nil {
		return v
	}
	switch v.Key.Status {
	case stay.KeyProvisioning, stay.KeyRevoking:
	default:
		return v
	}
	if why := s.config.Stopped(); why != "" {
		message := "Keys are not being created or changed: " + why + "."
		v.Key.Message = &message
	}
	return v
}
