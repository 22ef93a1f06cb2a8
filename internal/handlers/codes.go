package handlers

import (
	"net/http"

	"github.com/staykey/staykey/internal/admin"
)

// Codes of problems that are more specific than their status. docs/errors.md lists all codes; a released one never
// changes its meaning.
const (
	CodeUnknownParameter  = "unknown_parameter"
	CodeRepeatedParameter = "repeated_parameter"
	CodeInvalidEvent      = "invalid_event"
	CodeKeyNotReady       = admin.CodeKeyNotReady
	CodeKeyReused         = admin.CodeKeyReused
	CodeKeyInUse          = admin.CodeKeyInUse
	CodeStarting          = "starting"
)

// codes are the codes of statuses, for problems without a more specific one.
var codes = map[int]string{
	http.StatusBadRequest:            "malformed_request",
	http.StatusUnauthorized:          "unauthorized",
	http.StatusForbidden:             "forbidden",
	http.StatusNotFound:              "not_found",
	http.StatusMethodNotAllowed:      "method_not_allowed",
	http.StatusRequestTimeout:        "request_timeout",
	http.StatusConflict:              "conflict",
	http.StatusGone:                  "gone",
	http.StatusRequestEntityTooLarge: "body_too_large",
	http.StatusUnsupportedMediaType:  "unsupported_media_type",
	http.StatusUnprocessableEntity:   "invalid_request",
	http.StatusTooManyRequests:       "rate_limited",
	http.StatusInternalServerError:   "internal_error",
	http.StatusServiceUnavailable:    "unavailable",
}

func codeOf(status int) string {
	if code, is := codes[status]; is {
		return code
	}
	return "error"
}
