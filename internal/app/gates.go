package app

import "github.com/staykey/staykey/internal/pms"

// gates are those of a source, also of one that has left the configuration.
func (c *configured) gates(source string) []pms.Gate { return c.source(source).Policy.Gates }

// gatedSources are the sources that have gates.
func (c *configured) gatedSources() []string {
	var names []string
	for name, policy := range *c.policies.Load() {
		if len(policy.Gates) > 0 {
			names = append(names, name)
		}
	}
	return names
}
