package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store/storetest"
)

// A source whose stays have keys can't vanish: a reload without it is refused, a start without it keeps its last policy
// and says so, and "retired: true" is how it ends.
func TestSourceInUseCannotVanish(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	file := filepath.Join(t.TempDir(), "staykey.yaml")
	env = append(env, "STAYKEY_CONFIG="+file)
	const first = "sources:\n  - name: default\n    verify: {method: none}\n    insecure: true\n"
	const villas = "  - name: villas\n    verify: {method: none}\n    insecure: true\n    grace: {after: 3h}\n"
	write := func(content string) {
		t.Helper()
		writeConfig(t, file, content)
	}
	write(first + villas)
	p := launch(t, env)
	p.deliver("villas", "listing.created", seedListing())
	p.deliver("villas", "reservation.created", seedReservation())
	const stay = "/v1/reservations/villas/3333122-433"
	p.untilOf("villas", "3333122-433", "issued")
	until := sim.State().UsersNamed("3333122-433")[0].Schedule.EndsAt

	write(first)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the reload to be refused", func() bool {
		return strings.Contains(p.log.String(), "configuration not reloaded") &&
			strings.Contains(p.log.String(), "retired: true")
	})
	if got := p.post("villas", "message.created", map[string]any{}); got != http.StatusAccepted {
		t.Errorf("after the refused reload the source answers %d", got)
	}

	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
	p = launch(t, env) // the file still lacks the source
	waitUntil(t, "an error in the log", func() bool {
		for line := range strings.Lines(p.log.String()) {
			if strings.Contains(line, `"level":"ERROR"`) && strings.Contains(line, "villas") &&
				strings.Contains(line, "has no entry") {
				return true
			}
		}
		return false
	})
	var d struct {
		OK       bool
		Findings []struct{ Check, Level, Subject, Message string }
	}
	if p.get("/v1/diagnosis", &d) != http.StatusOK || d.OK {
		t.Errorf("the diagnosis is ok: %+v", d)
	}
	found := false
	for _, f := range d.Findings {
		found = found || f.Check == "source" && f.Level == "error" && f.Subject == "villas"
	}
	if !found {
		t.Errorf("the diagnosis has no error about the source: %+v", d.Findings)
	}
	var plan struct{ Items []any }
	if p.get(stay+"/plan", &plan) != http.StatusOK || len(plan.Items) != 0 {
		t.Errorf("without its entry the key would be changed: %v", plan.Items)
	}

	write(first + "  - name: villas\n    retired: true\n")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the reload", func() bool { return strings.Contains(p.log.String(), "configuration reloaded") })
	if got := p.post("villas", "message.created", map[string]any{}); got != http.StatusNotFound {
		t.Errorf("a retired source answers %d", got)
	}
	if p.get(stay+"/plan", &plan) != http.StatusOK || len(plan.Items) != 0 {
		t.Errorf("retired, the key would be changed: %v", plan.Items)
	}
	if u := sim.State().UsersNamed("3333122-433"); len(u) != 1 || !u[0].Schedule.EndsAt.Equal(until) {
		t.Errorf("the key has changed: %+v", u)
	}
}

// All replicas follow the policy that was decided last, also one that still has another file.
func TestReplicasFollowTheDecidedPolicy(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, pooled(t, storetest.DSN(t), fewer))
	dir := t.TempDir()
	config := func(name, grace string) []string {
		file := filepath.Join(dir, name)
		content := "sources:\n  - name: default\n    verify: {method: none}\n    insecure: true\n    grace: {after: " +
			grace + "}\n"
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return append(env[:len(env):len(env)], "STAYKEY_CONFIG="+file)
	}
	old := launch(t, config("old.yaml", "0h"))
	old.deliver("default", "listing.created", seedListing())
	old.deliver("default", "reservation.created", seedReservation())
	old.until("3333122-433", "issued")
	before := sim.State().UsersNamed("3333122-433")[0].Schedule.EndsAt
	renewed := launch(t, config("new.yaml", "3h"))
	ends := func() time.Time { return sim.State().UsersNamed("3333122-433")[0].Schedule.EndsAt }
	waitUntil(t, "the key to follow", func() bool { return ends().Equal(before.Add(3 * time.Hour)) })
	_ = renewed.cmd.Process.Signal(syscall.SIGTERM)
	<-renewed.done
	changed := seedReservation()
	changed["guest_name"] = "Jane"
	changed["check_out"] = before.Add(24 * time.Hour).Format("2006-01-02T15:04:05.000Z")
	old.deliver("default", "reservation.updated", changed)
	waitUntil(t, "the old replica to carry a change out with the decided policy",
		func() bool { return ends().Equal(before.Add(27 * time.Hour)) })
}

// POST /-/reload of the private listener does what SIGHUP does, and answers whether it worked; metrics keep the result.
func TestReloadByHTTP(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	file := filepath.Join(t.TempDir(), "staykey.yaml")
	write := func(content string) {
		t.Helper()
		writeConfig(t, file, "sources:\n"+content)
	}
	const first, second = "  - {name: first, verify: {method: none}, insecure: true}\n",
		"  - {name: second, verify: {method: none}, insecure: true}\n"
	write(first)
	p := launch(t, append(env, "STAYKEY_CONFIG="+file))
	reload := func(method string) (int, string) {
		t.Helper()
		return answerTo(t, request(t, method, p.ops+"/-/reload"))
	}
	const successful, last = "staykey_config_last_reload_successful",
		"staykey_config_last_reload_success_timestamp_seconds"
	for _, step := range []struct {
		name, content string
		status        int
		says          string
		successful    string
		second        int // what a webhook of the second source gets
	}{
		{"another source", first + second, 200, "reloaded", "1", 202},
		{
			"a file with a mistake", first + "  - {name: second, verfy: {}}\n", 422, "sources[1].verfy: is unknown",
			"0",
			202,
		},
		{"corrected", first, 200, "reloaded", "1", 404},
	} {
		write(step.content)
		status, body := reload(http.MethodPost)
		if status != step.status || !strings.Contains(body, step.says) || p.metric(successful) != step.successful ||
			p.metric(last) == "" {
			t.Errorf("%s: %d %s, metrics %s %s", step.name, status, body, p.metric(successful), p.metric(last))
		}
		if got := p.post("second", "message.created", map[string]any{}); got != step.second {
			t.Errorf("%s: a webhook of the second source: %d, want %d", step.name, got, step.second)
		}
	}
	if status, _ := reload(http.MethodGet); status != http.StatusMethodNotAllowed {
		t.Errorf("GET /-/reload: %d", status)
	}
}

// Secrets in files are read again with the configuration: a renewed one counts, the old one no longer does, and neither
// is ever logged.
func TestSecretsInFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	dir := t.TempDir()
	token, secret := filepath.Join(dir, "token"), filepath.Join(dir, "secret")
	write := func(file, content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const renewed = "the-renewed-admin-token-of-the-tests"
	write(token, e2eToken)
	write(secret, e2eSecret.String())
	env = slices.DeleteFunc(env, func(v string) bool {
		return strings.HasPrefix(v, "STAYKEY_ADMIN_TOKEN=") || strings.HasPrefix(v, "STAYKEY_WEBHOOK_SECRET=")
	})
	p := launch(t, append(env, "STAYKEY_ADMIN_TOKEN_FILE="+token, "STAYKEY_WEBHOOK_SECRET_FILE="+secret))
	may := func(secret string) int {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, p.url+"/v1/summary", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	reload := func(text string) {
		t.Helper()
		before := strings.Count(p.log.String(), text)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, text, func() bool { return strings.Count(p.log.String(), text) > before })
	}
	if may(e2eToken) != http.StatusOK || p.post("default", "message.created", map[string]any{}) != http.StatusAccepted {
		t.Fatal("the first secrets are not taken")
	}
	write(token, renewed)
	write(secret, pms.Secret("another secret of the tests, of 32 bytes").String())
	reload("configuration reloaded")
	if old, now := may(e2eToken), may(renewed); old != http.StatusUnauthorized || now != http.StatusOK {
		t.Errorf("the old token answers %d, the renewed one %d", old, now)
	}
	if got := p.post("default", "message.created", map[string]any{}); got != http.StatusUnauthorized {
		t.Errorf("a webhook with the old secret: %d", got)
	}
	write(token, "short")
	reload("configuration not reloaded")
	if got := may(renewed); got != http.StatusOK {
		t.Errorf("after a file that is wrong: %d", got)
	}
	if strings.Contains(p.log.String(), renewed) {
		t.Error("the renewed token is in the log")
	}
}

// With STAYKEY_WATCH a program reloads files that Kubernetes has replaced: a mounted ConfigMap's or Secret's files are
// links through ..data to a directory, and an update exchanges that link.
func TestWatchedFilesOfKubernetes(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	volume := t.TempDir()
	const renewed = "the-renewed-admin-token-of-the-tests"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	publish := func(version, sources, token string) {
		t.Helper()
		dir := filepath.Join(volume, version)
		must(os.Mkdir(dir, 0o700))
		must(os.WriteFile(filepath.Join(dir, "staykey.yaml"), []byte("sources:\n"+sources), 0o600))
		must(os.WriteFile(filepath.Join(dir, "token"), []byte(token), 0o600))
		must(os.Symlink(version, filepath.Join(volume, "..data_tmp")))
		must(os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")))
	}
	const first, second = "  - {name: first, verify: {method: none}, insecure: true}\n",
		"  - {name: second, verify: {method: none}, insecure: true}\n"
	publish("..1", first, e2eToken)
	for _, file := range []string{"staykey.yaml", "token"} {
		must(os.Symlink(filepath.Join("..data", file), filepath.Join(volume, file)))
	}
	env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "STAYKEY_ADMIN_TOKEN=") })
	p := launch(t, append(env, "STAYKEY_CONFIG="+filepath.Join(volume, "staykey.yaml"),
		"STAYKEY_ADMIN_TOKEN_FILE="+filepath.Join(volume, "token"), "STAYKEY_WATCH=50ms"))
	webhook := func() int { return p.post("second", "message.created", map[string]any{}) }
	const successful = "staykey_config_last_reload_successful"
	if webhook() != http.StatusNotFound || p.metric(successful) != "1" {
		t.Fatal("the second source is there before its file")
	}
	publish("..2", first+second, e2eToken)
	waitUntil(t, "the second source", func() bool { return webhook() == http.StatusAccepted })
	publish("..3", first+"  - {name: second, verfy: {}}\n", e2eToken)
	waitUntil(t, "the metric of a file with a mistake", func() bool { return p.metric(successful) == "0" })
	if got := webhook(); got != http.StatusAccepted {
		t.Errorf("a webhook after a file with a mistake: %d", got)
	}
	publish("..4", first+second, renewed)
	may := func(token string) int {
		r := request(t, http.MethodGet, p.url+"/v1/summary")
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		must(err)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	waitUntil(t, "the renewed token to count", func() bool { return may(renewed) == http.StatusOK })
	waitUntil(t, "the old one not to", func() bool { return may(e2eToken) == http.StatusUnauthorized })
	waitUntil(t, "the metric of success", func() bool { return p.metric(successful) == "1" })
}
