package app

import "github.com/staykey/staykey/internal/pms"

// gates are those of a source, also of one that has left the configuration.
func (s *service) gates(source string) []pms.Gate { return s.source(source).Policy.Gates }

// gatedSources are the sources that have gates.
func (s *service) gatedSources() []string {
	var names []string
	for name, policy := range *s.policies.Load() {
		if len(policy.Gates) > 0 {
			names = append(names, name)
		}
	}
	return names
}
