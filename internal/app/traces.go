package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/tracing"
)

// flushTraces is how long a stop waits for the last spans.
const flushTraces = 2 * time.Second

// startTraces exports spans by OTLP over HTTP, if an endpoint is set. Everything else of it is set by
// OpenTelemetry's own variables too (headers, sampling). stop sends what is left.
func startTraces(ctx context.Context, c config.Config, version string, log *slog.Logger) (stop func(), err error) {
	if !c.Traced {
		return func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName("staykey"),
		semconv.ServiceVersion(version)), resource.WithFromEnv(), resource.WithHost())
	if err != nil {
		return nil, fmt.Errorf("describe the service to OpenTelemetry: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about),
		sdktrace.WithIDGenerator(tracing.IDs{}))
	otel.SetTracerProvider(provider)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("trace export failed", "error", err) }))
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTraces)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("last traces not exported", "error", err)
		}
	}, nil
}
