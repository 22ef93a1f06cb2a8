package seam

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// Entrance is a door of an access system. What is nil or "" is not known: an answer may leave out or null everything
// but the id.
type Entrance struct {
	ACSEntranceID   string  `json:"acs_entrance_id"`
	ACSSystemID     string  `json:"acs_system_id"`
	DisplayName     string  `json:"display_name"`
	CanUseMobileKey *bool   `json:"can_unlock_with_mobile_key"`
	Warnings        []Issue `json:"warnings"`
	SaltoKS         struct {
		BatteryLevel string `json:"battery_level"`
		Online       *bool  `json:"online"`
		PrivacyMode  *bool  `json:"privacy_mode"`
	} `json:"salto_ks_metadata"`
}

func (e Entrance) check() string { return checkID(e.ACSEntranceID) }

// Offline reports whether the door has no connection to Salto; nil: not known.
func (e Entrance) Offline() *bool {
	if e.SaltoKS.Online == nil {
		return nil
	}
	offline := !*e.SaltoKS.Online
	return &offline
}

// PrivacyMode reports whether somebody has locked the door from inside, so that keys don't open it; nil: not known.
// Seam reports it in two places (its OpenAPI, acs_entrance.warnings and salto_ks_metadata).
func (e Entrance) PrivacyMode() *bool {
	if slices.ContainsFunc(e.Warnings, func(w Issue) bool {
		return w.WarningCode == "privacy_mode" || w.WarningCode == "salto_ks_privacy_mode"
	}) {
		on := true
		return &on
	}
	return e.SaltoKS.PrivacyMode
}

// Words that Salto and others use for the level of a battery. Seam documents a string and no values.
var (
	emptyWords = []string{"low", "weak", "very_low", "critical", "empty", "flat", "dead"}
	fullWords  = []string{"new", "fresh", "full", "high", "good", "normal", "ok", "acceptable", "medium"}
)

// lowPercent is the level, in percent, at and below which a battery counts as low.
const lowPercent = 20

// BatteryLow reports whether the lock's battery should be replaced; nil: not known, as for a word that is none of
// those.
func (e Entrance) BatteryLow() *bool {
	level := strings.ToLower(strings.TrimSpace(e.SaltoKS.BatteryLevel))
	word := strings.ReplaceAll(strings.ReplaceAll(level, " ", "_"), "-", "_")
	low := slices.Contains(emptyWords, word)
	if low || slices.Contains(fullWords, word) {
		return &low
	}
	// "1" may be one percent or all of it, so fractions need a point.
	number, isPercent := strings.CutSuffix(level, "%")
	percent, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || !(percent >= 0 && percent <= 100):
		return nil
	case !isPercent && strings.Contains(number, ".") && percent <= 1:
		percent *= 100
	case !isPercent && percent == 1:
		return nil
	}
	low = percent <= lowPercent
	return &low
}

// Entrances lists the doors of an access system. Doors that the list lacks may exist.
func (c *Client) Entrances(ctx context.Context, acsSystemID string) ([]Entrance, error) {
	return list[Entrance](ctx, c, "/acs/entrances/list", "acs_entrances", map[string]any{"acs_system_id": acsSystemID})
}

// EntrancesOfGroup lists the doors that an access group opens.
func (c *Client) EntrancesOfGroup(ctx context.Context, accessGroupID string) ([]Entrance, error) {
	return whole[Entrance](ctx, c, "/acs/access_groups/list_accessible_entrances", "acs_entrances",
		map[string]any{"acs_access_group_id": accessGroupID})
}
