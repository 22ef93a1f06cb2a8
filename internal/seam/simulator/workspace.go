package simulator

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// workspace is what the endpoints work on: the state, the switches and the clock. Callers hold the simulator's lock.
//
// A call changes the state and then calls changed, which keeps a snapshot. Later reads see the state, or a snapshot of
// it, as the switches for lag say (view, in views.go). Each noun's calls are methods of a type of its own (calls.go):
// users.create, sessions.revoke.
type workspace struct {
	options Options
	state   *State
	offset  time.Duration // of its clock from the real one
	past    []snapshot    // for reads that lag, oldest first
	index   index         // of the state, for the peaks
	listed  listed
	peaks   Peaks

	returning []returningUser // shown again when Salto KS has refused their deletion
}

type snapshot struct {
	at    time.Time
	state *State
}

func (s *workspace) now() time.Time { return time.Now().Add(s.offset).UTC() }

// changed keeps a snapshot for reads that lag, and the peaks, writes the state file, and notifies anyone who
// watches.
func (s *workspace) changed() {
	now := s.now()
	s.remember(now)
	s.listed = listed{}
	s.peaks.raise(s.index.follow(s.state))
	if s.options.Watch != nil {
		s.options.Watch(s.state)
	}
	s.persist()
}

// raise merges the current counts.
func (p *Peaks) raise(now Peaks) {
	p.UsersOfOneStay = max(p.UsersOfOneStay, now.UsersOfOneStay)
	p.KeysOfOneUser = max(p.KeysOfOneUser, now.KeysOfOneUser)
	p.CodesOfOneUser = max(p.CodesOfOneUser, now.CodesOfOneUser)
	p.UsersWithNoSchedule = max(p.UsersWithNoSchedule, now.UsersWithNoSchedule)
}

func (s *workspace) persist() {
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
