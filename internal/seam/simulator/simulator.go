// Package simulator is a Seam workspace with Salto KS sites, as far as a reservation needs one: documented
// behaviour, a switch for each thing that Seam's documents leave open, and faults on request.
package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// SecondUser says what happens when an identity that has an ACS user on a system gets another one. Seam
// documents one for each, not what becomes of a second.
type SecondUser string

// The switch's positions.
const (
	Allow          SecondUser = "allow"
	Refuse         SecondUser = "refuse"
	ReturnExisting SecondUser = "return_existing"
	MoveLink       SecondUser = "move_link"
)

// Options of a simulator. The zero value answers at once and holds nothing.
type Options struct {
	APIKey              string        `json:"-"`                     // "" takes any
	StateFile           string        `json:"-"`                     // kept across restarts, if set
	SecondUser          SecondUser    `json:"second_user"`           // default allow
	CaseSensitiveEmail  bool          `json:"case_sensitive_email"`  // "A@b.c" and "a@b.c" may both exist
	IgnoreUnknownGroups bool          `json:"ignore_unknown_groups"` // in acs/users/create; else the call is refused
	RefuseEmail         string        `json:"refuse_email"`          // an address that Seam doesn't take
	RefuseDeletes       bool          `json:"refuse_deletes"`        // acs/users/delete is accepted, and Salto KS keeps the user
	Pending             time.Duration `json:"pending"`               // how long mutations stay pending
	Defer               bool          `json:"defer"`                 // a user's creation is put off until it is subscribed
	SubscribeDelay      time.Duration `json:"subscribe_delay"`       // behind starts_at
	ReadLag             time.Duration `json:"read_lag"`              // reads show the state of so long ago
	Latency             time.Duration `json:"latency"`               // of each answer
	RateLimit           int           `json:"rate_limit"`            // calls a second; 0 is none
	OmitRetryAfter      bool          `json:"omit_retry_after"`      // on 429
	PageSize            int           `json:"page_size"`             // of lists, default 500
	UniqueStatus        int           `json:"unique_status"`         // of a violated uniqueness, default 400
	// Hook is called before and after each call's effect, while the caller waits: a test kills processes in it.
	// If it says drop, the connection closes: before the effect there is none.
	Hook func(path string, after bool) (drop bool) `json:"-"`
	// Watch is called with the state behind each change. It must not keep it, nor call the simulator.
	Watch func(*State) `json:"-"`
}

// Record is one call that was received.
type Record struct {
	At     time.Time      `json:"at"`
	Path   string         `json:"path"`
	Body   map[string]any `json:"body"`
	Status int            `json:"status"` // 0: a fault left no answer
}

// Peaks are the worst moments since the start. All of it should be 1 at most, and no user without a schedule.
type Peaks struct {
	UsersOfOneStay      int `json:"users_of_one_stay"` // ACS users of one full name, system and identity
	KeysOfOneUser       int `json:"keys_of_one_user"`
	UsersWithNoSchedule int `json:"users_with_no_schedule"`
}

// Simulator is an http.Handler, safe for concurrent use.
type Simulator struct {
	mu      sync.Mutex
	options Options
	state   *State
	offset  time.Duration // of its clock from the real one
	past    []snapshot    // for reads that lag, oldest first
	index   index         // of the state, for the peaks
	listed  listed
	faults  []*Fault
	records []Record
	counts  map[string]int
	peaks   Peaks
	second  time.Time // the rate limit's current second
	calls   int       // in it
}

type snapshot struct {
	at    time.Time
	state *State
}

// New returns a simulator with an empty workspace, or with the one in options.StateFile.
func New(options Options) (*Simulator, error) {
	s := &Simulator{options: options, state: newState(uuid.NewString()), counts: map[string]int{}}
	if options.StateFile != "" {
		content, err := os.ReadFile(options.StateFile)
		switch {
		case os.IsNotExist(err):
		case err != nil:
			return nil, fmt.Errorf("simulator state: %w", err)
		default:
			if err := json.Unmarshal(content, s.state); err != nil {
				return nil, fmt.Errorf("simulator state %s: %w (delete it to start anew)", options.StateFile, err)
			}
		}
	}
	s.past = []snapshot{{time.Time{}, s.state.clone()}}
	s.index.follow(s.state)
	return s, nil
}

// Now is the simulator's clock.
func (s *Simulator) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

func (s *Simulator) now() time.Time { return time.Now().Add(s.offset).UTC() }

// Advance moves the clock.
func (s *Simulator) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
}

// Configure changes options while it runs.
func (s *Simulator) Configure(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.options.ReadLag
	change(&s.options)
	if before <= 0 && s.options.ReadLag > 0 {
		s.past = []snapshot{{time.Time{}, s.state.clone()}} // nothing older is known
	}
}

// Change alters the state as somebody else would: in Salto's own app, or through another client.
func (s *Simulator) Change(change func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.state)
	s.index.forget()
	s.changed()
}

// State returns a copy of what it holds now, without lag.
func (s *Simulator) State() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return s.state.clone()
}

// Peaks returns the worst moments so far.
func (s *Simulator) Peaks() Peaks {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peaks
}

// Records returns the calls received, oldest first, at most the last 20,000.
func (s *Simulator) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Calls returns how many calls were received in all.
func (s *Simulator) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.counts {
		n += c
	}
	return n
}

// Forget drops the records, the counts and the peaks.
func (s *Simulator) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records, s.counts, s.peaks = nil, map[string]int{}, Peaks{}
}

// AddSystem makes a Salto KS site with access groups.
func (s *Simulator) AddSystem(id, name string, groupIDs ...string) {
	s.Change(func(st *State) {
		st.Systems[id] = System{ID: id, Name: name}
		for _, g := range groupIDs {
			st.Groups[g] = AccessGroup{ID: g, SystemID: id, Name: "Group " + g}
		}
	})
}

// changed keeps a snapshot for reads that lag, and the peaks, writes the state file, and tells whoever
// watches. The caller holds the lock.
func (s *Simulator) changed() {
	now := s.now()
	if s.options.ReadLag > 0 {
		s.past = append(s.past, snapshot{now, s.state.clone()})
		for len(s.past) > 1 && s.past[1].at.Before(now.Add(-s.options.ReadLag-time.Second)) {
			s.past = s.past[1:]
		}
	}
	s.listed = listed{}
	s.peaks.raise(s.index.follow(s.state))
	if s.options.Watch != nil {
		s.options.Watch(s.state)
	}
	s.persist()
}

// raise takes in a moment.
func (p *Peaks) raise(now Peaks) {
	p.UsersOfOneStay = max(p.UsersOfOneStay, now.UsersOfOneStay)
	p.KeysOfOneUser = max(p.KeysOfOneUser, now.KeysOfOneUser)
	p.UsersWithNoSchedule = max(p.UsersWithNoSchedule, now.UsersWithNoSchedule)
}

func (s *Simulator) persist() {
	if s.options.StateFile == "" {
		return
	}
	content, err := json.MarshalIndent(s.state, "", " ")
	if err == nil {
		temporary := s.options.StateFile + ".tmp"
		if err = os.MkdirAll(filepath.Dir(s.options.StateFile), 0o750); err == nil {
			if err = os.WriteFile(temporary, content, 0o600); err == nil {
				err = os.Rename(temporary, s.options.StateFile)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulator: the state can't be kept:", err)
	}
}

// expire finishes deletions and mutations whose time has come. The caller holds the lock.
func (s *Simulator) expire() {
	now, gone := s.now(), false
	for id := range s.index.going {
		if u := s.state.Users[id]; !now.Before(u.GoneAt) {
			s.state.deleteUser(id)
			s.index.touch(id)
			gone = true
		}
	}
	if gone {
		s.changed()
	}
}

// view is what reads see. The caller holds the lock.
func (s *Simulator) view() *State {
	if s.options.ReadLag <= 0 {
		return s.state
	}
	horizon := s.now().Add(-s.options.ReadLag)
	for i := len(s.past) - 1; i >= 0; i-- {
		if !s.past[i].at.After(horizon) {
			return s.past[i].state
		}
	}
	return s.past[0].state
}

// ServeHTTP implements http.Handler.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_simulator/") {
		s.serveControl(w, r)
		return
	}
	w.Header().Set("seam-request-id", uuid.NewString())
	raw, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	s.mu.Lock()
	latency, hook := s.options.Latency, s.options.Hook
	s.mu.Unlock()
	if hook != nil && hook(r.URL.Path, false) {
		panic(http.ErrAbortHandler)
	}
	if latency > 0 {
		select {
		case <-time.After(latency):
		case <-r.Context().Done():
			return
		}
	}
	answer, fault := s.serve(r, raw)
	if hook != nil && hook(r.URL.Path, true) {
		panic(http.ErrAbortHandler)
	}
	switch {
	case fault != nil:
		fault.strike(w, r)
	case answer.retryAfter > 0:
		w.Header().Set("Retry-After", fmt.Sprintf("%.3f", answer.retryAfter.Seconds()))
		fallthrough
	default:
		answer.write(w)
	}
}

// serve does one call under the lock: fault before the effect, checks, effect, fault behind it.
func (s *Simulator) serve(r *http.Request, raw []byte) (answer, *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := r.URL.Path
	s.counts[path]++
	record := Record{At: s.now(), Path: path}
	defer func() {
		if s.records = append(s.records, record); len(s.records) > 20000 {
			s.records = s.records[len(s.records)-20000:]
		}
	}()
	body := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := decoder.Decode(&body); err != nil {
			record.Status = http.StatusBadRequest
			return refuse(http.StatusBadRequest, "invalid_input", "the body is not a JSON object"), nil
		}
	}
	record.Body = body
	fault := s.fault(path, raw)
	if fault != nil && !fault.Kind.hasEffect() {
		return answer{}, fault
	}
	a := s.answer(r, path, body)
	if fault != nil {
		return answer{}, fault
	}
	record.Status = a.status
	return a, nil
}

func (s *Simulator) answer(r *http.Request, path string, body map[string]any) answer {
	if s.options.APIKey != "" && r.Header.Get("Authorization") != "Bearer "+s.options.APIKey {
		return refuse(http.StatusUnauthorized, "unauthorized", "the API key is not known")
	}
	if s.options.RateLimit > 0 {
		second := s.now().Truncate(time.Second)
		if !second.Equal(s.second) {
			s.second, s.calls = second, 0
		}
		if s.calls++; s.calls > s.options.RateLimit {
			a := refuse(http.StatusTooManyRequests, "too_many_requests", "too many requests")
			if !s.options.OmitRetryAfter {
				a.retryAfter = s.second.Add(time.Second).Sub(s.now())
			}
			return a
		}
	}
	fields, known := schemas[path]
	call := calls[path]
	if !known || call == nil {
		return refuse(http.StatusNotFound, "unknown_endpoint", path+" is not simulated")
	}
	if r.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, "method_not_allowed", "use POST")
	}
	if wrong := fields.check(body); wrong != nil {
		a := refuse(http.StatusBadRequest, "invalid_input", "the request does not fit the schema")
		a.body["error"].(map[string]any)["validation_errors"] = wrong
		return a
	}
	s.expire()
	return call(s, request(body))
}

// answer is what a call comes to.
type answer struct {
	status     int
	body       map[string]any
	retryAfter time.Duration
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body)
}

func accept(key string, value any) answer {
	body := map[string]any{"ok": true}
	if key != "" {
		body[key] = value
	}
	return answer{status: http.StatusOK, body: body}
}

func refuse(status int, kind, message string) answer {
	return answer{status: status, body: map[string]any{
		"ok": false, "error": map[string]any{"type": kind, "message": message, "request_id": uuid.NewString()},
	}}
}

func writeError(w http.ResponseWriter, status int, kind, message string) {
	refuse(status, kind, message).write(w)
}

// serveControl is the simulator's own interface: GET /_simulator/state, POST /_simulator/faults,
// POST /_simulator/options, POST /_simulator/advance {"seconds": n}.
func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request) {
	var err error
	switch action := strings.TrimPrefix(r.URL.Path, "/_simulator/"); {
	case action == "state" && r.Method == http.MethodGet:
		answer{status: http.StatusOK, body: map[string]any{"state": s.State(), "peaks": s.Peaks(), "calls": s.Calls(), "now": s.Now()}}.write(w)
		return
	case action == "records" && r.Method == http.MethodGet:
		answer{status: http.StatusOK, body: map[string]any{"records": s.Records()}}.write(w)
		return
	case action == "faults" && r.Method == http.MethodPost:
		var f Fault
		if err = json.NewDecoder(r.Body).Decode(&f); err == nil {
			s.Inject(f)
		}
	case action == "faults" && r.Method == http.MethodDelete:
		s.Heal()
	case action == "options" && r.Method == http.MethodPost:
		var raw []byte
		if raw, err = io.ReadAll(r.Body); err == nil {
			s.Configure(func(o *Options) { err = json.Unmarshal(raw, o) })
		}
	case action == "advance" && r.Method == http.MethodPost:
		var by struct {
			Seconds float64 `json:"seconds"`
		}
		if err = json.NewDecoder(r.Body).Decode(&by); err == nil {
			s.Advance(time.Duration(by.Seconds * float64(time.Second)))
		}
	default:
		writeError(w, http.StatusNotFound, "not_found", "the simulator has state, records, faults, options and advance")
		return
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, "invalid_input", err.Error())
		return
	}
	accept("", nil).write(w)
}
