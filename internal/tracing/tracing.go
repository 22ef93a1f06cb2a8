// Package tracing makes one OpenTelemetry trace of each event, from its webhook through the queue to the mobile key.
//
//	Webhook      accepted: the first span, recorded when the request is over
//	Of, Begin    applied, provisioned: later spans, in whichever process and however much later
//	Done         a step that is over, such as a call to Seam
//
// A trace's id is the event's id, and the id of its first span follows from that. So nothing has to travel with the
// event through the database, and an event that waits for a day still ends in the trace that it began in. With an id
// from the timeline or the page you can open the trace, and the other way round. [IDs] makes the SDK use these ids.
//
// Without OTEL_EXPORTER_OTLP_ENDPOINT nothing is traced. Exporting and sampling are set by OpenTelemetry's own
// variables. Attributes are ids, statuses and durations, never guests' data.
package tracing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

const name = "github.com/staykey/staykey"

type rootKey struct{}

// rootSpan is the id of the first span of an event's trace.
func rootSpan(event uuid.UUID) (id trace.SpanID) {
	sum := sha256.Sum256(event[:])
	copy(id[:], sum[:])
	return id
}

// Webhook records the first span of an event's trace, which is over.
func Webhook(ctx context.Context, event uuid.UUID, began time.Time, attributes ...attribute.KeyValue) {
	ctx = context.WithValue(ctx, rootKey{}, event)
	_, span := otel.Tracer(name).Start(ctx, "webhook", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithTimestamp(began), trace.WithAttributes(attributes...))
	span.End()
}

// Of returns a context in which spans belong to an event's trace; ctx as it is where there is no event.
func Of(ctx context.Context, event *uuid.UUID) context.Context {
	if event == nil {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(*event), SpanID: rootSpan(*event), TraceFlags: sampling(ctx, *event), Remote: true,
	}))
}

// sampling is what the configured sampler decides on an event's trace. A span that is begun like the first one
// tells; it is never ended, so that nothing is exported of it. Samplers that go by the trace's id decide the same
// each time, in each replica.
func sampling(ctx context.Context, event uuid.UUID) trace.TraceFlags {
	_, span := otel.Tracer(name).Start(context.WithValue(ctx, rootKey{}, event), "webhook", trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindServer))
	return span.SpanContext().TraceFlags()
}

// Done records a span that is over.
func Done(ctx context.Context, what string, began, ended time.Time, err error, attributes ...attribute.KeyValue) {
	_, span := otel.Tracer(name).Start(ctx, what, trace.WithTimestamp(began), trace.WithAttributes(attributes...))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End(trace.WithTimestamp(ended))
}

// Begin starts a span.
func Begin(ctx context.Context, what string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	return otel.Tracer(name).Start(ctx, what, trace.WithAttributes(attributes...))
}

// IDs makes the ids of spans and traces: those of an event's first span from the event, all others by chance. It
// implements the SDK's IDGenerator.
type IDs struct{}

// NewIDs returns the ids of a first span.
func (IDs) NewIDs(ctx context.Context) (id trace.TraceID, span trace.SpanID) {
	if event, ok := ctx.Value(rootKey{}).(uuid.UUID); ok {
		return trace.TraceID(event), rootSpan(event)
	}
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	_, _ = rand.Read(span[:])
	return id, span
}

// NewSpanID returns the id of another span.
func (IDs) NewSpanID(context.Context, trace.TraceID) (span trace.SpanID) {
	_, _ = rand.Read(span[:]) // never fails (crypto/rand)
	return span
}
