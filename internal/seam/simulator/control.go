package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// serveControl is the simulator's own interface, under /_simulator/: GET state and records; POST faults, options,
// change, door {"acs_user_id", "acs_entrance_id"} and
// advance {"seconds": n}; DELETE faults. docs/development.md has examples.
func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method + " " + strings.TrimPrefix(r.URL.Path, "/_simulator/") {
	case "GET state":
		answer{status: http.StatusOK, body: map[string]any{
			"state": s.State(), "peaks": s.Peaks(), "calls": s.Calls(),
			"now": s.Now(), "options": s.Options(),
		}}.write(w)
		return
	case "GET records":
		answer{status: http.StatusOK, body: map[string]any{"records": s.Records()}}.write(w)
		return
	case "POST faults":
		var f Fault
		if err = decode(r, &f); err == nil {
			s.Inject(f)
		}
	case "DELETE faults":
		s.Heal()
	case "POST options":
		s.Configure(func(o *Options) {
			changed := *o
			if err = decode(r, &changed); err == nil {
				*o = changed
			}
		})
	case "POST change":
		var patch map[string]any
		if err = decode(r, &patch); err == nil {
			err = s.patch(patch)
		}
	case "POST door":
		var at struct {
			UserID     string `json:"acs_user_id"`
			EntranceID string `json:"acs_entrance_id"`
		}
		if err = decode(r, &at); err == nil {
			answer{status: http.StatusOK, body: map[string]any{"event": s.TryDoor(at.UserID, at.EntranceID)}}.write(w)
			return
		}
	case "POST advance":
		var by struct {
			Seconds float64 `json:"seconds"`
		}
		if err = decode(r, &by); err == nil {
			s.Advance(time.Duration(by.Seconds * float64(time.Second)))
		}
	default:
		writeError(w, http.StatusNotFound, "not_found",
			"the simulator has state, records, faults, options, change, door and advance")
		return
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, "invalid_input", err.Error())
		return
	}
	accept("", nil).write(w)
}

// decode reads a body strictly: a misspelled switch must not look as if it were set.
func decode(r *http.Request, into any) error {
	decoder := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// Options returns the options as they are now.
func (s *Simulator) Options() Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options
}

// Returning returns the ACS users that are shown nowhere until Salto KS refuses their deletion.
func (s *Simulator) Returning() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := make([]User, 0, len(s.returning))
	for _, r := range s.returning {
		users = append(users, r.user)
	}
	return users
}

// patch applies a JSON merge patch (RFC 7396) to the state, as it is in GET state: this is how somebody else
// changes the workspace over HTTP.
func (s *Simulator) patch(patch map[string]any) error {
	var err error
	s.Change(func(st *State) {
		var raw []byte
		if raw, err = json.Marshal(st); err != nil {
			return
		}
		var document map[string]any
		if err = json.Unmarshal(raw, &document); err != nil {
			return
		}
		if raw, err = json.Marshal(merge(document, patch)); err != nil {
			return
		}
		changed := newState(st.WorkspaceID)
		if err = json.Unmarshal(raw, changed); err != nil {
			err = fmt.Errorf("the changed state is invalid: %w", err)
			return
		}
		*st = *changed
	})
	return err
}

func merge(into, patch map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for key, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(into, key)
		case map[string]any:
			inner, _ := into[key].(map[string]any)
			into[key] = merge(inner, value)
		default:
			into[key] = value
		}
	}
	return into
}
