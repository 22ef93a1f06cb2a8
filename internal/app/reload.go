package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// reloads is what reading the configuration again has resulted in. SIGHUP and POST /-/reload may ask for it at
// once: they run one after the other.
type reloads struct {
	turn      chan struct{} // has room for the one that is under way
	state     sync.Mutex    // guards what follows
	failed    bool          // the last one
	open      error         // why the database prevented the last one, which is done again; nil: it didn't
	succeeded time.Time     // the last one that did; a start counts
}

// takeTurn waits until nobody else reads the configuration or settles it. It reports whether ctx lasted.
func (r *reloads) takeTurn(ctx context.Context) bool {
	select {
	case r.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *reloads) leaveTurn() { <-r.turn }

// prevented is why the database prevented the last reload, which will be done again; nil: it didn't.
func (r *reloads) prevented() error {
	r.state.Lock()
	defer r.state.Unlock()
	return r.open
}

// finish notes what a reload resulted in.
func (r *reloads) finish(configuration, certificate error) {
	r.state.Lock()
	defer r.state.Unlock()
	r.failed, r.open = configuration != nil || certificate != nil, nil
	if isPassing(configuration) {
		r.open = configuration
	}
	if !r.failed {
		r.succeeded = time.Now()
	}
}

// isPassing reports whether a reload failed for a reason that isn't in the configuration.
func isPassing(err error) bool {
	problems := config.Problems(nil)
	return err != nil && !errors.As(err, &problems) && !errors.Is(err, context.Canceled)
}

// reloader reads the configuration again while the service runs. A reload has two parts: the new set is used as soon as
// the database has its policies (here), and what else the database must know is settled until it does (settle.go).
type reloader struct {
	*configured
	config config.Config
	wake   func()                                            // has waiting events applied
	resume func(ctx context.Context, sources []string) error // fetches the documents that events wait for

	reloads  reloads
	settling settling
}

// reload reads the configuration and the certificate again, and logs and counts the results. Each of them is replaced
// or kept whatever happens to the other. If ctx ends before it is its turn, nothing is read.
func (r *reloader) reload(ctx context.Context) (configuration, certificate error) {
	if !r.reloads.takeTurn(ctx) {
		return ctx.Err(), nil
	}
	defer r.reloads.leaveTurn()
	names, configuration := r.reloadSources(ctx)
	switch {
	case isPassing(configuration):
		r.log.Warn("configuration not reloaded yet, keeping the current one: retrying", "every", settleEvery.String(),
			"waits_for", store.LockedRow(configuration), "error", configuration)
	case configuration != nil:
		for line := range strings.SplitSeq(configuration.Error(), "\n") {
			r.log.Error("configuration not reloaded, keeping the current one", "problem", line)
		}
	default:
		r.log.Info("configuration reloaded", "sources", names)
	}
	certificate = r.reloadCertificate()
	r.reloads.finish(configuration, certificate)
	return configuration, certificate
}

// reloadByHTTP answers POST /-/reload of the private listener.
func (r *reloader) reloadByHTTP(ctx context.Context) *handlers.Problem {
	if !r.config.CanReload() {
		return handlers.NewProblem(http.StatusConflict, "there is nothing to reload: set STAYKEY_CONFIG")
	}
	// a client that goes away must not leave half of it
	configuration, certificate := r.reload(context.WithoutCancel(ctx))
	err := errors.Join(configuration, certificate)
	if err == nil {
		return nil
	}
	var fields []pms.FieldError
	for line := range strings.SplitSeq(r.config.Redactor.Redact(err.Error()), "\n") {
		fields = append(fields, pms.FieldError{Field: "configuration", Message: line})
	}
	problems := config.Problems(nil)
	switch {
	case configuration == nil:
		return handlers.NewProblem(http.StatusUnprocessableEntity,
			"the configuration was reloaded, but not the certificate; the current one is kept: correct it and try again",
			fields...)
	case errors.As(configuration, &problems):
		return handlers.NewProblem(http.StatusUnprocessableEntity,
			"the configuration was not reloaded, and the current one is kept: correct it and try again", fields...)
	}
	return handlers.NewProblem(http.StatusServiceUnavailable,
		"the configuration was not reloaded yet, and the current one is kept: the service retries every 5 seconds",
		fields...).After(settleEvery)
}

// collectors are the metrics of reloads.
func (r *reloads) collectors() []prometheus.Collector {
	gauge := func(name, help string, of func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			r.state.Lock()
			defer r.state.Unlock()
			return of()
		})
	}
	return []prometheus.Collector{
		gauge("staykey_config_last_reload_successful",
			"1 if the last reload of the configuration succeeded, or there was none, else 0.",
			func() float64 { return oneIf(!r.failed) }),
		gauge("staykey_config_last_reload_success_timestamp_seconds",
			"When the configuration was last read, as Unix time.",
			func() float64 { return float64(r.succeeded.Unix()) }),
	}
}

// reloadSources reads the configuration of sources again. If anything is wrong with it, or a source in use has gone
// from it, the present one stays. Policies are decided first and in one transaction: if that fails, none of the new
// one is in use.
func (r *reloader) reloadSources(ctx context.Context) (names []string, err error) {
	fresh, err := r.config.Reload()
	if err != nil {
		return nil, err
	}
	set := fresh.Set
	r.config.Redactor.Hide(fresh.Secrets()) // before anything can log them
	if err := r.dropped(ctx, set); err != nil {
		return nil, err
	}
	warnOf(set, r.log)
	if err := r.decidePolicies(ctx, set); err != nil {
		return nil, fmt.Errorf("store the policies of the sources: %w", err)
	}
	r.sources.Store(&set)
	for name, changed := range map[string]bool{"SEAM_API_KEY": !r.config.Simulate &&
		fresh.SeamAPIKey != r.config.SeamAPIKey, "DATABASE_URL": !r.config.Dev &&
		fresh.DatabaseURL != r.config.DatabaseURL} {
		if changed {
			r.log.Warn("changed setting needs a restart", "setting", name)
		}
	}
	r.settle(ctx, r.noted(), r.compared(), r.takenUp())
	r.wake()
	return slices.Sorted(maps.Keys(set.Sources)), nil
}

// reloadCertificate shows a renewed certificate from now on.
func (r *reloader) reloadCertificate() error {
	if r.config.TLS == nil {
		return nil
	}
	if err := r.config.TLS.Reload(); err != nil {
		r.log.Error("certificate not reloaded, keeping the old one", "error", err)
		return config.Problems{"certificate: " + err.Error()}
	}
	r.log.Info("certificate reloaded")
	return nil
}
