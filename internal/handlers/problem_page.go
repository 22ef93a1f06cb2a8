package handlers

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

//go:embed problem_page.html
var problemPage string

var problemTemplate = template.Must(template.New("problem").Parse(problemPage))

// pageWriter replaces a problem by a page, for browsers. It holds the problem back until finish.
type pageWriter struct {
	http.ResponseWriter
	browsable bool // the listener has pages to go to, and their style
	status    int  // of the problem; 0: the answer isn't a problem and was passed on
	body      bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (w *pageWriter) WriteHeader(status int) {
	if w.Header().Get("Content-Type") == problemType {
		w.status = status
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *pageWriter) Write(b []byte) (int, error) {
	if w.status != 0 {
		return w.body.Write(b)
	}
	return w.ResponseWriter.Write(b)
}

// Flush implements http.Flusher. A problem is never flushed.
func (w *pageWriter) Flush() {
	if w.status == 0 {
		_ = http.NewResponseController(w.ResponseWriter).Flush() // not every connection can
	}
}

// Unwrap is for http.ResponseController.
func (w *pageWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// finish writes the page, if the answer is a problem.
func (w *pageWriter) finish() {
	var p Problem
	if w.status == 0 {
		return
	}
	if json.Unmarshal(w.body.Bytes(), &p) != nil { // the answer to a HEAD has no body
		p = *NewProblem(w.status, "")
	}
	var page bytes.Buffer
	if problemTemplate.Execute(&page, struct {
		Problem
		Browsable bool
	}{p, w.browsable}) != nil {
		page.Reset()
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Del("Content-Length")
	w.ResponseWriter.WriteHeader(w.status)
	_, _ = w.ResponseWriter.Write(page.Bytes()) // the client may be gone
}

// asksForPage reports whether the client, such as a browser, prefers HTML to JSON.
func asksForPage(r *http.Request) bool {
	var html, other float64
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			media, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			weight := 1.0
			if q, given := params["q"]; given {
				if weight, err = strconv.ParseFloat(q, 64); err != nil {
					weight = 0
				}
			}
			switch media {
			case "text/html":
				html = weight
			case "application/json", problemType:
				other = max(other, weight)
			}
		}
	}
	return html > other
}
