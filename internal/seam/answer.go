package seam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// pager takes the pagination that accompanies a list.
type pager interface{ paginate(json.RawMessage) }

// checker returns what makes an answer unusable, "" if nothing does.
type checker interface{ check() string }

// decode reads the field of an answer into out. It returns why the answer can't be used, "" if it can.
func decode(answer []byte, key string, out any) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(withoutNUL(answer), &fields) != nil {
		return "the answer is not a JSON object"
	}

	if out == nil {
		return ""
	}
	value := fields[key]
	if len(value) == 0 || string(value) == "null" {
		return fmt.Sprintf("the answer has no %q", key)
	}

	p, isPage := out.(pager)
	if !isPage {
		reflect.ValueOf(out).Elem().SetZero() // an earlier try may have left half an answer
	}

	if json.Unmarshal(value, out) != nil {
		return fmt.Sprintf("%q of the answer has another form than documented", key)
	}

	if isPage {
		p.paginate(fields["pagination"])
	}
	if c, ok := out.(checker); ok {
		return c.check()
	}
	return ""
}

// checkEach checks the items of a list.
func checkEach[T any](items []T) string {
	for _, item := range items {
		if c, ok := any(item).(checker); ok {
			if wrong := c.check(); wrong != "" {
				return "an item of the list: " + wrong
			}
		}
	}
	return ""
}

func transportMessage(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer before the deadline"
	}
	return err.Error()
}

// failure makes an error of an answer that is not 200.
func failure(path string, resp *http.Response, answer []byte) *Error {
	e := &Error{Path: path, Status: resp.StatusCode, RequestID: code(resp.Header.Get("seam-request-id"))}
	isSeams := e.read(answer)
	if !isSeams {
		e.Message = "an answer without Seam's error body" + contentType(resp)
	}
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized:
		e.Kind = Unauthorized
	case status == http.StatusForbidden:
		e.Kind = Forbidden
	case status == http.StatusNotFound && !isSeams:
		// This one may be a proxy's or a wrong endpoint's, and nothing follows from it.
		e.Kind, e.Message = Lost, "404: "+e.Message+": is SEAM_ENDPOINT right?"
	case status == http.StatusNotFound:
		e.Kind = NotFound
	case status == http.StatusTooManyRequests:
		e.Kind, e.RetryAfter = RateLimited, retryAfter(resp.Header.Get("Retry-After"))
	case status == http.StatusRequestTimeout, status >= 500, status < 400:
		e.Kind = Lost // whether it took effect is unknown
	case strings.HasSuffix(e.Type, "_not_found"):
		e.Kind = NotFound // user_identity_not_found comes with 400
	default:
		e.Kind = Invalid
	}
	return e
}

// read takes over Seam's error body. It is false for anything else: only an error with a type is Seam's, as its
// SDKs read it.
func (e *Error) read(answer []byte) bool {
	var envelope struct {
		Error struct {
			Type      string `json:"type"`
			Message   string `json:"message"`
			RequestID string `json:"request_id"`
		} `json:"error"`
	}
	if json.Unmarshal(answer, &envelope) != nil || envelope.Error.Type == "" {
		return false
	}
	e.Type, e.Message = code(envelope.Error.Type), Redact(envelope.Error.Message)
	if e.RequestID == "" {
		e.RequestID = code(envelope.Error.RequestID)
	}
	return true
}

// contentType names what came instead of JSON, such as a gateway's page.
func contentType(resp *http.Response) string {
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil {
		return " (" + code(media) + ")"
	}
	return ""
}

const (
	longestRetryAfter = 15 * time.Minute
	defaultRetryAfter = 2 * time.Second
)

// retryAfter reads seconds or a date (RFC 9110 section 10.2.3); without one, two seconds. Whatever Seam asks for, it is
// 15 minutes at most.
func retryAfter(s string) time.Duration {
	if seconds, err := strconv.ParseFloat(s, 64); (err == nil || errors.Is(err, strconv.ErrRange)) && seconds >= 0 {
		// Bounded as a number: a duration of more than 292 years would be negative.
		return time.Duration(min(seconds, longestRetryAfter.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(0, min(time.Until(at), longestRetryAfter))
	}
	return defaultRetryAfter
}
