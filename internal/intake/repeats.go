package intake

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"

	"github.com/staykey/staykey/internal/pms"
)

// If a PMS gives its events neither an id nor a time, a delivery that is repeated late, or on purpose, looks new: it
// must not bring a cancelled stay back. So a reservation keeps the hashes of the bodies that have confirmed it. An
// item of a list has a hash of its own, by which it is recognized in another list.

// bodyHash is how many bytes of a body's hash are kept, and mostBodies how many hashes: up to two of a body.
const (
	bodyHash   = 16
	mostBodies = 32
)

func hashOf(text []byte) []byte {
	sum := sha256.Sum256(text)
	return sum[:bodyHash]
}

// repeats finds the hashes by which an event's changes are recognized.
type repeats struct {
	whole []byte           // of the body, or of the body and of what it says however it is spaced
	items map[string][]int // the items of the body's list that name an id; nil if it has no list
	list  []any
	named func(item any) any // the body with one item in place of the list
}

// repeats prepares the hashes of an event; nil if documents were fetched: what the PMS returns now is no repetition,
// even if its webhooks look the same.
func (m *mapped) repeats() *repeats {
	if m.Documents != nil {
		return nil
	}
	foreign, err := MappingOf(m.Event)
	if err != nil {
		return &repeats{whole: hashOf(m.Body)}
	}
	text := m.Body
	if query := foreign.Request.Query; len(query) > 0 {
		text = slices.Concat(m.Body, []byte{0}, encoded(query))
	}
	r := &repeats{whole: hashOf(text)}
	if foreign.Request.Kind == "" {
		if body, err := pms.DecodeJSON(bytes.TrimPrefix(m.Body, []byte("\xef\xbb\xbf"))); err == nil {
			r.find(body)
		}
	}
	return r
}

// find finds the list of a body: the body itself, or the only list among its fields.
func (r *repeats) find(body any) {
	if _, isObject := body.(map[string]any); isObject {
		r.whole = slices.Concat(r.whole, hashOf(encoded(body)))
	}
	switch body := body.(type) {
	case []any:
		r.list, r.named = body, func(item any) any { return item }
	case map[string]any:
		at := ""
		for name, value := range body {
			if _, is := value.([]any); !is {
				continue
			}
			if at != "" {
				return
			}
			at = name
		}
		if at == "" {
			return
		}
		r.list, _ = body[at].([]any)
		r.named = func(item any) any {
			alone := maps.Clone(body)
			alone[at] = []any{item}
			return alone
		}
	}

	r.items = map[string][]int{}
	for i, item := range r.list {
		seen := map[string]bool{}
		scalars(item, func(text string) {
			if !seen[text] {
				seen[text] = true
				r.items[text] = append(r.items[text], i)
			}
		})
	}
}

// scalars calls a function for each text and number in a value.
func scalars(v any, do func(text string)) {
	switch v := v.(type) {
	case string:
		do(v)
	case json.Number:
		do(v.String())
	case []any:
		for _, item := range v {
			scalars(item, do)
		}
	case map[string]any:
		for _, item := range v {
			scalars(item, do)
		}
	}
}

// of are the hashes by which a change of a booking is recognized: that of the body, and that of its item if the body
// has a list of which one item names the booking.
func (r *repeats) of(booking string) []byte {
	if r == nil {
		return nil
	}
	if at := r.items[booking]; len(at) == 1 {
		return slices.Concat(r.whole[:bodyHash], hashOf(encoded(r.named(r.list[at[0]]))))
	}
	return r.whole
}

// encoded is a decoded value, with names in their order.
func encoded(v any) []byte {
	text, _ := json.Marshal(v) // it was JSON: it can't fail
	return text
}

// hasBody reports whether any of the hashes is known.
func hasBody(bodies, hashes []byte) bool {
	for hash := range slices.Chunk(hashes, bodyHash) {
		for known := range slices.Chunk(bodies, bodyHash) {
			if bytes.Equal(known, hash) {
				return true
			}
		}
	}
	return false
}

// withBody adds hashes that are not known yet, in place of the oldest ones.
func withBody(bodies, hashes []byte) []byte {
	for hash := range slices.Chunk(hashes, bodyHash) {
		if !hasBody(bodies, hash) {
			bodies = slices.Concat(bodies, hash)
		}
	}
	return bodies[max(0, len(bodies)-mostBodies*bodyHash):]
}
