package writeback_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fake is a PMS's API: what is in the fields of its bookings, and what it was asked. handle answers as that PMS does.
type fake struct {
	t      testing.TB
	URL    string
	handle func(f *fake, w http.ResponseWriter, r call)

	mu       sync.Mutex
	fields   map[string]string // by booking and field
	items    map[string]item   // by id, of PMSs whose fields are objects of their own
	nextItem int
	known    func(booking string) bool
	writes   map[string]int // changing calls that took effect, by booking
	texts    int            // those of them that wrote a text, and cleared nothing
	asked    []string       // method and path of every call
	faults   []fault
	deaf     bool // answers success without effect
	tokens   int
}

type item struct{ booking, field, text string }

// call is a request that a fake was asked.
type call struct {
	Method, Path string
	query        map[string]string
	body         any
	form         map[string]string
	header       http.Header
}

// fault makes calls fail: n of them whose method and path begin so.
type fault struct {
	begins string
	n      int
	status int
	header map[string]string
	body   string
	lose   bool // the call takes effect, and the answer is lost
	hold   func()
}

func newFake(t testing.TB, handle func(*fake, http.ResponseWriter, call)) *fake {
	t.Helper()
	f := &fake{
		t: t, handle: handle, fields: map[string]string{}, items: map[string]item{}, writes: map[string]int{},
		known: func(string) bool { return true },
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	c := call{Method: r.Method, Path: r.URL.Path, query: map[string]string{}, header: r.Header}
	for name, values := range r.URL.Query() {
		c.query[name] = values[0]
	}
	if strings.HasSuffix(c.Path, "/token") || strings.HasSuffix(c.Path, "/accessTokens") {
		f.mu.Lock()
		f.tokens++
		f.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token": "the-oauth-token", "token_type": "Bearer", "expires_in": 86400}`)
		return
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		r.Body = io.NopCloser(strings.NewReader(string(text)))
		_ = r.ParseForm()
		c.form = map[string]string{}
		for name, values := range r.PostForm {
			c.form[name] = values[0]
		}
	} else if len(text) > 0 {
		if err := json.Unmarshal(text, &c.body); err != nil {
			f.t.Errorf("%s %s: %v in %q", r.Method, r.URL.Path, err, text)
		}
	}
	fail := f.fault(c)
	if fail.hold != nil {
		fail.hold()
	}
	if fail.status != 0 {
		for name, value := range fail.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(fail.status)
		_, _ = io.WriteString(w, fail.body)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if fail.lose {
		f.handle(f, httptest.NewRecorder(), c)
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
		return
	}
	f.handle(f, w, c)
}

// fault notes a call and returns what is wrong with it.
func (f *fake) fault(c call) fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	what := c.Method + " " + c.Path
	f.asked = append(f.asked, what)
	for i := range f.faults {
		if is := &f.faults[i]; is.n != 0 && strings.HasPrefix(what, is.begins) {
			is.n--
			return *is
		}
	}
	return fault{}
}

func (f *fake) fail(faults ...fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, faults...)
}

func (f *fake) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.deaf = nil, false
}

// set changes a field, as somebody at the PMS does.
func (f *fake) set(booking, field, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fields[booking+" "+field] = text
}

// change is a change by a call, called with the lock held.
func (f *fake) change(booking, field, text string) {
	f.writes[booking]++
	if text != "" {
		f.texts++
	}
	if !f.deaf {
		f.fields[booking+" "+field] = text
	}
}

func (f *fake) field(booking, field string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fields[booking+" "+field]
}

func (f *fake) written(booking string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes[booking]
}

// calls counts the calls whose method and path begin so.
func (f *fake) calls(begins string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, what := range f.asked {
		if strings.HasPrefix(what, begins) {
			n++
		}
	}
	return n
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// must checks what every call of a PMS has.
func (f *fake) must(ok bool, format string, args ...any) {
	if !ok {
		f.t.Errorf(format, args...)
	}
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// hostaway answers as Hostaway's reservations do: the whole reservation, in an envelope.
func hostaway(f *fake, w http.ResponseWriter, r call) {
	f.must(r.header.Get("Authorization") == "Bearer the-oauth-token", "authorization %q", r.header.Get("Authorization"))
	id, is := strings.CutPrefix(r.Path, "/reservations/")
	if !is || !f.known(id) {
		answer(w, http.StatusNotFound, map[string]any{"status": "fail", "message": "Resource not found"})
		return
	}
	if r.Method == http.MethodPut {
		for name, value := range object(r.body) {
			if name != "customFieldValues" {
				f.change(id, name, text(value))
				continue
			}
			for _, v := range list(value) {
				f.change(id, "custom:"+text(object(v)["customFieldId"]), text(object(v)["value"]))
			}
		}
	}
	result := map[string]any{"id": json.Number(id), "doorCode": nil, "doorCodeInstruction": nil, "hostNote": nil}
	values := []any{}
	for key, value := range f.fields {
		booking, field, _ := strings.Cut(key, " ")
		if booking != id {
			continue
		}
		if custom, is := strings.CutPrefix(field, "custom:"); is {
			values = append(values, map[string]any{"customFieldId": json.Number(custom), "value": value})
			continue
		}
		result[field] = value
	}
	result["customFieldValues"] = values
	answer(w, http.StatusOK, map[string]any{"status": "success", "result": result})
}

// beds24 answers as Beds24's bookings do: an info item is an object of its own, and a change answers only what it did.
func beds24(f *fake, w http.ResponseWriter, r call) {
	f.must(r.header.Get("token") == "the-token", "token %q", r.header.Get("token"))
	switch r.Method + " " + r.Path {
	case "GET /bookings":
		id := r.query["id"]
		if !f.known(id) {
			answer(w, http.StatusOK, map[string]any{"success": true, "data": []any{}})
			return
		}
		items := []any{map[string]any{"id": 1, "code": "OTHER", "text": "theirs"}}
		for key, i := range f.items {
			if i.booking == id {
				items = append(items, map[string]any{"id": json.Number(key), "code": i.field, "text": i.text})
			}
		}
		answer(w, http.StatusOK, map[string]any{
			"success": true,
			"data":    []any{map[string]any{"id": json.Number(id), "infoItems": items}},
		})
	case "POST /bookings":
		for _, b := range list(r.body) {
			id := text(object(b)["id"])
			f.writes[id]++
			for _, i := range list(object(b)["infoItems"]) {
				f.beds24Item(id, object(i))
			}
		}
		answer(w, http.StatusCreated, []any{map[string]any{"success": true}})
	default:
		answer(w, http.StatusNotFound, map[string]any{"success": false, "error": "no such route"})
	}
}

func (f *fake) beds24Item(booking string, i map[string]any) {
	if f.deaf {
		return
	}
	id := text(i["id"])
	switch {
	case id == "":
		f.nextItem++
		id = strconv.Itoa(1000 + f.nextItem)
	case i["text"] == nil:
		delete(f.items, id)
		f.fields[booking+" STAYKEY"] = ""
		return
	}
	f.items[id] = item{booking, text(i["code"]), text(i["text"])}
	f.fields[booking+" "+text(i["code"])] = text(i["text"])
}
