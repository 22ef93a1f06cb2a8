package main

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store/storetest"
)

var years = regexp.MustCompile(`\b20[0-9]{2}-([0-9]{2}-[0-9]{2})`)

// ahead reads a payload of a PMS with all of its dates in the next year, so that its stay is to come.
func ahead(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../internal/pms/testdata/payloads", name))
	if err != nil {
		t.Fatal(err)
	}
	return thisComing(text)
}

func thisComing(text []byte) []byte {
	return years.ReplaceAll(text, fmt.Appendf(nil, "%d-$1", time.Now().Year()+1))
}

// fakePMS is the API of a PMS: it fails at first, wants its credentials, and then has a document for each path.
type fakePMS struct {
	*httptest.Server
	mu        sync.Mutex
	documents map[string][]byte // by the beginning of the path and query
	allowed   func(*http.Request, []byte) bool
	failures  []int // statuses of the first answers
	asked     []string
	refused   []string
}

func newFakePMS(t *testing.T, allowed func(*http.Request, []byte) bool, documents map[string][]byte) *fakePMS {
	f := &fakePMS{documents: documents, allowed: allowed, failures: []int{
		http.StatusServiceUnavailable,
		http.StatusNotFound,
	}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakePMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.URL.Path == "/token" {
		id, secret, ok := r.BasicAuth()
		if !ok {
			values, _ := url.ParseQuery(string(body))
			id, secret = values.Get("client_id"), values.Get("client_secret")
		}
		if id != "client" || secret != "client-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 3600}`)
		return
	}
	f.asked = append(f.asked, r.Method+" "+r.URL.RequestURI())
	if !f.allowed(r, body) {
		f.refused = append(f.refused, r.URL.RequestURI())
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if len(f.failures) > 0 {
		status := f.failures[0]
		f.failures = f.failures[1:]
		w.WriteHeader(status)
		return
	}
	for path, document := range f.documents {
		if strings.HasPrefix(r.URL.RequestURI(), path) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(document)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

func hasHeader(name, value string) func(*http.Request, []byte) bool {
	return func(r *http.Request, _ []byte) bool { return r.Header.Get(name) == value }
}

func signature(secret string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// get reads something over REST.
func (p *process) get(path string, into any) int {
	p.t.Helper()
	return p.admin(http.MethodGet, path, nil, into)
}

func (p *process) admin(method, path string, body []byte, into any) int {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e2eToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			p.t.Fatal(err)
		}
	}
	return resp.StatusCode
}

// send sends a webhook of any form, again while the answer is 503, and returns the status.
func (p *process) send(method, path string, body []byte, change func(http.Header)) int {
	p.t.Helper()
	status := p.untilTaken(func() int { return p.sendOnce(method, path, body, change) })
	if status == 0 {
		p.t.Fatal("no answer to a webhook")
	}
	return status
}

// sendOnce is send for those who expect a 503; it returns 0 if the service is gone.
func (p *process) sendOnce(method, path string, body []byte, change func(http.Header)) int {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(req.Header)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

const pmsToken = "a-token-of-the-pms-0123456789"

// scenario is what a file of internal/pms/testdata/scenarios says about a preset. README.md there explains the fields.
type scenario struct {
	Webhook     string            `yaml:"webhook"`
	Query       string            `yaml:"query"`
	Listing     string            `yaml:"listing"`
	Reservation string            `yaml:"reservation"`
	CheckIn     string            `yaml:"check_in"`
	Documents   map[string]string `yaml:"documents"`
	Optional    bool              `yaml:"optional"`
	Acts        []act             `yaml:"acts"`
}

func scenarioOf(t *testing.T, preset string) (s scenario) {
	t.Helper()
	text, err := os.ReadFile("../../internal/pms/testdata/scenarios/" + preset + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(text, &s, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", preset, err)
	}
	return s
}

// webhookCase is a webhook, and the key that it results in.
type webhookCase struct {
	source, format, config string
	method, path           string
	body                   []byte
	sign                   func(body []byte, h http.Header)
	listing, reservation   string
	starts                 string // check-in, in the next year
	api                    *fakePMS
	least                  int // requests to the API
}

// presetCase is the first webhook of a preset's scenario, signed as the preset says.
func presetCase(t *testing.T, preset string) webhookCase {
	t.Helper()
	format, err := pms.LoadFormat(preset)
	if err != nil {
		t.Fatal(err)
	}
	s := scenarioOf(t, preset)
	c := webhookCase{
		source: preset, path: "/webhooks/" + preset, body: ahead(t, s.Webhook), listing: s.Listing,
		reservation: s.Reservation, starts: s.CheckIn, least: 3, // two failures, and the document
	}
	if s.Optional {
		c.least = 2 // a 404 is enough to do without
	}

	secret := preset + "-url-token-0123456789"
	switch v := format.Verify; v.Method {
	case "hmac":
		c.sign = func(body []byte, h http.Header) { h.Set(v.Header, v.Prefix+signature(secret, body)) }
	case "basic":
		secret = preset + ":basic-password"
		c.sign = func(_ []byte, h http.Header) {
			h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(secret)))
		}
	case "standard-webhooks":
		secret = e2eSecret.String()
		c.sign = func(body []byte, h http.Header) {
			id, now := "msg_"+preset, time.Now()
			h.Set("svix-id", id)
			h.Set("svix-timestamp", fmt.Sprint(now.Unix()))
			h.Set("svix-signature", e2eSecret.Sign(id, now, body))
		}
	case "header":
		c.sign = func(_ []byte, h http.Header) { h.Set(v.Header, v.Prefix+secret) }
	case "url-token":
		c.path += "/" + secret
	default:
		t.Fatalf("%s: sign its webhooks here: %s", preset, v.Method)
	}
	c.config = `verify: {secrets: ["` + secret + `"]}`
	if s.Query != "" {
		c.path += "?" + s.Query
	}
	if len(s.Documents) == 0 {
		return c
	}

	documents := map[string][]byte{}
	for path, file := range s.Documents {
		documents[path] = ahead(t, file)
	}
	c.api = newFakePMS(t, credentials(format.Fetch), documents)
	c.config += "\n    " + fetchFrom(c.api, format.Fetch.Auth)
	return c
}

// credentials returns whether a request has those that the API of a PMS wants.
func credentials(f *pms.FetchManifest) func(*http.Request, []byte) bool {
	switch f.Auth {
	case "oauth2":
		return hasHeader("Authorization", "Bearer an-access-token")
	case "bearer":
		return hasHeader("Authorization", "Bearer "+pmsToken)
	case "body":
		wanted := []byte(`"ClientToken":"` + pmsToken + `"`)
		return func(_ *http.Request, body []byte) bool { return bytes.Contains(body, wanted) }
	default:
		return hasHeader(f.Header, pmsToken)
	}
}

// fetchFrom is a source's setting to fetch documents from a PMS's API.
func fetchFrom(api *fakePMS, auth string) string {
	how := "token: " + pmsToken
	switch auth {
	case "oauth2":
		how = `token_url: "` + api.URL + `/token", client_id: client, client_secret: client-secret`
	case "body":
		how = "body: {ClientToken: " + pmsToken + ", AccessToken: t, Client: staykey}"
	}
	return `fetch: {url: "` + api.URL + `", per_second: 1000, ` + how + `}`
}

// TestPresets goes from each PMS's own webhook, signed as it signs, to a mobile key; where its webhooks only name what
// they are about, over an API that fails at first.
func TestPresets(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	year := fmt.Sprint(time.Now().Year() + 1)
	beds24 := newFakePMS(t, hasHeader("token", pmsToken), map[string][]byte{"/bookings?id=12345678": []byte(
		`{"success": true, "data": [{"id": 12345678, "roomId": 2000, "unitId": 2, "status": "confirmed", "arrival": "` +
			year + `-08-01", "departure": "` + year + `-08-05", "modifiedTime": "2026-07-01T10:16:00Z",
			"firstName": "Jane", "lastName": "Doe", "email": "jane@example.com",
			"infoItems": [{"code": "ACCESS_ENDTIME", "text": "34:00"}]}]}`)})

	page := read(t, "../../docs/sources/your-own.md") // a format of one's own, as the page shows it
	own := filepath.Join(t.TempDir(), "mypms.jq")
	if err := os.WriteFile(own, []byte(page["jq"][0]), 0o600); err != nil {
		t.Fatal(err)
	}

	cases := []webhookCase{
		{
			source: "beds24v1", format: "beds24",
			config: `verify: {method: url-token, parameter: key, secrets: ["beds24v1-url-token-0123456789"]}
    ` + fetchFrom(beds24, "header"),
			method:  http.MethodGet,
			path:    "/webhooks/beds24v1?bookid=12345678&status=new&key=beds24v1-url-token-0123456789",
			listing: "2000/2", reservation: "12345678", starts: "08-01T13:00:00.000Z", api: beds24, least: 3,
		},
		{
			source: "mypms", format: own, config: `verify: {secrets: ["` + pmsToken + `"]}`, path: "/webhooks/mypms",
			body:    thisComing([]byte(page["json"][0])),
			sign:    func(_ []byte, h http.Header) { h.Set("X-MyPMS-Token", pmsToken) },
			listing: "12", reservation: "7731", starts: "07-01T14:00:00.000Z",
		},
	}
	for _, preset := range pms.Presets() {
		cases = append(cases, presetCase(t, preset))
	}

	config := "sources:\n"
	for _, c := range cases {
		format := cmp.Or(c.format, c.source)
		// They share a door, which needs a list: without one a group belongs to the source that used it first.
		config += fmt.Sprintf(
			"  - name: %s\n    format: %s\n    time_zone: Europe/Madrid\n    access_groups: [\"555555-5555\"]\n    %s\n",
			c.source, format, c.config)
	}
	file := configFile(t, config)
	p := launch(t, append(slices.DeleteFunc(env, func(s string) bool {
		return strings.HasPrefix(s,
			"STAYKEY_WEBHOOK_SECRET=")
	}), "STAYKEY_CONFIG="+file, "STAYKEY_LOG_LEVEL=debug"))
	for _, c := range cases {
		t.Run(c.source, func(t *testing.T) {
			t.Parallel()
			q := &process{t: t, url: p.url}
			if got := q.admin(http.MethodPut, "/v1/listings/"+c.source+"/"+url.PathEscape(c.listing),
				[]byte(`{"seam_access_group_ids": ["555555-5555"]}`), nil); got/100 != 2 {
				t.Fatalf("PUT listing: %d", got)
			}
			method, path := cmp.Or(c.method, http.MethodPost), c.path
			sign := func(h http.Header) {
				if c.sign != nil {
					c.sign(c.body, h)
				}
			}
			forged := strings.NewReplacer("url-token", "url-tokem").Replace(path)
			if got := q.send(method, forged, append([]byte(" "), c.body...), func(h http.Header) {
				sign(h)
				if v := h.Get("Authorization"); v != "" {
					h.Set("Authorization", v[:len(v)-4]+"AAA=")
				}
				if v := h.Get("X-MyPMS-Token"); v != "" {
					h.Set("X-MyPMS-Token", v+"x")
				}
			}); got != http.StatusUnauthorized {
				t.Errorf("a forged webhook is answered %d", got)
			}
			if got := q.send(method, path, c.body, sign); got != http.StatusAccepted {
				t.Fatalf("the webhook is answered %d", got)
			}
			var r struct {
				CheckIn   string         `json:"check_in"`
				MobileKey map[string]any `json:"mobile_key"`
			}
			waitUntil(t, "a key", func() bool {
				return q.get("/v1/reservations/"+c.source+"/"+c.reservation, &r) == http.StatusOK &&
					r.MobileKey["status"] == "issued"
			})
			if want := fmt.Sprintf("%d-%s", time.Now().Year()+1, c.starts); r.CheckIn != want {
				t.Errorf("check-in %s, want %s", r.CheckIn, want)
			}
			if c.api == nil {
				return
			}
			var timeline struct{ Items []map[string]any }
			q.get("/v1/reservations/"+c.source+"/"+c.reservation+"/timeline", &timeline)
			tries := 0
			for _, item := range timeline.Items {
				if item["kind"] == "fetch" { // one line for all requests
					detail, _ := item["detail"].(map[string]any)
					n, _ := detail["requests"].(float64)
					tries += int(n)
				}
			}
			c.api.mu.Lock()
			defer c.api.mu.Unlock()
			if tries < c.least || tries != len(c.api.asked) || len(c.api.refused) > 0 {
				t.Errorf("%d requests in the timeline, %d were made, %d without the right credentials: %v", tries,
					len(c.api.asked), len(c.api.refused), c.api.asked)
			}
		})
	}
	t.Cleanup(func() { // after the parallel ones
		if peaks := sim.Peaks(); peaks.UsersOfOneStay > 1 || peaks.KeysOfOneUser > 1 {
			t.Errorf("something was made twice: %+v", peaks)
		}
		for _, secret := range []string{
			pmsToken, "client-secret", "an-access-token", "basic-password",
			"url-token-0123456789", "jane.doe@example.com",
		} {
			if strings.Contains(p.log.String(), secret) {
				t.Errorf("the log holds %q", secret)
			}
		}
	})
}

// TestReload changes the sources of a running service; a wrong file changes nothing, and no request is dropped.
func TestReload(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	api := newFakePMS(t, hasHeader("X-HOSTFULLY-APIKEY", pmsToken),
		map[string][]byte{"/leads/": ahead(t, "hostfully/NEW_BOOKING.fetched_lead.json")})
	file := filepath.Join(t.TempDir(), "staykey.yaml")
	write := func(content string) {
		t.Helper()
		writeConfig(t, file, content)
	}
	const first = `sources:
  - name: hostfully
    format: hostfully
    time_zone: Europe/Madrid
    verify: {secrets: ["hostfully-url-token-0123456789"]}
`
	write(first)
	p := launch(t, append(env, "STAYKEY_CONFIG="+file))
	hangUp := func(record string) {
		t.Helper()
		before := strings.Count(p.log.String(), record)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, record, func() bool { return strings.Count(p.log.String(), record) > before })
	}
	const path = "/webhooks/hostfully/hostfully-url-token-0123456789"
	if got := p.send(http.MethodPost, path, ahead(t, "hostfully/NEW_BOOKING.json"), nil); got != http.StatusAccepted {
		t.Fatalf("answered %d", got)
	}
	var events struct {
		Items []struct {
			EventID string `json:"event_id"`
			Status  string
			Reason  *string
		}
	}
	waitUntil(t, "needs_fetch", func() bool {
		return p.get("/v1/events?status=accepted", &events) == 200 && len(events.Items) == 1 &&
			events.Items[0].Reason != nil && *events.Items[0].Reason == "needs_fetch"
	})
	write("sources:\n  - name: hostfully\n    format: hostfully\n")
	hangUp("configuration not reloaded")
	if got := p.send(http.MethodPost, path, []byte(`{"event_type": "NEW_INBOX_MESSAGE"}`),
		nil); got != http.StatusAccepted {
		t.Fatalf("after a wrong file: answered %d", got)
	}
	stop := make(chan struct{})
	dropped := make(chan int, 1)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				dropped <- n
				return
			default:
				if p.send(http.MethodPost, path, []byte(`{"event_type": "NEW_INBOX_MESSAGE"}`),
					nil) != http.StatusAccepted {
					n++
				}
			}
		}
	}()
	write(first + "    fetch: {url: \"" + api.URL + "\", token: " + pmsToken + "}\n")
	hangUp("configuration reloaded")
	waitUntil(t, "what waited is fetched and applied", func() bool {
		return p.get("/v1/reservations/hostfully/3f1c0000-0000-4000-8000-000000000003", nil) == http.StatusOK
	})
	close(stop)
	if n := <-dropped; n > 0 {
		t.Errorf("%d requests were dropped while the configuration changed", n)
	}
	write(strings.Replace(first, "Europe/Madrid", "America/New_York", 1)) // 16:00 there is 20:00 of UTC
	hangUp("configuration reloaded")
	waitUntil(t, "stays follow the new policy", func() bool {
		var r struct {
			CheckIn string `json:"check_in"`
		}
		return p.get("/v1/reservations/hostfully/3f1c0000-0000-4000-8000-000000000003", &r) == http.StatusOK &&
			strings.HasSuffix(r.CheckIn, "T20:00:00.000Z")
	})
	const other = "sources:\n  - name: other\n    verify: {method: none}\n    insecure: true\n"
	write(other)
	hangUp("configuration not reloaded") // the stay of the source that is missing is not over
	if got := p.send(http.MethodPost, path, []byte(`{"event_type": "NEW_INBOX_MESSAGE"}`),
		nil); got != http.StatusAccepted {
		t.Errorf("a source in use that is missing from the file: answered %d", got)
	}
	write(other + "  - name: hostfully\n    retired: true\n")
	hangUp("configuration reloaded")
	if got := p.send(http.MethodPost, path, []byte(`{}`), nil); got != http.StatusNotFound {
		t.Errorf("a retired source: answered %d", got)
	}
	waitUntil(t, "readiness to show a source that anybody may post to", func() bool {
		resp, err := http.Get(p.ops + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var ready struct{ Detail any } // a text while it is not ready
		if err := json.NewDecoder(resp.Body).Decode(&ready); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(fmt.Sprint(ready.Detail), "accepts webhooks from anybody")
	})
}

// TestImport imports what was booked before, twice, over a source with a format of its own.
func TestImport(t *testing.T) {
	t.Parallel()
	dsn := storetest.DSN(t)
	_, env := simulated(t, dsn)
	dir := t.TempDir()
	file := filepath.Join(dir, "staykey.yaml")
	writeConfig(t, file,
		"sources:\n  - name: lodgify\n    format: lodgify\n    time_zone: Europe/Madrid\n    horizon: 30d\n    verify: {secrets: [\"lodgify-secret\"]}\n")
	rows := filepath.Join(dir, "rows.csv")
	near, far := time.Now().AddDate(0, 0, 10).Format("2006-01-02"), time.Now().AddDate(0, 0, 100).Format("2006-01-02")
	content := "\ufeffreservation_id,listing_id,check_in,check_out,guest_email\n"
	content += "1,10000," + near + "," + far + ",jane@example.com\n2,10000," + far + "," + time.Now().AddDate(0, 0,
		103).Format("2006-01-02") + ",jane@example.com\n3,10000,soon," + far + ",\n4,," + near + "," + far +
		",joe@example.com\n"
	if err := os.WriteFile(rows, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	listings := filepath.Join(dir, "listings.ndjson")
	if err := os.WriteFile(listings, []byte(`{"listing_id": "10000", "seam_access_group_ids": ["555555-5555"]}`+
		"\n\n[1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, append(env, "STAYKEY_CONFIG="+file))
	token := inFile(t, e2eToken)
	imports := func(file string, more ...string) (int, string) {
		var out bytes.Buffer
		code := run(t.Context(), append([]string{
			"import", "--source", "lodgify", "--url", p.url, "--token-file", token,
			file,
		}, more...), &streams{out: &out, err: &out})
		return code, out.String()
	}
	for _, c := range []struct {
		file, want string
		more       []string
	}{
		{
			rows, "4 rows: 3 would be applied, 0 are outdated and would change nothing, 0 already imported, 1 invalid",
			[]string{"--dry-run"},
		},
		{listings, "2 rows: 1 were applied, 0 were outdated and changed nothing, 0 already imported, 1 invalid", nil},
		{rows, "4 rows: 3 were applied, 0 were outdated and changed nothing, 0 already imported, 1 invalid", nil},
		// What was true a year ago doesn't change what is known since.
		{rows, "4 rows: 0 were applied, 3 were outdated", []string{"--as-of", "2020-01-01T00:00:00Z"}},
		{rows, "4 rows: 0 were applied, 0 were outdated and changed nothing, 3 already imported, 1 invalid", nil},
	} {
		code, output := imports(c.file, c.more...)
		if code != 1 || !strings.Contains(output, c.want) || !strings.Contains(output, "line ") {
			t.Errorf("exit %d, want %q:\n%s", code, c.want, output)
		}
	}
	status := func(id, status, reason string) func() bool {
		return func() bool {
			var r struct {
				MobileKey struct{ Status, Reason string } `json:"mobile_key"`
			}
			return p.get("/v1/reservations/lodgify/"+id, &r) == 200 && r.MobileKey.Status == status &&
				r.MobileKey.Reason == reason
		}
	}
	waitUntil(t, "the near one's key", status("1", "issued", ""))
	waitUntil(t, "the far one waits", status("2", "waiting", "before_horizon"))
	waitUntil(t, "the one without a room waits", status("4", "waiting", "no_room_assigned"))
	var out bytes.Buffer
	if code := run(t.Context(), []string{"import", "--source", "lodgfy", "--url", p.url, "--token-file", token, rows},
		&streams{out: &out, err: &out}); code != 1 || !strings.Contains(out.String(), "unknown source") {
		t.Errorf("a source that is misspelt: exit %d: %s", code, out.String())
	}
	if code, output := imports(filepath.Join(dir, "staykey.yaml")); code != 1 ||
		!strings.Contains(output, `".yaml" must be .csv, .tsv, .json or .ndjson`) {
		t.Errorf("exit %d: %s", code, output)
	}
}
