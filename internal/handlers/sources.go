package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// SourceState is a source and how it is doing.
type SourceState struct {
	Name            string         `json:"name" example:"default"`
	Format          string         `json:"format" example:"staykey"`
	Verify          string         `json:"verify" example:"standard-webhooks" doc:"How its webhooks are verified."`
	Insecure        bool           `json:"insecure" doc:"It takes webhooks from anybody."`
	Fetch           *string        `json:"fetch" enum:"configured,missing" doc:"Of a format that asks the PMS for documents: whether it has an account to do so; null of others."`
	WebhookPath     string         `json:"webhook_path" example:"/webhooks/default"`
	WebhookURL      *string        `json:"webhook_url" doc:"What to give to the PMS; null while STAYKEY_PUBLIC_URL is not set. A token in the URL is not shown."`
	LastEventAt     *string        `json:"last_event_at" format:"date-time" doc:"The last authentic webhook, within 35 days."`
	LastDay         map[string]int `json:"last_day" doc:"What came of webhooks within 24 hours: applied, superseded, ignored, rejected, duplicate, refused (not authentic)."`
	Secrets         []SecretUse    `json:"secrets" nullable:"false" doc:"Which of its secrets have verified webhooks; empty where it has none."`
	ErrorsOfLastDay int            `json:"-"`
	EventsOfLastDay int            `json:"-"`
}

// SecretUse is how often one secret has verified a webhook.
type SecretUse struct {
	Secret        int     `json:"secret" doc:"Its place among the source's secrets, from 1."`
	LastMatchedAt *string `json:"last_matched_at" format:"date-time" doc:"Null: not within 35 days; a secret of a finished rotation can be removed."`
	LastDay       int     `json:"last_day" doc:"How often within 24 hours."`
}

// SourceName is the parameter that names one source.
type SourceName struct {
	Source string `path:"source" example:"default"`
}

// SourceTest is what a test event came to.
type SourceTest struct {
	OK      bool    `json:"ok"`
	URL     string  `json:"url" doc:"Where it was posted; the path alone where it didn't leave the process, because STAYKEY_PUBLIC_URL is not set."`
	Status  int     `json:"status" doc:"The answer's HTTP status; 0 where there was none."`
	EventID *string `json:"event_id" format:"uuid" doc:"The event in the inbox, ignored, with the type staykey.test."`
	Message string  `json:"message" example:"the test event was verified and stored"`
}

// Diagnosis compares the configuration with the real world.
type Diagnosis struct {
	OK       bool      `json:"ok" doc:"No finding is an error."`
	Findings []Finding `json:"findings" nullable:"false" doc:"Errors first, then warnings."`
}

// Finding is the result of one check.
type Finding struct {
	Check   string `json:"check" enum:"database,migrations,seam,access_system,listing,clock,webhook,source,intake" example:"listing"`
	Level   string `json:"level" enum:"ok,warning,error"`
	Subject string `json:"subject" example:"default/2222222-2222" doc:"What it is about."`
	Message string `json:"message" doc:"What was found."`
	Do      string `json:"do" doc:"What to do about it; empty where nothing is to be done."`
}

// Levels of a finding.
const (
	LevelOK      = "ok"
	LevelWarning = "warning"
	LevelError   = "error"
)

func (s *server) sourceOperations(api huma.API) {
	const tag = "Sources"
	huma.Register(api, operation("list-sources", http.MethodGet, "/v1/sources", tag, "List the sources and how they are doing"),
		func(ctx context.Context, _ *struct{}) (*Output[List[SourceState]], error) {
			states, err := s.sourceStates(ctx)
			if err != nil {
				return nil, s.fromStore(err, "")
			}
			return &Output[List[SourceState]]{List[SourceState]{Items: states}}, nil
		})
	test := operation("test-source", http.MethodPost, "/v1/sources/{source}/test", tag, "Have a signed test event posted to a source's webhook", http.StatusForbidden, http.StatusNotFound)
	test.Description = "It goes to STAYKEY_PUBLIC_URL, as the PMS's would, or, while that is not set, the same way inside the process. It is stored, and nothing is made of it."
	huma.Register(api, test, func(ctx context.Context, in *SourceName) (*Output[SourceTest], error) {
		result, p := s.orderTest(ctx, in.Source)
		if p != nil {
			return nil, p
		}
		return &Output[SourceTest]{result}, nil
	})
	diagnosis := operation("get-diagnosis", http.MethodGet, "/v1/diagnosis", tag, "Compare the configuration with the real world", http.StatusForbidden)
	diagnosis.Description = "Database, Seam's key, access systems, the access groups of listings, clocks, and the webhook by a signed test event. It takes some seconds. Not for a token of single sources."
	huma.Register(api, diagnosis, func(ctx context.Context, _ *struct{}) (*Output[Diagnosis], error) {
		d, p := s.diagnosis(ctx)
		if p != nil {
			return nil, p
		}
		return &Output[Diagnosis]{d}, nil
	})
}

func (s *server) diagnosis(ctx context.Context) (Diagnosis, *Problem) {
	if actorOf(ctx).Sources != nil {
		return Diagnosis{}, problem(http.StatusForbidden, "this token is for single sources: the diagnosis is about all")
	}
	d := Diagnosis{OK: true, Findings: s.Diagnose(ctx)}
	for _, name := range slices.Sorted(maps.Keys(s.Sources())) {
		d.Findings = append(d.Findings, s.webhookFinding(ctx, name))
	}
	worst := []string{LevelError, LevelWarning, LevelOK}
	slices.SortStableFunc(d.Findings, func(a, b Finding) int { return slices.Index(worst, a.Level) - slices.Index(worst, b.Level) })
	d.OK = !slices.ContainsFunc(d.Findings, func(f Finding) bool { return f.Level == LevelError })
	return d, nil
}

func (s *server) webhookFinding(ctx context.Context, name string) Finding {
	f := Finding{Check: "webhook", Level: LevelOK, Subject: name}
	result, p := s.testSource(ctx, name)
	switch {
	case p != nil:
		f.Level, f.Message, f.Do = LevelError, p.Detail, "see the source's entry in the config file"
	case !result.OK:
		f.Level, f.Message = LevelError, "a signed test event to "+result.URL+": "+result.Message
		f.Do = "see that STAYKEY_PUBLIC_URL leads here, through any proxy, and that nothing in between changes requests"
	case s.PublicURL == "":
		f.Level, f.Message = LevelWarning, "a signed test event is taken, but it was not posted from outside"
		f.Do = "set STAYKEY_PUBLIC_URL to the address that PMSs post to, for this check to go there"
	default:
		f.Message = "a signed test event to " + result.URL + " is taken"
	}
	return f
}

// sourceStates lists the sources that the actor sees.
func (s *server) sourceStates(ctx context.Context) ([]SourceState, error) {
	visible := actorOf(ctx).Sources
	s.flushActivity(ctx)
	last, err := s.Store.LastActivity(ctx, visible)
	if err != nil {
		return nil, err
	}
	day, err := s.Store.ActivitySince(ctx, s.Now().Add(-24*time.Hour), visible)
	if err != nil {
		return nil, err
	}
	states := []SourceState{}
	sources := s.Sources()
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if actorOf(ctx).sees(name) {
			states = append(states, s.sourceState(sources[name], last, day))
		}
	}
	return states, nil
}

func (s *server) sourceState(source pms.Source, last, day []store.ActivityRow) SourceState {
	state := SourceState{
		Name: source.Name, Format: source.FormatName(), Verify: source.VerifyMethod(), Insecure: source.Insecure,
		WebhookPath: "/webhooks/" + url.PathEscape(source.Name), LastDay: map[string]int{}, Secrets: []SecretUse{},
	}
	if source.Format != nil && source.Format.Fetch != nil {
		has := "configured"
		if source.Fetch == nil {
			has = "missing"
		}
		state.Fetch = &has
	}
	if s.PublicURL != "" {
		address := s.PublicURL + state.WebhookPath
		state.WebhookURL = &address
	}
	for i := range source.Secrets {
		state.Secrets = append(state.Secrets, SecretUse{Secret: i + 1})
	}
	var lastEvent time.Time
	for _, row := range last {
		if row.Source != source.Name {
			continue
		}
		if i, is := secretOf(row.Kind); is {
			if row.LastAt.After(lastEvent) {
				lastEvent = row.LastAt
			}
			if i >= 1 && i <= len(state.Secrets) {
				state.Secrets[i-1].LastMatchedAt = stampOrNull(&row.LastAt)
			}
		}
	}
	if !lastEvent.IsZero() {
		state.LastEventAt = stampOrNull(&lastEvent)
	}
	for _, row := range day {
		if row.Source != source.Name {
			continue
		}
		switch i, is := secretOf(row.Kind); {
		case is:
			if state.EventsOfLastDay += int(row.N); i >= 1 && i <= len(state.Secrets) {
				state.Secrets[i-1].LastDay += int(row.N)
			}
		case row.Kind == store.ActivityMade, row.Kind == store.ActivityRemoved, row.Kind == store.ActivityAttention, row.Kind == store.ActivityReplay:
		default:
			state.LastDay[row.Kind] += int(row.N)
			if row.Kind == store.EventRejected || row.Kind == store.ActivityRefused {
				state.ErrorsOfLastDay += int(row.N)
			}
		}
	}
	state.EventsOfLastDay += state.LastDay[store.ActivityRefused]
	return state
}

func secretOf(kind string) (number int, is bool) {
	text, is := strings.CutPrefix(kind, store.ActivitySecret)
	_, _ = fmt.Sscan(text, &number) // 0 where no secret is needed
	return number, is
}

// testHeader marks a test event. It must be authentic like any other, and means nothing.
const (
	testHeader = "Staykey-Test"
	testType   = "staykey.test"
)

type ownKey struct{}

// isOwn tells whether a webhook has come from this process, and so from no address.
func isOwn(ctx context.Context) bool { return ctx.Value(ownKey{}) != nil }

func (s *server) acceptTest(w http.ResponseWriter, r *http.Request, source pms.Source, proof pms.Proof, body []byte) {
	event := s.newEvent(source.Name, proof.ID, body, pms.Event{Type: testType, Ignored: true})
	reason := "a test event of ours: it was verified and stored, and means nothing"
	event.Reason = &reason
	s.accept(w, r, event, nil)
}

// testWithin is how long a test event may take.
const testWithin = 10 * time.Second

// orderTest posts a test event because somebody asked for it.
func (s *server) orderTest(ctx context.Context, name string) (SourceTest, *Problem) {
	result, p := s.testSource(ctx, name)
	if p != nil {
		return result, p
	}
	entry := actorOf(ctx).audit(auditTestSource, "").About(name, "", "")
	entry.At, entry.After = s.Now().UTC(), map[string]any{"ok": result.OK, "status": result.Status}
	if err := s.Store.AddAudit(ctx, entry); err != nil {
		return result, s.fromStore(err, "")
	}
	return result, nil
}

// testSource posts a test event as the source's PMS would.
func (s *server) testSource(ctx context.Context, name string) (SourceTest, *Problem) {
	source, ok := s.source(name)
	if !ok || !actorOf(ctx).sees(name) {
		return SourceTest{}, problem(http.StatusNotFound, "there is no source of this name")
	}
	if source.Verifier == nil {
		return SourceTest{}, problem(http.StatusUnprocessableEntity, "the source has no verifier: nothing is authentic")
	}
	ctx, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	now := s.Now()
	body, _ := json.Marshal(map[string]any{"type": testType, "timestamp": stamp(now), "data": map[string]any{}})
	d := pms.Delivery{Header: http.Header{"Content-Type": {"application/json"}, testHeader: {"1"}}, Query: url.Values{}, Body: body}
	source.Verifier.Prove(&d, "test_"+strings.ReplaceAll(uuid.NewString(), "-", ""), now)
	path := "/webhooks/" + url.PathEscape(name)
	shown := s.PublicURL + path // the token of a URL is a secret
	if d.Path != "" {
		path += "/" + url.PathEscape(d.Path)
	}
	if len(d.Query) > 0 {
		path += "?" + d.Query.Encode()
	}
	result := SourceTest{URL: shown}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.PublicURL+path, bytes.NewReader(body))
	if err != nil {
		result.Message = "STAYKEY_PUBLIC_URL makes no URL"
		return result, nil
	}
	req.Header = d.Header
	answer, err := s.postTest(req)
	if err != nil {
		result.Message = "there was no answer"
		if u := new(url.Error); errors.As(err, &u) { // its URL may hold a token
			result.Message += ": " + u.Err.Error()
		}
		return result, nil
	}
	return judgeTest(result, answer), nil
}

// postTest posts over the network where it is known how the service is reached, and to our own handler where it is not.
func (s *server) postTest(req *http.Request) (*memoryAnswer, error) {
	answer := &memoryAnswer{header: http.Header{}}
	if s.PublicURL == "" {
		ctx := context.WithValue(req.Context(), chi.RouteCtxKey, (*chi.Context)(nil)) // a request of its own, not a part of this one
		s.public.ServeHTTP(answer, req.WithContext(context.WithValue(ctx, ownKey{}, true)))
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

func judgeTest(result SourceTest, answer *memoryAnswer) SourceTest {
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
		result.Message = fmt.Sprintf("answered %d, by something that is not staykey", answer.status)
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
