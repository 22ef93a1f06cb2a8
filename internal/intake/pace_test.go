package intake

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPace follows an endless burst: first appliers give way, less and less, and then the flusher does.
func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		const took = 10 * time.Millisecond
		if p.Crowded() || p.Pressed() || p.rest(took) != 0 || p.delay(batchSize) != 0 {
			t.Error("an idle machine gives way to nobody")
		}
		p.accepted(crowdedBatch - 1)
		if p.Crowded() {
			t.Error("a few events are no crowd")
		}
		p.accepted(batchSize)
		if rest := p.rest(time.Minute); rest != longestRest {
			t.Errorf("after a batch that waited for a lock, an applier rests for %s: urgent events wait as long", rest)
		}
		last := time.Duration(restShare+1) * took
		for lag := time.Duration(0); lag < patience; lag += patience / 4 {
			p.accepted(batchSize)
			p.applied(250, lag)
			rest := p.rest(took)
			if rest <= 0 || rest >= last || !p.Crowded() || !p.Pressed() {
				t.Errorf("with a lag of %s appliers rest for %s, before for %s", lag, rest, last)
			}
			if delay := p.delay(batchSize); delay != 0 {
				t.Errorf("with a lag of %s the flusher waits for %s", lag, delay)
			}
			last = rest
		}
		// Too old: 1000 events per second are applied, in batches of 250, and as many are accepted.
		for range 5 {
			time.Sleep(250 * time.Millisecond)
			p.accepted(250)
			p.applied(250, patience+time.Second)
		}
		if p.Crowded() || p.rest(took) != 0 {
			t.Error("beyond patience appliers still give way")
		}
		if !p.Pressed() {
			t.Error("beyond patience keys of later guests don't give way to the backlog")
		}
		accepted, began := 0, time.Now()
		for time.Since(began) < 10*time.Second {
			accepted += 100
			time.Sleep(p.delay(100))
			if delay := p.delay(0); delay > longestHold {
				t.Fatalf("a delay of %s", delay)
			}
		}
		if pace := float64(accepted) / time.Since(began).Seconds(); pace < 900 || pace > 1000 {
			t.Errorf("%.0f a second are accepted while 1000 are applied", pace)
		}
		p.applied(0, 0)
		if p.delay(batchSize) != 0 || p.Pressed() {
			t.Error("the backlog is gone, and the flusher or the keys still wait")
		}
		p.applied(100, keysWait)
		if !p.Pressed() || p.Crowded() {
			t.Error("keys of later guests don't give way to what a burst has left")
		}
		p.applied(0, 0)
		p.accepted(batchSize)
		time.Sleep(crowdLasts + time.Millisecond)
		if p.Crowded() || p.rest(took) != 0 {
			t.Error("a crowd that has gone is still given way to")
		}
	})
}

// Events that overtake a backlog show nothing about its age.
func TestUrgentEventsDontEndTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		p.applied(0, patience+time.Second)
		time.Sleep(paceOver)
		p.applied(100, patience+time.Second)
		if p.delay(batchSize); p.delay(batchSize) == 0 {
			t.Fatal("accepting is not slowed down at a lag beyond patience")
		}
		p.overtaken(10)
		if p.delay(batchSize) == 0 {
			t.Error("a batch of urgent events ends the delay")
		}
	})
}
