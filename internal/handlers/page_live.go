package handlers

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Live pages hear of changes by server-sent events and fetch themselves anew. One look at the database a second is enough for
// all that are open, and none is taken while there are none.

const (
	lookEvery   = time.Second
	beatEvery   = 20 * time.Second
	liveFor     = 10 * time.Minute // a browser connects again by itself
	maxLive     = 200
	writeWithin = 5 * time.Second
)

// watch tells pages that something has changed.
type watch struct {
	mu        sync.Mutex
	listeners map[chan struct{}]bool
	stop      context.CancelFunc
}

// join returns a channel that is told of changes; nil if there are too many already. leave ends it.
func (w *watch) join(look func(context.Context) (int64, error)) (changed chan struct{}, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.listeners) >= maxLive {
		return nil, nil
	}
	if w.listeners == nil {
		w.listeners = map[chan struct{}]bool{}
	}
	changed = make(chan struct{}, 1)
	w.listeners[changed] = true
	if w.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w.stop = cancel
		go w.run(ctx, look)
	}
	return changed, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.listeners, changed); len(w.listeners) == 0 && w.stop != nil {
			w.stop()
			w.stop = nil
		}
	}
}

func (w *watch) run(ctx context.Context, look func(context.Context) (int64, error)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var before int64
	for first := true; ; {
		if now, err := look(ctx); err == nil {
			if now != before && !first {
				w.tell()
			}
			before, first = now, false
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *watch) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.listeners {
		select {
		case c <- struct{}{}:
		default: // it has not heard of the last change yet
		}
	}
}

// updates is GET /updates: it says "changed" whenever a page may look another way. What has changed is for the page to fetch, with
// its own rights.
func (s *server) updates(w http.ResponseWriter, r *http.Request) {
	changed, leave := s.watch.join(s.Store.Changes)
	if changed == nil {
		problem(http.StatusServiceUnavailable, "too many pages are open: this one does not update itself").after(beatEvery).write(w)
		return
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	say := func(text string) bool {
		_ = control.SetWriteDeadline(time.Now().Add(writeWithin)) // a test's recorder has none
		_, err := fmt.Fprint(w, text)
		return err == nil && control.Flush() == nil
	}
	if !say("retry: 2000\n\n") {
		return
	}
	beat, end := time.NewTicker(beatEvery), time.NewTimer(liveFor)
	defer beat.Stop()
	defer end.Stop()
	for {
		said := true
		select {
		case <-r.Context().Done():
			return
		case <-s.Done:
			return
		case <-end.C:
			return
		case <-beat.C:
			said = say(": still here\n\n")
		case <-changed:
			said = say("event: changed\ndata: 1\n\n")
		}
		if !said {
			return
		}
	}
}
