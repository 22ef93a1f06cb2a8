package simulator

import (
	"math/rand/v2"
	"slices"
	"time"
)

// reading is a way in which a call looks at the state. Each may lag separately.
type reading int

const (
	gets reading = iota
	lists
	writes // finding what they name
)

// view is the state as such a call sees it. The caller holds the lock.
func (s *workspace) view(kind reading) *State {
	lag := s.options.lag(kind)
	if lag <= 0 {
		return s.state
	}
	if s.options.UnevenLag {
		lag = rand.N(lag + 1) // #nosec G404 -- a simulation
	}
	horizon := s.now().Add(-lag)
	for i := len(s.past) - 1; i >= 0; i-- {
		if !s.past[i].at.After(horizon) {
			return s.past[i].state
		}
	}
	return s.past[0].state
}

// remember keeps a snapshot for views that lag. The caller holds the lock.
func (s *workspace) remember(now time.Time) {
	longest := s.options.longestLag()
	if longest <= 0 {
		return
	}
	s.past = append(s.past, snapshot{now, s.state.clone()})
	for len(s.past) > 1 && s.past[1].at.Before(now.Add(-longest-time.Second)) {
		s.past = s.past[1:]
	}
}

// shown removes hidden objects from a list. The caller holds the lock.
func shown[T any](s *workspace, list []T, id func(T) string) []T {
	if len(s.options.Hidden) == 0 {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list),
		func(item T) bool { return slices.Contains(s.options.Hidden, id(item)) })
}

func idOfUser(u User) string             { return u.ID }
func idOfIdentity(i Identity) string     { return i.ID }
func idOfCredential(c Credential) string { return c.ID }

// hidden reports whether lists leave the object out.
func (s *workspace) hidden(id string) bool { return slices.Contains(s.options.Hidden, id) }
