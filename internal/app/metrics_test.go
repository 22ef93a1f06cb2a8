package app

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// metricNames are those of all metrics of ours, as their collectors describe them.
func metricNames(t *testing.T) []string {
	t.Helper()
	s := &service{store: storetest.New(t), readiness: &readiness{}}
	descs := make(chan *prometheus.Desc, 1000)
	for _, c := range s.ownCollectors() {
		c.Describe(descs)
	}
	close(descs)
	name := regexp.MustCompile(`fqName: "([a-z_]+)"`)
	var names []string
	for d := range descs {
		names = append(names, name.FindStringSubmatch(d.String())[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// A scrape doesn't query a Postgres that is known not to answer: it would wait, miss Prometheus's deadline, and lose
// the metrics that show the cause.
func TestScrapeWithoutPostgres(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		causes map[string]string
		asks   bool
	}{
		"Postgres answers":         {nil, true},
		"Postgres does not answer": {map[string]string{store.CauseUnreachable: "no answer"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &service{store: storetest.New(t), readiness: &readiness{}}
			s.sources = &atomic.Pointer[config.Set]{}
			s.sources.Store(&config.Set{})
			s.readiness.state.Store(&condition{causes: c.causes})
			registry, err := s.newRegistry()
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // what is counted once in a while must not wait for the second one
				before := s.store.Pool().Stat().AcquireCount()
				if _, err := registry.Gather(); err != nil {
					t.Fatal(err)
				}
				if asked := s.store.Pool().Stat().AcquireCount() - before; (asked > 0) != c.asks {
					t.Errorf("a scrape took %d connections", asked)
				}
			}
		})
	}
}

// Every metric is in docs/metrics.md, and nothing else is.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	names := metricNames(t)
	var documented []string
	for _, found := range regexp.MustCompile("(?m)^\\| `(staykey_[a-z_]+)`").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, found[1])
	}
	for _, name := range names {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/metrics.md lacks %s", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(names, name) {
			t.Errorf("docs/metrics.md documents %s, which does not exist", name)
		}
	}
}

// What alerts and the dashboard ask for exists, and each alert has its entry in the runbook.
func TestAlertsAskForWhatThereIs(t *testing.T) {
	t.Parallel()
	names := metricNames(t)
	used := regexp.MustCompile(`staykey_[a-z_]+`)
	check := func(what, expression string) {
		for _, name := range used.FindAllString(expression, -1) {
			base := name
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				if trimmed, ok := strings.CutSuffix(name, suffix); ok && slices.Contains(names, trimmed) {
					base = trimmed
				}
			}
			if !slices.Contains(names, base) {
				t.Errorf("%s queries %s, which does not exist", what, name)
			}
		}
	}
	rules, err := os.ReadFile("../../deploy/monitoring/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	check("an alert", string(rules))
	for _, alert := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(runbook), "### "+alert[1]+"\n") {
			t.Errorf("the runbook has no entry %s", alert[1])
		}
		if !strings.Contains(string(rules), "docs/runbook.md#"+strings.ToLower(alert[1])+"\n") {
			t.Errorf("%s does not link its entry", alert[1])
		}
	}
	raw, err := os.ReadFile("../../deploy/monitoring/grafana/dashboards/staykey.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title, Description string
			Datasource         struct{ UID string }
			Targets            []struct{ Expr string }
		}
		Templating struct{ List []struct{ Name string } }
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables, described := map[string]bool{}, map[string]string{}
	for _, v := range dashboard.Templating.List {
		variables["$"+v.Name], variables["${"+v.Name+"}"] = true, true
	}
	for _, panel := range dashboard.Panels {
		if !variables[panel.Datasource.UID] {
			t.Errorf("the panel %s has a data source of its own: %s", panel.Title, panel.Datasource.UID)
		}
		if other := described[panel.Description]; other != "" && panel.Description != "" {
			t.Errorf("the panels %s and %s have one description", panel.Title, other)
		}
		described[panel.Description] = panel.Title
		for _, target := range panel.Targets {
			check("the panel "+panel.Title, target.Expr)
		}
	}
	if len(dashboard.Panels) < 10 {
		t.Errorf("%d panels", len(dashboard.Panels))
	}
}
