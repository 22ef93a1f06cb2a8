package writeback

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file decides what a field should hold, and whether that needs a call. It is pure.

// readiness is whether a stay's text belongs in the field.
type readiness int

const (
	gone      readiness = iota // no key, or none that the guest may have: the text doesn't belong in the field
	unsettled                  // undecided: the field's content stays, and nothing is added
	ready                      // the key is issued and may be handed out
)

// readinessOf judges one stay. wanted reports whether it should have a key.
//
//	not wanted, revoking, revoked, expired        gone, also while the key can't be removed
//	waiting, and no key exists                    gone: a gate has taken it away, or there never was one
//	issued or active, and no gate withholds it    ready
//	anything else                                 unsettled
func readinessOf(s store.GuestState, wanted bool) readiness {
	switch {
	case !wanted:
		return gone
	case slices.Contains([]string{stay.KeyRevoking, stay.KeyRevoked, stay.KeyExpired}, s.KeyStatus):
		return gone
	case s.KeyStatus == stay.KeyWaiting && s.CredentialID == nil:
		return gone
	case (s.KeyStatus == stay.KeyIssued || s.KeyStatus == stay.KeyActive) && len(s.ClosedGates) == 0:
		return ready
	}
	return unsettled
}

// target is where a text was written.
type target struct {
	To    string            `json:"to"`
	Field string            `json:"field"`
	With  map[string]string `json:"with,omitempty"`
	Route string            `json:"route,omitempty"`
}

func targetOf(set *pms.WriteBackSettings) target {
	return target{To: set.Preset.Name, Field: set.Field, With: set.With}
}

// readTarget decodes the target of a row; ok is false for none.
func readTarget(encoded []byte) (p target, ok bool) {
	if len(encoded) == 0 || json.Unmarshal(encoded, &p) != nil {
		return target{}, false
	}
	return p, true
}

func (p target) same(other target) bool {
	return p.To == other.To && p.Field == other.Field && maps.Equal(p.With, other.With)
}

// kind is the kind of a decision.
type kind int

const (
	nothing kind = iota // the field is up to date, as far as is known
	write
	erase
	eraseOld // clear the field that was written before the settings changed
)

// decision is what to do about one booking's field.
type decision struct {
	kind  kind
	text  string
	parts []string // the reservations whose texts are in it
	look  bool     // read the field even if it seems up to date
	keep  bool     // undecided: the row stays unchanged
}

// lateLooks are the times after a call without an answer at which the field is read again: such a call may take effect
// late.
var lateLooks = []time.Duration{time.Minute, 10 * time.Minute}

// nextLook is when a row's field is read again because of a lost call; nil for never.
func nextLook(row store.WriteBackRow) *time.Time {
	if row.LostAt == nil || int(row.Looks) >= len(lateLooks) {
		return nil
	}
	at := row.LostAt.Add(lateLooks[row.Looks])
	return &at
}

// decide compares the desired text of a booking's field with what is known about the field. texts are those of the
// stays that are not gone.
func decide(set *pms.WriteBackSettings, row store.WriteBackRow, stays map[stay.Ref]readiness,
	texts map[stay.Ref]string, hash func(string) []byte, now time.Time,
) decision {
	at := nextLook(row)
	look := at != nil && !now.Before(*at)

	has, elsewhere := mayHold(set, row)
	if elsewhere {
		return decision{kind: eraseOld}
	}

	d, settled := desiredText(set, row, stays, texts)
	d.look = look
	switch {
	case !settled && len(stays) > 0 && !row.Unsure && !look:
		return decision{keep: true} // only undecided stays: the content stays
	case d.text != "":
		if d.text = fit(set, d.text); !has || row.Unsure || look || !bytes.Equal(row.Written, hash(d.text)) {
			d.kind = write
		}
	case has || look:
		d.kind = erase
	}
	if d.kind == nothing {
		return decision{parts: d.parts}
	}
	return d
}

// mayHold reports whether staykey's text may be in the field, or in a previously configured field of the same PMS.
func mayHold(set *pms.WriteBackSettings, row store.WriteBackRow) (here, elsewhere bool) {
	if row.Written == nil && !row.Unsure {
		return false, false
	}
	at, known := readTarget(row.Target)
	if !known || at.same(targetOf(set)) {
		return true, false
	}
	// A text at another PMS can't be erased: its account is no longer configured.
	return false, at.To == set.Preset.Name
}

// desiredText joins the texts of a booking's stays. settled is false if all of them are undecided.
func desiredText(set *pms.WriteBackSettings, row store.WriteBackRow, stays map[stay.Ref]readiness,
	texts map[stay.Ref]string,
) (d decision, settled bool) {
	for _, ref := range slices.SortedFunc(maps.Keys(stays), stay.Ref.Compare) {
		switch is := stays[ref]; {
		case is == gone || set.Clear:
			settled = true
			continue
		case is == unsettled && !slices.Contains(row.Parts, ref.ReservationID):
			continue
		case is == ready:
			settled = true
		}
		if text := texts[ref]; text != "" {
			d.text = joined(d.text, text)
			d.parts = append(d.parts, ref.ReservationID)
		}
	}
	return d, settled
}

// joined puts texts of one booking below each other.
func joined(all, text string) string {
	if all == "" {
		return text
	}
	return all + "\n" + text
}

// fit replaces line breaks if the field can't hold them.
func fit(set *pms.WriteBackSettings, text string) string {
	if rules, _ := set.Preset.Rules(set.Field); rules.OneLine {
		return strings.Join(strings.Fields(text), " ")
	}
	return text
}

// hashOf is the keyed hash of a text. The database holds only that, not the text.
func (s *Service) hashOf(text string) []byte {
	h := hmac.New(sha256.New, s.HashKey)
	_, _ = h.Write([]byte("staykey write-back " + text))
	return h.Sum(nil)
}

// stateOf is the part of each stay that a decision depends on. If it changes, the decision is outdated.
func stateOf(stays map[stay.Ref]store.GuestState) string {
	var b strings.Builder
	for _, ref := range slices.SortedFunc(maps.Keys(stays), stay.Ref.Compare) {
		s := stays[ref]
		// it can't fail
		encoded, _ := json.Marshal([]any{
			ref, s.Status, s.KeyStatus, s.CredentialID, s.ClosedGates, s.GateTakes, s.Revoked,
			s.Counter, s.GuestEmail, s.CodeID, s.SealedCode, s.CodeWaiting, s.CodeProblem,
		})
		_, _ = b.Write(encoded)
	}
	return b.String()
}
