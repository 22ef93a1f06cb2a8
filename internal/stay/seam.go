package stay

import "time"

// PlannedCall is one changing call to Seam that a reconcile would make.
type PlannedCall struct {
	Path   string `json:"path" example:"/acs/users/update" doc:"The Seam endpoint."`
	Body   any    `json:"body" doc:"The request body. Ids that an earlier call of the plan will return are in braces."`
	Reason string `json:"reason" example:"access lasts from check-in to check-out"`
}

// WhyRenamed is the reason of the call that gives an ACS user its name back, and what differs then.
const WhyRenamed = "the ACS user has another name than the reservation's number"

// AccessGroup is an access group of the Seam workspace.
type AccessGroup struct {
	ID, Name, SystemID, SystemName string
}

// Target is what should be true at Seam for one reservation, in words that a page can show next to what is true.
type Target struct {
	Key         bool       // an ACS user with a mobile key should exist
	Why         string     // why none should; "" if one should
	ACSSystemID string     // "" while it is not known
	StartsAt    *time.Time // of access; nil while it is not known
	EndsAt      *time.Time
	GroupIDs    []string
	RemoveAt    *time.Time // when what is left of it is removed
	Reason      string     // what prevents the key, for machines; "" for nothing
	Message     string     // the same for people
}

// Erasure is what erasing a guest resulted in.
type Erasure struct {
	Reservations int    `json:"reservations" doc:"Reservations whose guest's data was removed, with their raw bodies."`
	Found        bool   `json:"found" doc:"Whether anything was stored for the address, here or at Seam. False may mean a misspelt address."`
	Bodies       int    `json:"bodies" doc:"Other events that contained the address. Their raw bodies were deleted."`
	Waiting      int    `json:"waiting_events" doc:"Events that contained the address and waited for documents from the PMS. They are rejected with the reason erased, and their raw bodies were deleted."`
	Identity     string `json:"user_identity" doc:"What happened to the guest's user identity at Seam." example:"user identity b1f2d1d5-6d1c-4a86-9c6f-3f8f0d0c6d11 is deleted"`

	Live      []Ref `json:"-"` // stays that are not over: then nothing is erased
	Unsettled int   `json:"-"` // events about the guest that are being applied: then nothing is erased
}

// Sweep is the result of comparing all live keys with Seam.
type Sweep struct {
	At        time.Time `json:"at"`
	TookMS    int64     `json:"took_ms"`
	Compared  int       `json:"compared" doc:"Live keys compared."`
	Different int       `json:"different" doc:"Keys that differ at Seam from what is recorded. They are then checked one by one."`
	Missing   int       `json:"missing" doc:"Keys without their ACS user or credential in Seam's lists."`
	HeldBack  int       `json:"held_back" doc:"Missing keys that were left alone, because too many were missing at once (over 5 % and at least 5). An access system that could not be read counts as in the sweep before."`
	Unknown   int       `json:"unknown" doc:"ACS users that staykey created and that its database doesn't know. Above 0: it was restored from an older backup, or a copy of it uses the same workspace. What could not be read counts as in the sweep before."`
	Failed    []string  `json:"failed" nullable:"false" doc:"Access systems that could not be read, and why."`
}
