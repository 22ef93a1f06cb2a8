package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/staykey/staykey/internal/admin"
)

// A page is notified of its own sources only.
func TestUpdatesAreOfVisibleSources(t *testing.T) {
	t.Parallel()
	listening := func(of admin.Actor) *listener {
		return &listener{
			of: of, valid: func() bool { return true }, changed: make(chan struct{}, 1),
			ended: make(chan struct{}),
		}
	}
	admin, own, other := listening(admin.Actor{}), listening(admin.Actor{Token: admin.Token{Sources: []string{"a"}}}),
		listening(admin.Actor{Token: admin.Token{Sources: []string{"b"}}})
	w := watch{listeners: map[*listener]bool{admin: true, own: true, other: true}}
	heard := func(l *listener) bool {
		select {
		case <-l.changed:
			return true
		default:
			return false
		}
	}
	w.announce([]string{"a"})
	if !heard(admin) || !heard(own) || heard(other) {
		t.Error("a change of one source notifies others, or not its own")
	}
	w.announce(nil)
	if !heard(admin) || heard(own) {
		t.Error("what is about no source is for those that see all")
	}
}

// One session has so many streams, and all of them have a ceiling.
func TestStreamsOfOneSession(t *testing.T) {
	t.Parallel()
	w := watch{listeners: map[*listener]bool{}, stop: func() {}}
	join := func(session string) bool {
		l, _ := w.join(admin.Actor{Session: session}, func() bool { return true }, nil)
		return l != nil
	}
	for range maxLiveSession {
		if !join("one") {
			t.Fatal("refused below the ceiling")
		}
	}
	if join("one") || !join("two") {
		t.Error("one session takes what others need")
	}
	w.end("one")
	if len(w.listeners) != 1 {
		t.Errorf("%d streams are left", len(w.listeners))
	}
}

// A session that ends while its page joins has no stream: whatever ends it finds the page, or the page finds it ended.
func TestStreamsOfASessionThatEnds(t *testing.T) {
	t.Parallel()
	valid := func() bool { return true }
	w := watch{listeners: map[*listener]bool{}, stop: func() {}}
	l, _, err := w.admit(admin.Actor{Session: "one"}, valid, nil, func() error {
		w.end("one") // after the session was found, before it is known that it was
		return nil
	})
	if err != nil || !l.hasEnded() {
		t.Errorf("a sign-out that finds no page: %v", err)
	}
	l, _, err = w.admit(admin.Actor{Session: "one"}, valid, nil, func() error { return admin.ErrNoSession })
	if l != nil || !errors.Is(err, admin.ErrNoSession) || len(w.listeners) > 0 {
		t.Errorf("a page of a session that has ended: %v, %d streams", err, len(w.listeners))
	}

	looking := make(chan struct{})
	close(looking)
	over := &listener{looking: looking, ended: looking}
	for range 20 { // where both are true, a select takes either
		if (livePages{&core{}}).isFollowed(httptest.NewRequest(http.MethodGet, "/updates", nil), over) {
			t.Fatal("a stream whose session has ended is followed")
		}
	}
}

// The looks at what has changed begin with the first that succeeds: before it nothing is announced, so a page that
// compared its version earlier would miss what changes in between.
func TestListenersWaitForTheFirstLook(t *testing.T) {
	t.Parallel()
	var w watch
	asked, answer := make(chan admin.ListVersion), make(chan error)
	look := func(ctx context.Context, since admin.ListVersion) (admin.ListVersion, bool, []string, error) {
		select {
		case asked <- since:
		case <-ctx.Done():
			return since, false, nil, ctx.Err()
		}
		err := <-answer
		return admin.ListVersion{Known: true}, since.Known, nil, err
	}
	begun := func(l *listener) bool {
		select {
		case <-l.looking:
			return true
		default:
			return false
		}
	}
	join := func() (*listener, func()) {
		return w.join(admin.Actor{}, func() bool { return true }, look)
	}
	first, leaveFirst := join()
	<-asked
	answer <- errors.New("no connection")
	<-asked // so the failed look is over
	if begun(first) {
		t.Fatal("a look that failed counts as one")
	}
	second, leaveSecond := join()
	answer <- nil
	<-first.looking
	<-second.looking
	if since := <-asked; !since.Known {
		t.Error("the next look has forgotten the first")
	}
	answer <- nil
	<-first.changed
	<-second.changed
	leaveFirst()
	leaveSecond()

	third, leaveThird := join()
	if begun(third) {
		t.Error("looks that have ended count for a new page")
	}
	leaveThird()
}
