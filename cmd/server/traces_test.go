package main

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/staykey/staykey/internal/store/storetest"
)

// TestOneTrace follows an event from its webhook through the queue to the mobile key: one trace, whose id is the
// event's.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var spans []*traces.Span
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		raw, err := io.ReadAll(body)
		var request collector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(raw, &request) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				spans = append(spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(server.Close)
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, append(env, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL, "STAYKEY_LOG_LEVEL=debug"))
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "issued")
	event := p.list("/v1/events?reservation_id=3333122-433")[0]["event_id"].(string)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil { // what is left is exported
		t.Fatal(err)
	}
	<-p.done
	id := strings.ReplaceAll(event, "-", "")
	mu.Lock()
	defer mu.Unlock()
	byID, names := map[string]*traces.Span{}, map[string]int{}
	for _, s := range spans {
		if hex.EncodeToString(s.TraceId) == id {
			byID[hex.EncodeToString(s.SpanId)] = s
			names[s.Name]++
		}
	}
	for _, want := range []string{
		"webhook", "apply", "reconcile", "seam /user_identities/create",
		"seam /acs/users/create", "seam /acs/credentials/create", "seam /acs/users/get",
	} {
		if names[want] == 0 {
			t.Errorf("the trace has no span %s: %v", want, names)
		}
	}
	roots := 0
	for _, s := range byID {
		if len(s.ParentSpanId) == 0 {
			roots++
		} else if byID[hex.EncodeToString(s.ParentSpanId)] == nil {
			t.Errorf("%s hangs on a span that is not there", s.Name)
		}
	}
	if roots != 1 {
		t.Errorf("%d spans without a parent", roots)
	}
	for _, record := range []string{"request", "reconciled"} {
		found := false
		for line := range strings.Lines(p.log.String()) {
			found = found || (strings.Contains(line, `"msg":"`+record+`"`) &&
				strings.Contains(line, `"trace_id":"`+id+`"`))
		}
		if !found {
			t.Errorf("no log record %q has the trace's id", record)
		}
	}
}
