package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/pms"
)

// problemType is the media type of problems.
const problemType = "application/problem+json"

// Problem is the body of every error of every endpoint (RFC 9457).
type Problem struct {
	Type   string `json:"type" doc:"Kind of problem; about:blank if the status alone describes it." example:"about:blank"`
	Title  string `json:"title" doc:"The status in words." example:"Unprocessable Entity"`
	Status int    `json:"status" doc:"The HTTP status." example:"422"`
	Detail string `json:"detail" doc:"What is wrong and how to fix it." example:"the event is invalid: correct it and send it again"`
	Code   string `json:"code" doc:"The kind of problem, for programs; stable. docs/errors.md lists them." example:"invalid_request"`
	Reason string `json:"reason,omitempty" doc:"With code key_not_ready: why the guest's key can't be handed out, such as gate_closed." example:"gate_closed"`
	// RequestID is set when the problem is written. The answers of a service that is starting have none.
	RequestID string           `json:"request_id,omitempty" doc:"The id in X-Request-Id and in the log." example:"8379c679-fb1d-49a0-b2a3-506b05627720"`
	Errors    []pms.FieldError `json:"errors,omitempty" doc:"One entry per wrong field."`

	retryAfter time.Duration // 0: not specified
	challenge  string        // of a 401: how to authenticate
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError: REST's problems have the same headers as all others.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	return h
}

// NewProblem returns a problem whose title and code are those of its status, with one entry per wrong field.
func NewProblem(status int, detail string, fields ...pms.FieldError) *Problem {
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail,
		Code: codeOf(status), Errors: fields,
	}
}

// Write answers a request with the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", problemType)
	maps.Copy(w.Header(), p.GetHeaders())
	p.RequestID = w.Header().Get("X-Request-Id")
	w.WriteHeader(p.Status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(p) // the client may be gone
}

// Coded sets a more specific code than that of the status.
func (p *Problem) Coded(code string) *Problem {
	p.Code = code
	return p
}

// Because adds a machine-readable reason.
func (p *Problem) Because(reason string) *Problem {
	p.Reason = reason
	return p
}

// After sets Retry-After, in whole seconds, rounded up.
func (p *Problem) After(d time.Duration) *Problem {
	p.retryAfter = d
	return p
}

// huma's texts in the words of this service.
func init() {
	validation.MsgUnexpectedProperty = "unknown field"
	validation.MsgExpectedBoolean = "must be true or false"
	validation.MsgExpectedNumber = "must be a number"
	validation.MsgExpectedInteger = "must be a whole number"
	validation.MsgExpectedString = "must be a string"
	validation.MsgExpectedArray = "must be an array"
	validation.MsgExpectedObject = "must be an object"
	validation.MsgExpectedArrayItemsUnique = "must not repeat an item"
	validation.MsgExpectedOneOf = "must be one of \"%s\""
	validation.MsgExpectedMinimumNumber = "must be at least %v"
	validation.MsgExpectedMaximumNumber = "must be at most %v"
	validation.MsgExpectedMinLength = "must have at least %d characters"
	validation.MsgExpectedMaxLength = "must have at most %d characters"
	validation.MsgExpectedMatchPattern = "must match the pattern %s"
	validation.MsgExpectedMinItems = "must have at least %d items"
	validation.MsgExpectedMaxItems = "must have at most %d items"
	validation.MsgExpectedRequiredProperty = missing + "%s"
	validation.MsgExpectedRFC3339DateTime = "must be an RFC 3339 date-time"
	validation.MsgExpectedRFC4122UUID = "must be a UUID: %v"
}

// missing begins huma's text about a required property, until the field is named.
const missing = "is required: "

// refused is the detail of a request that huma finds invalid, in place of its own.
const refused = "the request is invalid"

func init() {
	// huma builds its own errors with this function, for every API in the process.
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		if message == "validation failed" {
			message = refused
		}
		p := NewProblem(status, message)
		for _, err := range errs {
			if err == nil {
				continue
			}
			field := pms.FieldError{Message: err.Error()}
			if d := new(huma.ErrorDetail); errors.As(err, &d) {
				field = pms.FieldError{Field: strings.TrimPrefix(d.Location, "body."), Message: d.Message}
				if strings.HasPrefix(field.Field, "query.") { // one of several values
					field.Field, _, _ = strings.Cut(field.Field, "[")
				}
				// huma names what it is missing from
				if property, is := strings.CutPrefix(d.Message, missing); is {
					field = pms.FieldError{Field: strings.TrimPrefix(strings.TrimPrefix(d.Location+"."+property,
						"body."), "body"), Message: "is required"}
				}
			}
			p.Errors = append(p.Errors, field)
			if field.Message == "unknown query parameter" { // huma's words
				p.Code = CodeUnknownParameter
			}
		}
		return p
	}
}

// statusOf is the HTTP status of each kind of refusal.
var statusOf = map[admin.Kind]int{
	admin.NotFound: http.StatusNotFound, admin.Malformed: http.StatusBadRequest,
	admin.Invalid:   http.StatusUnprocessableEntity,
	admin.Forbidden: http.StatusForbidden, admin.Conflict: http.StatusConflict,
	admin.Unavailable: http.StatusServiceUnavailable,
}

// Unfit is a 422 for one field of a request.
func Unfit(field, message string) *Problem {
	return NewProblem(http.StatusUnprocessableEntity, refused,
		pms.FieldError{Field: field, Message: message})
}

// ProblemOf turns an error of a request into a problem. ctx is the request's. Errors other than refusals are logged
// here, with what finds the request's own record, and the problem doesn't contain their text.
func ProblemOf(ctx context.Context, log *slog.Logger, err error) *Problem {
	answer, expected := admin.ErrorOf(err)
	if !expected {
		level := slog.LevelError
		if errors.Is(err, context.Canceled) { // the client is gone
			level = slog.LevelDebug
		}
		log.Log(ctx, level, "request failed", append(requestAttrs(ctx), "error", err)...)
	}
	p := NewProblem(statusOf[answer.Kind], answer.Message, answer.Fields...).After(answer.RetryAfter)
	if answer.Code != "" {
		p.Code = answer.Code
	}
	return p.Because(answer.Reason)
}
