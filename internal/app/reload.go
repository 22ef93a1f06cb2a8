package app

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// reloadSources reads the configuration of sources again. If anything is wrong with it, or a source in use has gone from it, the
// present one stays. Policies are decided first and in one transaction: if that fails, none of the new one is in use.
func (s *service) reloadSources(ctx context.Context) {
	fresh, err := s.config.Reload()
	set := fresh.Set
	if err == nil {
		s.config.Redactor.Hide(fresh.Secrets()) // before anything can log them
		err = s.dropped(ctx, set)
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			s.log.Error("configuration not reloaded, keeping the current one", "problem", line)
		}
		return
	}
	warnOf(set, s.log)
	if err := s.decidePolicies(ctx, set); err != nil {
		s.log.Error("configuration not reloaded, keeping the current one: send SIGHUP again", "error", err)
		return
	}
	s.sources.Store(&set)
	for name, changed := range map[string]bool{"SEAM_API_KEY": !s.config.Simulate && fresh.SeamAPIKey != s.config.SeamAPIKey, "DATABASE_URL": !s.config.Dev && fresh.DatabaseURL != s.config.DatabaseURL} {
		if changed {
			s.log.Warn("changed setting needs a restart", "setting", name)
		}
	}
	s.reportOrphans(ctx)
	names := slices.Sorted(maps.Keys(set.Sources))
	if err := s.fetcher.TakeUp(ctx, names); err != nil {
		s.log.Error("events waiting for documents not resumed yet", "error", err)
	}
	s.applier.Wake()
	s.log.Info("configuration reloaded", "sources", names)
}

// reloadCertificate shows a renewed certificate from now on.
func (s *service) reloadCertificate() {
	if s.config.TLS == nil {
		return
	}
	if err := s.config.TLS.Reload(); err != nil {
		s.log.Error("certificate not reloaded, keeping the old one", "error", err)
		return
	}
	s.log.Info("certificate reloaded")
}
