package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// A test event is verified like any other and has no effect. Its mark, which nobody else can make, proves that this
// installation sent it. It is then counted separately from the PMS's events, so that a test doesn't make a silent
// source look alive, or its secret used. Other values of the header are ignored.
const testHeader = "Staykey-Test"

// markWithin is for how long a mark is valid.
const markWithin = 5 * time.Minute

// testMark is the value of the header for a test event of an installation: the time, and a proof of it. It doesn't
// depend on the body, so that the source's own verifier detects a proxy that changes bodies.
func testMark(key []byte, at time.Time) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("test event\x00" + seconds))
	return seconds + "." + hex.EncodeToString(mac.Sum(nil))
}

// isTest reports whether a header marks a test event of this installation.
func (s *Receiver) isTest(header http.Header) bool {
	mark := header.Get(testHeader)
	text, _, _ := strings.Cut(mark, ".")
	seconds, err := strconv.ParseInt(text, 10, 64)
	at := time.Unix(seconds, 0)
	return err == nil && len(s.TestKey) > 0 && s.Now().Sub(at).Abs() <= markWithin &&
		hmac.Equal([]byte(mark), []byte(testMark(s.TestKey, at)))
}

type ownKey struct{}

// isOwn reports whether a webhook was sent within this process, and so has no address.
func isOwn(ctx context.Context) bool { return ctx.Value(ownKey{}) != nil }

// takeTest verifies and stores a test event, as if the PMS had posted it. It doesn't count towards the source's rate
// limit.
func (s *Receiver) takeTest(w http.ResponseWriter, r *http.Request, source pms.Source, post pms.Post) {
	proof, err := source.Verify(post, s.Now())
	if err != nil {
		handlers.NewProblem(http.StatusUnauthorized, err.Error()).Write(w)
		return
	}
	event := s.newEvent(source.Name, proof.ID, post.Body, pms.Event{Type: store.TestEvent, Ignored: true})
	reason := "test event (no effect)"
	event.Reason = &reason
	accepted, err := s.Inbox.Accept(r.Context(), event)
	if err != nil {
		s.unavailable(w, err)
		return
	}
	s.Activity.Add(source.Name, store.ActivityTest, event.ReceivedAt)
	answer(w, http.StatusAccepted, accepted.EventID, event.Status)
}

// testWithin is how long a test event may take.
const testWithin = 10 * time.Second

// Tester posts test events to the webhooks of sources, as their PMSs would.
type Tester struct {
	Now func() time.Time
	Key []byte // of the installation, as in [Config.TestKey]
	// where PMSs reach the public listener; "" if unknown, and then events don't leave the process
	PublicURL string
	// Public handles events that don't leave the process.
	Public http.Handler
}

// Test posts a signed test event to a source that has a verifier.
func (t *Tester) Test(ctx context.Context, source pms.Source) (admin.SourceTest, error) {
	ctx, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	now := t.Now()
	body, _ := json.Marshal(map[string]any{
		"type": store.TestEvent, "timestamp": pms.FormatInstant(now),
		"data": map[string]any{},
	})

	d := pms.Post{
		Header: http.Header{"Content-Type": {"application/json"}, testHeader: {testMark(t.Key, now)}},
		Query:  url.Values{}, Body: body,
	}
	source.Verifier.Prove(&d, "test_"+strings.ReplaceAll(uuid.NewString(), "-", ""), now)

	path := "/webhooks/" + url.PathEscape(source.Name)
	shown := t.PublicURL + path // the token of a URL is a secret
	if d.Path != "" {
		path += "/" + url.PathEscape(d.Path)
	}
	if len(d.Query) > 0 {
		path += "?" + d.Query.Encode()
	}

	result := admin.SourceTest{URL: shown}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.PublicURL+path, bytes.NewReader(body))
	if err != nil {
		result.Message = "STAYKEY_PUBLIC_URL doesn't form a valid URL"
		return result, nil
	}
	req.Header = d.Header
	answer, err := t.postTest(req)
	if err != nil {
		result.Message = "no answer"
		if u := new(url.Error); errors.As(err, &u) { // its URL may hold a token
			result.Message += ": " + u.Err.Error()
		}
		return result, nil
	}
	return judgeTest(result, answer), nil
}

// postTest posts over the network, or to Public if PublicURL is unknown.
func (t *Tester) postTest(req *http.Request) (*memoryAnswer, error) {
	answer := &memoryAnswer{header: http.Header{}}
	if t.PublicURL == "" {
		// routed as a request of its own
		ctx := context.WithValue(req.Context(), chi.RouteCtxKey, (*chi.Context)(nil))
		t.Public.ServeHTTP(answer, req.WithContext(context.WithValue(ctx, ownKey{}, true)))
		return answer, nil
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req) // #nosec G704 -- the operator's own address
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer.status = resp.StatusCode
	_, err = io.Copy(&answer.body, io.LimitReader(resp.Body, 64<<10))
	return answer, err
}

func judgeTest(result admin.SourceTest, answer *memoryAnswer) admin.SourceTest {
	var body struct {
		EventID string `json:"event_id"`
		Detail  string `json:"detail"`
	}
	_ = json.Unmarshal(answer.body.Bytes(), &body) // a proxy may answer in another format
	result.Status = answer.status
	switch {
	case answer.status == http.StatusAccepted && body.EventID != "":
		result.OK, result.EventID, result.Message = true, &body.EventID, "the test event was verified and stored"
	case body.Detail != "":
		result.Message = fmt.Sprintf("answered %d: %s", answer.status, body.Detail)
	default:
		result.Message = fmt.Sprintf("answered %d, but not by staykey", answer.status)
	}
	return result
}

// memoryAnswer is an answer that stays in the process.
type memoryAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (m *memoryAnswer) Header() http.Header { return m.header }

// WriteHeader implements http.ResponseWriter.
func (m *memoryAnswer) WriteHeader(status int) {
	if m.status == 0 {
		m.status = status
	}
}

// Write implements http.ResponseWriter.
func (m *memoryAnswer) Write(b []byte) (int, error) {
	m.WriteHeader(http.StatusOK)
	return m.body.Write(b)
}
