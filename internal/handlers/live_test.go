package handlers_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/store"
)

// stream opens the page's live updates.
func (v *visitor) stream(query string) *bufio.Reader {
	v.t.Helper()
	req, err := http.NewRequest(http.MethodGet, v.url+"/updates"+query, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		v.t.Fatalf("updates: %s %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); err != nil || line != "retry: 2000\n" {
		v.t.Fatalf("%q %v", line, err)
	}
	return lines
}

// A stream ends with its session, however that ends.
func TestUpdatesEndWithTheSession(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*visitor){
		"signed out": func(v *visitor) { v.post("/sign-out", nil) },
		"the token goes from the configuration": func(v *visitor) {
			v.tokenMu.Lock()
			defer v.tokenMu.Unlock()
			v.tokens = slices.DeleteFunc(slices.Clone(v.tokens), func(t admin.Token) bool { return t.Name == "desk" })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.tokens = append(a.tokens, token("desk", "reads-default", false, "default"))
			v := a.visitor()
			v.signIn("reads-default")
			lines := v.stream("")
			end(v)
			if _, err := io.Copy(io.Discard, lines); err != nil { // until the service ends it
				t.Errorf("the stream broke off: %v", err)
			}
		})
	}
}

// orderOfWrites records when an answer is written to, and when a write gets a deadline.
type orderOfWrites struct {
	*httptest.ResponseRecorder
	mu    sync.Mutex
	steps []string
	begun chan struct{} // closed by the first write
}

func (o *orderOfWrites) add(step string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.steps = append(o.steps, step); step == "write" {
		select {
		case <-o.begun:
		default:
			close(o.begun)
		}
	}
}

func (o *orderOfWrites) SetWriteDeadline(time.Time) error { o.add("deadline"); return nil }

func (o *orderOfWrites) Write(text []byte) (int, error) {
	o.add("write")
	return o.ResponseRecorder.Write(text)
}

// The server writes the end of a stream after its handler returns, maybe long after the last update. That write needs a
// deadline of its own: otherwise the stream breaks off instead of ending.
func TestTheEndOfUpdatesHasADeadline(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	v := a.visitor()
	v.signIn(adminToken)
	r := httptest.NewRequest(http.MethodGet, a.url+"/updates", nil)
	page, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range v.client.Jar.Cookies(page) {
		r.AddCookie(cookie)
	}
	w := &orderOfWrites{ResponseRecorder: httptest.NewRecorder(), begun: make(chan struct{})}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		a.routes.(http.Handler).ServeHTTP(w, r)
	}()
	<-w.begun
	v.post("/sign-out", nil)
	<-returned
	if last := w.steps[len(w.steps)-1]; last != "deadline" {
		t.Errorf("the handler returns after a %s, without a deadline for the stream's end: %v", last, w.steps)
	}
}

// What changes after a page was rendered and before its stream begins is the first thing that the stream reports.
func TestUpdatesCatchUp(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	v := a.visitor()
	v.signIn(adminToken)
	seen := func() string {
		_, after, _ := strings.Cut(v.see("/").body, `data-seen="`)
		version, _, _ := strings.Cut(after, `"`)
		if version == "" {
			t.Fatal("the page doesn't say what it has seen")
		}
		return version
	}
	before := seen()
	if again := seen(); again != before {
		t.Errorf("without a change, the version goes from %s to %s", before, again)
	}
	a.post(hook{source: "default", id: "1", body: listingBody})
	a.apply()
	lines := v.stream("?seen=" + before)
	for _, want := range []string{"\n", "event: changed\n"} {
		if line, err := lines.ReadString('\n'); err != nil || line != want {
			t.Fatalf("the stream begins with %q (%v), not %q", line, err, want)
		}
	}
	if seen() == before {
		t.Error("a change doesn't change the version")
	}
}

// Changes are reported per source.
func TestChangedSince(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	ctx := context.Background()
	changed := func(since store.ListVersion) (store.ListVersion, []string) {
		now, changed, sources, err := a.store.Changes.Since(ctx, since)
		if err != nil {
			t.Fatal(err)
		}
		if len(sources) > 0 && !changed {
			t.Errorf("%v have changed, and nothing has", sources)
		}
		slices.Sort(sources)
		return now, sources
	}
	version, sources := changed(store.ListVersion{})
	if len(sources) > 0 {
		t.Errorf("at first: %v", sources)
	}
	a.post(hook{source: "default", id: "1", body: listingBody})
	a.apply()
	version, sources = changed(version)
	if !slices.Equal(sources, []string{"default"}) {
		t.Errorf("after an event of default: %v", sources)
	}
	if _, err := a.store.Pool().Exec(ctx,
		`UPDATE listings SET updated_at = updated_at - interval '1 minute'`); err != nil {
		t.Fatal(err)
	}
	a.post(hook{source: "open", id: "2", body: reservationBody})
	a.apply()
	if version, sources = changed(version); !slices.Equal(sources, []string{"open"}) {
		t.Errorf("after an event of open: %v", sources)
	}
	if _, sources = changed(version); len(sources) > 0 {
		t.Errorf("without an event: %v", sources)
	}
}
