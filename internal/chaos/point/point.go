// Package point marks the places where a process that dies leaves something half done. In the program that
// ships a mark is an empty function; built with the tag "chaos" the process kills itself at the one that
// STAYKEY_CHAOS_POINT names, the STAYKEY_CHAOS_AT-th time it gets there; or stops, if STAYKEY_CHAOS_ACTION is "stop".
package point

// Name is a marked place.
type Name string

// The marked places, in the order in which an event passes them.
const (
	AcceptBefore   Name = "accept: before the commit"
	AcceptBehind   Name = "accept: behind the commit, before the answer"
	ApplyLocked    Name = "apply: rows locked"
	ApplyBefore    Name = "apply: before the commit"
	ApplyBehind    Name = "apply: behind the commit, before the wake-up"
	FanOutBehind   Name = "fan-out: behind a page"
	Claimed        Name = "provision: key claimed"
	Marked         Name = "provision: a call marked and not made"
	Called         Name = "provision: a call made and not recorded"
	Recorded       Name = "provision: a call recorded"
	FinishBefore   Name = "provision: before the verdict is written"
	FinishBehind   Name = "provision: behind the verdict"
	SweepRead      Name = "sweep: lists read"
	SweepFlagged   Name = "sweep: behind a flagged page"
	SeamEventActed Name = "Seam's event: acted upon and not remembered"
	GuestMarked    Name = "guest: an instant key or session marked and not made"
	GuestMade      Name = "guest: an instant key or session made and not recorded"
	GuestRecorded  Name = "guest: an instant key or session recorded and not handed out"
	GuestClaimed   Name = "guest: a clean-up claimed"
	GuestDeleted   Name = "guest: an instant key or session deleted and not recorded"
	ChangesOrdered Name = "deliver: changes ordered"
	DeliverClaimed Name = "deliver: a message claimed and not sent"
	DeliverSent    Name = "deliver: a message sent and its answer not recorded"
	DeliverNoted   Name = "deliver: the answer to a message recorded"

	WriteBackClaimed  Name = "write-back: bookings found due"
	WriteBackRead     Name = "write-back: a field read"
	WriteBackMarked   Name = "write-back: a call marked and not made"
	WriteBackCalled   Name = "write-back: a call made and not recorded"
	WriteBackRecorded Name = "write-back: a call recorded"
)

// All lists those that an event passes, or the sweep.
var All = []Name{
	AcceptBefore, AcceptBehind, ApplyLocked, ApplyBefore, ApplyBehind, FanOutBehind, Claimed, Marked, Called, Recorded,
	FinishBefore, FinishBehind, SweepRead, SweepFlagged, SeamEventActed,
}

// Guest lists those of what is handed to guests, which no event passes.
var Guest = []Name{GuestMarked, GuestMade, GuestRecorded, GuestClaimed, GuestDeleted}

// Deliver lists those of messages to subscriptions, which need one.
var (
	Deliver = []Name{ChangesOrdered, DeliverClaimed, DeliverSent, DeliverNoted}
	// WriteBack lists those of writing to PMSs, which no event passes.
	WriteBack = []Name{WriteBackClaimed, WriteBackRead, WriteBackMarked, WriteBackCalled, WriteBackRecorded}
)
