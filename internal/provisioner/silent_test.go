package provisioner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// TestSeamFallsSilent makes every connection to Seam fall silent, repeatedly, as behind a NAT that forgets them:
// nothing is refused or closed, and new connections work. Each stay gets its key anyway, and exactly one.
func TestSeamFallsSilent(t *testing.T) {
	t.Parallel()
	for name, overTLS := range map[string]bool{"TLS with HTTP/2": true, "HTTP/1.1": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := fast()
			options.ReadLag = 3 * time.Second
			r := newRigWith(t, rigKind{timeout: 2 * time.Second, hasty: true, overTLS: overTLS}, options,
				simulator.Options{})
			r.listing("default", "L", groupsL...)
			for i := range 3 {
				s := r.stay(fmt.Sprintf("R%d", i))
				s.email = fmt.Sprintf("guest%d@example.com", i)
				if i == 2 { // in the middle of a create that takes effect
					r.sim.Inject(simulator.Fault{Kind: simulator.Silent, Path: seam.PathUserCreate})
				} else {
					r.server.Silence()
				}
				r.book(s)
				r.until(s, store.KeyIssued)
				r.mustHold(s.id, s.wants(system, groupsL...))
			}
			r.mustBeSound()
		})
	}
}

// TestPostgresFallsSilent has all connections of the provisioner to Postgres fall silent, as when the primary's
// machine loses its power: a guest who arrives gets a key over new ones.
func TestPostgresFallsSilent(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.stop()
	direct := r.store
	dsn, wire := storetest.Through(t, storetest.Of(t, direct.Pool().Config().ConnConfig.Database))
	r.open(storetest.WithServiceWaits(dsn))
	r.store = direct
	r.applier = intake.NewApplier(direct, r.log, intake.Options{
		Now: r.now, Applied: r.prov.Wake,
		Source: func(name string) pms.Source { return pms.Source{Policy: r.policy(name)} },
	})
	r.listing("default", "L", groupsL...)
	first, second := r.stay("R1"), r.stay("R2")
	issued(r, &first)
	wire.FallSilent()
	second.email = "joe@example.com"
	second.in = r.now().Add(10 * time.Minute).Truncate(time.Millisecond)
	r.book(second)
	r.until(second, store.KeyIssued)
	r.mustHold(second.id, second.wants(system, groupsL...))
	r.mustBeSound()
}
