package handlers

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func addressOf(r *http.Request) netip.Addr {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	return from.Addr()
}

func readBodyOf(ctx context.Context, l *Limits, from string, body io.Reader) (int, func(), *Problem) {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", body)
	r.RemoteAddr = from + ":1"
	read, release, p := l.ReadBody(httptest.NewRecorder(), r, "default")
	return len(read), release, p
}

// TestLargeBodiesTakeTurns: at the limit of large webhooks, another one from the same address is finally refused, small
// ones are still read, and a released turn can be taken again.
func TestLargeBodiesTakeTurns(t *testing.T) {
	t.Parallel()
	l := NewLimits(addressOf)
	read := func(ctx context.Context, size int) (int, func(), *Problem) {
		return readBodyOf(ctx, l, "192.0.2.1", strings.NewReader(strings.Repeat("x", size)))
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	var last func()
	for range largeBodies {
		n, release, p := read(t.Context(), MaxBody)
		if n != MaxBody || p != nil {
			t.Fatalf("read %d: %v", n, p)
		}
		last = release
	}
	if _, _, p := read(impatient, SmallBody+1); p == nil || p.Status != http.StatusServiceUnavailable ||
		p.retryAfter != largeWait {
		t.Errorf("one too many: %+v", p)
	}
	if n, _, p := read(impatient, SmallBody-1); n != SmallBody-1 || p != nil {
		t.Errorf("a small one: %d %v", n, p)
	}
	last()
	if n, _, p := read(t.Context(), MaxBody); n != MaxBody || p != nil {
		t.Errorf("after a release: %d %v", n, p)
	}
}

// stalled is a large body of which no more comes once its turn is taken; it breaks off when the test says so.
type stalled struct {
	sent    int
	reading chan<- struct{}
	broken  <-chan struct{}
}

func (s *stalled) Read(p []byte) (int, error) {
	if s.sent < SmallBody {
		n := copy(p, strings.Repeat("x", SmallBody-s.sent))
		s.sent += n
		return n, nil
	}
	s.reading <- struct{}{}
	<-s.broken
	return 0, errors.New("broken off")
}

// TestStalledBodiesGiveWay: strangers from a few addresses hold every turn with bodies that never arrive; a large
// webhook from another address is read at once.
func TestStalledBodiesGiveWay(t *testing.T) {
	t.Parallel()
	l := NewLimits(addressOf)
	reading, broken := make(chan struct{}), make(chan struct{})
	problems := make(chan *Problem, largeBodies)
	for i := range largeBodies {
		go func() {
			_, _, p := readBodyOf(t.Context(), l, "192.0.2."+string(rune('1'+i%8)),
				struct{ io.Reader }{&stalled{reading: reading, broken: broken}})
			problems <- p
		}()
	}
	for range largeBodies {
		<-reading
	}
	n, release, p := readBodyOf(t.Context(), l, "198.51.100.1", strings.NewReader(strings.Repeat("x", MaxBody)))
	if n != MaxBody || p != nil {
		t.Fatalf("read %d: %+v", n, p)
	}
	release()
	close(broken)
	cutOff := 0
	for range largeBodies {
		if p := <-problems; p.Status == http.StatusServiceUnavailable {
			cutOff++
		}
	}
	if cutOff != 1 {
		t.Errorf("%d were cut off for one", cutOff)
	}
}

// TestRequestsTakeTurns: a REST request that would wait too long is refused with Retry-After; one address leaves turns
// for others.
func TestRequestsTakeTurns(t *testing.T) {
	t.Parallel()
	l := NewLimits(addressOf)
	entered, finish := make(chan struct{}), make(chan struct{})
	handler := l.OneOfFew(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- struct{}{}
			<-finish
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	serve := func(ctx context.Context, from, path string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
		r.RemoteAddr = from + ":1"
		handler.ServeHTTP(w, r)
		return w
	}
	if got := serve(t.Context(), "192.0.2.1", "/"); got.Code != http.StatusNoContent {
		t.Errorf("the first: %d", got.Code)
	}
	done := make(chan int, restOfOne)
	for range restOfOne {
		go func() { done <- serve(t.Context(), "192.0.2.1", "/slow").Code }()
	}
	for range restOfOne {
		<-entered
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if got := serve(impatient, "192.0.2.1", "/"); got.Code != http.StatusServiceUnavailable ||
		got.Header().Get("Retry-After") != "2" {
		t.Errorf("one too many of an address: %d %v", got.Code, got.Header())
	}
	if got := serve(t.Context(), "192.0.2.2", "/"); got.Code != http.StatusNoContent {
		t.Errorf("another address: %d", got.Code)
	}
	if !l.rest.TryAcquire(maxREST - restOfOne) {
		t.Fatal("a turn was not given back")
	}
	if got := serve(impatient, "192.0.2.2", "/"); got.Code != http.StatusServiceUnavailable {
		t.Errorf("one too many of all: %d", got.Code)
	}
	close(finish)
	for range restOfOne {
		if code := <-done; code != http.StatusNoContent {
			t.Errorf("a slow one: %d", code)
		}
	}
	if len(l.turns) != 0 {
		t.Errorf("%d addresses are remembered", len(l.turns))
	}
}

// TestGuessesAreCounted: after the burst a client's tokens aren't checked, even right ones, except those that were
// right before; a second later one more is checked.
func TestGuessesAreCounted(t *testing.T) {
	t.Parallel()
	g, now := newGuesses(), time.Unix(1e9, 0)
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::")
	for range guessBurst {
		if g.wait(here, now) > 0 {
			t.Fatal("the burst is not allowed")
		}
	}
	if g.wait(here, now) == 0 {
		t.Error("more than the burst is looked at")
	}
	if g.of(here) != g.of(there) && g.wait(there, now) > 0 {
		t.Error("another client has to wait")
	}
	if g.wait(here, now.Add(guessEvery)) > 0 {
		t.Error("nothing is looked at a second later")
	}
	hash := sha256.Sum256([]byte("right"))
	if g.knows(here, hash) {
		t.Error("an unknown token is known")
	}
	g.right(here, hash)
	if !g.knows(here, hash) || g.knows(there, hash) {
		t.Error("a right token is not remembered where it was shown")
	}
	for i := range rightMost {
		g.right(here, sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
	}
	if len(g.rights) > rightMost {
		t.Errorf("%d are remembered", len(g.rights))
	}
	g.forget(here, sha256.Sum256([]byte{255, 15}))
	if g.knows(here, sha256.Sum256([]byte{255, 15})) {
		t.Error("a token that is right no more is still known")
	}
}

// lateBody breaks off as a connection does whose deadline, which is ours, has come.
type lateBody struct{ err error }

func (b lateBody) Read([]byte) (int, error) { return 0, b.err }

// A body that is read too slowly is not its sender's mistake: senders repeat a 503, but never a 400.
func TestBodyThatIsLate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		status int
		retry  bool
	}{
		"our deadline": {
			&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, http.StatusServiceUnavailable,
			true,
		},
		"the sender's fault": {io.ErrUnexpectedEOF, http.StatusBadRequest, false},
	} {
		_, release, p := readBodyOf(t.Context(), NewLimits(addressOf), "192.0.2.1", lateBody{tc.err})
		release()
		if p == nil || p.Status != tc.status || (p.retryAfter > 0) != tc.retry {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
