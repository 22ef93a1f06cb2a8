//go:build monitoring

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/tools/drill"
)

// hasten is by how much time passes faster for the rules than for people: a scrape every 3 seconds stands for one every
// 30 seconds. The service waits for its database for up to 2 seconds in a scrape, whatever the rules' clock, so that 3
// is the least.
const (
	hasten = 10
	scrape = 3 * time.Second
)

// TestAlertsFire takes Postgres away in the ways in which it goes, under load, and has a real Prometheus with the
// shipped rules watch: the right alert fires within what would be five minutes, names the cause, and none is left
// afterwards. Durations in the rules are shortened alike.
func TestAlertsFire(t *testing.T) {
	for name, c := range map[string]struct {
		take, bring func(*outage)
		causes      []string // one of them is named
	}{
		"gone": {
			func(o *outage) { o.rig.db.set(broken) }, func(o *outage) { o.rig.db.set(whole) },
			[]string{"postgres_unreachable"},
		},
		"silent": {
			func(o *outage) { o.rig.db.set(silent) },
			func(o *outage) { o.rig.db.set(broken); o.rig.db.set(whole) },
			[]string{"postgres_unreachable"},
		},
		"read-only": {
			func(o *outage) {
				o.exec(
					`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
				o.exec(
					`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			},
			func(o *outage) {
				o.exec(
					`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$`)
				o.exec(
					`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			},
			[]string{"postgres_read_only"},
		},
		// Slower than a commit may take: each answer of Postgres takes two seconds more.
		"slow": {
			func(o *outage) { o.rig.db.slow(2 * time.Second) }, func(o *outage) { o.rig.db.slow(0) },
			[]string{"postgres_unreachable"},
		},
		"locked": {
			func(o *outage) { o.exec(`BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE`) },
			func(o *outage) { o.exec(`COMMIT`) },
			[]string{"postgres_locked", "postgres_unreachable"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t)
			o.quiet("before")
			began := time.Now()
			c.take(o)
			waitUntil(t, "StaykeyNotReady to fire and name the cause", func() bool {
				for _, cause := range c.causes {
					if o.firing("StaykeyNotReady", cause) {
						return true
					}
				}
				return false
			})
			took := time.Since(began)
			measured := fmt.Sprintf("StaykeyNotReady fires after what stands for %s and names the cause",
				(took * hasten).Round(time.Second))
			t.Cleanup(func() {
				drill.Record(t, drill.Row{Order: 100, What: "A real Prometheus with the shipped rules; Postgres is " +
					name, Before: "no alert in 7 minutes", Now: measured})
			})
			waitUntil(t, "StaykeyWebhooksUnavailable to fire",
				func() bool { return o.firing("StaykeyWebhooksUnavailable", "") })
			t.Logf("the alert fired after %s, which stands for %s", took.Round(time.Second),
				(took * hasten).Round(time.Second))
			lines := strings.Count(o.rig.any().log.String(), "\n")
			c.bring(o)
			o.quiet("afterwards")
			t.Logf("%d lines in the log by the end of the outage", lines)
			close(o.rig.stop)
			o.rig.posters.Wait()
		})
	}
}

// TestDashboardQueries has a real Prometheus that watches a service under load answer what each panel of the dashboard
// asks: none is refused, and those of what happens here have something to show.
func TestDashboardQueries(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	raw, err := os.ReadFile("../../deploy/monitoring/grafana/dashboards/staykey.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Name, Expr string } }
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, a := range dashboard.Annotations.List { // a start shows only in its first minutes
		if answer := o.ask(a.Expr); answer.Status != "success" {
			t.Errorf("the annotation %s: %s: %s", a.Name, a.Expr, answer.Error)
		}
	}
	for _, panel := range dashboard.Panels {
		empty := quietPanels.MatchString(panel.Title)
		for _, target := range panel.Targets {
			expr := strings.ReplaceAll(target.Expr, "$source", ".*") // Grafana's variable
			if answer := o.ask(expr); answer.Status != "success" {
				t.Errorf("the panel %s: %s: %s", panel.Title, expr, answer.Error)
			} else if !empty {
				waitUntil(t, panel.Title+" to have something to show", func() bool { return len(o.query(expr)) > 0 })
			}
		}
	}
	close(o.rig.stop)
	o.rig.posters.Wait()
}

// quietPanels show what doesn't happen in the drill: drift, subscriptions, links, wrong signatures, requests to REST.
var quietPanels = regexp.MustCompile(`^(Drift|Subscriptions|Guests' keys|Webhooks refused|REST and pages)`)

// outage is a service under load and a Prometheus that watches it.
type outage struct {
	t          *testing.T
	rig        *crashRig
	admin      *pgconn.PgConn
	prometheus string
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	dsn := storetest.ServiceDSN(t)
	o := &outage{t: t, rig: newCrashRig(t, dsn, 1)}
	var err error
	if o.admin, err = pgconn.Connect(context.Background(), dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.admin.Close(context.Background()) })
	o.rig.load(2, 5)
	o.watch()
	return o
}

func (o *outage) exec(sql string) {
	o.t.Helper()
	if _, err := o.admin.Exec(context.Background(), sql).ReadAll(); err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
}

var ruleDuration = regexp.MustCompile(`(for: |\[)(\d+)([mh])`)

// shortened is the rules file with its durations divided.
func shortened(rules string) string {
	return ruleDuration.ReplaceAllStringFunc(rules, func(found string) string {
		m := ruleDuration.FindStringSubmatch(found)
		n, _ := strconv.Atoi(m[2])
		seconds := n * 60
		if m[3] == "h" {
			seconds *= 60
		}
		return m[1] + fmt.Sprintf("%ds", max(seconds/hasten, 1))
	})
}

// watch starts Prometheus.
func (o *outage) watch() {
	o.t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		o.t.Fatal("this test needs Prometheus: make monitoring-test installs it on Debian and Ubuntu")
	}
	rules, err := os.ReadFile("../../deploy/monitoring/alerts.yml")
	if err != nil {
		o.t.Fatal(err)
	}
	dir := o.t.TempDir()
	config := fmt.Sprintf(
		"global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, evaluation_interval: 1s}\nrule_files: [alerts.yml]\nscrape_configs:\n  - job_name: staykey\n    static_configs: [{targets: [%[2]q]}]\n", scrape,
		strings.TrimPrefix(o.rig.any().ops, "http://"))
	for name, content := range map[string]string{"alerts.yml": shortened(string(rules)), "prometheus.yml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			o.t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		o.t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	o.prometheus = "http://" + address
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = o.t.Output(), o.t.Output()
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitUntil(o.t, "Prometheus to have scraped", func() bool { return len(o.query(`staykey_ready == 1`)) > 0 })
}

// query asks Prometheus and returns the labels of what it answers.
func (o *outage) query(expr string) []map[string]string {
	var list []map[string]string
	for _, r := range o.ask(expr).Data.Result {
		list = append(list, r.Metric)
	}
	return list
}

// promAnswer is what Prometheus answers to a query.
type promAnswer struct {
	Status, Error string
	Data          struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
		} `json:"result"`
	} `json:"data"`
}

// ask asks Prometheus; the answer is empty if it gives none.
func (o *outage) ask(expr string) (a promAnswer) {
	req, err := http.NewRequest(http.MethodGet, o.prometheus+"/api/v1/query", nil)
	if err != nil {
		o.t.Fatal(err)
	}
	values := req.URL.Query()
	values.Set("query", expr)
	req.URL.RawQuery = values.Encode()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return promAnswer{}
	}
	defer func() { _ = resp.Body.Close() }()
	if json.NewDecoder(resp.Body).Decode(&a) != nil {
		return promAnswer{}
	}
	return a
}

func (o *outage) firing(alert, cause string) bool {
	expr := fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing"}`, alert)
	if cause != "" {
		expr = fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing", cause=%q}`, alert, cause)
	}
	return len(o.query(expr)) > 0
}

// quiet waits until no alert fires or is about to, and Prometheus sees a ready service. It is one question, so that no
// answer isn't taken for no alert.
func (o *outage) quiet(when string) {
	o.t.Helper()
	until.Reached(o.t, func() bool { return len(o.query(`staykey_ready == 1 unless on() ALERTS`)) > 0 },
		func() { o.t.Fatalf("%s: these alerts are left: %v", when, o.query(`ALERTS`)) })
}
