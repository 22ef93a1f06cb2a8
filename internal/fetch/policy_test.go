package fetch

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
		in     attempt
		want   decision
	}{
		{"no answer holds the source", attempt{cause: silent, number: 1}, decision{wait: 4 * time.Second, hold: true}},
		{"and is tried for two days", attempt{cause: silent, number: 500, since: 2*day - time.Second}, decision{wait: 15 * time.Minute, hold: true}},
		{"but not for longer", attempt{cause: silent, number: 9, since: 2 * day}, decision{wait: 15 * time.Minute, hold: true, giveUp: true}},
		{"Retry-After is what counts", attempt{cause: busy, number: 9, retryAfter: 7 * time.Second}, decision{wait: 7 * time.Second, hold: true}},
		{"within bounds", attempt{cause: busy, number: 1, retryAfter: 9 * time.Hour}, decision{wait: time.Hour, hold: true}},
		{"a refused account is never about the document", attempt{cause: account, number: 50, since: day}, decision{wait: 15 * time.Minute, hold: true}},
		{"a server's error is one event's", attempt{cause: failing, number: 3, since: day}, decision{wait: 16 * time.Second}},
		{"unless the server asks for a pause", attempt{cause: failing, number: 3, retryAfter: time.Minute}, decision{wait: time.Minute, hold: true}},
		{"a refusal inside a 200 has two days", attempt{cause: failing, number: 200, since: 2*day - 1}, decision{wait: 15 * time.Minute}},
		{"an unknown document has an hour, at growing distances", attempt{cause: unknown, number: 1}, decision{wait: 4 * time.Second}},
		{"", attempt{cause: unknown, number: 5, since: 3 * time.Minute}, decision{wait: 162 * time.Second}},
		{"", attempt{cause: unknown, number: 20, since: time.Hour - 1}, decision{wait: 15 * time.Minute}},
		{"then it is given up", attempt{cause: unknown, number: 6, since: time.Hour}, decision{wait: 486 * time.Second, giveUp: true}},
		{"not after few tries, however long the first was ago", attempt{cause: unknown, number: 5, since: day}, decision{wait: 162 * time.Second}},
		{"an older document is looked at again at once", attempt{cause: early, number: 1}, decision{wait: first}},
		{"what asking can't change is given up", attempt{cause: broken, number: 1}, decision{wait: 4 * time.Second, giveUp: true}},
	} {
		got := decide(c.in, first)
		if got != c.want {
			t.Errorf("%+v: %+v, want %+v (%s)", c.in, got, c.want, c.reason)
		}
	}
}

// However often a first wait doubles, it never overflows, and the waits for an unknown document are spread over the hour.
func TestWaits(t *testing.T) {
	t.Parallel()
	sum := time.Duration(0)
	for n := 1; n <= 10000; n++ {
		for _, c := range []cause{silent, busy, account, failing, unknown, early} {
			if d := decide(attempt{cause: c, number: n}, 2*time.Second); d.wait <= 0 || d.wait > longestWait {
				t.Fatalf("try %d of cause %d waits %v", n, c, d.wait)
			}
		}
		if n <= 6 {
			sum += decide(attempt{cause: unknown, number: n}, 2*time.Second).wait
		}
		if w := scatter(longestWait); w < longestWait/2 || w > longestWait {
			t.Fatal(w)
		}
		if w := behind(time.Second); w < time.Second || w > 4*time.Second {
			t.Fatal(w)
		}
	}
	if sum < 10*time.Minute {
		t.Errorf("six tries for an unknown document are over after %v: one deployment of a gateway outlasts them", sum)
	}
}

func TestDoWithout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		in     attempt
		want   bool
	}{
		{"the PMS doesn't have it", attempt{cause: unknown, number: 1}, true},
		{"an error may pass", attempt{cause: failing, number: 1}, false},
		{"but not for ever", attempt{cause: failing, number: 4}, true},
		{"nor does a source that is held back cost the key", attempt{cause: silent, since: 10 * time.Minute}, true},
		{"", attempt{cause: silent, since: 9 * time.Minute}, false},
	} {
		if got := doWithout(c.in); got != c.want {
			t.Errorf("%+v: %v (%s)", c.in, got, c.reason)
		}
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var g gate
	step := func(after time.Duration, wantHeld bool) {
		t.Helper()
		now = now.Add(after)
		if held := g.enter(now) != nil; held != wantHeld {
			t.Errorf("at %v: held %v, want %v", now, held, wantHeld)
		}
	}
	step(0, false)
	step(0, false) // any number while all is well
	if wait := g.shut(now, time.Second, 0, "no answer"); wait != 2*time.Second {
		t.Errorf("held for %v", wait)
	}
	if wait := g.shut(now, time.Second, 0, "no answer"); wait != 2*time.Second {
		t.Errorf("the second request that was under way made it %v", wait)
	}
	step(time.Second, true)
	step(time.Second, false) // the probe
	step(0, true)            // nobody besides it
	if wait := g.shut(now, time.Second, 0, "no answer"); wait != 4*time.Second {
		t.Errorf("held for %v the second time", wait)
	}
	step(4*time.Second, false)
	g.leave() // it was cut off
	step(0, false)
	g.pass()
	step(0, false)
	step(0, false)
	g.shut(now, time.Second, time.Minute, "429")
	g.shut(now, time.Second, time.Second, "429") // asks for less
	step(59*time.Second, true)
	step(time.Second, false)
}
