package handlers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// cursorMAC is how many bytes of its HMAC a cursor begins with.
const cursorMAC = 16

// sealCursor writes a place in a list as a cursor that nobody else can make, and that fits no other list.
func (s *server) sealCursor(list string, place any) *string {
	payload, err := json.Marshal(place)
	if err != nil {
		return nil // times, numbers and texts only
	}
	cursor := base64.RawURLEncoding.EncodeToString(append(s.cursorMAC(list, payload), payload...))
	return &cursor
}

// openCursor reads a cursor of the list; "" leaves the place as it is: the beginning.
func (s *server) openCursor(list, cursor string, into any) *Problem {
	if cursor == "" {
		return nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < cursorMAC || !hmac.Equal(raw[:cursorMAC], s.cursorMAC(list, raw[cursorMAC:])) || json.Unmarshal(raw[cursorMAC:], into) != nil {
		return unfit("query.cursor", "must be the next_cursor of a page of this list")
	}
	return nil
}

func (s *server) cursorMAC(list string, payload []byte) []byte {
	mac := hmac.New(sha256.New, s.CursorKey)
	mac.Write([]byte(list))
	mac.Write([]byte{0})
	mac.Write(payload)
	return mac.Sum(nil)[:cursorMAC]
}
