package guest

import "github.com/staykey/staykey/internal/store"

// MayHaveCode judges a stay for its backup code.
func MayHaveCode(s *Service, state store.GuestState) error { return s.mayHaveCode(state) }
