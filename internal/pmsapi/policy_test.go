package pmsapi

import (
	"testing"
	"time"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	const first = 2 * time.Second
	const day = 24 * time.Hour
	for _, c := range []struct {
		reason string
		in     Attempt
		want   Decision
	}{
		{"no answer holds the source", Attempt{Cause: Silent, Number: 1}, Decision{Wait: 4 * time.Second, Hold: true}},
		{
			"and is tried for two days",
			Attempt{Cause: Silent, Number: 500, Since: 2*day - time.Second},
			Decision{Wait: 15 * time.Minute, Hold: true},
		},
		{
			"but not for longer",
			Attempt{Cause: Silent, Number: 9, Since: 2 * day},
			Decision{Wait: 15 * time.Minute, Hold: true, GiveUp: true},
		},
		{
			"Retry-After is what counts",
			Attempt{Cause: Busy, Number: 9, RetryAfter: 7 * time.Second},
			Decision{Wait: 7 * time.Second, Hold: true},
		},
		{
			"within bounds",
			Attempt{Cause: Busy, Number: 1, RetryAfter: 9 * time.Hour},
			Decision{Wait: time.Hour, Hold: true},
		},
		{
			"a refused account is never about the document",
			Attempt{Cause: Account, Number: 50, Since: day},
			Decision{Wait: 15 * time.Minute, Hold: true},
		},
		{
			"a server's error is one event's",
			Attempt{Cause: Failing, Number: 3, Since: day},
			Decision{Wait: 16 * time.Second},
		},
		{
			"unless the server asks for a pause",
			Attempt{Cause: Failing, Number: 3, RetryAfter: time.Minute},
			Decision{Wait: time.Minute, Hold: true},
		},
		{
			"a refusal inside a 200 has two days",
			Attempt{Cause: Failing, Number: 200, Since: 2*day - 1},
			Decision{Wait: 15 * time.Minute},
		},
		{
			"an unknown document has an hour, at growing distances",
			Attempt{Cause: Unknown, Number: 1},
			Decision{Wait: 4 * time.Second},
		},
		{"", Attempt{Cause: Unknown, Number: 5, Since: 3 * time.Minute}, Decision{Wait: 162 * time.Second}},
		{"", Attempt{Cause: Unknown, Number: 20, Since: time.Hour - 1}, Decision{Wait: 15 * time.Minute}},
		{
			"then it is given up",
			Attempt{Cause: Unknown, Number: 6, Since: time.Hour},
			Decision{Wait: 486 * time.Second, GiveUp: true},
		},
		{
			"not after few tries, however long the first was ago",
			Attempt{Cause: Unknown, Number: 5, Since: day},
			Decision{Wait: 162 * time.Second},
		},
		{"an older document is looked at again at once", Attempt{Cause: Early, Number: 1}, Decision{Wait: first}},
		{
			"what asking can't change is given up",
			Attempt{Cause: Broken, Number: 1},
			Decision{Wait: 4 * time.Second, GiveUp: true},
		},
	} {
		got := Decide(c.in, first)
		if got != c.want {
			t.Errorf("%+v: %+v, want %+v (%s)", c.in, got, c.want, c.reason)
		}
	}
}

// However often a first wait doubles, it never overflows, and the waits for an unknown document are spread over the
// hour.
func TestWaits(t *testing.T) {
	t.Parallel()
	sum := time.Duration(0)
	for n := 1; n <= 10000; n++ {
		for _, c := range []Cause{Silent, Busy, Account, Failing, Unknown, Early} {
			if d := Decide(Attempt{Cause: c, Number: n}, 2*time.Second); d.Wait <= 0 || d.Wait > longestWait {
				t.Fatalf("try %d of cause %d waits %v", n, c, d.Wait)
			}
		}
		if n <= 6 {
			sum += Decide(Attempt{Cause: Unknown, Number: n}, 2*time.Second).Wait
		}
		if w := Scatter(longestWait); w < longestWait/2 || w > longestWait {
			t.Fatal(w)
		}
		if w := After(time.Second); w < time.Second || w > 4*time.Second {
			t.Fatal(w)
		}
	}
	if sum < 10*time.Minute {
		t.Errorf("six tries for an unknown document are over after %v: one deployment of a gateway outlasts them", sum)
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var b breaker
	step := func(after time.Duration, wantPaused bool) {
		t.Helper()
		now = now.Add(after)
		if paused := b.enter(now) != nil; paused != wantPaused {
			t.Errorf("at %v: paused %v, want %v", now, paused, wantPaused)
		}
	}
	step(0, false)
	step(0, false) // any number while all is well
	if wait := b.trip(now, time.Second, 0, "no answer"); wait != 2*time.Second {
		t.Errorf("paused for %v", wait)
	}
	if wait := b.trip(now, time.Second, 0, "no answer"); wait != 2*time.Second {
		t.Errorf("the second request that was under way made it %v", wait)
	}
	step(time.Second, true)
	step(time.Second, false) // the probe
	step(0, true)            // nobody besides it
	if wait := b.trip(now, time.Second, 0, "no answer"); wait != 4*time.Second {
		t.Errorf("paused for %v the second time", wait)
	}
	step(4*time.Second, false)
	b.leave() // it was cut off
	step(0, false)
	b.pass()
	step(0, false)
	step(0, false)
	b.trip(now, time.Second, time.Minute, "429")
	b.trip(now, time.Second, time.Second, "429") // asks for less
	step(59*time.Second, true)
	step(time.Second, false)
}
