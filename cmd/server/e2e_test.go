package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/logs/logtest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

// binaryDir holds the program under test.
var binaryDir string

// binary is the program that ships, built once for these tests; markedBinary is the same with marked points at
// which it can be made to kill itself.
var (
	binary       = sync.OnceValues(func() (string, error) { return build("staykey") })
	markedBinary = sync.OnceValues(func() (string, error) { return build("staykey-marked", "-tags", "chaos") })
)

func build(name string, flags ...string) (string, error) {
	path := filepath.Join(binaryDir, name)
	if raced {
		flags = append(flags, "-race")
	}
	// without debug information, as in make test: it takes two thirds as long to link
	args := append(append([]string{"build", "-ldflags=-s"}, flags...), "-o", path, ".")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
}

func TestMain(m *testing.M) {
	var err error
	if binaryDir, err = os.MkdirTemp("", "staykey-e2e-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(binaryDir)
	os.Exit(code)
}

var e2eSecret = pms.Secret("an end-to-end secret of 32 bytes")

const e2eToken = "an-end-to-end-admin-token"

// process is a running staykey.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	ops  string
	page string // url, unless admins have a listener of their own
	done chan struct{}
	out  *logtest.Buffer
	log  *logtest.Buffer // standard error
}

// ownLoopback is an address of loopback on which nothing else listens. When a process is killed, another test's server
// may get its port within milliseconds, and would be sent what is posted to the dead one: all tests share secrets.
func ownLoopback() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1" // other systems have only this one configured
	}
	return fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)) // #nosec G404 -- a test
}

// launch starts the program on free ports of loopback and waits until it is ready.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := launchProgram(t, path, env, args...)
	if p.url == "" {
		t.Fatalf("the service ended at once:\n%s", p.log)
	}
	return p
}

// begin starts the program, and returns when it listens; it may never be ready.
func begin(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return launchUntil(t, "starting", path, env, args...)
}

// markedProgram builds the program that has marked points. A test that kills the service to start this one in its
// place calls it first: a build takes minutes on a busy machine, and senders give up by then.
func markedProgram(t *testing.T) (path string) {
	t.Helper()
	if raced {
		t.Skip(
			"kills at marked points prove nothing more about races, and need another build: make test has tried them")
	}
	path, err := markedBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// launchMarked is like launch, with the program that has marked points; it may have reached its point, and its
// end, before it was ready.
func launchMarked(t *testing.T, env []string) *process {
	t.Helper()
	return launchProgram(t, markedProgram(t), env)
}

func launchProgram(t *testing.T, path string, env []string, args ...string) *process {
	t.Helper()
	return launchUntil(t, "ready", path, env, args...)
}

// launchUntil starts a program and waits for a record of its log that has its addresses.
func launchUntil(t *testing.T, record, path string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, done: make(chan struct{}), out: &logtest.Buffer{}, log: &logtest.Buffer{}}
	if len(args) == 0 {
		args = []string{"serve"}
	}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"STAYKEY_LISTEN=" + ownLoopback() + ":0", "STAYKEY_OPS_LISTEN=" + ownLoopback() + ":0",
		"STAYKEY_LOG_FORMAT=json", "STAYKEY_STOP_DELAY=0s",
	}, env...)
	p.cmd.Stdout = p.out
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan [3]string, 1)
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			_, _ = p.log.Write(append(lines.Bytes(), '\n'))
			var raw map[string]any
			if json.Unmarshal(lines.Bytes(), &raw) == nil && raw["msg"] == record {
				listen, _ := raw["listen"].(string)
				ops, _ := raw["ops_listen"].(string)
				admin, _ := raw["admin_listen"].(string)
				select {
				case ready <- [3]string{listen, ops, cmp.Or(admin, listen)}:
				default: // another record of that text
				}
			}
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if strings.Contains(p.log.String(), "WARNING: DATA RACE") {
			t.Error("the service has a data race")
		}
		if t.Failed() {
			t.Logf("log of the service:\n%s", p.log.String())
		}
	})
	select {
	case addresses := <-ready:
		p.url, p.ops, p.page = "http://"+addresses[0], "http://"+addresses[1], "http://"+addresses[2]
	case <-p.done:
	case <-time.After(until.Patience):
		t.Fatal("the service does not become ready")
	}
	return p
}

// post sends a signed webhook as a PMS does, again while the answer is 503, and returns the status; 0 if the service is
// gone.
func (p *process) post(source, eventType string, data map[string]any) int {
	p.t.Helper()
	return p.postBody(source, webhook(p.t, eventType, data))
}

// webhook is the body of a webhook of now.
func webhook(t *testing.T, eventType string, data map[string]any) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"type":      eventType,
		"timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "data": data,
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (p *process) postBody(source string, body []byte) int {
	p.t.Helper()
	return p.untilTaken(func() int { return p.postOnce(source, body) })
}

// untilTaken sends a webhook again while the service refuses it with 503, as a slow one may, unless it has ended. Other
// answers are the test's own business.
func (p *process) untilTaken(send func() int) int {
	p.t.Helper()
	return p.resend(send, func(status int) bool { return status == http.StatusServiceUnavailable })
}

// resend sends a webhook again for some of its answers, unless the service has ended; 0 is no answer.
func (p *process) resend(send func() int, again func(status int) bool) int {
	p.t.Helper()
	status := 0
	until.Reached(p.t, func() bool {
		status = send()
		select {
		case <-p.done:
			return true
		default:
			return !again(status)
		}
	}, func() { p.t.Fatalf("the webhook isn't taken in %s: %d", until.Patience, status) })
	return status
}

// postOnce sends a signed webhook and returns the status, for tests that expect a 503; 0 if the service is gone.
func (p *process) postOnce(source string, body []byte) int {
	p.t.Helper()
	id, now := fmt.Sprintf("msg_%d", time.Now().UnixNano()), time.Now()
	return p.sendOnce(http.MethodPost, "/webhooks/"+source, body, func(h http.Header) {
		h.Set("webhook-id", id)
		h.Set("webhook-timestamp", fmt.Sprint(now.Unix()))
		h.Set("webhook-signature", e2eSecret.Sign(id, now, body))
	})
}

// deliver is post for a service that may be about to end: it also sends again while there is no answer.
func (p *process) deliver(source, eventType string, data map[string]any) {
	p.t.Helper()
	p.resend(func() int { return p.postOnce(source, webhook(p.t, eventType, data)) }, func(status int) bool {
		return status == 0 || status == http.StatusServiceUnavailable
	})
}

// postSeamEvent sends an event as Seam does: again while the answer is 503.
func postSeamEvent(p *process, body string) {
	status := p.untilTaken(func() int {
		id, now := fmt.Sprintf("evt_%d", time.Now().UnixNano()), time.Now()
		return p.sendOnce(http.MethodPost, "/seam/webhooks", []byte(body), func(h http.Header) {
			h.Set("svix-id", id)
			h.Set("svix-timestamp", fmt.Sprint(now.Unix()))
			h.Set("svix-signature", e2eSecret.Sign(id, now, []byte(body)))
		})
	})
	if status != 0 && status != http.StatusNoContent {
		p.t.Errorf("Seam's event %s: %d", body, status)
	}
}

// key reads a reservation's mobile key over REST; nil while there is no answer.
func (p *process) key(id string) map[string]any { return p.keyOf("default", id) }

func (p *process) keyOf(source, id string) map[string]any {
	req, err := http.NewRequest(http.MethodGet, p.url+"/v1/reservations/"+source+"/"+id, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e2eToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	var body map[string]any
	raw, _ := io.ReadAll(resp.Body)
	if json.Unmarshal(raw, &body) != nil {
		return nil
	}
	key, _ := body["mobile_key"].(map[string]any)
	return key
}

// until waits for a mobile key's status and returns the key.
func (p *process) until(id, status string) map[string]any {
	p.t.Helper()
	return p.untilOf("default", id, status)
}

// untilOf is until for a reservation of another source than default.
func (p *process) untilOf(source, id, status string) map[string]any {
	p.t.Helper()
	var key map[string]any
	until.Reached(p.t, func() bool {
		key = p.keyOf(source, id)
		return key != nil && key["status"] == status
	}, func() { p.t.Fatalf("%s does not become %s: %v", id, status, key) })
	return key
}

// Sizes of the pools of services in tests. Each connection to a new database loads its catalog and plans every
// statement once more, which costs a test more than waiting for another call's connection: docs/development.md has
// figures.
const (
	fewest = 3 // for a service that one test calls
	fewer  = 6 // for rigs: load, crashes, replicas, and a Postgres that doesn't answer
)

// pooled limits the pool of a service, unless the DSN does.
func pooled(t *testing.T, dsn string, connections int) string {
	t.Helper()
	if mustURL(t, dsn).Query().Has("pool_max_conns") {
		return dsn
	}
	return storetest.Small(dsn, connections)
}

// fewConnections limits the pool of a service to what most tests need. A DSN without the deadlines of tests is for a
// test of a Postgres that doesn't answer.
func fewConnections(t *testing.T, dsn string) string {
	t.Helper()
	if mustURL(t, dsn).Query().Has("statement_timeout") {
		return pooled(t, dsn, fewest)
	}
	return pooled(t, dsn, fewer)
}

// simulated returns a Seam with the seed's groups, and the environment of a service that uses it.
func simulated(t *testing.T, dsn string) (*simulator.Simulator, []string) {
	t.Helper()
	sim, err := simulator.New(simulator.Options{APIKey: "seam_test_e2e"})
	if err != nil {
		t.Fatal(err)
	}
	app.Furnish(sim)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return sim, []string{
		"DATABASE_URL=" + fewConnections(t, dsn), "SEAM_API_KEY=seam_test_e2e", "SEAM_ENDPOINT=" + server.URL,
		"STAYKEY_WEBHOOK_SECRET=" + e2eSecret.String(), "STAYKEY_ADMIN_TOKEN=" + e2eToken,
		"SEAM_WEBHOOK_SECRET=" + e2eSecret.String(),
	}
}

func seedListing() map[string]any {
	return map[string]any{"listing_id": "2222222-2222", "seam_access_group_ids": []string{"555555-5555", "666666-6666"}}
}

func seedReservation() map[string]any {
	in := time.Now().UTC().AddDate(0, 0, 2)
	return map[string]any{
		"reservation_id": "3333122-433", "guest_email": "jane@example.com", "listing_id": "2222222-2222",
		"check_in": in.Format("2006-01-02") + "T15:00:00.000Z", "check_out": in.AddDate(0, 0, 3).Format("2006-01-02") +
			"T11:00:00.000Z",
	}
}

// TestSeed is the seed's flow against the program that ships, on an empty database.
func TestSeed(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.EmptyDSN(t))
	p := launch(t, env)
	if got := p.post("default", "listing.created", seedListing()); got != 202 {
		t.Fatalf("listing: %d", got)
	}
	waitUntil(t, "the access groups to be known", func() bool { return sim.Calls() >= 2 })
	sim.Forget()
	if got := p.post("default", "reservation.created", seedReservation()); got != 202 {
		t.Fatalf("reservation: %d", got)
	}
	key := p.until("3333122-433", "issued")
	// Four make the key and read it back, the fifth reads its doors: an access group that didn't take is a guest before
	// a closed door. The health of doors is read in the background.
	var paths []string
	for _, c := range sim.Records() {
		if !strings.Contains(c.Path, "entrances") {
			paths = append(paths, c.Path)
		}
	}
	if len(paths) > 5 {
		t.Errorf("%d requests to Seam, want at most 5: %v", len(paths), paths)
	}
	state := sim.State()
	users := state.UsersNamed("3333122-433")
	if len(users) != 1 || users[0].ID != key["acs_user_id"] || len(state.MobileKeys(users[0].ID)) != 1 ||
		state.MobileKeys(users[0].ID)[0].ID != key["acs_credential_id"] ||
		state.Identities[users[0].IdentityID].Email != "jane@example.com" {
		t.Errorf("REST says %v, Seam holds %+v", key, users)
	}
	for _, path := range []string{"/metrics", "/readyz", "/healthz", "/debug/pprof/"} {
		// a starved Postgres may not answer in the time that readiness gives it
		waitUntil(t, "the private listener's "+path, func() bool {
			resp, err := http.Get(p.ops + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		})
	}
}

// TestSeamsEvent has somebody delete an ACS user, and Seam say so: the reservation says it at once, or,
// where the ACS user is so new that a 404 proves nothing, after the grace.
func TestSeamsEvent(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	id, _ := p.until("3333122-433", "issued")["acs_user_id"].(string)
	sim.Change(func(st *simulator.State) { delete(st.Users, id) })
	postSeamEvent(p, fmt.Sprintf(`{"event_type":"acs_user.deleted","acs_user_id":%q}`, id))
	key := p.until("3333122-433", "attention")
	if key["reason"] != "removed_at_seam" {
		t.Errorf("reason: %v", key["reason"])
	}
}

func waitUntil(t *testing.T, what string, reached func() bool) {
	t.Helper()
	until.True(t, what, reached)
}

// TestKilledBetweenSteps kills the service (SIGKILL) before and after the effect of each call of a
// provisioning. Another one, with the default settings, brings it to exactly one of each. How long that took is
// logged (it should be under 20 s); a busy machine's time decides nothing.
func TestKilledBetweenSteps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path   string
		change string // what is under way
	}{
		{seam.PathIdentityCreate, "create"},
		{seam.PathUserCreate, "create"},
		{seam.PathCredentialCreate, "create"},
		{"/acs/users/get", "create"},
		{seam.PathUserUpdate, "dates"},
		{seam.PathUserDelete, "cancel"},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %s after=%v", c.change, strings.ReplaceAll(c.path, "/", "_"), after),
				func(t *testing.T) {
					t.Parallel()
					sim, env := simulated(t, pooled(t, storetest.DSN(t), fewer))
					p := launch(t, env)
					p.deliver("default", "listing.created", seedListing())
					reservation := seedReservation()
					if c.change != "create" {
						p.deliver("default", "reservation.created", reservation)
						p.until("3333122-433", "issued")
					}
					var once sync.Once
					killed := make(chan time.Time, 1)
					sim.Configure(func(o *simulator.Options) {
						o.Hook = func(path string, now bool) (drop bool) {
							if path == c.path && now == after {
								once.Do(func() {
									_ = p.cmd.Process.Kill()
									<-p.done
									killed <- time.Now()
									drop = true
								})
							}
							return drop
						}
					})
					want := "issued"
					switch c.change {
					case "create":
						p.deliver("default", "reservation.created", reservation)
					case "dates":
						reservation["check_out"] = time.Now().UTC().AddDate(0, 0, 9).Format("2006-01-02T15:04:05.000Z")
						p.deliver("default", "reservation.updated", reservation)
					case "cancel":
						want = "revoked"
						p.deliver("default", "reservation.cancelled", reservation)
					}
					at := received(t, "a call of "+c.path, killed)
					next := launch(t, env)
					next.until("3333122-433", want)
					t.Logf("%s %.1f s after the kill", want, time.Since(at).Seconds())
					state := sim.State()
					users := state.UsersNamed("3333122-433")
					if want == "revoked" {
						if len(users) != 0 {
							t.Errorf("%d ACS users are left", len(users))
						}
					} else if len(users) != 1 || len(state.MobileKeys(users[0].ID)) != 1 ||
						len(users[0].GroupIDs) != 2 ||
						users[0].Schedule == nil ||
						users[0].Schedule.EndsAt.Format("2006-01-02T15:04:05.000Z") != reservation["check_out"] {
						t.Errorf("Seam holds %+v", users)
					}
					if peaks := sim.Peaks(); peaks.UsersOfOneStay > 1 || peaks.KeysOfOneUser > 1 ||
						peaks.UsersWithNoSchedule > 0 {
						t.Errorf("the worst moment: %+v", peaks)
					}
					if n := len(state.Identities); n != 1 {
						t.Errorf("%d identities", n)
					}
				})
		}
	}
}

// received waits for a value, or for the end, of a channel. what names what a test that fails has waited for.
func received[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	var value T
	select {
	case value = <-c:
	case <-time.After(until.Patience):
		t.Fatalf("waited %s for %s", until.Patience, what)
	}
	return value
}

// begins returns a channel that gets a value for each call of that path to Seam.
func begins(sim *simulator.Simulator, path string) <-chan struct{} {
	begun := make(chan struct{}, 100)
	sim.Configure(func(o *simulator.Options) {
		o.Hook = func(called string, _ bool) bool {
			if called == path {
				begun <- struct{}{}
			}
			return false
		}
	})
	return begun
}

// TestGracefulStop stops the service while a provisioning is under way: it finishes and exits 0.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	p.deliver("default", "listing.created", seedListing())
	sim.Configure(func(o *simulator.Options) { o.Latency = 200 * time.Millisecond })
	begun := begins(sim, seam.PathUserCreate)
	p.deliver("default", "reservation.created", seedReservation())
	<-begun
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d", code)
	}
	users := sim.State().UsersNamed("3333122-433")
	if len(users) != 1 || len(sim.State().MobileKeys(users[0].ID)) != 1 {
		t.Errorf("the job under way was not finished: %+v", users)
	}
}

// TestSecondSignalEndsAtOnce gives a stop something to wait for: a call that Seam doesn't answer. It lasts for as long
// as the client waits for it; a machine that is slower than that between the signals only makes the test begin again.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	begun := begins(sim, seam.PathUserCreate)
	sim.Inject(simulator.Fault{Kind: simulator.Hang, Path: seam.PathUserCreate, Count: -1})
	for try := range 5 {
		p := launch(t, env)
		if try == 0 {
			p.deliver("default", "listing.created", seedListing())
			p.deliver("default", "reservation.created", seedReservation())
		}
		<-begun
		_ = p.cmd.Process.Signal(syscall.SIGINT)
		waitUntil(t, "the stop to begin", func() bool {
			resp, err := http.Get(p.url + "/readyz")
			if err != nil {
				return true
			}
			_ = resp.Body.Close()
			return resp.StatusCode == 503
		})
		_ = p.cmd.Process.Signal(syscall.SIGINT)
		<-p.done
		if p.cmd.ProcessState.ExitCode() != 0 {
			return
		}
		t.Log("the stop ended before the second signal did")
	}
	t.Error("a second signal doesn't end a stop")
}

// TestDev is --dev on a machine of which nothing is asked: a Postgres of its own, the simulator, and
// commands that work as they are printed. Killed, it leaves no process; started again, it has its data.
func TestDev(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dev")
	for _, above := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
		if err := os.Chmod(above, 0o755); err != nil { //nolint:gosec // the unprivileged Postgres must get through
			t.Fatal(err)
		}
	}
	env := []string{"STAYKEY_DEV_DIR=" + dir}
	p := launch(t, env, "serve", "--dev")
	waitUntil(t, "the introduction", func() bool {
		return strings.Contains(p.out.String(),
			"curl -sS -H \"Authorization")
	})
	var script strings.Builder
	for line := range strings.Lines(p.out.String()) {
		if strings.HasPrefix(line, "export ") || strings.HasPrefix(line, "body=") || strings.Contains(line, " sign ") {
			script.WriteString(line)
		}
	}
	path, _ := binary()
	fmt.Fprintf(&script, "%s reservations\n", path) // the exports are all that staykey's other commands need
	out, err := exec.Command("sh", "-ec", script.String()).CombinedOutput()
	if err != nil || strings.Count(string(out), `"accepted"`) != 2 {
		t.Fatalf("the printed commands: %v\n%s", err, out)
	}
	read := func(p *process) func() bool {
		return func() bool {
			for line := range strings.Lines(p.out.String()) {
				if strings.HasPrefix(line, "curl ") {
					out, _ := exec.Command("sh", "-c", line).Output()
					return strings.Contains(string(out), `"status":"issued"`)
				}
			}
			return false
		}
	}
	waitUntil(t, "the key, as the printed command shows it", read(p))
	pid, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var postmaster int
	if _, err := fmt.Sscan(string(pid), &postmaster); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	waitUntil(t, "Postgres to follow a killed service", func() bool { return !running(postmaster) })
	again := launch(t, env, "serve", "--dev")
	waitUntil(t, "the key after a restart", read(again))
	if err := again.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-again.done
	if code := again.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres", "data", "postmaster.pid")); err == nil {
		t.Error("Postgres was not stopped")
	}
}

// running reports whether a process exists and is no zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil
	}
	return !strings.Contains(string(stat), ") Z ")
}

// TestTwoSources has equal ids in two sources of a config file.
func TestTwoSources(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	content := `sources:
  - name: default
    verify: {method: standard-webhooks, secrets: ["${FIRST_SECRET}"]}
    access_groups: &shared ["666666-6666", "555555-5555"]
  - name: villas
    format: staykey
    verify: {method: none}
    insecure: true
    time_zone: Europe/Madrid
    check_in_time: "16:00"
    grace: {before: 30m, after: 0m}
    keep_after: 2h
    access_groups: *shared
`
	file := configFile(t, content)
	p := launch(t, append(env, "STAYKEY_CONFIG="+file, "FIRST_SECRET="+e2eSecret.String()))
	reservation := seedReservation()
	for _, source := range []string{"default", "villas"} {
		p.post(source, "listing.created", seedListing())
		if got := p.post(source, "reservation.created", reservation); got != 202 {
			t.Fatalf("%s: %d", source, got)
		}
		reservation["check_in"] = time.Now().UTC().AddDate(1, 0, 0).Format("2006-07-01")[:4] + "-07-01"
		reservation["check_out"] = reservation["check_in"].(string)[:4] + "-07-03"
	}
	waitUntil(t, "both keys", func() bool { return len(sim.State().UsersNamed("3333122-433")) == 2 })
	for _, u := range sim.State().UsersNamed("3333122-433") {
		if u.Schedule.StartsAt.Month() == time.July && (u.Schedule.StartsAt.Hour() != 13 ||
			u.Schedule.StartsAt.Minute() != 30) {
			t.Errorf("the second source's policy: starts %s, want 16:00 in Madrid less half an hour",
				u.Schedule.StartsAt)
		}
	}
}

// inFile is a file with a secret in it, as commands take one.
func inFile(t *testing.T, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestVersionAndSign(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	in := &streams{in: strings.NewReader("from stdin"), out: &out, err: &out}
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if code := run(context.Background(), args, in); code != 0 || !strings.HasPrefix(out.String(), "staykey dev (") {
			t.Errorf("%s: %d %q", args, code, out.String())
		}
		out.Reset()
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "Usage: staykey <command>"},
		{[]string{"help"}, "Usage: staykey <command>"},
		{[]string{"help", "doctor"}, "Usage: staykey doctor"},
	} {
		if code := run(context.Background(), c.args, in); code != 0 || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %d %q, want %q", c.args, code, out.String(), c.want)
		}
		out.Reset()
	}
	if code := run(context.Background(), []string{
		"sign", "--secret-file", inFile(t, e2eSecret.String()), "--id",
		"msg_1",
	}, in); code != 0 {
		t.Fatalf("sign: %d %q", code, out.String())
	}
	h := http.Header{}
	for line := range strings.Lines(out.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		h.Set(name, value)
	}
	if proof, err := (pms.StandardWebhooks{Secrets: []pms.Secret{e2eSecret}}).Verify(pms.Post{
		Header: h,
		Body:   []byte("from stdin"),
	}, time.Now()); err != nil || proof.ID != "msg_1" {
		t.Errorf("the signature does not verify: %v %v", proof, err)
	}
}

// list reads the items of a list over REST.
func (p *process) list(path string) []map[string]any {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e2eToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct{ Items []map[string]any }
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || len(body.Items) == 0 {
		p.t.Fatalf("%s: %v %v", path, err, body)
	}
	return body.Items
}
