package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
)

// Live pages are notified of changes by server-sent events, and then fetch themselves again. One query a second serves
// all open pages; without open pages there is none. A page is notified only about sources that its token covers. Its
// stream ends with its session: at once after a sign-out at this replica or the removal of the token from its
// configuration, otherwise within beatEvery. A sign-out just before the page joins finds no stream to end, so the
// session is asked for again after that.
//
// A page is rendered with the version of what it shows, read before anything else, and asks for changes since that
// version: what changes between the two is not missed. Nor is what changes as the stream begins: the version is
// compared once the query has succeeded, after which every change is announced. Which sources the change was about
// isn't known, so a page of some sources may reload itself once without need.

// livePages tell open pages when something changed.
type livePages struct{ *core }

const (
	lookEvery      = time.Second
	beatEvery      = 20 * time.Second
	liveFor        = 10 * time.Minute // browsers reconnect on their own
	maxLive        = 200
	maxLiveSession = 20
	writeWithin    = 5 * time.Second
)

// watch notifies open pages of changes.
type watch struct {
	mu        sync.Mutex
	listeners map[*listener]bool
	stop      context.CancelFunc
	looking   chan struct{} // closed by the first look that succeeds since there are listeners
}

// listener is an open page.
type listener struct {
	of      admin.Actor
	valid   func() bool     // the session's token is still in the configuration
	changed chan struct{}   // receives when something that the actor sees has changed
	ended   chan struct{}   // closed when the session has ended
	looking <-chan struct{} // closed once the page is notified of everything that changes from then on
}

// hasEnded reports whether the session has ended.
func (l *listener) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

type looker func(ctx context.Context, since admin.ListVersion) (
	now admin.ListVersion, changed bool, sources []string, err error,
)

// join adds a page, which is notified of changes until leave. It returns nil if there are too many pages, in total or
// of this session.
func (w *watch) join(of admin.Actor, valid func() bool, look looker) (l *listener, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()

	own := 0
	for other := range w.listeners {
		if other.of.Session == of.Session {
			own++
		}
	}
	if len(w.listeners) >= maxLive || own >= maxLiveSession {
		return nil, nil
	}

	if w.listeners == nil {
		w.listeners = map[*listener]bool{}
	}
	if w.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w.stop, w.looking = cancel, make(chan struct{})
		go w.run(ctx, look, w.looking)
	}
	l = &listener{
		of: of, valid: valid, changed: make(chan struct{}, 1), ended: make(chan struct{}), looking: w.looking,
	}
	w.listeners[l] = true
	return l, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.listeners, l); len(w.listeners) == 0 && w.stop != nil {
			w.stop()
			w.stop = nil
		}
	}
}

// admit is [watch.join] for a session that lasts still, once the page is among the listeners. It returns the error of
// lasts if the session doesn't.
func (w *watch) admit(of admin.Actor, valid func() bool, look looker, lasts func() error) (l *listener, leave func(),
	err error,
) {
	if l, leave = w.join(of, valid, look); l == nil {
		return nil, nil, nil
	}
	if err := lasts(); err != nil {
		leave()
		return nil, nil, err
	}
	return l, leave, nil
}

func (w *watch) run(ctx context.Context, look looker, looking chan<- struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var version admin.ListVersion
	begin := sync.OnceFunc(func() { close(looking) })
	for {
		if now, changed, sources, err := look(ctx, version); err == nil {
			if changed {
				w.announce(sources)
			}
			version = now
			begin()
		}
		w.endInvalid()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// announce notifies the pages that show one of the sources, and those that show all.
func (w *watch) announce(sources []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.listeners {
		if l.of.Sources != nil && !slices.ContainsFunc(sources, l.of.Sees) {
			continue
		}
		select {
		case l.changed <- struct{}{}:
		default: // it has yet to receive the last change
		}
	}
}

// endInvalid ends the streams of pages whose token was removed.
func (w *watch) endInvalid() {
	w.endWhere(func(l *listener) bool { return !l.valid() })
}

// end ends the streams of a session's pages.
func (w *watch) end(session string) {
	w.endWhere(func(l *listener) bool { return l.of.Session == session })
}

func (w *watch) endWhere(which func(*listener) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := range w.listeners {
		if which(l) {
			delete(w.listeners, l)
			close(l.ended)
		}
	}
}

// stillHas reports whether the person of a session may see what they saw when the stream began.
func (s livePages) stillHas(session admin.Session, of admin.Actor) bool {
	token, ok := accountPages(s).tokenOf(session)
	return ok && slices.Equal(token.Sources, of.Sources) && (token.Sources == nil) == (of.Sources == nil)
}

type seenKey struct{}

// noteSeen reads the version of what pages show before anything is read for one. Without it, the page's stream
// begins with a change.
func (s livePages) noteSeen(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get(liveHeader) == "" {
			if version, err := s.Admin.Overview.Version(r.Context()); err == nil {
				r = r.WithContext(context.WithValue(r.Context(), seenKey{}, version))
			}
		}
		next.ServeHTTP(w, r)
	})
}

func seenBy(r *http.Request) string {
	version, _ := r.Context().Value(seenKey{}).(string)
	return version
}

// hasMissed reports whether anything may have changed since the version that a page was rendered with.
func (s livePages) hasMissed(r *http.Request) bool {
	version, err := s.Admin.Overview.Version(r.Context())
	return err != nil || version != r.URL.Query().Get("seen")
}

// updates is GET /updates?seen=VERSION: it sends "changed" whenever a page may look different. The page then fetches
// itself, with its own rights.
func (s livePages) updates(w http.ResponseWriter, r *http.Request) {
	of := admin.ActorOf(r.Context())
	session, err := s.Admin.Sessions.Get(r.Context(), s.sessionCookie(r))
	if err != nil {
		s.refuseStream(w, r, err)
		return
	}
	l, leave, err := s.watch.admit(of, func() bool { return s.stillHas(session, of) }, s.Admin.Overview.ChangedSince,
		func() error {
			_, err := s.Admin.Sessions.Get(r.Context(), s.sessionCookie(r))
			return err
		})
	if err != nil {
		s.refuseStream(w, r, err)
		return
	}
	if l == nil {
		handlers.NewProblem(http.StatusServiceUnavailable,
			"too many pages are open: reload this one to see changes").After(beatEvery).Write(w)
		return
	}
	defer leave()

	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	allow := func() { _ = control.SetWriteDeadline(time.Now().Add(writeWithin)) } // a test's recorder has none
	// The server writes the end of the stream after this returns, when the last deadline is long over.
	defer allow()
	say := func(text string) bool {
		allow()
		_, err := fmt.Fprint(w, text)
		return err == nil && control.Flush() == nil
	}
	if !say("retry: 2000\n\n") || !s.isFollowed(r, l) || (s.hasMissed(r) && !say(changedEvent)) {
		return
	}
	s.follow(r, of, l, say)
}

// refuseStream answers where the session has ended, or isn't known.
func (s livePages) refuseStream(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, admin.ErrNoSession) {
		accountPages(s).askToSignIn(w, r)
		return
	}
	s.problemOf(r, err).Write(w)
}

// isFollowed waits until every change is announced to a listener. It reports false if the page has gone meanwhile, or
// its session has ended.
func (s livePages) isFollowed(r *http.Request, l *listener) bool {
	select {
	case <-l.looking:
		return !l.hasEnded()
	case <-r.Context().Done():
	case <-s.Done:
	case <-l.ended:
	}
	return false
}

// changedEvent tells a page to fetch itself.
const changedEvent = "event: changed\ndata: 1\n\n"

// follow sends what a listener hears, until the page goes or its session ends.
func (s livePages) follow(r *http.Request, of admin.Actor, l *listener, say func(string) bool) {
	beat, end := time.NewTicker(beatEvery), time.NewTimer(min(liveFor, of.Until.Sub(s.Now())))
	defer beat.Stop()
	defer end.Stop()
	for {
		connected := true
		select {
		case <-r.Context().Done():
			return
		case <-s.Done:
			return
		case <-end.C:
			return
		case <-l.ended:
			return
		case <-beat.C:
			if _, err := s.Admin.Sessions.Get(r.Context(), s.sessionCookie(r)); err != nil {
				return // it has ended, or that is unknown: the browser reconnects
			}
			connected = say(": still here\n\n")
		case <-l.changed:
			connected = say(changedEvent)
		}
		if !connected {
			return
		}
	}
}
