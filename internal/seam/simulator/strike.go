package simulator

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// documented are the error types that Seam's documents, SDKs and examples name for a status.
var documented = map[FaultKind]struct {
	status int
	kind   string
}{
	Refused:       {http.StatusBadRequest, "invalid_input"},
	NotAuthorized: {http.StatusUnauthorized, "unauthorized"},
	Forbidden:     {http.StatusForbidden, "forbidden"},
	Conflict:      {http.StatusConflict, "conflict"},
	Unprocessable: {http.StatusUnprocessableEntity, "unprocessable_entity"},
}

// nouns name the object in Seam's 404, by the beginning of the path.
var nouns = []struct{ path, noun string }{
	{"/user_identities/", "user_identity"},
	{"/acs/users/", "acs_user"},
	{"/acs/credentials/create", "acs_user"},
	{"/acs/credentials/", "acs_credential"},
	{"/acs/access_groups/", "acs_access_group"},
	{"/acs/systems/", "acs_system"},
	{"/instant_keys/", "instant_key"},
	{"/client_sessions/get_or_create", "user_identity"},
	{"/client_sessions/create", "user_identity"},
	{"/client_sessions/", "client_session"},
	{"/phones/simulate/", "user_identity"},
	{"/phones/", "phone"},
}

// strike answers as the fault says. The effect, if any, has already happened.
func (f *Fault) strike(s *Simulator, w http.ResponseWriter, r *http.Request) {
	switch f.Kind {
	case LostBefore, LostAfter, Late:
		closeConnection(w, false)
	case Reset:
		closeConnection(w, true)
	case Error500Before, Error500After:
		s.writeFault(w, http.StatusInternalServerError, "internal_server_error", f)
	case Error503Before, Error503After:
		w.WriteHeader(http.StatusServiceUnavailable) // a gateway's: no body
	case Garbage:
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>it works!</html>"))
	case Silent:
		silence(r.Context())
		s.hang(r)
	case Hang:
		s.hang(r)
	case SlowDrip:
		s.drip(w, r)
	case Limited:
		if after := f.retryAfter(); after != "" {
			w.Header().Set("Retry-After", after)
		}
		s.writeFault(w, http.StatusTooManyRequests, "too_many_requests", f)
	case NoEndpoint:
		http.NotFound(w, r)
	case Page:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(cmp.Or(f.Status, http.StatusBadGateway))
		_, _ = w.Write([]byte("<html><body><h1>" + cmp.Or(f.Message, "Bad Gateway") + "</h1></body></html>"))
	case WrongNotFound:
		s.writeFault(w, http.StatusNotFound, notFoundType(r.URL.Path), f)
	case RefusedAfter:
		s.writeFault(w, cmp.Or(f.Status, http.StatusBadRequest), "something_new", f)
	default:
		is := documented[f.Kind]
		s.writeFault(w, cmp.Or(is.status, http.StatusBadRequest), cmp.Or(is.kind, "invalid_input"), f)
	}
}

func (f *Fault) retryAfter() string {
	if f.RetryAfterText != "" || f.RetryAfter <= 0 {
		return f.RetryAfterText
	}
	return fmt.Sprintf("%.3f", f.RetryAfter.Seconds())
}

func (s *Simulator) writeFault(w http.ResponseWriter, status int, kind string, f *Fault) {
	s.mu.Lock()
	a := s.dress(refuse(status, cmp.Or(f.Type, kind), cmp.Or(f.Message, "simulated")))
	s.mu.Unlock()
	a.write(w)
}

func notFoundType(path string) string {
	for _, n := range nouns {
		if strings.HasPrefix(path, n.path) {
			return n.noun + "_not_found"
		}
	}
	return "not_found"
}

// over is when a fault that gives no answer ends on its own; never if nil.
func (s *Simulator) over() <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.options.HangFor <= 0 {
		return nil
	}
	return time.After(s.options.HangFor)
}

// hang gives no answer until the client gives up, or closes the connection when the fault is over.
func (s *Simulator) hang(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.over():
		// net/http waits for a silent one's read before it closes it
		if c, ok := r.Context().Value(connKey{}).(*quietConn); ok {
			_ = c.Close()
		}
		panic(http.ErrAbortHandler)
	}
}

func (s *Simulator) drip(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusOK)
	flusher, tick, over := http.NewResponseController(w), time.NewTicker(50*time.Millisecond), s.over()
	defer tick.Stop()
	for {
		select {
		case <-over:
			panic(http.ErrAbortHandler)
		case <-tick.C:
		}
		if _, err := w.Write([]byte(" ")); err != nil || flusher.Flush() != nil || r.Context().Err() != nil {
			return
		}
	}
}

// closeConnection ends the connection; over HTTP/2, which many calls share, only the call.
func closeConnection(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// alter changes the answer of a call as the fault says.
func (f *Fault) alter(a answer) answer {
	if a.status != http.StatusOK {
		return a
	}
	for key := range a.body {
		if key != "ok" && key != "pagination" {
			f.alterResult(a, key)
		}
	}
	alterEach(a.body, f.alterObject)
	return a
}

// alterResult changes the object or list that a call answers with, which is at key.
func (f *Fault) alterResult(a answer, key string) {
	list, isList := a.body[key].([]any)
	switch f.Kind {
	case NoObject:
		delete(a.body, key)
	case NullObject:
		a.body[key] = nil
	case EmptyObject:
		a.body[key] = map[string]any{}
		if isList {
			a.body[key] = f.leaveOut(list, 0)
		}
	case HalfList:
		if isList {
			a.body[key] = f.leaveOut(list, len(list)/2)
			a.paginate(false, nil)
		}
	case NoCursor:
		a.paginate(true, nil)
	case SameCursor:
		a.paginate(true, "the same")
	}
}

// leaveOut returns a list without the items that follow the first few and that the fault doesn't spare.
func (f *Fault) leaveOut(list []any, first int) []any {
	kept := append([]any{}, list[:first]...) // never null
	for _, item := range list[first:] {
		if object, ok := item.(map[string]any); ok && f.Spares != nil && f.Spares(object) {
			kept = append(kept, item)
		}
	}
	return kept
}

// alterObject changes one object of an answer.
func (f *Fault) alterObject(kind string, object map[string]any) {
	switch f.Kind {
	case NoOptional:
		for _, name := range answers[kind].Optional {
			delete(object, name)
		}
	case NullOptional:
		for _, name := range answers[kind].Optional {
			object[name] = nil
		}
	case Unfamiliar:
		unfamiliar(kind, object)
	}
}

// paginate changes the pagination of a list that has one.
func (a answer) paginate(more bool, cursor any) {
	if _, paged := a.body["pagination"]; paged {
		a.body["pagination"] = map[string]any{"has_next_page": more, "next_page_cursor": cursor, "next_page_url": nil}
	}
}
