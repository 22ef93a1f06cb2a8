package store

import (
	"testing"
	"time"
)

func TestLagOf(t *testing.T) {
	t.Parallel()
	now := time.Now()
	event := func(ago time.Duration, change func(*Event)) Event {
		e := Event{QueuedAt: now.Add(-ago), ReceivedAt: now.Add(-time.Hour)}
		if change != nil {
			change(&e)
		}
		return e
	}
	urgent := func(e *Event) { e.Urgent = true }
	putBack := func(e *Event) { e.Tries = 1 }
	replayed := func(e *Event) { e.Replay = true }
	for name, c := range map[string]struct {
		why    string
		events []Event
		want   time.Duration // below 0: unknown
	}{
		"several": {
			"later events may be in front: those of a replay",
			[]Event{event(time.Second, replayed), event(9*time.Second, nil)},
			9 * time.Second,
		},
		"urgent ones": {"they have overtaken the others", []Event{event(time.Second, urgent)}, -1},
		"put back": {
			"it waits for a lock, not for its turn",
			[]Event{event(time.Minute, putBack), event(time.Second, nil)},
			time.Second,
		},
		"only put back": {"whether others wait isn't known", []Event{event(time.Minute, putBack)}, -1},
		"nothing":       {"nothing was claimed", nil, -1},
		"clock set back": {
			"Postgres' clock may be set back between the two", []Event{event(-time.Second, nil)}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := lagOf(c.events, now)
			if (got == nil) != (c.want < 0) || (got != nil && *got != c.want) {
				t.Errorf("%s: got %v, want %s", c.why, got, c.want)
			}
		})
	}
}
