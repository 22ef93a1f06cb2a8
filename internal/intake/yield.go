package intake

import "time"

// This file decides how long appliers pause so that accepting gets its share of the processors. Appliers that are
// always busy take most of them from the flusher and from senders, which work in short steps and wait for a processor
// at each.
//
// Too few accepted events have two possible causes: the processors, or senders that send no more. Only the first one
// is a reason to pause, and the numbers of events don't show which one it is. So pausing is tried, and continues only
// if it brings more events than were accepted without a pause:
//
//	idle       --too few are accepted------------------------------> trying
//	trying     --more are accepted than without a pause------------> pausing
//	           --no more than that---------------------------------> useless
//	pausing    --enough are accepted with ever shorter pauses------> idle
//	           --after comparedEvery measurements------------------> comparing
//	comparing  --after one measurement without a pause-------------> trying, with the same pause as before
//	useless    --enough are accepted-------------------------------> idle
//	           --after comparedEvery measurements------------------> trying
//
// Appliers pause in the states trying and pausing only. When nobody waits, idle follows in every state.

const (
	// balancedShare is the share of the rate of applying below which too few events are accepted. It is less than
	// pacedShare: where that is what slows accepting down, appliers needn't pause.
	balancedShare = 0.9
	// mostYield is how many times the duration of its last batch an applier pauses at most. It bounds the delay of the
	// backlog.
	mostYield = 2
	// leastTried is how many times that duration an applier pauses at least when pausing is tried: what less brings
	// can't be distinguished from chance.
	leastTried = 0.5
	// worthPausing is how many times as many events must be accepted as without a pause.
	worthPausing = 1.1
	// triedFor is for how many measurements pausing is tried.
	triedFor = 2
	// comparedEvery is after how many measurements the comparison is repeated.
	comparedEvery = 20
)

// measured is what was accepted and applied in a period of about [paceOver].
type measured struct {
	over     time.Duration
	accepted int
	applied  int
	crowded  bool // most events were accepted in commits that indicate a burst: senders may be waiting
}

func (m measured) acceptedPerSecond() float64 { return float64(m.accepted) / m.over.Seconds() }

// balance is the number of events that were accepted for each that was applied.
func (m measured) balance() float64 { return float64(m.accepted) / float64(m.applied) }

// yieldState is a state of [yielding]; the diagram above shows what follows which.
type yieldState int

const (
	idle      yieldState = iota // enough events are accepted, or nobody sends many
	trying                      // appliers pause, and it isn't known yet whether that brings anything
	pausing                     // appliers pause, because it brings more events
	comparing                   // appliers don't pause for one measurement, to see what that changes
	useless                     // appliers don't pause, because it brought nothing
)

// yielding decides how long appliers pause. The zero yielding doesn't let them pause.
type yielding struct {
	state   yieldState
	left    int     // measurements until the state ends, in those that end after a number of them
	share   float64 // how many times the duration of its last batch an applier pauses, while it does
	without float64 // events accepted a second without a pause
	with    float64 // the same with a pause: the sum of the measurements of trying
}

// pause is how many times the duration of its last batch an applier pauses.
func (y yielding) pause() float64 {
	if y.state == trying || y.state == pausing {
		return y.share
	}
	return 0
}

// after returns what follows from a measurement that was made while y was in force.
func (y yielding) after(m measured) yielding {
	if m.applied == 0 || !m.crowded {
		return yielding{}
	}
	enough := m.balance() >= balancedShare
	switch y.left--; y.state {
	case idle:
		if !enough {
			return y.try(m, balancedShare-m.balance())
		}

	case trying:
		if y.with += m.acceptedPerSecond(); y.left == 0 {
			return y.judge()
		}

	case pausing:
		if y = y.adjust(m); y.share == 0 {
			return yielding{}
		}
		if y.left == 0 {
			y.state = comparing
		}

	case comparing:
		return y.try(m, y.share)

	case useless:
		switch {
		case enough:
			return yielding{}
		case y.left == 0:
			return y.try(m, balancedShare-m.balance())
		}
	}
	return y
}

// try begins to pause after a measurement without a pause.
func (y yielding) try(m measured, share float64) yielding {
	return yielding{
		state: trying, left: triedFor, share: min(max(share, leastTried), mostYield), without: m.acceptedPerSecond(),
	}
}

// judge ends a try.
func (y yielding) judge() yielding {
	if y.with >= worthPausing*triedFor*y.without {
		return yielding{state: pausing, left: comparedEvery, share: y.share}
	}
	return yielding{state: useless, left: comparedEvery}
}

// adjust pauses for longer while too few events are accepted, and otherwise for less. Where as many are accepted as
// pacedShare allows, a long pause becomes short within seconds: it would slow down both.
func (y yielding) adjust(m measured) yielding {
	missing := balancedShare - m.balance()
	if m.balance() > (balancedShare+pacedShare)/2 {
		missing = min(missing, -y.share/8)
	}
	if y.share = min(max(y.share+missing, 0), mostYield); y.share < leastTried/8 {
		y.share = 0
	}
	return y
}
