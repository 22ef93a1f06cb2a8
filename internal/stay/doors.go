package stay

import (
	"cmp"
	"strings"
	"time"
)

// Problems of doors, in REST, in messages and in the database.
const (
	// DoorNoMobileKey is an access group's: none of its doors can be opened with mobile keys.
	DoorNoMobileKey = "no_mobile_key_door"
	DoorOffline     = "offline"
	DoorBatteryLow  = "battery_low"
	DoorPrivacyMode = "privacy_mode"
	// DoorsOffline is an access system's: most of its doors are offline. It stands for the doors on pages.
	DoorsOffline = "system_offline"
)

// DoorProblem is something about a door that may keep a guest's key from opening it.
type DoorProblem struct {
	GroupID    string    `json:"acs_access_group_id"`
	EntranceID string    `json:"acs_entrance_id,omitempty"` // "" for a problem of the group
	Name       string    `json:"name,omitempty"`            // of the door; "" where Seam shows none
	Problem    string    `json:"problem"`
	Since      time.Time `json:"since"`
	// SystemID is Seam's id of the access system if most of its doors are offline: then that is reported once, and not
	// for each stay.
	SystemID string `json:"acs_system_id,omitempty"`
}

// Title is what people call the door.
func (p DoorProblem) Title() string { return cmp.Or(p.Name, p.EntranceID, p.GroupID, p.SystemID) }

// Words say what is wrong, for people.
func (p DoorProblem) Words() string {
	switch p.Problem {
	case DoorNoMobileKey:
		return "no door of the access group opens with a mobile key"
	case DoorOffline:
		return "the lock is offline"
	case DoorsOffline:
		return "most of its doors are offline"
	case DoorBatteryLow:
		return "the lock's battery is low"
	case DoorPrivacyMode:
		return "privacy mode is on"
	}
	return p.Problem
}

// Do says what to do about it.
func (p DoorProblem) Do() string {
	switch p.Problem {
	case DoorNoMobileKey:
		return "Add a door with a mobile key reader to the group in Salto KS, or choose another group for the listing."
	case DoorOffline:
		return "Check the lock's connection: changes of keys don't reach it, and the guest's key may be one of them."
	case DoorsOffline:
		return "Check the property's internet connection and its Salto IQs: changes of keys don't reach the doors."
	case DoorBatteryLow:
		return "Replace the lock's battery before the guest arrives."
	case DoorPrivacyMode:
		return "Somebody has locked the door from inside: see whether the room is free."
	}
	return ""
}

// DescribeDoors names doors and what is wrong with each, for people.
func DescribeDoors(problems []DoorProblem) string {
	parts := make([]string, len(problems))
	for i, p := range problems {
		parts[i] = p.Title() + ": " + p.Words()
	}
	return strings.Join(parts, "; ")
}

// Compare orders problems, and is 0 for two of the same thing.
func (p DoorProblem) Compare(other DoorProblem) int {
	return cmp.Or(cmp.Compare(p.EntranceID, other.EntranceID), cmp.Compare(p.Problem, other.Problem),
		cmp.Compare(p.GroupID, other.GroupID))
}

// DoorRisk is what may keep a key from opening the doors of a listing or stay.
type DoorRisk struct {
	Since time.Time // of the oldest problem
	Doors []DoorProblem
}

// NewDoorRisk returns the risk that problems make; nil for none. A door that several groups open counts once.
func NewDoorRisk(problems []DoorProblem) *DoorRisk {
	if len(problems) == 0 {
		return nil
	}
	risk := &DoorRisk{Since: problems[0].Since}
	seen := map[[2]string]bool{}
	for _, p := range problems {
		if p.Since.Before(risk.Since) {
			risk.Since = p.Since
		}
		what := [2]string{cmp.Or(p.EntranceID, p.GroupID), p.Problem}
		if !seen[what] {
			seen[what] = true
			risk.Doors = append(risk.Doors, p)
		}
	}
	return risk
}
