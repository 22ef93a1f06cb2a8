package webhook

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
)

// What a webhook's body is: its encoding, its media type, and how a format reads it. The bytes decide wherever they
// can; headers that a PMS's HTTP library sets on its own never cost an event.

// plainBody undoes a webhook's Content-Encoding, after its signature over the bytes as they were sent has been
// verified.
func plainBody(w http.ResponseWriter, r *http.Request, body []byte) ([]byte, *handlers.Problem) {
	switch encoding := strings.ToLower(strings.Join(r.Header.Values("Content-Encoding"),
		",")); strings.TrimSpace(encoding) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		return gunzip(body)
	}
	w.Header().Set("Accept-Encoding", "gzip")
	return nil, handlers.NewProblem(http.StatusUnsupportedMediaType, "the Content-Encoding must be gzip, or none")
}

// gunzip decompresses what is at most as large as a webhook may be.
func gunzip(body []byte) ([]byte, *handlers.Problem) {
	reader, err := gzip.NewReader(bytes.NewReader(body))
	var plain []byte
	if err == nil {
		plain, err = io.ReadAll(io.LimitReader(reader, handlers.MaxBody+1))
	}
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, handlers.NewProblem(http.StatusBadRequest, "the gzip body is truncated")
	case err != nil:
		return nil, handlers.NewProblem(http.StatusBadRequest, "the body is not gzip, although its Content-Encoding is")
	case len(plain) > handlers.MaxBody:
		return nil, handlers.NewProblem(http.StatusRequestEntityTooLarge, "the body is over 1 MiB after decompression")
	}
	return plain, nil
}

// mediaType is a request's media type without parameters, which mean nothing for JSON (RFC 8259 section 11); "" if
// it has none.
func mediaType(h http.Header) string {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// requireJSON refuses a body of the canonical format that is declared as something else.
func requireJSON(h http.Header) *handlers.Problem {
	if mediaType(h) != "application/json" {
		return handlers.NewProblem(http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
	}
	return nil
}

// fromForm is the JSON that a form carries in one of its fields, as in payload={...}, for a format that reads JSON;
// any other body as it is. Of a format that reads forms too, the field must be the only one.
func fromForm(h http.Header, f *pms.Format, body []byte) []byte {
	if mediaType(h) != "application/x-www-form-urlencoded" || !f.TakesJSON() || looksJSON(body) {
		return body
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || (f.TakesForms() && len(form) != 1) {
		return body
	}
	var found []string
	for _, values := range form {
		for _, v := range values {
			if looksJSON([]byte(v)) && pms.CheckJSON([]byte(v)) == nil {
				found = append(found, v)
			}
		}
	}
	if len(found) != 1 {
		return body
	}
	return []byte(found[0])
}

func withoutMark(body []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
}

// looksJSON reports whether a text begins like an object or a list.
func looksJSON(body []byte) bool {
	text := withoutMark(body)
	return len(text) > 0 && (text[0] == '{' || text[0] == '[')
}

// bodyKind returns how a PMS's body is read: "" for JSON, "form" or "query".
func bodyKind(h http.Header, f *pms.Format, body []byte) (string, *handlers.Problem) {
	media := mediaType(h)
	isForm := media == "application/x-www-form-urlencoded"
	// PHP's HTTP client, among others, declares a form by default.
	isJSON := looksJSON(body) && f.TakesJSON()
	switch {
	case len(withoutMark(body)) == 0 && f.TakesQueries():
		return "query", nil
	case isForm && f.TakesForms() && !isJSON:
		return "form", nil
	case isJSON, f.TakesJSON() && (media == "" || strings.HasSuffix(media, "json") || media == "text/plain"):
		return "", nil
	}
	wanted := "application/json"
	if f.TakesForms() {
		wanted += " or application/x-www-form-urlencoded"
	}
	return "", handlers.NewProblem(http.StatusUnsupportedMediaType, "the Content-Type must be "+wanted)
}
