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

// This file decides how to read a webhook's body: its encoding, its media type, and the format's view of it. The bytes
// count more than the headers, which a PMS's HTTP library may set on its own.

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

// gunzip decompresses a body, up to the maximum size of a webhook.
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

// requireJSON refuses bodies of the canonical format that aren't declared as JSON.
func requireJSON(h http.Header) *handlers.Problem {
	if mediaType(h) != "application/json" {
		return handlers.NewProblem(http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
	}
	return nil
}

// fromForm extracts the JSON in a form's field, as in payload={...}, for formats that read JSON. Other bodies are
// returned unchanged. For formats that read forms too, the field must be the only one.
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
