package stay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Keyed is what stands for a guest or a stay where neither may be named: an HMAC of the parts, in 40 hex digits.
// The salt is the installation's.
func Keyed(salt []byte, parts ...string) string {
	h := hmac.New(sha256.New, salt)
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s;", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))[:40]
}

// GuestKey is the key of a guest's user identity at Seam, "" without an address that tells guests apart.
func GuestKey(salt []byte, address string) string {
	if address == "" {
		return ""
	}
	return "staykey_guest_" + Keyed(salt, "guest", address)
}
