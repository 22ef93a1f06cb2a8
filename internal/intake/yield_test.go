package intake

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// second is a measurement of a second in which so many events were accepted and applied in a crowd.
func second(accepted, applied int) measured {
	return measured{over: time.Second, accepted: accepted, applied: applied, crowded: true}
}

func TestYieldingFollowsWhatPausingBrings(t *testing.T) {
	t.Parallel()
	quiet := second(100, 1000)
	quiet.crowded = false
	tried, paused := yielding{state: trying, left: 1, share: 0.6, without: 300, with: 400},
		yielding{state: pausing, left: 9, share: 1}
	for name, c := range map[string]struct {
		why   string
		from  yielding
		m     measured
		state yieldState
		pause float64
	}{
		"few accepted": {
			"perhaps the processors are the reason", yielding{}, second(300, 1000), trying, 0.6,
		},
		"nearly enough accepted": {
			"a short pause would bring no more than chance does", yielding{}, second(850, 1000), trying, leastTried,
		},
		"enough accepted": {
			"no reason to pause",
			yielding{},
			second(900, 1000), idle, 0,
		},
		"nobody waits": {
			"small commits: senders got their answers",
			yielding{},
			quiet, idle, 0,
		},
		"nothing applied": {
			"there is nobody to pause",
			yielding{},
			second(300, 0), idle, 0,
		},
		"still being tried": {
			"one measurement may be chance",
			yielding{state: trying, left: 2, share: 0.6},
			second(400, 700), trying, 0.6,
		},
		"pausing has helped": {
			"(400+420)/2 is 1.37 times 300",
			tried, second(420, 700), pausing, 0.6,
		},
		"pausing hasn't": {
			"(400+240)/2 is 1.07 times 300: the senders send no more",
			tried, second(240, 700), useless, 0,
		},
		"a crowd goes": {
			"whatever was tried",
			paused, quiet, idle, 0,
		},
		"more is needed": {
			"the pause grows by what is missing",
			paused, second(700, 1000), pausing, 1.2,
		},
		"more than anything": {
			"appliers keep a third of their time",
			yielding{state: pausing, left: 9, share: 1.9},
			second(100, 1000), pausing, mostYield,
		},
		"a little too much": {
			"the pause shrinks by what is too much",
			paused, second(910, 1000), pausing, 0.99,
		},
		"as much as may be": {
			"the limit of accepting is reached: both are slow because of the pause",
			paused, second(950, 1000), pausing, 0.875,
		},
		"enough, short pause": {
			"what is left would bring nothing",
			yielding{state: pausing, left: 9, share: 0.07},
			second(950, 1000), idle, 0,
		},
		"time to compare": {
			"senders may have changed",
			yielding{state: pausing, left: 1, share: 1},
			second(800, 1000), comparing, 0,
		},
		"compared": {
			"the same pause is tried again",
			yielding{state: comparing, share: 1},
			second(300, 1000), trying, 1,
		},
		"useless, not yet": {
			"the next try comes later",
			yielding{state: useless, left: 5},
			second(300, 1000), useless, 0,
		},
		"useless, then again": {
			"senders may have changed",
			yielding{state: useless, left: 1},
			second(300, 1000), trying, 0.6,
		},
		"useless, then enough": {
			"nothing to try",
			yielding{state: useless, left: 5},
			second(900, 1000), idle, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.from.after(c.m); got.state != c.state || math.Abs(got.pause()-c.pause) > 1e-9 {
				t.Errorf("%s: got state %d with a pause of %.3f, want %d with %.3f", c.why, got.state, got.pause(),
					c.state, c.pause)
			}
		})
	}
}

// TestPaceIsBalanced applies a backlog on a machine of which an applier that works leaves a fifth. So senders that wait
// for answers get a fifth of the rate of accepting while it works, and all of it while it pauses; nearly as many events
// must be accepted as are applied. Senders that don't wait send a third of what can be applied, whatever happens: then
// the backlog must shrink nearly as fast as without any pause.
func TestPaceIsBalanced(t *testing.T) {
	t.Parallel()
	const (
		batch, took  = 500, 50 * time.Millisecond
		acceptRate   = 10_000 // a second, on an idle machine
		sentRate     = 3_300  // a second, by senders that don't wait
		applicable   = float64(batch) / 0.05
		beyond       = patience + time.Second
		settles      = 10 * time.Second
		measuredOver = 60 * time.Second
	)
	waiting := func(rest time.Duration) float64 { return acceptRate * (took/5 + rest).Seconds() }
	sending := func(rest time.Duration) float64 { return sentRate * (took + rest).Seconds() }

	// run applies for a while with such senders, and returns how many events a second were accepted and applied.
	run := func(p *Pace, lasts time.Duration, senders func(rest time.Duration) float64) (accepted, applied float64) {
		random := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- a repeatable load
		began := time.Now()
		for time.Since(began) < lasts {
			rest := p.rest(took)
			time.Sleep(took + rest)
			more := int(senders(rest) * (0.9 + 0.2*random.Float64()))
			p.accepted(more)
			p.applied(batch, beyond)
			accepted, applied = accepted+float64(more), applied+batch
		}
		return accepted / time.Since(began).Seconds(), applied / time.Since(began).Seconds()
	}

	t.Run("senders that wait", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var p Pace
			run(&p, settles, waiting)
			if accepted, applied := run(&p, measuredOver, waiting); accepted < 0.8*applied || accepted > applied {
				t.Errorf("%.0f events a second are accepted, %.0f applied", accepted, applied)
			}
		})
	})
	t.Run("senders that don't wait", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var p Pace
			if _, applied := run(&p, measuredOver, sending); applied < 0.93*applicable {
				t.Errorf("%.0f events a second are applied, of %.0f", applied, applicable)
			}
		})
	})
	t.Run("senders that no longer wait", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var p Pace
			run(&p, 30*time.Second, waiting)
			run(&p, settles+2*time.Second, sending)
			if _, applied := run(&p, measuredOver, sending); applied < 0.93*applicable {
				t.Errorf("%.0f events a second are applied, of %.0f", applied, applicable)
			}
		})
	})
	t.Run("senders that wait after others that didn't", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var p Pace
			run(&p, 30*time.Second, sending)
			run(&p, settles+2*time.Second, waiting)
			if accepted, applied := run(&p, measuredOver, waiting); accepted < 0.8*applied {
				t.Errorf("%.0f events a second are accepted, %.0f applied", accepted, applied)
			}
		})
	})
	t.Run("nobody sends many", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var p Pace
			run(&p, settles, waiting)
			for began := time.Now(); time.Since(began) <= 2*paceOver; time.Sleep(took) {
				p.accepted(crowdedBatch - 1)
				p.applied(batch, beyond)
			}
			if p.rest(took) != 0 {
				t.Error("appliers pause for a crowd that has gone")
			}
		})
	})
}
