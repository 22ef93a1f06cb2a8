package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/pms"
)

// testHeader marks a test event. It must be authentic like any other, and means nothing.
const (
	testHeader = "Staykey-Test"
	testType   = "staykey.test"
)

type ownKey struct{}

// isOwn reports whether a webhook has come from this process, and so from no address.
func isOwn(ctx context.Context) bool { return ctx.Value(ownKey{}) != nil }

func (s *Receiver) acceptTest(w http.ResponseWriter, r *http.Request, source pms.Source, proof pms.Proof, body []byte) {
	event := s.newEvent(source.Name, proof.ID, body, pms.Event{Type: testType, Ignored: true})
	reason := "test event (no effect)"
	event.Reason = &reason
	s.accept(w, r, event, nil)
}

// testWithin is how long a test event may take.
const testWithin = 10 * time.Second

// Tester posts test events to the webhooks of sources, as their PMSs would.
type Tester struct {
	Now func() time.Time
	// where PMSs reach the public listener; "" where that is not known: then an event doesn't leave the process
	PublicURL string
	// Public answers what doesn't leave the process.
	Public http.Handler
}

// Test posts a signed test event to a source that has a verifier.
func (t *Tester) Test(ctx context.Context, source pms.Source) (admin.SourceTest, error) {
	ctx, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	now := t.Now()
	body, _ := json.Marshal(map[string]any{
		"type": testType, "timestamp": pms.FormatInstant(now),
		"data": map[string]any{},
	})
	d := pms.Delivery{
		Header: http.Header{"Content-Type": {"application/json"}, testHeader: {"1"}},
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

// postTest posts over the network where it is known how the service is reached, and to our own handler where it is not.
func (t *Tester) postTest(req *http.Request) (*memoryAnswer, error) {
	answer := &memoryAnswer{header: http.Header{}}
	if t.PublicURL == "" {
		// a request of its own, not a part of this one
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
	var said struct {
		EventID string `json:"event_id"`
		Detail  string `json:"detail"`
	}
	_ = json.Unmarshal(answer.body.Bytes(), &said) // whatever is in between may answer in its own words
	result.Status = answer.status
	switch {
	case answer.status == http.StatusAccepted && said.EventID != "":
		result.OK, result.EventID, result.Message = true, &said.EventID, "the test event was verified and stored"
	case said.Detail != "":
		result.Message = fmt.Sprintf("answered %d: %s", answer.status, said.Detail)
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
