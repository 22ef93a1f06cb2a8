// Package simulator is a Seam workspace with Salto KS sites, as far as a reservation needs one: documented behavior, a
// switch for everything that Seam's documents leave open, and faults on request.
//
// A [Simulator] is an http.Handler. Requests are checked against Seam's OpenAPI (schema.go), and answers have all of
// its fields (answers.go). Its endpoints are methods of one type per noun (calls.go, users.go, sessions.go) over the
// [State] that all of them share (workspace.go). [Options] are the switches: what happens to an identity's second ACS
// user, how far reads lag, how long Salto takes, which fields an answer omits. [Simulator.Inject] makes calls fail
// (faults.go): before or after their effect, late, silently, or with an unusable answer. [Simulator.Change],
// [Simulator.EditIdentity] and others act as somebody else in the Seam console or in Salto's app. [Simulator.State],
// [Simulator.Records] and [Simulator.Peaks] show what exists, what was called and the worst moment so far, without
// lag.
//
// --dev runs one, and serves it on loopback with a control interface under /_simulator/ (control.go);
// docs/development.md has examples. The tests of internal/seam/conformance say what staykey relies on, here and at the
// real Seam.
package simulator

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Record is one call that was received.
type Record struct {
	At     time.Time      `json:"at"`
	Path   string         `json:"path"`
	Body   map[string]any `json:"body"`
	Status int            `json:"status"` // 0: a fault left no answer
}

// Peaks are the worst moments since the start. Every count should be 1 at most, and users without a schedule 0.
type Peaks struct {
	UsersOfOneStay      int `json:"users_of_one_stay"` // ACS users of one full name, system and identity
	KeysOfOneUser       int `json:"keys_of_one_user"`
	CodesOfOneUser      int `json:"codes_of_one_user"`
	UsersWithNoSchedule int `json:"users_with_no_schedule"`
}

// Simulator is an http.Handler, safe for concurrent use.
type Simulator struct {
	mu sync.Mutex // of all that follows
	workspace

	faults  []*Fault
	records []Record
	counts  map[string]int
	second  time.Time // the rate limit's current second
	calls   int       // in it
	late    []lateCall
}

// New returns a simulator with an empty workspace, or with the one in options.StateFile.
func New(options Options) (*Simulator, error) {
	s := &Simulator{
		workspace: workspace{options: options, state: newState(uuid.NewString())}, counts: map[string]int{},
	}
	if options.StateFile != "" {
		content, err := os.ReadFile(options.StateFile)
		switch {
		case os.IsNotExist(err):
		case err != nil:
			return nil, fmt.Errorf("simulator state: %w", err)
		default:
			if err := json.Unmarshal(content, s.state); err != nil {
				return nil, fmt.Errorf("simulator state %s: %w (delete it to start again)", options.StateFile, err)
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

// Advance moves the clock. What was due meanwhile happens.
func (s *Simulator) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
	s.expire()
}

// Configure changes options while it runs.
func (s *Simulator) Configure(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.options.longestLag()
	change(&s.options)
	if s.options.longestLag() > before {
		s.past = []snapshot{{time.Time{}, s.state.clone()}} // nothing older is known
	}
}

// Change alters the state as somebody else could, in Salto's own app or through another client.
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

// AddSystem adds a Salto KS site with access groups.
func (s *Simulator) AddSystem(id, name string, groupIDs ...string) {
	s.Change(func(st *State) {
		st.Systems[id] = System{ID: id, Name: name}
		for _, g := range groupIDs {
			st.Groups[g] = AccessGroup{ID: g, SystemID: id, Name: "Group " + g}
		}
	})
}

// expire finishes deletions, refused or not, mutations and late calls that are due. The caller holds the lock.
func (s *Simulator) expire() {
	s.comeLate()
	s.bringBack()
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
