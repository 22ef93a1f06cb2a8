package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

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
	case fault != nil && !fault.Kind.alters():
		fault.strike(s, w, r)
	case answer.retryAfter > 0:
		w.Header().Set("Retry-After", fmt.Sprintf("%.3f", answer.retryAfter.Seconds()))
		fallthrough
	default:
		answer.write(w)
	}
}

// serve handles one call under the lock: faults before the effect, checks, the effect, faults after it.
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

	if fault != nil && fault.Kind == Late {
		s.late = append(s.late, lateCall{s.now().Add(fault.Delay), path, body})
	}
	if fault != nil && !fault.Kind.hasEffect() {
		return answer{}, fault
	}

	a := s.dress(s.answer(r, path, body))
	s.ragged(a.body)

	if fault != nil && !fault.Kind.alters() {
		return answer{}, fault
	}
	if fault != nil {
		a = fault.alter(a)
	}

	record.Status = a.status
	return a, fault
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
	return call(&s.workspace, request(body))
}

// answer is the result of a call.
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
