// Package point marks the points at which a dying process leaves something half done. In the program that ships,
// reaching one does nothing. Built with the tag "chaos", the process kills itself at the point that
// STAYKEY_CHAOS_POINT names, the STAYKEY_CHAOS_AT-th time it gets there; or stops, if STAYKEY_CHAOS_ACTION is "stop".
package point

// Name is a marked point.
type Name string

// The marked points, in the order in which an event passes them.
const (
	AcceptBefore   Name = "accept: before the commit"
	AcceptAfter    Name = "accept: after the commit, before the answer"
	ApplyLocked    Name = "apply: rows locked"
	ApplyBefore    Name = "apply: before the commit"
	ApplyAfter     Name = "apply: after the commit, before the wake-up"
	FanOutAfter    Name = "fan-out: after a page"
	Claimed        Name = "provision: key claimed"
	Marked         Name = "provision: a call marked but not made"
	Called         Name = "provision: a call made but not recorded"
	Recorded       Name = "provision: a call recorded"
	FinishBefore   Name = "provision: before the verdict is written"
	FinishAfter    Name = "provision: after the verdict is written"
	SweepRead      Name = "sweep: lists read"
	SweepFlagged   Name = "sweep: after a flagged page"
	SeamEventActed Name = "Seam event: acted upon but not recorded"
	GuestMarked    Name = "guest: an instant key or session marked but not made"
	GuestMade      Name = "guest: an instant key or session created but not recorded"
	GuestRecorded  Name = "guest: an instant key or session recorded but not handed out"
	GuestClaimed   Name = "guest: a cleanup claimed"
	GuestDeleted   Name = "guest: an instant key or session deleted but not recorded"
	ChangesOrdered Name = "deliver: changes ordered"
	DeliverClaimed Name = "deliver: a message claimed but not sent"
	DeliverSent    Name = "deliver: a message sent but its answer not recorded"
	DeliverNoted   Name = "deliver: the answer to a message recorded"

	WriteBackClaimed  Name = "write-back: bookings found due"
	WriteBackRead     Name = "write-back: a field read"
	WriteBackMarked   Name = "write-back: a call marked and not made"
	WriteBackCalled   Name = "write-back: a call made and not recorded"
	WriteBackRecorded Name = "write-back: a call recorded"
)

// All lists the points that an event or the sweep passes.
var All = []Name{
	AcceptBefore, AcceptAfter, ApplyLocked, ApplyBefore, ApplyAfter, FanOutAfter, Claimed, Marked, Called, Recorded,
	FinishBefore, FinishAfter, SweepRead, SweepFlagged, SeamEventActed,
}

// Guest lists the points of what is handed out to guests, which no event passes.
var Guest = []Name{GuestMarked, GuestMade, GuestRecorded, GuestClaimed, GuestDeleted}

// Deliver lists the points of messages to subscriptions. They need a subscription.
var (
	Deliver = []Name{ChangesOrdered, DeliverClaimed, DeliverSent, DeliverNoted}
	// WriteBack lists those of writing to PMSs, which no event passes.
	WriteBack = []Name{WriteBackClaimed, WriteBackRead, WriteBackMarked, WriteBackCalled, WriteBackRecorded}
)
