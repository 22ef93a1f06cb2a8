package provisioner

import (
	"context"

	"github.com/staykey/staykey/internal/pms"
)

// mayOpen returns a function that reports whether keys of a source may open an access group. It is asked where the
// desired state is worked out, no matter whether a PMS, an import or an admin named the group.
func mayOpen(policy pms.Policy, source string, owners map[string]string,
	configured func(source string) bool,
) func(group, system string) bool {
	return func(group, system string) bool {
		owner := owners[group]
		if owner == source || (owner != "" && configured != nil && !configured(owner)) {
			owner = ""
		}
		return policy.MayOpen(group, system, owner)
	}
}

// NotAllowed returns the access groups that keys of a source may not open.
func (p *Provisioner) NotAllowed(ctx context.Context, source string, groups []string) ([]string, error) {
	policy := p.options.Policy(source)
	if !policy.OwnGroups && len(policy.AccessGroups)+len(policy.AccessSystems) == 0 {
		return nil, nil
	}
	owners, err := p.store.AccessGroups.Owners(ctx, groups)
	if err != nil {
		return nil, err
	}
	may := mayOpen(policy, source, owners, p.options.Configured)
	var denied []string
	for _, group := range groups {
		if system, _ := p.directory.system(group); !may(group, system) {
			denied = append(denied, group)
		}
	}
	return denied, nil
}
