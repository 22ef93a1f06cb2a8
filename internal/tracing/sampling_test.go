package tracing_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/staykey/staykey/internal/tracing"
)

// The configured sampler decides on an event's trace as a whole: its first span, applying it, and the work at Seam.
func TestSampling(t *testing.T) { // not parallel: OpenTelemetry's provider is the process's
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	for ratio, spans := range map[string]int{"0": 0, "0.5": -1, "1": 3} {
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
		exporter := tracetest.NewInMemoryExporter()
		otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter),
			sdktrace.WithIDGenerator(tracing.IDs{})))
		ctx := context.Background()
		whole := map[uuid.UUID]int{}
		for i := range 100 {
			event := uuid.New()
			//nolint:gosec // below 200; the ratio goes by these bits
			binary.BigEndian.PutUint64(event[8:], uint64(2*i)<<56)
			tracing.Webhook(ctx, event, time.Now())
			tracing.Done(tracing.Of(ctx, &event), "apply", time.Now(), time.Now(), nil)
			_, span := tracing.Begin(tracing.Of(ctx, &event), "reconcile")
			span.End()
			whole[event] = 0
		}
		for _, s := range exporter.GetSpans() {
			whole[uuid.UUID(s.SpanContext.TraceID())]++
		}
		sampled := 0
		for event, n := range whole {
			if n != 0 && n != 3 || spans >= 0 && n != spans {
				t.Errorf("ratio %s: %d of the 3 spans of event %s are exported", ratio, n, event)
			}
			if n == 3 {
				sampled++
			}
		}
		if spans < 0 && (sampled == 0 || sampled == len(whole)) {
			t.Errorf("ratio %s: %d of %d events are sampled", ratio, sampled, len(whole))
		}
	}
}
