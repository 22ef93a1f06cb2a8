package rest

import (
	"github.com/staykey/staykey/internal/stay"
)

// DoorRisk is what may keep a key from opening the doors of a listing or a stay.
type DoorRisk struct {
	Since string        `json:"since" format:"date-time" doc:"Since when the oldest of the problems has existed."`
	Doors []DoorProblem `json:"doors" nullable:"false"`
}

// DoorProblem is one thing that is wrong with a door.
type DoorProblem struct {
	EntranceID *string `json:"acs_entrance_id" doc:"Null for no_mobile_key_door, which is about all doors of the group."`
	GroupID    string  `json:"acs_access_group_id"`
	Name       *string `json:"name" doc:"The door's name at Seam." example:"Room 12"`
	Problem    string  `json:"problem" doc:"For machines; new ones may be added. no_mobile_key_door: no door of the access group can be opened with a mobile key." example:"battery_low" enum:"no_mobile_key_door,offline,battery_low,privacy_mode"`
	Since      string  `json:"since" format:"date-time"`
}

func showDoorRisk(r *stay.DoorRisk) *DoorRisk {
	if r == nil {
		return nil
	}
	out := &DoorRisk{Since: stamp(r.Since), Doors: []DoorProblem{}}
	for _, d := range r.Doors {
		out.Doors = append(out.Doors, DoorProblem{
			EntranceID: textOrNull(d.EntranceID), GroupID: d.GroupID, Name: textOrNull(d.Name), Problem: d.Problem,
			Since: stamp(d.Since),
		})
	}
	return out
}

// textOrNull is nil for "".
func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
