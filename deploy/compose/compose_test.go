//go:build compose

// Package compose_test starts docker-compose.yml unchanged, in a real Docker: make compose-test. Each stack publishes
// free ports. A run that is killed leaves its containers, and Docker restarts them; the next run removes them.
package compose_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/until"
)

// The secrets that the stack under test has: the development ones, until withOwnSecrets. The tests here run one after
// another.
var (
	secret = "whsec_c3RheWtleS1kZXZlbG9wbWVudC1vbmx5LXNlY3JldCE="
	token  = "staykey-development-admin-token"
)

// withOwnSecrets gives a stack with a Seam key secrets of its own: the development ones are refused there.
func (s *stack) withOwnSecrets() {
	before := [2]string{secret, token}
	s.t.Cleanup(func() { secret, token = before[0], before[1] })
	secret, token = "whsec_dGhlIGNvbXBvc2UgdGVzdCdzIG93biBzZWNyZXQsIG5vIGtleQ==",
		"the-compose-test-s-own-admin-token-7391"
	s.env = append(s.env, "STAYKEY_WEBHOOK_SECRET="+secret, "STAYKEY_ADMIN_TOKEN="+token,
		"POSTGRES_PASSWORD=the-compose-test-s-own-password-7391")
}

// stack is a project of docker compose.
type stack struct {
	t          *testing.T
	args       []string
	env        []string
	port       int // of the service, on 127.0.0.1
	prometheus int
}

func newStack(t *testing.T, name string, files ...string) *stack {
	t.Helper()
	removeLeftovers(t)
	s := &stack{t: t, port: freePort(t), prometheus: freePort(t)}
	s.env = append(os.Environ(), fmt.Sprint("STAYKEY_PORT=", s.port), fmt.Sprint("PROMETHEUS_PORT=", s.prometheus))
	if exec.Command("docker", "compose", "version").Run() == nil {
		s.args = []string{"docker", "compose"}
	} else {
		s.args = []string{"docker-compose"}
	}
	for _, file := range files {
		s.args = append(s.args, "-f", file)
	}
	s.args = append(s.args, "--project-directory", "../..", "-p", project(name))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := s.command("logs", "--tail", "60").CombinedOutput()
			t.Logf("%s", out)
		}
		_ = s.command("down", "-v", "-t", "5").Run()
	})
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

// project names the stack of a test in this process: removeLeftovers knows by it whether the run is over.
func project(name string) string { return fmt.Sprintf("staykey-%s-%d", name, os.Getpid()) }

var ofATest = regexp.MustCompile(`^staykey-(?:e2e|replicas)-([0-9]+)$`)

// removeLeftovers removes the containers, networks and volumes of runs that were killed before they could.
func removeLeftovers(t *testing.T) {
	t.Helper()
	const label = "com.docker.compose.project"
	docker := func(args ...string) []string {
		return strings.Fields(string(must(t, exec.Command("docker", args...))))
	}
	projects := docker("ps", "--all", "--format", fmt.Sprintf("{{.Label %q}}", label))
	slices.Sort(projects)
	for _, project := range slices.Compact(projects) {
		match := ofATest.FindStringSubmatch(project)
		if match == nil {
			continue
		}
		if _, err := os.Stat("/proc/" + match[1]); err == nil {
			continue // it runs
		}
		t.Logf("removing the containers that a killed run left: %s", project)
		filter := "label=" + label + "=" + project
		for _, kind := range []struct{ list, remove []string }{
			{[]string{"ps", "--all"}, []string{"rm", "--force", "--volumes"}},
			{[]string{"network", "ls"}, []string{"network", "rm"}},
			{[]string{"volume", "ls"}, []string{"volume", "rm"}},
		} {
			if found := docker(append(kind.list, "--quiet", "--filter", filter)...); len(found) > 0 {
				docker(append(kind.remove, found...)...)
			}
		}
	}
}

func (s *stack) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.args[0], append(append([]string{}, s.args[1:]...), args...)...)
	cmd.Env = s.env
	return cmd
}

func (s *stack) do(args ...string) string {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

var client = http.Client{Timeout: 5 * time.Second}

// post sends a webhook until it is taken, as a PMS does, and returns how often it had to.
func post(t *testing.T, base func() string, id, kind string, data map[string]any) (tries int) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"type":      kind,
		"timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "data": data,
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := pms.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	until.True(t, "webhook "+id+" to be taken", func() bool {
		tries++
		now := time.Now()
		req, err := http.NewRequest(http.MethodPost, base()+"/webhooks/default", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("webhook-id", id)
		req.Header.Set("webhook-timestamp", fmt.Sprint(now.Unix()))
		req.Header.Set("webhook-signature", key.Sign(id, now, body))
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusOK
	})
	return tries
}

// get asks REST; nil while there is no answer.
func get(t *testing.T, address string) map[string]any {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	var body map[string]any
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(raw, &body) != nil {
		return nil
	}
	return body
}

func reservation(id string) map[string]any {
	return map[string]any{
		"reservation_id": id, "guest_email": id + "@example.com", "listing_id": "2222222-2222",
		"check_in": "2030-11-01T15:00:00.000Z", "check_out": "2030-11-04T11:00:00.000Z",
	}
}

// key is the mobile key of a reservation, once it is issued.
func key(t *testing.T, base func() string, id string) (found map[string]any) {
	t.Helper()
	until.True(t, "the key of "+id, func() bool {
		found, _ = get(t, base()+"/v1/reservations/default/"+id)["mobile_key"].(map[string]any)
		return found["status"] == "issued"
	})
	return found
}

func listing() map[string]any {
	return map[string]any{"listing_id": "2222222-2222", "seam_access_group_ids": []string{"555555-5555", "666666-6666"}}
}

// load posts reservations one after another until it is stopped.
type load struct {
	done     chan struct{}
	posting  sync.WaitGroup
	sent     int
	repeated int
}

func startLoad(t *testing.T, base func() string) *load {
	l := &load{done: make(chan struct{})}
	l.posting.Go(func() {
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			select {
			case <-l.done:
				return
			default:
			}
			l.repeated += post(t, base, fmt.Sprint("event-", l.sent), "reservation.created",
				reservation(fmt.Sprint("R", l.sent))) - 1
			l.sent++
		}
	})
	return l
}

// stop returns how many reservations were posted: R0 and on.
func (l *load) stop() int {
	close(l.done)
	l.posting.Wait()
	return l.sent
}

// mustBeMonitored starts Prometheus as the profile monitoring does, and asks it what alerts and the dashboard ask.
// Grafana only shows that.
func mustBeMonitored(t *testing.T, s *stack) {
	t.Helper()
	s.do("--profile", "monitoring", "up", "-d", "prometheus")
	prometheus := fmt.Sprint("http://127.0.0.1:", s.prometheus)
	query := func(expression string) (result []any) {
		answer := get(t, prometheus+"/api/v1/query?query="+url.QueryEscape(expression))
		data, _ := answer["data"].(map[string]any)
		result, _ = data["result"].([]any)
		return result
	}
	until.True(t, "Prometheus to have scraped twice",
		func() bool { return len(query(`count_over_time(up{job="staykey"}[5m]) > 2 and up == 1`)) > 0 })
	rules, _ := get(t, prometheus+"/api/v1/rules")["data"].(map[string]any)
	groups, _ := rules["groups"].([]any)
	count := 0
	for _, g := range groups {
		list, _ := g.(map[string]any)["rules"].([]any)
		for _, rule := range list {
			r := rule.(map[string]any)
			count++
			if r["health"] == "err" || r["state"] == "firing" {
				t.Errorf("alert %v: health %v, %v, %v", r["name"], r["health"], r["state"], r["lastError"])
			}
		}
	}
	if count < 10 {
		t.Errorf("Prometheus has %d rules", count)
	}
	raw, err := os.ReadFile("../monitoring/grafana/dashboards/staykey.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	nothingYet := []string{
		"Drift, by kind and action", // nobody has changed anything at Seam
		// the compose file configures no subscription and no links of guests
		"Subscriptions: stays not reported yet", "Subscriptions: delivery attempts", "Subscriptions: failing since",
		"Guests' keys", "Webhooks refused, by source",
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expression := strings.ReplaceAll(target.Expr, "$source", ".*") // Grafana's variable
			if len(query(expression)) == 0 && !slices.Contains(nothingYet, panel.Title) {
				t.Errorf("the panel %q has nothing to show: %s", panel.Title, target.Expr)
			}
		}
	}
}

// TestCompose is docker compose up and the README's curl commands, while each container is restarted in turn; then
// everything goes down and comes up again.
func TestCompose(t *testing.T) {
	s := newStack(t, "e2e", "../../docker-compose.yml")
	s.do("up", "-d", "--build")
	base := func() string { return fmt.Sprint("http://127.0.0.1:", s.port) }
	post(t, base, "listing", "listing.created", listing())
	post(t, base, "seed", "reservation.created", reservation("3333122-433"))
	key(t, base, "3333122-433")

	load := startLoad(t, base)
	for _, container := range []string{"staykey", "postgres"} {
		s.do("restart", "-t", "25", container)
	}
	n := load.stop()
	t.Logf("%d webhooks, of which %d had to be sent again while containers were restarted", n, load.repeated)
	want := map[string]any{}
	for i := range n {
		id := fmt.Sprint("R", i)
		want[id] = key(t, base, id)["acs_user_id"]
	}
	mustBeMonitored(t, s)
	s.do("down")
	s.do("up", "-d")
	for id, user := range want {
		if got := key(t, base, id)["acs_user_id"]; got != user {
			t.Errorf("%s has ACS user %v, and had %v before down and up", id, got, user)
		}
	}
}

// TestComposeReplicas has three replicas share the work, and kills them in turn: nothing acknowledged is lost, and the
// simulated Seam, which is apart, holds one ACS user with one mobile key for each stay and never held more.
func TestComposeReplicas(t *testing.T) {
	written, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	const ports = "    ports:\n      - \"127.0.0.1:${STAYKEY_PORT:-8080}:8080\"\n" // of one host there is one
	if !strings.Contains(string(written), ports) {
		t.Fatal("docker-compose.yml publishes another port than it did")
	}
	file := filepath.Join(t.TempDir(), "compose.yml")
	if err := os.WriteFile(file, []byte(strings.Replace(string(written), ports, "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	apart := filepath.Join(t.TempDir(), "simulator.yml")
	if err := os.WriteFile(apart, []byte(`services:
  seam:
    image: staykey
    command: [simulator, --listen, ":8180"]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStack(t, "replicas", file, apart)
	s.env = append(s.env, "SEAM_API_KEY=seam_test_compose", "SEAM_ENDPOINT=http://seam:8180")
	s.withOwnSecrets()
	s.do("up", "-d", "--build", "--scale", "staykey=3")
	replicas := strings.Fields(s.do("ps", "-q", "staykey"))
	if len(replicas) != 3 {
		t.Fatalf("%d replicas", len(replicas))
	}
	turn := 0
	var mu sync.Mutex
	base := func() string { // the next one that lives
		for range 2 * len(replicas) {
			mu.Lock()
			turn++
			replica := replicas[turn%len(replicas)]
			mu.Unlock()
			out, err := exec.Command("docker", "inspect", "-f",
				"{{if .State.Running}}{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}{{end}}",
				replica).Output()
			if address := strings.TrimSpace(string(out)); err == nil && address != "" {
				return "http://" + address + ":8080"
			}
		}
		return "http://127.0.0.1:1"
	}
	post(t, base, "listing", "listing.created", listing())
	load := startLoad(t, base)
	for _, replica := range replicas {
		for _, args := range [][]string{{"kill", replica}, {"start", replica}} {
			if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
				t.Fatalf("docker %v: %v %s", args, err, out)
			}
		}
	}
	n := load.stop()
	t.Logf("%d webhooks, of which %d had to be sent again while replicas were killed", n, load.repeated)
	for i := range n {
		key(t, base, fmt.Sprint("R", i))
	}
	address := strings.TrimSpace(string(must(t, exec.Command("docker", "inspect", "-f",
		"{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", strings.TrimSpace(s.do("ps", "-q", "seam"))))))
	var answer struct {
		State simulator.State `json:"state"`
		Peaks simulator.Peaks `json:"peaks"`
	}
	raw := must(t, exec.Command("curl", "-sS", "http://"+address+":8180/_simulator/state"))
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatal(err)
	}
	users := map[string]int{}
	for _, u := range answer.State.Users {
		users[u.FullName]++
	}
	for i := range n {
		if got := users[fmt.Sprint("R", i)]; got != 1 {
			t.Errorf("R%d has %d ACS users at Seam", i, got)
		}
	}
	if answer.Peaks.UsersOfOneStay > 1 || answer.Peaks.KeysOfOneUser > 1 {
		t.Errorf("the worst moment at Seam: %+v", answer.Peaks)
	}
}

func must(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return out
}
