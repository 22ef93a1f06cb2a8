package simulator

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// FaultKind is a way in which a call can go wrong.
type FaultKind string

// What a fault does. "Before" and "after" are about the call's effect.
const (
	LostBefore     FaultKind = "lost_before" // the connection closes, nothing happened
	LostAfter      FaultKind = "lost_after"  // it happened, and the connection closes
	Error500Before FaultKind = "500_before"
	Error500After  FaultKind = "500_after"
	Error503Before FaultKind = "503_before"
	Error503After  FaultKind = "503_after"
	Garbage        FaultKind = "garbage"   // it happened, and the 200 is not JSON
	Hang           FaultKind = "hang"      // it happened, and no answer comes
	SlowDrip       FaultKind = "slow_drip" // it happened, and the answer comes byte by byte, for ever
	Reset          FaultKind = "reset"     // TCP reset, nothing happened
	Limited        FaultKind = "429"       // refused, with Retry-After if RetryAfter is set
	Refused        FaultKind = "400"       // refused for what it says
	NotAuthorized  FaultKind = "401"
	NoEndpoint     FaultKind = "404" // a gateway's: no body of Seam's
)

// FaultKinds lists the faults that lose or refuse a call and pass by themselves.
var FaultKinds = []FaultKind{
	LostBefore, LostAfter, Error500Before, Error500After, Error503Before, Error503After, Garbage, Hang, SlowDrip, Reset, Limited,
}

// Fault makes calls fail.
type Fault struct {
	Kind       FaultKind     `json:"kind"`
	Path       string        `json:"path"`        // "" is every path
	Contains   string        `json:"contains"`    // only bodies that hold this text
	Skip       int           `json:"skip"`        // let so many calls pass first
	Count      int           `json:"count"`       // then fail so many; 0 is one, below 0 for ever
	RetryAfter time.Duration `json:"retry_after"` // of 429
	Fired      int           `json:"fired"`
}

// Inject adds faults. They are tried in order; the first that fits a call wins.
func (s *Simulator) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		if f.Count == 0 {
			f.Count = 1
		}
		s.faults = append(s.faults, &f)
	}
}

// Heal takes all faults away and returns how often they fired.
func (s *Simulator) Heal() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	fired := 0
	for _, f := range s.faults {
		fired += f.Fired
	}
	s.faults = nil
	return fired
}

// fault returns the fault that strikes this call, if any. The caller holds the lock.
func (s *Simulator) fault(path string, body []byte) *Fault {
	for _, f := range s.faults {
		if (f.Path != "" && f.Path != path) || !bytes.Contains(body, []byte(f.Contains)) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Count > 0 && f.Fired >= f.Count {
			continue
		}
		f.Fired++
		copied := *f
		return &copied
	}
	return nil
}

func (k FaultKind) hasEffect() bool {
	return strings.HasSuffix(string(k), "_after") || k == Garbage || k == Hang || k == SlowDrip
}

// strike answers as the fault says; the effect, if it has one, has happened.
func (f *Fault) strike(w http.ResponseWriter, r *http.Request) {
	switch f.Kind {
	case LostBefore, LostAfter:
		closeConnection(w, false)
	case Reset:
		closeConnection(w, true)
	case Error500Before, Error500After:
		writeError(w, http.StatusInternalServerError, "internal_server_error", "simulated")
	case Error503Before, Error503After:
		w.WriteHeader(http.StatusServiceUnavailable) // a gateway's: no body
	case Garbage:
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>it works!</html>"))
	case Hang:
		<-r.Context().Done()
	case SlowDrip:
		w.WriteHeader(http.StatusOK)
		flusher := http.NewResponseController(w)
		for range time.NewTicker(50 * time.Millisecond).C {
			if _, err := w.Write([]byte(" ")); err != nil || flusher.Flush() != nil || r.Context().Err() != nil {
				return
			}
		}
	case Limited:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", fmt.Sprintf("%.3f", f.RetryAfter.Seconds()))
		}
		writeError(w, http.StatusTooManyRequests, "too_many_requests", "simulated")
	case Refused:
		writeError(w, http.StatusBadRequest, "invalid_input", "simulated")
	case NoEndpoint:
		http.NotFound(w, r)
	case NotAuthorized:
		writeError(w, http.StatusUnauthorized, "unauthorized", "simulated")
	}
}

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
