package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// pollPolicies is how soon a replica follows a policy that another one has decided. What it does until then is
// found by the fingerprint in each stay's row.
const pollPolicies = time.Second

// configured is the current configuration: a reload replaces the set, and any replica may decide policies.
type configured struct {
	store    *store.Store
	log      *slog.Logger
	sources  *atomic.Pointer[config.Set]
	policies atomic.Pointer[map[string]pms.Policy] // the decided ones
}

// tokens are the admin tokens of the current configuration.
func (c *configured) tokens() []admin.Token {
	set := c.sources.Load()
	return slices.Concat(set.AdminSecrets, set.Tokens)
}

// source finds a source, with its decided policy. One that has gone from the configuration keeps its last policy,
// so that its keys stay unchanged until somebody decides otherwise.
func (c *configured) source(name string) pms.Source {
	source := c.sources.Load().Of(name)
	if decided, known := (*c.policies.Load())[name]; known {
		if source.Policy.Drift != "" { // this replica's own matter: it says when to repair, not what should be
			decided.Drift = source.Policy.Drift
		}
		source.Policy = decided
	}
	return source
}

// decidePolicies makes the policies of a set those of their sources, for all replicas, and has their stays follow.
func (c *configured) decidePolicies(ctx context.Context, set config.Set) error {
	var policies []store.SourcePolicy
	for name, source := range set.Sources {
		encoded, err := json.Marshal(source.Policy)
		if err != nil {
			return fmt.Errorf("encode the policy of source %s: %w", name, err)
		}
		policies = append(policies, store.SourcePolicy{
			Source: name, Fingerprint: source.Policy.Fingerprint(),
			Encoded: string(encoded),
		})
	}
	changed, err := c.store.Policies.Decide(ctx, policies)
	if err != nil {
		return err
	}
	for _, name := range changed {
		c.log.Info("source policy changed: updating its keys", "source", name)
	}
	return c.readPolicies(ctx)
}

// readPolicies reads what has been decided, by any replica. A policy that this version doesn't understand is left out.
func (c *configured) readPolicies(ctx context.Context) error {
	list, err := c.store.Policies.List(ctx)
	if err != nil {
		return err
	}
	decided := map[string]pms.Policy{}
	for _, p := range list {
		var policy pms.Policy
		if json.Unmarshal([]byte(p.Encoded), &policy) == nil && policy.Fingerprint() == p.Fingerprint {
			decided[p.Source] = policy
		}
	}
	c.policies.Store(&decided)
	return nil
}

// readPoliciesNow is for an attempt that has met a policy which this replica does not know.
func (c *configured) readPoliciesNow() {
	ctx, cancel := context.WithTimeout(context.Background(), c.store.Within(time.Second))
	defer cancel()
	if err := c.readPolicies(ctx); err != nil {
		c.log.Warn("source policies not read: keeping the current ones", "error", err)
	}
}

// watchPolicies follows what other replicas decide, until ctx ends.
func (c *configured) watchPolicies(ctx context.Context) {
	failing := false
	every(ctx, pollPolicies, func() {
		err := c.readPolicies(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			c.log.Warn("source policies not read: keeping the current ones", "error", err)
		}
		failing = err != nil
	})
}

// orphan is a source without an entry in the configuration whose stays are still here.
type orphan struct {
	store.SourceInUse
	retired bool
}

// orphans returns the sources that have keys, or stays that will get one, and no entry in a set, or one that says
// retired.
func (c *configured) orphans(ctx context.Context, set config.Set) ([]orphan, error) {
	inUse, err := c.store.Policies.SourcesInUse(ctx, slices.Sorted(maps.Keys(set.Sources)), time.Now())
	if err != nil {
		return nil, err
	}
	list := make([]orphan, len(inUse))
	for i, in := range inUse {
		_, retired := set.Retired[in.Source]
		list[i] = orphan{in, retired}
	}
	return list, nil
}

// problem describes what is wrong with a source that has no entry, and what to do.
func (o orphan) problem() string {
	return fmt.Sprintf("source %q is in use and has no entry (%s): changes and cancels from its PMS no longer arrive, and its keys keep their last policy", o.Source, o.SourceInUse)
}

const orphanRemedy = "restore its entry, or replace it by {name: ..., retired: true}: then its keys keep their policy until check-out; a new name is a new source"

// reportOrphans logs the sources that are in use and have no entry.
func (c *configured) reportOrphans(ctx context.Context) error {
	list, err := c.orphans(ctx, *c.sources.Load())
	if err != nil {
		return err
	}
	for _, o := range list {
		if o.retired {
			c.log.Info("source retired: its keys keep their policy until check-out", "source", o.Source, "keys",
				o.Keys, "stays", o.Stays)
			continue
		}
		c.log.Error(o.problem(), "source", o.Source, "do", orphanRemedy)
	}
	return nil
}

// dropped returns why a set can't replace the present one: a source in use would vanish silently.
func (c *configured) dropped(ctx context.Context, set config.Set) error {
	list, err := c.orphans(ctx, set)
	if err != nil {
		return err
	}
	var problems []string
	for _, o := range list {
		if c.sources.Load().Names(o.Source) && !o.retired {
			problems = append(problems, "STAYKEY_CONFIG: sources: "+o.problem()+": "+orphanRemedy)
		}
	}
	if len(problems) > 0 {
		return config.Problems(problems)
	}
	return nil
}

// orphans are doctor's findings on sources in use that have no entry.
func (d *diagnosis) orphans(ctx context.Context) {
	list, err := d.configured.orphans(ctx, *d.configured.sources.Load())
	if err != nil {
		d.found("source", admin.LevelError, "all", "check that Postgres runs", "sources in use can't be read: %v", err)
		return
	}
	for _, o := range list {
		if o.retired {
			d.found("source", admin.LevelOK, o.Source, "", "retired: %s; the keys keep their policy until check-out",
				o.SourceInUse)
			continue
		}
		d.found("source", admin.LevelError, o.Source, orphanRemedy, "%s",
			strings.TrimPrefix(o.problem(), fmt.Sprintf("source %q ", o.Source)))
	}
}
