package seam

import (
	"context"
	"errors"
	"testing"
	"time"
)

// limiterAt is a limiter with a clock that only the test moves.
func limiterAt() (*limiter, func(time.Duration)) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	return newLimiter(func() time.Time { return now }), func(d time.Duration) { now = now.Add(d) }
}

func TestLimiterLetsAllThroughUntilSeamSays429(t *testing.T) {
	t.Parallel()
	l, _ := limiterAt()
	for range 10_000 {
		if wait, _ := l.reserve(false); wait != 0 {
			t.Fatalf("a wait of %s without a reason", wait)
		}
	}
}

func TestLimiterSlowsEverybodyAndRecovers(t *testing.T) {
	t.Parallel()
	l, advance := limiterAt()
	for range 100 { // calls in this second
		l.reserve(false)
	}
	l.shut(3 * time.Second)
	l.shut(time.Second) // of the same burst
	if wait, undo := l.reserve(false); wait < 3*time.Second {
		t.Errorf("a call was let through %s after a 429, want 3 s at least", wait)
	} else {
		undo()
	}
	if _, err := l.admit(context.Background(), "/x"); KindOf(err) != RateLimited {
		t.Errorf("a long wait must give the worker back: %v", err)
	} else if e := new(Error); errors.As(err, &e) && e.RetryAfter < 3*time.Second {
		t.Errorf("it may come back in %s", e.RetryAfter)
	}
	advance(3 * time.Second)
	through := func() int { // calls that may go in the next second
		n := 0
		for {
			wait, undo := l.reserve(false)
			if wait >= time.Second {
				undo()
				return n
			}
			n++
		}
	}
	first := through()
	if first < 40 || first > 60+burst {
		t.Errorf("%d calls a second after a 429 at 100 a second, want about half", first)
	}
	advance(2 * time.Second)
	if second := through(); second <= first {
		t.Errorf("the pace does not rise: %d, then %d", first, second)
	}
	advance(time.Minute)
	for range 2000 {
		if wait, _ := l.reserve(false); wait != 0 {
			t.Fatal("still limited a quiet minute later")
		}
	}
}

func TestLimiterNeverStops(t *testing.T) {
	t.Parallel()
	l, advance := limiterAt()
	for range 100 {
		if wait, undo := l.reserve(false); wait > patience {
			undo() // as admit does
		}
		l.shut(0)
		advance(time.Millisecond)
	}
	if wait, _ := l.reserve(false); wait > patience+time.Second {
		t.Errorf("a wait of %s", wait)
	}
}

func TestBackgroundLetsOthersGoFirst(t *testing.T) {
	t.Parallel()
	l, advance := limiterAt()
	for range 20 {
		l.reserve(false)
	}
	l.shut(0)
	advance(time.Second)
	var last time.Duration
	for range 20 {
		last, _ = l.reserve(true)
	}
	other, _ := l.reserve(false)
	if last < 2*time.Second || other > 4*time.Second {
		t.Errorf("20 reads in the background wait up to %s, a guest's call after them %s", last, other)
	}
	if Background(context.Background()).Value(backgroundKey{}) == nil {
		t.Error("not marked")
	}
}

// While Seam asks for a pause of a quarter of an hour, a guest who arrives soon finds out every half minute whether it
// is over; nobody else does, and it ends for all when Seam answers.
func TestUrgentCallsProbe(t *testing.T) {
	t.Parallel()
	l, advance := limiterAt()
	urgent, any := Urgent(context.Background()), context.Background()
	refused := func(ctx context.Context) bool {
		isProbe, err := l.admit(ctx, "/x")
		return !isProbe && KindOf(err) == RateLimited
	}
	l.shut(15 * time.Minute)
	if !refused(urgent) || !refused(any) {
		t.Error("a call was let through at once")
	}
	advance(ProbeEvery)
	if !refused(any) {
		t.Error("a call that nobody waits for was let through")
	}
	if isProbe, err := l.admit(urgent, "/x"); !isProbe || err != nil {
		t.Errorf("after %s an urgent call is refused: %v", ProbeEvery, err)
	}
	if !refused(urgent) {
		t.Error("two probes at once")
	}
	l.shut(15 * time.Minute) // what the probe was answered
	advance(ProbeEvery - time.Second)
	if !refused(urgent) {
		t.Error("the next probe came early")
	}
	advance(time.Second)
	if isProbe, _ := l.admit(urgent, "/x"); !isProbe {
		t.Fatal("no second probe")
	}
	if isProbe, err := l.admit(Probe(any), "/x"); !isProbe || err != nil {
		t.Errorf("what finds out whether Seam answers at all is refused: %v", err)
	}
	l.open()
	for _, ctx := range []context.Context{any, urgent, Probe(any)} {
		if isProbe, err := l.admit(ctx, "/x"); isProbe || err != nil {
			t.Errorf("after Seam has answered a probe: probe %v, %v", isProbe, err)
		}
	}
}
