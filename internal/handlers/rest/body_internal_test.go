package rest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// deadlined records whether its connection was given a deadline for a body.
type deadlined struct {
	*httptest.ResponseRecorder
	set bool
}

func (d *deadlined) SetReadDeadline(time.Time) error { d.set = true; return nil }

// A body that has been read is read again without a deadline, whose end would cancel the request: also on routes that
// judge their bodies themselves, which only the Idempotency-Key reads before them.
func TestABodyThatWasReadHasNoDeadline(t *testing.T) {
	t.Parallel()
	w := &deadlined{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodPut, "/v1/listings/default/L", strings.NewReader(`{"name": "x"}`))
	body, next, ok := readBody(w, r)
	if !ok || string(body) != `{"name": "x"}` {
		t.Fatalf("read %q, %v", body, ok)
	}
	if again, err := io.ReadAll(r.Body); err != nil || string(again) != string(body) {
		t.Errorf("read again: %q, %v", again, err)
	}
	if err := http.NewResponseController(next).SetReadDeadline(time.Now()); err != nil || w.set {
		t.Errorf("the connection has a deadline (%v), %v", w.set, err)
	}
	next.WriteHeader(http.StatusNoContent)
	if w.Code != http.StatusNoContent {
		t.Errorf("the answer's status is %d", w.Code)
	}
}
