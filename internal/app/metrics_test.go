package app

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// newTestService is a service of which only the status can be asked.
func newTestService(db *store.Store) *service {
	c := &configured{store: db, sources: &atomic.Pointer[config.Set]{}}
	c.sources.Store(&config.Set{})
	r := &reloader{configured: c}
	return &service{
		store: db, configured: c, reloader: r,
		health: &health{configured: c, readiness: &readiness{}, unsettled: r.unsettled},
	}
}

// metricNames are those of all metrics of ours.
func metricNames(t *testing.T) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(metricLabels(t)))
}

// metricLabels are all metrics of ours with their labels, as their collectors describe them.
func metricLabels(t *testing.T) map[string][]string {
	t.Helper()
	s := newTestService(storetest.New(t))
	descs := make(chan *prometheus.Desc, 1000)
	for _, c := range s.ownCollectors() {
		c.Describe(descs)
	}
	close(descs)
	description := regexp.MustCompile(`fqName: "([a-z_]+)".*constLabels: {(.*?)}, variableLabels: {(.*?)}`)
	labels := map[string][]string{}
	for d := range descs {
		found := description.FindStringSubmatch(d.String())
		if found == nil {
			t.Fatalf("a description of another form: %s", d)
		}
		names := strings.Split(found[3], ",")
		for constant := range strings.SplitSeq(found[2], ",") {
			label, _, _ := strings.Cut(constant, "=")
			names = append(names, label)
		}
		labels[found[1]] = slices.DeleteFunc(names, func(label string) bool { return label == "" })
	}
	return labels
}

// A source is silent since it last sent something; one that never did is reported apart, so that an alert can tell.
func TestSourcesThatSendNothing(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	sent := store.NewActivity()
	sent.Add("villas", store.ActivityDuplicate, time.Now().Add(-2*time.Hour))
	sent.Add("refused", store.ActivityRefused, time.Now())
	if err := s.Activity.Flush(context.Background(), sent); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newStateCollector(s, func() []string { return []string{"villas", "refused", "new"} },
		func() bool { return false }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch name := family.GetName(); name {
			case "staykey_source_never_sent":
				got["never sent: "+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			case "staykey_source_silence_seconds":
				got["hours: "+m.GetLabel()[0].GetValue()] = math.Floor(m.GetGauge().GetValue() / 3600)
			}
		}
	}
	want := map[string]float64{
		"hours: villas": 2, "never sent: villas": 0, "never sent: refused": 1, "never sent: new": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
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
			s := newTestService(storetest.New(t))
			s.health.readiness.state.Store(&condition{causes: c.causes})
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

// dashboard is what tests read of Grafana's.
type dashboard struct {
	Panels []struct {
		Title, Description string
		Datasource         struct{ UID string }
		Targets            []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Annotations struct {
		List []struct{ Name, Expr, TitleFormat, TextFormat string }
	}
}

// readMonitoring reads a file of deploy/monitoring.
func readMonitoring(t *testing.T, file string, v any, decode func([]byte, any) error) {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/monitoring/" + file)
	if err == nil {
		err = decode(raw, v)
	}
	if err != nil {
		t.Fatal(err)
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
	var dashboard dashboard
	readMonitoring(t, "grafana/dashboards/staykey.json", &dashboard, json.Unmarshal)
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

var (
	usedMetric   = regexp.MustCompile(`\b(?:staykey|process|go)_[a-z_]+`)
	usedMatchers = regexp.MustCompile(`{([^{}]*)}`)
	usedGrouping = regexp.MustCompile(`\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^()]*)\)`)
)

// labelsOf are the label names that an expression uses.
func labelsOf(expression string) (labels []string) {
	for _, matchers := range usedMatchers.FindAllStringSubmatch(expression, -1) {
		for matcher := range strings.SplitSeq(matchers[1], ",") {
			labels = append(labels, strings.TrimRight(strings.SplitN(matcher, "\"", 2)[0], "=~! "))
		}
	}
	for _, grouping := range usedGrouping.FindAllStringSubmatch(expression, -1) {
		labels = append(labels, strings.Split(grouping[1], ",")...)
	}
	for i := range labels {
		labels[i] = strings.TrimSpace(labels[i])
	}
	return slices.DeleteFunc(labels, func(label string) bool { return label == "" })
}

// Expressions and legends of the dashboard and the alerts use only labels that their metrics have, and every panel of a
// metric with sources follows the dashboard's choice of them.
func TestLabelsThatMonitoringUses(t *testing.T) {
	t.Parallel()
	known := metricLabels(t)
	ofTarget := []string{"instance", "job"} // Prometheus adds these
	check := func(what, expression string, more ...string) (hasSource bool) {
		allowed := slices.Clone(ofTarget)
		for _, metric := range usedMetric.FindAllString(expression, -1) {
			for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
				if base, ok := strings.CutSuffix(metric, suffix); ok {
					allowed = append(allowed, known[base]...)
				}
			}
			if strings.HasSuffix(metric, "_bucket") {
				allowed = append(allowed, "le")
			}
		}
		for _, label := range append(labelsOf(expression), more...) {
			if !slices.Contains(allowed, label) {
				t.Errorf("%s uses the label %q, and its metrics have %q: %s", what, label, allowed, expression)
			}
		}
		return slices.Contains(allowed, "source")
	}
	var dashboard dashboard
	readMonitoring(t, "grafana/dashboards/staykey.json", &dashboard, json.Unmarshal)
	labelsIn := func(text, form string) (labels []string) {
		for _, found := range regexp.MustCompile(form).FindAllStringSubmatch(text, -1) {
			labels = append(labels, found[1])
		}
		return labels
	}
	expressions := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expressions++
			if check("the panel "+panel.Title, target.Expr, labelsIn(target.LegendFormat, `{{(\w+)}}`)...) &&
				!strings.Contains(target.Expr, `source=~"$source"`) {
				t.Errorf("the panel %s shows all sources, whichever are chosen: %s", panel.Title, target.Expr)
			}
		}
	}
	for _, a := range dashboard.Annotations.List {
		check("the annotation "+a.Name, a.Expr, labelsIn(a.TitleFormat+a.TextFormat, `{{(\w+)}}`)...)
	}
	for _, v := range dashboard.Templating.List {
		if asked := regexp.MustCompile(`label_values\((\w+), (\w+)\)`).FindStringSubmatch(v.Definition); asked != nil {
			check("the variable "+v.Name, asked[1], asked[2])
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	readMonitoring(t, "alerts.yml", &rules, yaml.Unmarshal)
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			expressions++
			check("the alert "+rule.Alert, rule.Expr, labelsIn(rule.Annotations["summary"], `\$labels\.(\w+)`)...)
		}
	}
	if expressions < 50 {
		t.Errorf("only %d expressions were found", expressions)
	}
}
